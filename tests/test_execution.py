"""A monitor from its declaration to evidence, incidents and history, on real data."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from aims_mlflow.errors import LeaseLostError, UsageError
from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.incidents import incidents
from aims_mlflow.monitored import Window
from aims_mlflow.monitoring.execution import run_monitor
from aims_mlflow.readings import Verdict
from aims_mlflow.tracking.monitor_runs import execution_experiment, history_experiment
from aims_mlflow.verification import verify
from aims_mlflow.workspace import Workspace

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("AIMS_DATA_DIR") or ROOT.parent / "shared" / "data")
END = datetime(2026, 11, 20, tzinfo=UTC)
WINDOW = Window(start=END - timedelta(days=1), end=END)
NOW = datetime(2026, 11, 24, tzinfo=UTC)
SYSTEM = """
id: loans
name: Loans
sensitive_features: [{name: sex}]
monitors:
  - id: drift
    kind: drift
    schedule: "0 6 * * *"
    current: current.parquet
    reference: reference.parquet
    evidently_report: false
  - id: quality
    kind: quality
    schedule: "0 6 * * *"
    current: current.parquet
    reference: reference.parquet
  - id: bias
    kind: bias
    schedule: "0 6 * * *"
    current: current.parquet
    target: y
    prediction: p
  - id: errors
    kind: performance
    schedule: "0 6 * * *"
    current: current.parquet
    target: y
    prediction: p
  - id: service
    kind: operation
    schedule: "0 6 * * *"
    current: requests.csv
    latency: seconds
    error: status
thresholds:
  - {id: drift-share, metric: drift_share, max: 0.3, severity: major}
  - {id: drift-income, metric: column_drift, column: income, max: 0.1, severity: major}
  - {id: missing, metric: missing_share, max: 0.1}
  - id: dp-sex
    metric: demographic_parity_difference
    feature: sex
    max: 0.2
    min_group_size: 30
    stage: monitoring
  - {id: right, metric: accuracy, min: 0.6, stage: monitoring}
  - {id: slow, metric: latency_p95, max: 0.5}
  - {id: errors, metric: error_rate, max: 0.05}
