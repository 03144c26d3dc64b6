"""Capture on real MLflow stores: repeatable, honest, and safe with hostile input."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from aims_mlflow.capture import capture
from aims_mlflow.drain import Drainer
from aims_mlflow.errors import LedgerError, RunNotFoundError, TrackingError
from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.governance.loader import load_profile
from aims_mlflow.ledger.log import Ledger
from aims_mlflow.monitors.tables import aggregate
from aims_mlflow.planning import plan
from aims_mlflow.tracking import Tracking
from aims_mlflow.verification import verify
from aims_mlflow.workspace import Workspace


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    """One MLflow store for the module: making one takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri)
    client.create_experiment("tests", artifact_location=str(folder / "artifacts"))
    return uri


@pytest.fixture
def client(store) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(store)


@pytest.fixture
def tracking(store) -> Tracking:
    return Tracking(store)


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(f"sqlite:///{tmp_path / 'aims.db'}") as opened:
        yield opened


def new_run(client, name="run", **tags: str) -> str:
    experiment = client.get_experiment_by_name("tests").experiment_id
    return client.create_run(experiment, run_name=name, tags=tags).info.run_id


def captured(run_id, tracking, ledger, profile=None):
    return capture(
        run_id,
        tracking=tracking,
        ledger=ledger,
        profile=profile or load_profile(None),
        source="test",
        actor="tester",
    )


def document(tracking, ledger, run_id, kind, extension) -> bytes:
    """The newest document of a run, as it was sealed."""
    (found,) = (e.evidence for e in ledger.entries(kind=kind, run_id=run_id, current=True))
    path = next(a.path for a in found.artifacts if a.path.endswith(extension))
    return tracking.read(run_id, path)


def bodies(ledger, kind):
    return [e.evidence.body for e in ledger.entries(kind=kind, current=True)]


def test_capturing_twice_seals_once_with_the_same_digests(client, tracking, ledger, tmp_path):
    run = new_run(client)
    client.log_param(run, "depth", 3)
    client.log_metric(run, "loss", 0.5)
    client.set_terminated(run)
    first = captured(run, tracking, ledger)
    again = captured(run, tracking, ledger)
    assert len(first.sealed) == 4
    assert again.sealed == ()
    assert again.unchanged == 4
    with Ledger.open(f"sqlite:///{tmp_path / 'other.db'}") as other:
        assert captured(run, tracking, other).sealed == first.sealed  # the same ids elsewhere


def test_new_metrics_give_a_new_version_and_the_old_document_stays(client, tracking, ledger):
    run = new_run(client)
    client.set_terminated(run)
    captured(run, tracking, ledger)
    (first,) = (e.evidence for e in ledger.entries(kind=EvidenceKind.MODEL_CARD))
    path = next(a.path for a in first.artifacts if a.path.endswith(".md"))
    assert path == f"aims/model_card.v1-{first.id[:8]}.md"
    before = tracking.read(run, path)
    client.log_metric(run, "late", 1.0)
    second = captured(run, tracking, ledger)
    kinds = {kind for kind, _ in second.sealed}
    assert EvidenceKind.MODEL_CARD in kinds
    assert tracking.read(run, path) == before
    assert b"late" in document(tracking, ledger, run, EvidenceKind.MODEL_CARD, ".md")
    entries = list(ledger.entries(kind=EvidenceKind.MODEL_CARD))
    assert [e.evidence.version for e in entries] == [1, 2]
    assert entries[1].evidence.supersedes == entries[0].evidence.id


def test_what_cannot_be_written_as_json_is_normalised_and_noted(client, tracking, ledger):
    run = new_run(client)
    client.log_metric(run, "nan", float("nan"))
    client.set_terminated(run)
    captured(run, tracking, ledger)
    (record,) = (e.evidence for e in ledger.entries(kind=EvidenceKind.RUN_RECORD))
    assert next((n.at, n.change) for n in record.normalised)[1] == "NaN written as text"


HOSTILE = [
    "<script>alert(1)</script>",
    "x' OR 1=1; DROP TABLE runs; --",
    "\u202egnp.exe",
    "# [click](javascript:alert(1))",
    "emoji 🙂 and \u0000 zero".replace("\u0000", "\\0"),
    "| a | b |\n|---|",
    "</style><img src=x onerror=alert(1)>",
]


