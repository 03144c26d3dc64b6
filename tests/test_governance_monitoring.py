"""What a team sees when its monitors, thresholds of monitors and reference are declared wrongly."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aims_mlflow.governance.loader import load_profile
from aims_mlflow.governance.monitoring import Monitor, duration
from aims_mlflow.governance.profile import Profile
from aims_mlflow.governance.thresholds import Threshold

HEAD = "id: s\nname: S\n"


def load(folder: Path, text: str) -> Profile:
    path = folder / "governance" / "systems" / "s.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(HEAD + text, "utf-8")
    return load_profile(folder / "governance", today=date(2026, 11, 23))


def shown(folder: Path, text: str) -> str:
    return "\n".join(map(str, load(folder, text).problems))


DECLARED = """\
sensitive_features: [{name: sex}]
reference: {dataset: train, target: income, min_count: 20}
monitors:
  - kind: drift
    schedule: "0 6 * * *"
    timezone: Europe/Berlin
    current: data/{date}/*.parquet
    tests: {age: {test: psi, limit: 0.2}}
    correction: benjamini_hochberg
  - id: daily-quality
    kind: quality
    schedule: "30 5 * * 1-5"
    current: "sql:LOANS_URL?table=requests"
    timestamp: at
    window: P7D
    expect: {age: {range: {min: 0, max: 120}}, sex: {categories: [f, m]}}
    missed: gap
  - {kind: bias, schedule: "0 0 1 * *", target: y, prediction: p, labels: y.csv, key: [id],
     labels_lag: P30D}
  - {kind: custom, use: pii-share, schedule: "0 * * * *", options: {columns: [comment]}}
thresholds:
  - {id: drift, metric: drift_share, max: 0.3, breaches: 3, valid_until: 2027-01-01}
  - {id: age, metric: column_drift, column: age, max: 0.2}
  - {id: gaps, metric: missing_share, monitor: daily-quality, max_change: 0.05}
  - {id: dp, metric: demographic_parity_difference, feature: sex, max_change: 0.02,
     change_from: production}
  - {id: pii, custom_metric: pii_share, monitor: custom, column: comment, max: 0}
  - {id: acc, metric: accuracy, min: 0.8, stage: monitoring}
  - {id: test-acc, metric: accuracy, min: 0.8, dataset: test}
"""


def test_a_declaration_with_everything_is_accepted_and_shared_out(tmp_path):
    profile = load(tmp_path, DECLARED)
    assert not profile.problems
    system = profile.systems["s"]
    judged = {m.name: [t.id for t in system.thresholds if m.judges(t)] for m in system.monitors}
    assert judged == {
        "drift": ["drift", "age"],
        "daily-quality": ["gaps"],
        "bias": ["dp"],
        "custom": ["pii"],
    }
    assert [t.id for t in system.thresholds if t.judged_on_runs] == ["test-acc"]
    limits = {t.id: t.limit for t in system.thresholds}
    assert limits["dp"] == "change <= 0.02 from the version in production"
    assert system.reference is not None and system.reference.min_count == 20


# --- one fault each: file, line, what is wrong, what is allowed ----------------------------------

MONITORS = {
    "no schedule": ("kind: drift", "'schedule' is missing. Add `schedule: <value>`."),
    "kind": (
        "kind: drfit, schedule: '0 6 * * *'",
        "'drfit' is not allowed for monitors[0].kind. Did",
    ),
    "cron": (
        "kind: drift, schedule: daily",
        "'daily' is no cron expression (minute hour day month",
    ),
    "cron minute": ("kind: drift, schedule: '99 6 * * *'", "'99 6 * * *' is no cron expression"),
    "cron never": ("kind: drift, schedule: '0 0 30 2 *'", "of a time that comes, for example"),
    "zone": ("kind: drift, timezone: Berlin", "'Berlin' is no time zone of the IANA database, for"),
    "zone path": (
        "kind: drift, timezone: ../../etc/passwd",
        "is no time zone of the IANA database",
    ),
    "duration": (
        "kind: drift, window: 7 days",
        "'7 days' is not an ISO 8601 duration of weeks, days",
    ),
    "months": (
        "kind: drift, window: P1M",
        "'P1M' is not an ISO 8601 duration of weeks, days, hours",
    ),
    "no time": ("kind: drift, timeout: PT0S", "'timeout' (PT0S) leaves no time at all."),
    "endless": ("kind: drift, window: P99999999999D", "'P99999999999D' is longer than any calend"),
    "bare lag": (
        "kind: bias, target: y, prediction: p, labels_lag: 30",
        "labels_lag must be text, and YAML reads '30' as a n",
    ),
    "no labels": ("kind: bias", "kind 'bias' needs the columns 'target' and 'prediction'."),
    "no key": (
        "kind: performance, target: y, prediction: p, labels: y.csv",
        "'labels' needs the 'key': the columns that join labels with predictions.",
    ),
    "no latency": (
        "kind: operation",
        "kind 'operation' needs the column 'latency' (in seconds), '",
    ),
    "no use": (
        "kind: custom",
        "kind 'custom' needs 'use': the name of an entry point of the group",
    ),
    "use": ("kind: drift, use: x", "'use' is for kind 'custom', not 'drift'."),
    "missed": (
        "kind: drift, missed: skip",
        "'skip' is not allowed for monitors[0].missed. Allowed: c",
    ),
    "engine": (
        "kind: drift, engine: sparc",
        "Did you mean 'spark'? Allowed: polars, pandas, duckdb",
    ),
    "test": (
        "kind: drift, tests: {age: {test: wassertein}}",
        "'wassertein' is not allowed for monitors[0].tests.age.test. Did you mean 'wasserstein'?",
    ),
    "limit": (
        "kind: drift, tests: {a: {test: psi, limit: 0}}",
        "limit: '0': must be greater than 0",
    ),
    "correction": (
        "kind: drift, correction: holm",
        "Allowed: none, bonferroni, benjamini_hochberg.",
    ),
    "range": (
        "kind: quality, expect: {a: {range: {min: 5, max: 1}}}",
        "'min' (5) is not below 'max'",
    ),
    "nothing expected": (
        "kind: quality, expect: {a: {}}",
        "needs exactly one of 'range' and 'categories'.",
    ),
    "two expected": (
        "kind: quality, expect: {a: {range: {min: 1}, categories: [x]}}",
        "needs exactly one of 'range' and 'categories'.",
    ),
    "no category": (
        "kind: quality, expect: {a: {categories: []}}",
        "'categories' is empty: name all",
    ),
    "category": (
        "kind: quality, expect: {a: {categories: [1.5]}}",
        "expect.a.categories[0]: '1.5': must be text, a whole number, true or false.",
    ),
    "columns": ("kind: drift, columns: [a], exclude: [a]", "'columns' and 'exclude' both name a."),
    "unknown key": ("kind: drift, colums: [a]", "unknown key 'colums'. Did you mean 'columns'?"),
    "id": (
        "id: Night Drift, kind: drift",
        "'Night Drift' is not a valid monitors[0].id. Use lower",
    ),
    "key": ("kind: drift, key: id", "monitors[0].key must be a list. Write monitors[0].key: [id]."),
    "empty": (
        "kind: drift, current: ''",
        "monitors[0].current is empty. Give a value or remove the",
    ),
}


@pytest.mark.parametrize("fault", MONITORS)
def test_a_fault_of_a_monitor_says_line_and_what_to_do(fault, tmp_path):
    declared, expected = MONITORS[fault]
    if "schedule" not in declared and fault != "no schedule":
        declared += ", schedule: '0 6 * * *'"
    text = shown(tmp_path, f"monitors:\n  - {{{declared}}}\n")
    assert text.startswith("governance/systems/s.yaml:4: ")
    assert expected in text
    assert len(text.splitlines()) == 1, text
    assert "Value error" not in text and "Input should" not in text


def test_every_fault_of_a_monitor_is_told_whatever_else_is_wrong(tmp_path):
    text = shown(
        tmp_path,
        """\
riks_tier: high
monitors:
  - kind: bias
    schedule: daily
    timeout: PT0S
    current: data/{dat}/*.parquet
    labels: "outcomes/{date}.csv"
  - {kind: custom, schedule: "0 6 * * *"}
  - {kind: drift, schedule: "0 6 * * *", reference: "old/{start}}.csv"}
  - {kind: drift, id: saved, schedule: "0 0 * * *", reference: "models:/a{b}@champion"}
""",
    )
    for line, expected in (
        (3, "unknown key 'riks_tier'. Did you mean 'risk_tier'?"),
        (5, "kind 'bias' needs the columns 'target' and 'prediction'."),
        (6, "'daily' is no cron expression"),
        (7, "'timeout' (PT0S) leaves no time at all."),
        (
            8,
            "'current': the placeholder '{dat}' does not exist; write {{ and }} for braces that are"
            " meant. Did you mean 'date'? Allowed: date, hour, start, end.",
        ),
        (9, "'labels' needs the 'key': the columns that join labels with predictions."),
        (10, "kind 'custom' needs 'use'"),
        (11, "'reference': Single '}' encountered in format string"),
    ):
        assert f"s.yaml:{line}: {expected}" in text, text
    assert len(text.splitlines()) == 8, text


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ('schedule: "0 6 * * *"', "2026-01-01 06:00 to 2026-01-02 06:00 (Europe/Berlin)"),
        ('schedule: "30 * * * *"', "2026-01-01 23:30 to 2026-01-02 00:30 (Europe/Berlin)"),
        ('schedule: "0 0 * * 1"', "2026-01-05 00:00 to 2026-01-12 00:00 (Europe/Berlin)"),
        ('schedule: "0 * * * *", window: P1D', "2025-12-31 03:00 to 2026-01-01 03:00"),
        ('schedule: "0 6 * * *", labels_lag: PT6H', ""),
        ('schedule: "0 0 * * *"', ""),
        ('schedule: "*/15 * * * *"', ""),
    ],
)
def test_files_of_one_date_for_windows_of_two_are_noted(declared, told, tmp_path):
    profile = load(
        tmp_path,
        f"""\
monitors:
  - {{kind: drift, timezone: Europe/Berlin, {declared},
     current: "dt={{date}}/*.parquet", timestamp: at}}
  - {{kind: drift, id: all, {declared}, current: "**/*.parquet", timestamp: at}}
  - {{kind: drift, id: hours, {declared}, current: "{{date}}/{{hour}}.parquet", timestamp: at}}
""",
    )
    assert not profile.problems
    notes = [str(warning) for warning in profile.warnings]
    assert [note.split(": ")[0] for note in notes] == (
        ["governance/systems/s.yaml:5"] if told else []
    )
    assert told in "".join(notes)