"""


def rows(n, shift=0.0, seed=0):
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 2, n)
    return pd.DataFrame(
        {
            "income": draw.lognormal(shift, 1, n),
            "age": draw.integers(18, 90, n),
            "channel": draw.choice(["web", "phone"], n),
            "sex": draw.choice(["F", "M"], n),
            "y": truth,
            "p": np.where(draw.random(n) < 0.8, truth, 1 - truth),
        }
    )


@pytest.fixture
def project(tmp_path, monkeypatch, blank_store):
    (tmp_path / "governance" / "systems").mkdir(parents=True)
    (tmp_path / "governance" / "systems" / "loans.yaml").write_text(SYSTEM)
    rows(3000).to_parquet(tmp_path / "reference.parquet")
    rows(2000, 0.0, 1).to_parquet(tmp_path / "current.parquet")
    draw = np.random.default_rng(0)
    pd.DataFrame(
        {"seconds": draw.exponential(0.1, 500), "status": draw.choice([200, 404], 500)}
    ).to_csv(tmp_path / "requests.csv", index=False)
    monkeypatch.chdir(tmp_path)
    for name in ("AIMS_SYSTEM", "AIMS_PROFILE", "AIMS_LEDGER_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{blank_store}")
    mlflow.set_tracking_uri(f"sqlite:///{blank_store}")
    workspace = Workspace()
    yield workspace
    workspace.close()


def monitor_of(workspace, name):
    return next(m for m in workspace.profile.systems["loans"].monitors if m.name == name)


def run(workspace, name, window=WINDOW, **how):
    monitor = how.pop("monitor", None) or monitor_of(workspace, name)
    how = {"actor": "ada", "now": NOW, **how}
    return run_monitor(workspace, "loans", monitor, window, **how)


def verdicts(execution):
    return {j.threshold: j.verdict.value for j in execution.report.judgements}


@pytest.mark.parametrize(
    ("name", "kind", "judged"),
    [
        ("drift", EvidenceKind.DRIFT_REPORT, {"drift-share": "PASS", "drift-income": "PASS"}),
        ("quality", EvidenceKind.DATA_QUALITY_REPORT, {"missing": "PASS"}),
        ("bias", EvidenceKind.BIAS_REPORT, {"dp-sex": "PASS"}),
        ("errors", EvidenceKind.EVALUATION_REPORT, {"right": "PASS"}),
        ("service", EvidenceKind.EVENT_LOG, {"slow": "PASS", "errors": "PASS"}),
    ],
)
def test_every_kind_of_monitor_is_a_run_with_documents_and_sealed_evidence(
    project, name, kind, judged
):
    done = run(project, name)
    assert verdicts(done) == judged
    assert done.exit_code == 0
    assert done.problem == ""
    ledger = project.ledger()
    (entry,) = ledger.entries(kind=kind)
    assert entry.evidence.id == done.evidence_id
    assert entry.evidence.body["window"]["end"].startswith("2026-11-20T00:00:00")
    client = mlflow.MlflowClient()
    found = client.get_run(done.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.tags["aims.kind"] == "monitor"
    assert found.data.tags["aims.system"] == "loans"
    assert client.get_experiment(found.info.experiment_id).name == execution_experiment("loans")
    paths = {artifact.path for artifact in client.list_artifacts(done.run_id, "aims")}
    assert {Path(path).suffix for path in paths} >= {".html", ".md", ".json"}
    assert all(a.path in paths for a in entry.evidence.artifacts)
    measured = {r.key for r in done.report.readings if r.value is not None}
    assert measured
    assert len(found.data.metrics) == len(measured)
    assert verify(ledger, project.tracking()).ok


def test_a_breach_is_an_alert_an_incident_and_a_line_in_the_history(project):
    rows(2000, 1.0, 2).to_parquet("current.parquet")
    first = run(project, "drift")
    assert first.exit_code == 1
    assert verdicts(first)["drift-income"] == "FAIL"
    ledger = project.ledger()
    alerts = [e.evidence.body for e in ledger.entries(kind=EvidenceKind.ALERT)]
    assert [a["judgement"]["threshold"] for a in alerts] == ["drift-income"]
    (incident,) = incidents(ledger, "loans")
    assert incident.threshold_id == "drift-income"
    later = Window(start=WINDOW.end, end=WINDOW.end + timedelta(days=1))
    run(project, "drift", later)
    (incident,) = incidents(ledger, "loans")
    assert incident.breaches == 2
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(history_experiment("loans"))
    history = {
        r.info.run_name: r.info.run_id for r in client.search_runs([experiment.experiment_id])
    }
    assert set(history) == {"drift readings", "drift max"}
    points = client.get_metric_history(history["drift readings"], "column_drift/income")
    assert [(p.step, p.timestamp) for p in points] == [
        (step, int((WINDOW.end.timestamp() + 86400 * step) * 1000)) for step in (0, 1)
    ]
    limits = client.get_metric_history(history["drift max"], "column_drift/income")
    assert [p.value for p in limits] == [0.1, 0.1]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda: Path("current.parquet").unlink(), "current.parquet"),
        (lambda: Path("current.parquet").write_bytes(b"PAR1 no more"), "current.parquet"),
        (lambda: Path("reference.parquet").unlink(), "reference.parquet"),
    ],
)
def test_what_cannot_be_read_is_insufficient_and_a_gap(project, spoil, said):
    spoil()
    done = run(project, "drift")
    assert done.exit_code == 2
    assert set(verdicts(done).values()) == {"INSUFFICIENT"}
    assert said in done.problem
    (gap,) = project.ledger().entries(kind=EvidenceKind.GAP)
    assert said in gap.evidence.body["reason"]
    assert gap.evidence.system == "loans"


def test_one_lost_column_leaves_the_others_judged(project):
    rows(2000, 0.0, 1).drop(columns="income").to_parquet("current.parquet")
    done = run(project, "drift")
    assert verdicts(done)["drift-income"] == "INSUFFICIENT"
    read = {r.column for r in done.report.readings if r.column and r.value is not None}
    assert read == {"age", "channel", "sex", "y", "p"}


@pytest.mark.parametrize("clock", ["none", "ahead"])
def test_rows_without_a_time_withhold_every_pass(project, clock):
    frame = rows(1000).assign(ts=END - timedelta(hours=3))
    frame.loc[:399, "ts"] = pd.NaT if clock == "none" else datetime(2031, 1, 1, tzinfo=UTC)
    frame.to_parquet("current.parquet")
    timed = monitor_of(project, "quality").model_copy(update={"timestamp": "ts"})
    done = run(project, "quality", monitor=timed)
    assert verdicts(done)["missing"] == "INSUFFICIENT"
    assert "current: 400 of 1,000 rows (40.0%)" in " ".join(done.report.problems)
    frame.loc[:399, "ts"] = END + timedelta(hours=3)
    frame.to_parquet("current.parquet")
    assert verdicts(run(project, "quality", monitor=timed))["missing"] == "PASS"


def test_an_empty_window_is_insufficient(project):
    rows(0).to_parquet("current.parquet")
    for name in ("drift", "bias", "errors"):
        done = run(project, name)
        assert done.exit_code == 2, name
        assert set(verdicts(done).values()) == {"INSUFFICIENT"}, name
    quality = run(project, "quality")
    assert {r.key: r.value for r in quality.report.readings}["row_count"] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.assign(y=1, p=1), "one class"),
        (lambda d: d.assign(sex="F"), "group"),
        (lambda d: d.assign(y=np.nan), "label"),
    ],
    ids=["one class", "one group", "no labels yet"],
)
def test_production_that_cannot_be_compared_says_why(project, change, said):
    change(rows(2000, 0.0, 1)).to_parquet("current.parquet")
    done = run(project, "bias")
    (judgement,) = done.report.judgements
    assert judgement.verdict is Verdict.INSUFFICIENT
    assert said in judgement.reason


def test_a_window_in_the_future_is_never_a_pass(project):
    ahead = Window(start=NOW, end=NOW + timedelta(days=1))
    done = run(project, "errors", ahead)
    assert done.exit_code == 2
    assert "future" in " ".join(done.report.problems)


def test_a_source_that_hangs_is_given_up(project, monkeypatch):
    import threading

    from aims_mlflow.monitors import sources

    monkeypatch.setattr(sources, "open_source", lambda *a, **k: threading.Event().wait(60))
    hasty = monitor_of(project, "errors").model_copy(update={"timeout": "PT1S"})
    done = run(project, "errors", monitor=hasty)
    assert done.exit_code == 2
    assert "did not end within 0:00:01" in done.problem


def test_a_lost_lease_seals_nothing_and_leaves_no_run(project):
    def gone(*_):
        raise LeaseLostError("another runner has it")

    with pytest.raises(LeaseLostError):
        run(project, "errors", finish=gone)
    assert list(project.ledger().entries()) == []
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(execution_experiment("loans"))
    assert client.search_runs([experiment.experiment_id]) == []


def test_an_undeclared_system_is_named(project):
    monitor = monitor_of(project, "drift")
    with pytest.raises(UsageError, match="laons") as refused:
        run_monitor(project, "laons", monitor, WINDOW, actor="ada")
    assert "Declared: loans" in refused.value.diagnostics()


def test_frames_can_be_given_instead_of_what_is_declared(project):
    done = run(project, "drift", current=rows(1500, 1.0, 5), reference=rows(2500, 0.0, 6))
    assert verdicts(done)["drift-income"] == "FAIL"
    assert {d.role: d.rows for d in done.report.data} == {"reference": 2500, "current": 1500}


@pytest.mark.parametrize("engine", ["polars", "pandas", "duckdb", "pyarrow"])
def test_every_engine_seals_the_same_readings(project, engine):
    frame = rows(2000, 0.2, 3)
    frame.loc[::7, ["income"]] = np.nan
    frame.loc[::5, ["channel"]] = None
    frame.to_parquet("current.parquet")
    done = run(project, "drift", engine=engine)
    shown = {r.key: r.value for r in done.report.readings}
    polars = run(project, "drift", Window(start=WINDOW.start, end=NOW), engine="polars")
    for reading in polars.report.readings:
        assert shown[reading.key] == pytest.approx(reading.value, rel=1e-12), reading.key
    digests = [{d.role: d.summary_sha256 for d in e.report.data} for e in (done, polars)]
    assert digests[0] == digests[1]


# --- real data ------------------------------------------------------------------------------------


def bikes():
    found = sorted(DATA.glob("bike_sharing_hour.csv*"))
    if not found:
        pytest.skip("UCI Bike Sharing is not here: set AIMS_DATA_DIR to a folder that has it")
    columns = ["hour", "holiday", "workingday", "weathersit", "temp", "humidity", "windspeed"]
    data = pd.read_csv(found[0])
    return data, [*columns, "count"]


def evidently_scores(reference, current):
    """What Evidently says on the raw rows: score and verdict of each column."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    found = {}
    definition = DataDefinition(numerical_columns=list(reference.columns))
    a, b = (Dataset.from_pandas(f, data_definition=definition) for f in (reference, current))
    for column in reference.columns:
        snapshot = Report([ValueDrift(column=column)]).run(b, a)
        (result,) = snapshot.metric_results.values()
        found[column] = float(result.value)
    return found


