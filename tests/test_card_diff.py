"""What changed between two cards: as data, as a release note, and on the command line."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.cli.card_diff import diff
from aims_mlflow.evidence import canonical_bytes, normalise
from aims_mlflow.facts import (
    BaselineFacts,
    DatasetFacts,
    MetricFacts,
    ModelFacts,
    ModelVersionFacts,
    RunFacts,
)
from aims_mlflow.governance.card_text import Written
from aims_mlflow.governance.system import AISystem
from aims_mlflow.model_card.builder import build_card
from aims_mlflow.model_card.card import Card
from aims_mlflow.model_card.comparison import compare, delta_bounds, is_better, is_noise
from aims_mlflow.model_card.diff import (
    CardDiff,
    diff_cards,
    plain_lines,
    render_diff_markdown,
    render_text,
)
from aims_mlflow.model_card.diff_model import MAX_CHANGES, Outcome
from aims_mlflow.model_card.evaluation import EvaluationReport, build_report
from aims_mlflow.readings import GroupRow, GroupTable, Interval, Judgement, Reading, Scores, Verdict

START = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>|[x](javascript:y)\n# ‮Unchanged"


def reading(metric: str, value: float, half: float | None = None, **more: Any) -> Reading:
    interval = Interval(low=value - half, high=value + half, method="m") if half else None
    return Reading(metric=metric, value=value, n=1000, interval=interval, **more)


def made(
    version: str = "1",
    *,
    overall: tuple[Reading, ...] = (),
    groups: dict[str, tuple[float, float]] | None = None,
    judgements: tuple[Judgement, ...] = (),
    digest: str = "d1",
    params: dict[str, str] | None = None,
    packages: dict[str, str] | None = None,
    columns: tuple[str, ...] = ("income",),
    card: dict[str, Any] | None = None,
    written: tuple[Written, ...] = (),
    changes: CardDiff | None = None,
    **facts: Any,
) -> tuple[Card, EvaluationReport]:
    """A card and its report; each argument is one thing that a diff looks at."""
    rows = tuple(
        GroupRow(group={"sex": name}, n=500, metrics={"accuracy": v}, intervals={"accuracy": i})
        for name, (v, half) in (groups or {}).items()
        for i in [(v - half, v + half)]
    )
    score = Scores(
        dataset="test",
        task="regression",
        n=1000,
        overall=overall,
        groups=(GroupTable(dataset="test", features=("sex",), rows=rows, min_group_size=30),),
    )
    run = RunFacts(
        run_id=version * 32,
        run_name=f"run-{version}",
        experiment_id="1",
        experiment_name="credit",
        status="FINISHED",
        start_time=START,
        git_commit="c1",
        params=params or {},
        datasets=(
            DatasetFacts(
                name="test", digest=digest, source_type="x", source="x", context="evaluation"
            ),
            DatasetFacts(name="train", digest="t1", source_type="x", source="x", context="train"),
        ),
        models=(
            ModelFacts(
                model_id="m",
                name="credit",
                uri="models:/m",
                inputs=tuple({"name": name, "type": "double"} for name in columns),
            ),
        ),
        model_versions=(ModelVersionFacts(name="credit", version=version),),
        environment={"packages": packages or {"numpy": "2.1"}, "python": "3.11.9"},
    ).model_copy(update=facts)
    system = AISystem.model_validate({"id": "credit", "name": "Credit", "card": card or {}})
    report = build_report(run, "credit", system, (score,), judgements, ())
    built = build_card(
        run, "credit", system, report, lambda *_: "x.yaml:1", written=written, changes=changes
    )
    return built, report


def judged(verdict: Verdict, limit: float = 52, metric: str = "rmse") -> Judgement:
    return Judgement(
        threshold="max-rmse",
        metric=metric,
        feature=None,
        dataset="test",
        value=51.2,
        limit=f"<= {limit:g}",
        verdict=verdict,
        severity="major",
        reason="because",
        declared={"min": None, "max": limit},
    )


def between(
    before: tuple[Card, EvaluationReport], after: tuple[Card, EvaluationReport], **more: Any
) -> CardDiff:
    return diff_cards(before[0].body(), after[0].body(), before[1].body(), after[1].body(), **more)


def lines(found: CardDiff, title: str) -> list[str]:
    """The lines below a title of the note."""
    text = render_text(found).split("\n")
    start = next((i for i, line in enumerate(text) if line.startswith(title)), None)
    if start is None:
        return []
    rest = text[start + 1 :]
    return [line.strip() for line in (rest[: rest.index("")] if "" in rest else rest)]


# --- the sentence at the top ----------------------------------------------------------------------


def test_the_headline_is_a_release_note():
    found = between(
        made("1", overall=(reading("rmse", 53.4, 0.4),), judgements=(judged(Verdict.PASS),)),
        made("2", overall=(reading("rmse", 51.2, 0.4),), judgements=(judged(Verdict.FAIL),)),
    )
    assert found.headline == (
        "v2 replaces v1: RMSE fell from 53.4 to 51.2 (better); one threshold now fails"
    )
    assert (found.before.name, found.after.run_id) == ("credit version 1", "2" * 32)


def test_an_older_version_or_another_model_replaces_nothing():
    old, new = made("1", overall=(reading("mae", 2.0),)), made("2", overall=(reading("mae", 2.0),))
    assert between(new, old).headline.startswith("credit version 1 compared with credit version 2:")
    runs = between(made("1", model_versions=()), made("2", model_versions=()))
    assert runs.headline.startswith("run run-2 (22222222) compared with run run-1 (11111111): no")
    named = between(old, new, names=(("other", "3"), None))
    assert named.headline.startswith("credit version 2 compared with other version 3:")


def test_a_metric_that_got_worse_is_not_left_out_of_the_headline():
    before = (reading("roc_auc", 0.8, 0.001), reading("f1", 0.7, 0.001), reading("mae", 1.0, 0.01))
    after = (reading("roc_auc", 0.9, 0.001), reading("f1", 0.8, 0.001), reading("mae", 1.2, 0.01))
    found = between(made("1", overall=before), made("2", overall=after))
    assert "ROC AUC rose from 0.8 to 0.9 (better); MAE rose from 1.0 to 1.2 (worse)" in (
        found.summary
    )


def test_what_a_threshold_judges_comes_first():
    before = (reading("roc_auc", 0.8), reading("mae", 2.0))
    after = (reading("roc_auc", 0.9), reading("mae", 1.0))
    verdict = (judged(Verdict.PASS, metric="mae"),)
    found = between(
        made("1", overall=before, judgements=verdict), made("2", overall=after, judgements=verdict)
    )
    assert found.summary.startswith("MAE fell")
    assert "the same verdicts" in found.summary


# --- measured values ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "half", "outcome"),
    [
        (0.80, 0.85, 0.01, Outcome.BETTER),
        (0.85, 0.80, 0.01, Outcome.WORSE),
        (0.80, 0.81, 0.01, Outcome.WITHIN_NOISE),
        (0.80, 0.80, 0.01, Outcome.SAME),
        (0.80, 0.81, None, Outcome.NOISE_UNKNOWN),
        (0.81, 0.80, None, Outcome.NOISE_UNKNOWN),
    ],
)
def test_a_change_is_better_worse_or_noise(before, after, half, outcome):
    found = between(
        made("1", overall=(reading("accuracy", before, half),)),
        made("2", overall=(reading("accuracy", after, half),)),
    )
    (change,) = found.metrics
    assert change.outcome is outcome
    assert change.delta == pytest.approx(after - before)
    assert (change.delta_interval is None) is (half is None)
    told = any("changed, noise unknown" in line for line in lines(found, "Measured on"))
    assert told is (half is None)


@pytest.mark.parametrize(
    ("metric", "before", "after", "expected"),
    [
        ("accuracy", 0.8, 0.9, True),
        ("rmse", 2, 1, True),
        ("mean_error", -3, 1, True),
        ("mean_error", -1, 1, None),
        ("demographic_parity_difference", 0.1, 0.2, False),
        ("demographic_parity_ratio", 0.8, 0.9, True),
        ("selection_rate", 0.1, 0.2, None),
        ("mean_score", 3, 4, None),
        ("my_own_loss", 3, 4, None),
        ("drift_share", 0.1, 0.2, None),
        ("accuracy", 0.8, 0.8, None),
    ],
)
def test_which_direction_is_better(metric, before, after, expected):
    assert is_better(metric, before, after) is expected


@settings(max_examples=50, deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(0.001, 10), st.floats(0.001, 10))
def test_the_interval_of_a_difference_is_that_of_two_normal_ones(before, after, one, two):
    low, high = delta_bounds(
        before, (before - one, before + one), after, (after - two, after + two)
    )
    half = (one**2 + two**2) ** 0.5
    assert (low, high) == pytest.approx((after - before - half, after - before + half), abs=1e-6)
    assert is_noise((low, high)) is (low <= 0 <= high)


def test_a_change_of_unknown_noise_leads_only_where_nothing_else_changed():
    unknown = (reading("roc_auc", 0.8), reading("roc_auc", 0.9))
    firm = (reading("mae", 2.0, 0.1), reading("mae", 1.0, 0.1))
    both = between(*(made(v, overall=(a, b)) for v, a, b in zip("12", unknown, firm, strict=True)))
    assert "MAE fell from 2 to 1 (better)" in both.summary
    assert "ROC AUC" not in both.summary
    alone = between(*(made(v, overall=(a,)) for v, a in zip("12", unknown, strict=True)))
    assert "ROC AUC rose from 0.8 to 0.9 (changed, noise unknown)" in alone.summary


def test_groups_without_intervals_are_listed_as_such():
    before, after = made("1", groups={"F": (0.9, 0.0)}), made("2", groups={"F": (0.8, 0.0)})
    bodies = [before[1].body(), after[1].body()]
    for body in bodies:
        body["scores"][0]["groups"][0]["rows"][0]["intervals"] = {}
    found = diff_cards(before[0].body(), after[0].body(), *bodies)
    assert [change.outcome for change in found.groups.changes] == [Outcome.NOISE_UNKNOWN]
    assert "worse for" not in found.summary
    assert lines(found, "Groups")[-1] == (
        "compared values: 1; 0 worse, 0 better, 1 changed, noise unknown, "
        "the others the same or within noise"
    )


def test_data_of_which_nothing_is_known_is_said_in_the_headline():
    one, two = (made(v, overall=(reading("mae", 2.0, 0.1),), datasets=()) for v in "12")
    assert between(one, two).headline.endswith("; whether the data is the same is not known")
    same = between(made("1", overall=(reading("mae", 2.0),)), made("2"))
    assert "data" not in same.headline


def test_other_data_is_said():
    found = between(
        made("1", overall=(reading("mae", 2.0, 0.1),)),
        made("2", overall=(reading("mae", 1.0, 0.1),), digest="d2"),
    )
    assert "MAE fell from 2 to 1 (better); on data that differs" in found.headline
    assert lines(found, "Measured on test (other data)")
    assert lines(found, "Data") == ["evaluation data test: changed (digest d1 → d2)"]


def test_values_that_came_and_went_are_told():
    found = between(
        made("1", overall=(reading("mae", 2.0),)), made("2", overall=(reading("rmse", 3.0),))
    )
    assert lines(found, "Measured on") == ["RMSE 3: new", "MAE 2: gone"]
    assert "no value was measured on both" in found.summary


def test_nan_is_no_number():
    nan = made("1", overall=(reading("mae", float("nan")),))
    found = between(nan, made("2", overall=(reading("mae", 1.0),)))
    assert found.metrics[0].outcome is Outcome.NEW


def test_without_reports_the_cards_own_values_are_compared():
    before = made("1", overall=(reading("rmse", 53.4, 0.4),))
    after = made("2", overall=(reading("rmse", 51.2, 0.4),))
    found = diff_cards(before[0].body(), after[0].body())
    assert "RMSE fell from 53.4 to 51.2 (better)" in found.headline
    assert found.metrics[0].delta_interval == between(before, after).metrics[0].delta_interval


def test_what_scripts_logged_has_no_direction():
    def logged(value: float) -> tuple[MetricFacts, ...]:
        return (MetricFacts(key="val_loss", value=value, step=1, time=None),)

    found = between(made("1", metrics=logged(0.5)), made("2", metrics=logged(0.4)))
    assert lines(found, "Metrics logged") == ["val_loss 0.5 → 0.4 (-0.1, -20.0 %): changed"]


# --- verdicts and groups --------------------------------------------------------------------------


def test_a_loosened_limit_is_called_so():
    before = made("1", judgements=(judged(Verdict.FAIL, 50),))
    after = made("2", judgements=(judged(Verdict.PASS, 60),))
    found = between(before, after)
    assert "one threshold now passes; one limit loosened" in found.summary
    assert lines(found, "Thresholds") == [
        "max-rmse: FAIL → PASS (RMSE on test 51.2 → 51.2, limit was <= 50, is <= 60, "
        "which is looser)"
    ]
    assert between(after, before).verdicts[0].is_looser is False


def test_a_limit_that_changed_alone_is_told():
    found = between(
        made("1", judgements=(judged(Verdict.PASS, 60),)),
        made("2", judgements=(judged(Verdict.PASS, 55),)),
    )
    assert found.verdicts[0].after_limit == "<= 55"
    assert found.verdicts_kept == {"PASS": 1}


def test_a_threshold_that_is_new_or_gone():
    found = between(made("1"), made("2", judgements=(judged(Verdict.FAIL),)))
    assert (found.verdicts[0].before, found.verdicts[0].after) == (None, "FAIL")
    gone = between(made("1", judgements=(judged(Verdict.FAIL),)), made("2"))
    assert "FAIL → not judged" in lines(gone, "Thresholds")[0]


def test_the_worst_groups_come_first_and_noise_is_counted():
    before = {"F": (0.9, 0.01), "M": (0.9, 0.01), "X": (0.9, 0.01), "gone": (0.5, 0.01)}
    after = {"F": (0.8, 0.01), "M": (0.95, 0.01), "X": (0.905, 0.01), "new": (0.5, 0.01)}
    found = between(made("1", groups=before), made("2", groups=after))
    assert [change.part for change in found.groups.changes] == ["sex=F", "sex=M"]
    assert (found.groups.compared, found.groups.appeared) == (3, ("sex=new (test)",))
    assert found.groups.vanished == ("sex=gone (test)",)
    assert "worse for sex=F (accuracy 0.9 to 0.8)" in found.summary


# --- data, parameters, environment, texts ---------------------------------------------------------


def test_parameters_packages_columns_and_code_are_compared():
    before = made("1", params={"depth": "3", "seed": "7"}, columns=("income", "age"))
    after = made("2", params={"rate": "0.1", "seed": "7"}, git_commit="c2")
    found = between(
        before,
        after,
        before_lock={"packages": {"numpy": "2.1", "mlflow": "3.17"}},
        after_lock={"packages": {"numpy": "2.2", "mlflow": "3.17"}},
    )
    assert [(c.name, c.before, c.after) for c in found.parameters] == [
        ("depth", "3", None),
        ("rate", None, "0.1"),
    ]
    assert [(c.name, c.before, c.after) for c in found.environment] == [("numpy", "2.1", "2.2")]
    assert [(c.name, c.after) for c in found.signature] == [("input age", None)]
    assert [(c.name, c.after) for c in found.code] == [("git_commit", "c2")]


def test_another_lock_is_told_without_the_packages():
    found = between(made("1"), made("2", packages={"numpy": "2.2"}))
    assert [change.name for change in found.environment] == ["lock_sha256"]


def test_training_data_that_changed_is_in_the_summary():
    other = DatasetFacts(name="train", digest="t2", source_type="x", source="x", context="train")
    found = between(made("1"), made("2", datasets=(other,)))
    assert found.summary.endswith("the training data changed")
    assert lines(found, "Data")[0] == "training data train: changed (digest t1 → t2)"
    assert "test: not known to be the same (digest d1 → not known" in lines(found, "Data")[1]


def test_declared_texts_show_the_lines_that_changed():
    long = "One sentence about many things. " * 10
    found = between(
        made("1", card={"limitations": long + "Not for firms.", "tradeoffs": ["a"]}),
        made(
            "2",
            card={"limitations": long + "For firms too.", "overview": "New."},
            written=(Written(title="History", text="Old.", source="x.card.md:1"),),
        ),
    )
    changed = {text.field: text.lines for text in found.texts}
    assert set(changed) == {"limitations", "overview", "tradeoffs", "section History"}
    assert all(line.startswith(("- ", "+ ")) for text in changed.values() for line in text)
    assert len(changed["limitations"]) < 6
    assert changed["section History"] == ("+ Old.",)
    assert "declared" in {change.name for change in found.completeness}


def test_the_same_cards_differ_in_nothing_and_say_so_in_one_line():
    one = made("1", overall=(reading("mae", 2.0, 0.1),), params={"seed": "7"})
    found = between(one, one)
    assert found.summary == "no measured value changed"
    assert lines(found, "Unchanged") == [
        "1 measured value, training data, evaluation data, parameters, environment, code, "
        "inputs and outputs, declared texts"
    ]


def test_what_is_not_recorded_is_not_called_unchanged():
    bare = made("1", environment=None, params={}, models=(), datasets=())
    found = between(bare, bare)
    assert {"training data", "parameters", "environment"} <= set(found.unknown)
    unnamed = made("1", overall=(reading("mae", 2.0),), datasets=())
    assert "evaluation data" in between(unnamed, unnamed).unknown


# --- bounded, deterministic, hostile --------------------------------------------------------------


def test_many_changes_are_bounded_and_counted():
    one, two = ({f"p{i:04}": v for i in range(900)} for v in "ab")
    found = between(made("1", params=one), made("2", params=two))
    assert len(found.parameters) == MAX_CHANGES
    assert found.omitted == {"parameters": 700}
    assert "700 more in parameters" in lines(found, "Left out")


def test_a_text_of_many_lines_is_bounded():
    one, two = ("\n".join(f"{v} {i}" for i in range(20_000)) for v in "ab")
    (text,) = between(made("1", card={"overview": one}), made("2", card={"overview": two})).texts
    assert len(text.lines) == 41
    assert text.lines[-1].startswith("and ")


def test_two_comparisons_are_the_same_bytes():
    before = made("1", overall=(reading("mae", 2.0),), params={"a": "1", "b": "2"})
    after = made("2", overall=(reading("mae", 1.0),), params={"b": "3", "c": "2"})
    one, two = (
        canonical_bytes(normalise(between(before, after).model_dump(mode="json"))[0])
        for _ in range(2)
    )
    assert one == two


def test_sealed_bodies_and_fresh_ones_compare_alike():
    before, after = made("1", overall=(reading("mae", 2.0),)), made("2", card={"overview": "x"})
    sealed = [normalise(item.body())[0] for pair in (before, after) for item in pair]
    assert diff_cards(sealed[0], sealed[2], sealed[1], sealed[3]) == between(before, after)


def test_hostile_names_stay_text_on_one_line():
    before = made("1", params={HOSTILE: "1"}, run_name=HOSTILE, model_versions=())
    after = made("2", params={HOSTILE: HOSTILE}, card={"overview": f"```\n{HOSTILE}"})
    found = between(before, after)
    markdown = render_diff_markdown(found)
    outside = "".join(markdown.split("````")[::2])
    assert "<script>" not in outside
    assert "](javascript:" not in outside
    assert "\u202e" not in markdown
    assert not any(line.startswith("# ‮Unchanged") for line in render_text(found).split("\n"))
    assert len([line for line in render_text(found).split("\n") if line == "Parameters"]) == 1


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5), st.text())
def test_any_text_can_be_compared_and_rendered(params, overview):
    found = between(made("1"), made("2", params=params, card={"overview": overview}))
    render_diff_markdown(found)
    assert len(found.parameters) <= len(params)
    assert all("\n" not in line for line in plain_lines(found) if "Declared" not in line)


# --- the baseline ---------------------------------------------------------------------------------

BASE = BaselineFacts(name="credit", version="1", alias="champion", run_id="1" * 32)


def test_a_report_is_compared_with_production_row_by_row():
    before = made("1", overall=(reading("mae", 2.0, 0.1), reading("r2", 0.5)))[1]
    after = made("2", overall=(reading("mae", 1.0, 0.1), reading("r2", 0.5)), digest="d2")[1]
    found = compare(after, before, BASE)
    assert (found.name, found.alias, found.same_data) == ("credit", "champion", {"test": False})
    mae, r2 = found.rows
    assert (mae.delta, mae.better, mae.within_noise) == (-1.0, True, False)
    assert (r2.delta, r2.better, r2.within_noise) == (0.0, None, None)
    assert mae.delta_interval is not None and "Zou and Donner" in mae.delta_interval.method
    assert after.model_copy(update={"baseline": found}).body()["baseline"]["rows"][0]["delta"] == -1


def test_values_that_only_one_side_has_are_not_compared():
    before = made("1", overall=(reading("mae", 2.0),))[1]
    after = made("2", overall=(Reading(metric="mae", value=None, n=1, reason="why"),))[1]
    (row,) = compare(after, before, BASE).rows
    assert (row.value, row.baseline, row.delta, row.better) == (None, 2.0, None, None)
    assert compare(made("3")[1], before, BASE).rows == ()


def test_the_card_of_a_version_states_what_changed_since_production():
    production = made("1", overall=(reading("rmse", 53.4, 0.4),))
    plain = made("2", overall=(reading("rmse", 51.2, 0.4),), baseline=BASE)
    found = between(production, plain)
    card = made("2", overall=(reading("rmse", 51.2, 0.4),), baseline=BASE, changes=found)[0]
    (version,) = card.statement("version").value
    assert version["changes_since_production"] == (
        "credit 1 (champion): RMSE fell from 53.4 to 51.2 (better)"
    )
    told = [row["change"] for row in card.statement("change_history").value]
    assert told[0] == "run started"
    assert told[1].startswith("compared with credit 1 (champion), in production then: RMSE fell")
    assert any(
        line.startswith("Measured on test (the same data): RMSE 53.4 → 51.2") for line in told
    )


# --- the command ----------------------------------------------------------------------------------

TRAIN = """
import mlflow, aims_mlflow
from mlflow.tracking import MlflowClient
mlflow.set_experiment("tumours")
client = MlflowClient()
client.create_registered_model("tumours")
truth = [0, 1] * 100
for version, wrong in (("1", 60), ("2", 10)):
    with mlflow.start_run(run_name=f"try-{version}") as run:
        mlflow.log_param("depth", version)
        aims_mlflow.log_evaluation(truth, [1 - t for t in truth[:wrong]] + truth[wrong:])
        client.create_model_version("tumours", "file:///nowhere", run.info.run_id)