def test_a_custom_monitor_that_is_not_installed_is_noted(tmp_path):
    text = 'monitors:\n  - {kind: custom, use: no-such-plugin, schedule: "0 6 * * *"}\n'
    profile = load(tmp_path, text)
    assert not profile.problems
    (note,) = map(str, profile.warnings)
    assert note.startswith(
        "governance/systems/s.yaml:4: monitor 'custom' uses 'no-such-plugin', which is not "
        "installed here."
    )


THRESHOLDS = {
    "change of a count": (
        "metric: row_count, max_change: 100",
        "metric 'row_count' counts the rows of one window, and other data say nothing",
    ),
    "custom": ("custom_metric: pii, max: 0", "'custom_metric' needs the 'monitor' that reads it."),
    "two limits": (
        "metric: accuracy, max_change: 0.3, min: 0.1",
        "needs either 'max_change' or 'min' and 'max'.",
    ),
    "negative": ("metric: accuracy, max_change: -1", "'-1': must be greater than or equal to 0."),
    "change of a run": (
        "logged_metric: acc, max_change: 0.1",
        "'max_change' is for monitors, which judge no threshold with 'logged_metric'.",
    ),
    "change of a dataset": (
        "metric: accuracy, dataset: test, max_change: 0.1",
        "'max_change' is for monitors, which judge no threshold with 'dataset'.",
    ),
    "change from": (
        "metric: accuracy, min: 0.1, change_from: production",
        "'change_from' needs 'max_change': by how much it may change.",
    ),
    "origin": (
        "metric: accuracy, max_change: 0.1, change_from: baseline",
        "'baseline' is not allowed for thresholds[0].change_from. Allowed: reference, production.",
    ),
    "stage of a dataset": (
        "metric: accuracy, dataset: test, stage: monitoring, min: 0.1",
        "'stage: monitoring' needs a metric that monitors measure, and no 'dataset'.",
    ),
    "stage of drift": (
        "metric: drift_share, stage: evaluation, max: 0.1",
        "'stage: evaluation' needs a metric that training runs measure.",
    ),
    "stage": ("metric: f1, stage: production, min: 0.1", "Allowed: evaluation, monitoring."),
    "column of rows": (
        "metric: accuracy, column: age, min: 0.1",
        "'column' needs a metric of drift",
    ),
    "no column": ("metric: column_drift, max: 0.1", "metric 'column_drift' needs the 'column'."),
    "validity": (
        "metric: row_count, min: 5, valid_from: 2026-02-01, valid_until: 2026-01-01",
        "'valid_from' (2026-02-01) is after 'valid_until' (2026-01-01).",
    ),
    "day": (
        "metric: row_count, min: 5, valid_from: soon",
        "'soon' is not a date. Write it as 2027-",
    ),
    "breaches": ("metric: row_count, min: 5, breaches: 0", "must be greater than or equal to 1."),
    "share": (
        "metric: missing_share, max: 5",
        "'max' (5) is outside the range of metric 'missing_sh",
    ),
    "lost monitor": (
        "metric: drift_share, monitor: nightly, max: 0.3",
        "threshold 't' names the monitor 'nightly', which is not declared. Declare it under moni",
    ),
}