@pytest.mark.parametrize("split", ["winter and summer", "2011 and 2012"])
def test_drift_of_bike_sharing_is_found_as_evidently_finds_it(project, split):
    data, columns = bikes()
    if split == "winter and summer":
        before, after = data[data["season"] == 1], data[data["season"] == 3]
    else:
        before, after = data[data["year"] == 0], data[data["year"] == 1]
    before, after = (part[columns].reset_index(drop=True) for part in (before, after))
    ours = run(project, "drift", current=after, reference=before)
    readings = {r.column: r for r in ours.report.readings if r.metric == "column_drift"}
    expected = evidently_scores(before, after)
    for column, score in expected.items():
        reading = readings[column]
        assert reading.value == pytest.approx(score, abs=1e-3), column
        assert reading.drifted == (score >= 0.1), column
    drifted = {column for column, reading in readings.items() if reading.drifted}
    if split == "winter and summer":
        assert {"temp", "humidity", "count"} <= drifted
    else:
        assert "count" in drifted
        assert "temp" not in drifted


def test_hostile_names_of_columns_are_sealed_and_shown_as_text(project):
    hostile = ["<script>alert(1)</script>", "a\x00b", "\u202egnp.exe", "x" * 5000, "a/../b", "é"]
    frame = rows(2000, 0.0, 1)
    for name in hostile:
        frame[name] = frame["income"]
    done = run(project, "drift", current=frame, reference=frame)
    read = {r.column for r in done.report.readings if r.column and r.value is not None}
    assert set(hostile) <= read
    client = mlflow.MlflowClient()
    (page,) = [a.path for a in client.list_artifacts(done.run_id, "aims") if "html" in a.path]
    text = Path(client.download_artifacts(done.run_id, page)).read_text("utf-8")
    assert "<script" not in text