def test_hostile_names_are_inert_in_every_document(client, tracking, ledger):
    run = new_run(client, name=HOSTILE[0])
    for number, text in enumerate(HOSTILE):
        client.log_param(run, f"p{number}", text)
        client.set_tag(run, f"t{number}", text)
    client.log_param(run, "long", "z" * 5000)
    client.set_terminated(run)
    done = captured(run, tracking, ledger)
    html = document(tracking, ledger, run, EvidenceKind.MODEL_CARD, ".html").decode()
    assert "<script" not in html
    assert "<img" not in html
    assert "\u202e" not in html
    assert "z" * 1000 not in html
    markdown = document(tracking, ledger, run, EvidenceKind.MODEL_CARD, ".md").decode()
    assert "<script" not in markdown
    rendered = MarkdownIt("commonmark").enable("table").render(markdown)
    assert not re.search(r"<(a|img|script)[^>]*(javascript|onerror)", rendered, re.I)
    assert json.loads(document(tracking, ledger, run, EvidenceKind.RUN_RECORD, ".json"))
    assert done.notes == ()


def test_datasets_and_models_reach_their_records(client, tracking, ledger, store, monkeypatch):
    from sklearn.linear_model import LinearRegression

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [2.0, 4.0, 6.0, 8.0]})
    mlflow.set_experiment("tests")
    with mlflow.start_run() as run:
        mlflow.log_input(mlflow.data.from_pandas(frame, name="pairs"), context="training")
        model = LinearRegression().fit(frame[["a"]], frame["b"])
        mlflow.sklearn.log_model(
            model,
            name="line",
            input_example=frame[["a"]].head(1),
            pip_requirements=["scikit-learn==1.0"],
        )
    run_id = run.info.run_id
    captured(run_id, tracking, ledger)
    (dataset,) = bodies(ledger, EvidenceKind.DATASET_RECORD)
    assert "pairs" in json.dumps(dataset)
    (provenance,) = bodies(ledger, EvidenceKind.PROVENANCE_RECORD)
    text = json.dumps(provenance)
    assert run_id in text
    assert "m-" in text
    (card,) = bodies(ledger, EvidenceKind.MODEL_CARD)
    known = {s["field"]: s for part in card["sections"] for s in part["statements"]}
    for field in ("inputs", "outputs", "library", "model_type", "training_data"):
        assert known[field]["status"] == "measured", field


def test_a_plan_is_a_pure_function_of_facts_and_profile(client, tracking):
    run = new_run(client)
    client.set_terminated(run)
    facts = tracking.fetch(run)
    first = plan(facts, load_profile(None)).items
    second = plan(facts, load_profile(None)).items
    assert [p.draft.content_digest() for p in first] == [p.draft.content_digest() for p in second]


def test_an_unknown_run_and_a_deleted_run_are_told_apart_from_an_outage(client, tracking, ledger):
    with pytest.raises(RunNotFoundError, match="0" * 32):
        captured("0" * 32, tracking, ledger)
    run = new_run(client)
    client.delete_run(run)
    with pytest.raises(RunNotFoundError, match="deleted"):
        captured(run, tracking, ledger)


def test_artifacts_that_cannot_be_listed_are_noted_and_the_rest_is_captured(
    client, tracking, ledger, tmp_path
):
    experiment = client.create_experiment(
        f"gone-{tmp_path.name}", artifact_location="nosuchscheme://bucket/x"
    )
    run = client.create_run(experiment).info.run_id
    client.log_metric(run, "m", 1.0)
    client.set_terminated(run)
    facts = tracking.fetch(run)
    assert any("could not be listed" in note for note in facts.notes)
    assert facts.metrics[0].key == "m"


def test_a_broken_evaluation_file_is_a_problem_on_the_report_and_never_a_pass(
    client, tracking, ledger, tmp_path
):
    systems = tmp_path / "governance" / "systems"
    systems.mkdir(parents=True)
    (systems / "x.yaml").write_text(
        "id: x\nname: X\nthresholds: [{id: t, metric: accuracy, min: 0.0}]\n", "utf-8"
    )
    run = new_run(client, **{"aims.system": "x"})
    tracking.write_input(run, "evaluation-0.json", b'{"schema_version": "aims.evaluation_table/1"}')
    client.set_terminated(run)
    done = captured(run, tracking, ledger, load_profile(tmp_path / "governance"))
    assert done.verdict == "INSUFFICIENT"
    (report,) = bodies(ledger, EvidenceKind.EVALUATION_REPORT)
    assert "cannot be read" in report["judgements"][0]["reason"]


def test_eight_processes_capturing_one_run_leave_one_version(client, store, tmp_path):
    run = new_run(client)
    client.log_metric(run, "m", 1.0)
    client.set_terminated(run)
    uri = f"sqlite:///{tmp_path / 'aims.db'}"
    code = f"""
        from aims_mlflow.capture import capture
        from aims_mlflow.governance.loader import load_profile
        from aims_mlflow.ledger.log import Ledger
        from aims_mlflow.tracking import Tracking
        capture({run!r}, tracking=Tracking({store!r}), ledger=Ledger.open({uri!r}),
                profile=load_profile(None), source="test", actor="t")
    """
    environment = {**os.environ, "AIMS_DISABLE": "1"}
    processes = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=environment)
        for _ in range(8)
    ]
    assert [p.wait(timeout=200) for p in processes] == [0] * 8
    with Ledger.open(uri) as ledger:
        entries = list(ledger.entries())
        assert len(entries) == 4
        assert {e.evidence.version for e in entries} == {1}