client.set_registered_model_alias("tumours", "champion", "1")
with mlflow.start_run(run_name="open") as run:
    client.create_model_version("tumours", "file:///nowhere", run.info.run_id)
client.create_model_version("tumours", "file:///nowhere")
print(run.info.run_id)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two captured versions of a model, one whose run was never captured, one without a run."""
    folder = tmp_path_factory.mktemp("project")
    systems = folder / "governance" / "systems"
    systems.mkdir(parents=True)
    (systems / "tumours.yaml").write_text(
        "id: tumours\nname: Tumours\nmlflow: {experiments: [tumours]}\n"
        "thresholds: [{id: min-accuracy, metric: accuracy, min: 0.8}]\n"
    )
    (folder / "train.py").write_text(TRAIN)
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=folder,
        env={**keep, "AIMS_EXIT_TIMEOUT": "60"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def call(folder: Path, *arguments: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in [n for n in os.environ if n.startswith(("AIMS_", "MLFLOW_"))]:
            patch.delenv(name)
        patch.setenv("COLUMNS", "200")
        done = CliRunner().invoke(diff, arguments, prog_name="aims card diff")
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_two_versions_read_like_a_release_note(project):
    done = call(project, "tumours/1", "models:/tumours/2")
    assert done.exit_code == 0
    first, *rest = done.stdout.split("\n")
    assert first.startswith("v2 replaces v1: accuracy rose from 0.70 to 0.95 (better)")
    assert "one threshold now passes" in first
    assert "  depth: 1 → 2" in rest


def test_an_alias_a_run_and_a_version_are_the_same_card(project):
    by_alias = json.loads(call(project, "models:/tumours@champion", "tumours/2", "--json").stdout)
    runs = [by_alias[side]["run_id"] for side in ("before", "after")]
    by_run = json.loads(call(project, runs[0][:8], runs[1], "--json").stdout)
    assert by_alias == by_run
    assert by_run["schema_version"] == "aims.card_diff/1"


def test_markdown_is_offered(project):
    assert call(project, "tumours/1", "tumours/2", "--format", "md").stdout.startswith("# v2 ")


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("tumours", "names no run and no model version"),
        ("abc", "names no run and no model version"),
        ("00000000", "aims capture 00000000"),
        ("tumours/9", "no version 9 of a registered model 'tumours'"),
        ("nothing/1", "no version 1 of a registered model 'nothing'"),
        ("models:/tumours@none", "has the alias 'none'"),
        ("models:/nothing@champion", "has the alias 'champion'"),
        ("tumours/4", "registered without a run"),
    ],
)
def test_what_cannot_be_found_is_named_with_what_to_do(project, word, told):
    done = call(project, word, "tumours/1")
    assert done.exit_code == 2
    assert told in done.stderr.replace("\n", " ")
    error = json.loads(call(project, word, "tumours/1", "--json").stdout)
    assert error["fix"]