# --- what may go wrong after the evidence is sealed -----------------------------------------------


def drifted():
    rows(2000, 1.0, 2).to_parquet("current.parquet")


def test_a_history_that_cannot_be_written_loses_no_incident(project, monkeypatch):
    from aims_mlflow.errors import TrackingError
    from aims_mlflow.monitoring import execution

    def refuse(*_):
        raise TrackingError("MLflow is away")

    drifted()
    monkeypatch.setattr(execution, "remember", refuse)
    done = run(project, "drift")
    assert done.exit_code == 1
    assert "MLflow is away" in done.problem
    assert [i.threshold_id for i in incidents(project.ledger(), "loans")] == ["drift-income"]


def test_a_runner_killed_after_sealing_leaves_its_incident_to_the_next(project, monkeypatch):
    from aims_mlflow.errors import TrackingError
    from aims_mlflow.monitoring import execution, runner

    class Killed(BaseException):
        pass

    def kill(*_, **__):
        raise Killed

    drifted()
    monkeypatch.setattr(execution, "update", kill)
    with pytest.raises(Killed):
        run(project, "drift")
    assert incidents(project.ledger(), "loans") == ()
    monkeypatch.undo()
    mlflow.set_tracking_uri(project.tracking().uri)

    def later(*_, **__):
        raise TrackingError("not now")

    runner.run_due(project, execute=later)
    assert [i.threshold_id for i in incidents(project.ledger(), "loans")] == ["drift-income"]