def test_the_drainer_keeps_what_it_cannot_do_and_says_why(client, store, tmp_path, monkeypatch):
    monkeypatch.setenv("AIMS_LEDGER_URI", "sqlite:////proc/aims.db")
    run = new_run(client)
    client.set_terminated(run)
    drainer = Drainer(Workspace(start=tmp_path), source="test", own=False)
    intent = {"what": "ended", "uri": store, "run_id": run, "status": "FINISHED"}
    assert drainer.process(intent) is False
    assert "/proc/aims.db" in drainer.progress.waiting[run]
    monkeypatch.setenv("AIMS_LEDGER_URI", f"sqlite:///{tmp_path / 'aims.db'}")
    other = Drainer(Workspace(start=tmp_path), source="test", own=False)
    assert other.process(intent) is True
    assert run in other.progress.captured


def test_a_ledger_on_a_path_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "aims.db"
    path.write_text("this is no database, it is a text of some length" * 100)
    with pytest.raises(LedgerError, match=str(path)):
        Ledger.open(f"sqlite:///{path}")
    assert Path(path).read_text().startswith("this is")


def test_two_captures_of_different_states_at_once_never_spoil_each_other(
    client, tracking, ledger, monkeypatch
):
    """Both plan version 1; the second writes its files after the first was sealed."""
    run = new_run(client)
    client.set_terminated(run)
    write = tracking.write

    def overtaken(run_id, files):
        monkeypatch.setattr(tracking, "write", write)
        client.log_metric(run_id, "late", 1.0)
        captured(run_id, Tracking(tracking.uri), ledger)
        write(run_id, files)

    monkeypatch.setattr(tracking, "write", overtaken)
    captured(run, tracking, ledger)
    assert verify(ledger, tracking).problems == ()


def test_an_evaluation_beside_a_thousand_artifacts_is_still_read(client, tracking):
    run = new_run(client)
    tracking.write(run, {f"file-{n:04}.txt": b"" for n in range(1100)})
    tracking.write_input(run, "evaluation-1.json", b'{"problem": "x"}')
    facts = Tracking(tracking.uri).fetch(run)
    assert facts.evaluations == ({"problem": "x"},)
    assert len(facts.artifacts) == 1000


def test_an_evaluation_that_fails_once_is_there_when_the_run_is_captured(
    client, store, tmp_path, monkeypatch
):
    monkeypatch.setenv("AIMS_LEDGER_URI", f"sqlite:///{tmp_path / 'aims.db'}")
    run = new_run(client)
    client.set_terminated(run)
    drainer = Drainer(Workspace(start=tmp_path), source="test", own=False)
    table = aggregate([0, 1] * 20, [0, 1] * 20).model_dump(mode="json")
    evaluated = {"what": "evaluated", "uri": store, "run_id": run, "table": table}
    ended = {"what": "ended", "uri": store, "run_id": run}
    with monkeypatch.context() as patch:
        patch.setattr(Tracking, "write_input", _refuse)
        assert [drainer.process(evaluated), drainer.process(ended)] == [False, False]
    drainer.begin()
    assert [drainer.process(evaluated), drainer.process(ended)] == [True, True]
    with Ledger.open(f"sqlite:///{tmp_path / 'aims.db'}") as ledger:
        (report,) = bodies(ledger, EvidenceKind.EVALUATION_REPORT)
    assert report["scores"][0]["n"] == 40


def _refuse(*_: object) -> None:
    raise TrackingError("the artifact store does not answer")


def test_a_time_that_no_calendar_has_is_cut(client, tracking):
    experiment = client.get_experiment_by_name("tests").experiment_id
    run = client.create_run(experiment, start_time=1_795_000_000_000_000).info.run_id
    assert tracking.fetch(run).start_time.year == 9999


def test_artifacts_of_another_store_are_not_called_changed(
    client, tracking, ledger, tmp_path, empty_store
):
    run = new_run(client)
    client.set_terminated(run)
    captured(run, tracking, ledger)
    other = Tracking(f"sqlite:///{empty_store}")
    result = verify(ledger, other)
    assert result.ok
    assert result.artifacts == 0
    assert sum(result.elsewhere.values()) == 9  # four of the card, three of the report, two records