@pytest.mark.parametrize("fault", THRESHOLDS)
def test_a_fault_of_a_threshold_says_line_and_what_to_do(fault, tmp_path):
    declared, expected = THRESHOLDS[fault]
    text = shown(tmp_path, f"thresholds:\n  - {{id: t, {declared}}}\n")
    assert text.startswith("governance/systems/s.yaml:4: ")
    assert expected in text
    assert len(text.splitlines()) == 1, text


@pytest.mark.parametrize(
    ("second", "name"),
    [
        ("{kind: drift, schedule: '0 7 * * *'}", "drift"),
        ("{id: drift, kind: quality, schedule: '0 7 * * *'}", "drift"),
    ],
)
def test_two_monitors_of_one_name_are_told_apart_by_an_id(second, name, tmp_path):
    text = shown(tmp_path, f"monitors:\n- {{kind: drift, schedule: '0 6 * * *'}}\n- {second}\n")
    message = f"monitor declared twice: {name}; give each an 'id' of its own."
    assert text == f"governance/systems/s.yaml:5: {message}"


def test_a_mistyped_monitor_is_told_the_near_one(tmp_path):
    monitors = "monitors: [{id: nightly, kind: drift, schedule: '0 6 * * *'}]\n"
    text = shown(tmp_path, monitors + "thresholds: [{id: t, metric: drift_share, monitor: nigthly,"
                 " max: 1}]\n")  # fmt: skip
    assert "which is not declared. Did you mean 'nightly'? Allowed: nightly." in text


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("{target: y}", ":3: 'dataset' is missing. Add `dataset: <value>`."),
        (
            "{dataset: d, min_count: 0}",
            "reference.min_count: '0': must be greater than or equal to 1",
        ),
    ],
)
def test_a_fault_of_the_reference_rule(declared, expected, tmp_path):
    assert expected in shown(tmp_path, f"reference: {declared}\n")