def test_data_picked_by_hand_show_a_breach_and_never_a_recovery(project):
    drifted()
    run(project, "drift")
    later = Window(start=WINDOW.end, end=WINDOW.end + timedelta(days=1))
    done = run(project, "drift", later, current=rows(3000))
    assert done.exit_code == 0
    assert done.report.given == ("current",)
    (incident,) = incidents(project.ledger(), "loans")
    assert incident.state == "open"
    rows(3000).to_parquet("current.parquet")
    run(project, "drift", Window(start=later.end, end=later.end + timedelta(days=1)))
    (incident,) = incidents(project.ledger(), "loans")
    assert incident.state == "recovered"


def test_a_future_window_recovers_nothing(project):
    drifted()
    run(project, "drift")
    rows(3000).to_parquet("current.parquet")
    done = run(project, "drift", Window(start=NOW, end=NOW + timedelta(days=1)))
    assert set(verdicts(done).values()) == {"INSUFFICIENT"}
    (incident,) = incidents(project.ledger(), "loans")
    assert incident.state == "open"


def test_the_tag_of_a_monitor_hides_no_other_run(project):
    from aims_mlflow.coverage import coverage

    run(project, "errors")
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("training")
    hidden = []
    for kind in ("monitor", "monitor_history"):
        tags = {"aims.kind": kind, "aims.system": "loans"}
        hidden.append(client.create_run(experiment, tags=tags).info.run_id)
        client.set_terminated(hidden[-1])
    old = client.create_run(experiment, start_time=1, tags={"aims.kind": "monitor"}).info.run_id
    found = coverage(project, project.tracking(), project.ledger())
    assert set(found.missing) == set(hidden)
    assert found.stale == (old,)
    assert found.runs == 3


def test_a_history_is_one_run_for_each_series_whoever_writes_it(project):
    from concurrent.futures import ThreadPoolExecutor

    windows = [
        Window(start=WINDOW.start + timedelta(days=day), end=WINDOW.end + timedelta(days=day))
        for day in range(-3, 1)
    ]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda window: run(project, "service", window), windows))
    assert [each.problem for each in done] == [""] * 4
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(history_experiment("loans")).experiment_id
    runs = client.search_runs([experiment])
    assert sorted(r.info.run_name for r in runs) == ["service max", "service readings"]
    series = next(r.info.run_id for r in runs if "readings" in r.info.run_name)
    steps = sorted(p.step for p in client.get_metric_history(series, "request_count"))
    assert np.diff(steps).tolist() == [1, 1, 1]
    client.delete_run(series)