# --- what the declarations mean ------------------------------------------------------------------


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 99_999))
def test_a_duration_is_the_sum_of_its_parts(weeks, days, minutes):
    expected = timedelta(weeks=weeks, days=days, minutes=minutes)
    assert duration(f"P{weeks}W{days}DT{minutes}M") == expected


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1DT", "P1Y", "1D", "P-1D", "P1.5D", "p1d", "P١D"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="is not an ISO 8601 duration"):
        duration(text)
    with pytest.raises(ValueError, match="longer than any calendar"):
        duration(f"P{'9' * 5000}D")


def test_a_metric_of_rows_by_feature_is_a_matter_of_bias():
    bias, performance = (
        Monitor(kind=kind, schedule="0 6 * * *", target="y", prediction="p")
        for kind in ("bias", "performance")
    )
    worst_group = Threshold(id="t", metric="accuracy", feature="sex", min=0.7)
    overall = Threshold(id="t", metric="accuracy", min=0.7)
    assert (bias.judges(worst_group), performance.judges(worst_group)) == (True, False)
    assert (bias.judges(overall), performance.judges(overall)) == (False, True)


def test_a_training_run_is_not_asked_what_only_monitors_know():
    change = Threshold(id="t", metric="accuracy", max_change=0.1)
    assert (change.judged_on_runs, change.judged_by_monitors) == (False, True)
    plain = Threshold(id="t", metric="accuracy", min=0.1)
    assert (plain.judged_on_runs, plain.judged_by_monitors) == (True, True)
