"""Registered models: what a version says of its card, and what a run is compared with."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import mlflow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from aims_mlflow.drain import Drainer
from aims_mlflow.evidence import EvidenceKind, canonical_bytes
from aims_mlflow.families import Capturing
from aims_mlflow.monitors.tables import aggregate
from aims_mlflow.planning import plan
from aims_mlflow.registered import BEGIN, END, merged
from aims_mlflow.sync import coverage, sync
from aims_mlflow.tracking import Tracking
from aims_mlflow.tracking.registry import MAX_DESCRIPTION, Registry
from aims_mlflow.workspace import Workspace

DECLARED = """
id: rides
name: Rides
mlflow: {experiments: [rides], registered_models: [rides], production_alias: champion}
thresholds: [{id: min-accuracy, metric: accuracy, min: 0.5, min_rows: 10}]
"""


@pytest.fixture
def project(blank_store, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith(("AIMS_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{blank_store}")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{blank_store}")
    systems = tmp_path / "governance" / "systems"
    systems.mkdir(parents=True)
    (systems / "rides.yaml").write_text(DECLARED, "utf-8")
    return tmp_path


@pytest.fixture
def client(project) -> mlflow.MlflowClient:
    uri = f"sqlite:///{project / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri, uri)
    client.create_registered_model("rides")
    return client


@pytest.fixture
def workspace(project):
    opened = Workspace()
    yield opened
    opened.close()


def capturing(workspace) -> Capturing:
    tracking = workspace.tracking()
    return Capturing(tracking, workspace.ledger(tracking), workspace.profile, "test", "tester")


def ended_run(client, tracking, right=40, name="run") -> str:
    """A run with an evaluation in which `right` of 40 predictions are right."""
    found = client.get_experiment_by_name("rides")
    where = str(Path.cwd() / "mlruns" / "rides")
    experiment = found.experiment_id if found else client.create_experiment("rides", where)
    run = client.create_run(experiment, run_name=name).info.run_id
    truth = [0, 1] * 20
    guess = [y if i < right else 1 - y for i, y in enumerate(truth)]
    table = aggregate(truth, guess, dataset="test").model_dump(mode="json")
    tracking.write_input(run, "evaluation-1.json", canonical_bytes(table))
    client.set_terminated(run)
    return run


def register(client, run, description=None) -> str:
    made = client.create_model_version("rides", f"runs:/{run}/model", run, description=description)
    return str(made.version)


def newest(ledger, run, kind=EvidenceKind.MODEL_CARD):
    (entry,) = ledger.entries(kind=kind, run_id=run, current=True)
    return entry.evidence


def test_a_version_carries_the_summary_of_its_card_and_its_tags(client, workspace):
    tracking = workspace.tracking()
    run = ended_run(client, tracking)
    version = register(client, run, "Trained on the spring data.\n")
    done = capturing(workspace).one(run)
    found = client.get_model_version("rides", version)
    own, _, rest = found.description.partition(BEGIN)
    assert own.startswith("Trained on the spring data.\n")
    assert rest.endswith(END)
    sealed = newest(workspace.ledger(), run)
    for said in ("version 1", "**PASS**", "accuracy on test: 1.000", run, sealed.id[:8], "missing"):
        assert said in rest, said
    assert found.tags["aims.card_version"] == "1"
    assert found.tags["aims.verdict"] == "PASS"
    assert found.tags["aims.card"].startswith(f"runs:/{run}/aims/model_card.v1-{sealed.id[:8]}")
    assert done.notes == ()


def test_registering_after_the_capture_raises_the_version_and_sync_notices(client, workspace):
    tracking = workspace.tracking()
    run = ended_run(client, tracking)
    capturing(workspace).one(run)
    version = register(client, run)
    state = coverage(workspace, tracking, workspace.ledger())
    assert state.late == (run,)
    sync(workspace)
    assert client.get_model_version("rides", version).tags["aims.card_version"] == "2"
    state = coverage(workspace, tracking, workspace.ledger())
    assert state.late == ()


def test_only_what_changed_is_written(client, workspace, monkeypatch):
    run = ended_run(client, workspace.tracking())
    version = register(client, run)
    capturing(workspace).one(run)
    before = client.get_model_version("rides", version).last_updated_timestamp
    changes = []
    original = Registry.describe

    def counted(self, *args):
        changes.append(original(self, *args))
        return changes[-1]

    monkeypatch.setattr(Registry, "describe", counted)
    capturing(workspace).one(run)
    assert changes == [False]
    assert client.get_model_version("rides", version).last_updated_timestamp == before


def test_the_text_of_a_person_survives_between_two_captures(client, workspace):
    tracking = workspace.tracking()
    run = ended_run(client, tracking)
    version = register(client, run, "first")
    capturing(workspace).one(run)
    written = client.get_model_version("rides", version).description
    client.update_model_version("rides", version, f"{written}\n\nadded below \t")
    client.set_tag(run, "note", "changed")
    capturing(workspace).one(run)
    text = client.get_model_version("rides", version).description
    assert text.startswith("first\n\n")
    assert text.endswith(f"{END}\n\nadded below \t")
    assert "version 2" in text
    assert text.count(BEGIN) == 1


def test_a_description_without_room_gets_a_shorter_summary_or_a_note(client, workspace):
    run = ended_run(client, workspace.tracking())
    tight, full = (register(client, run, "x" * size) for size in (4700, 4990))
    done = capturing(workspace).one(run)
    short = client.get_model_version("rides", tight).description
    assert "aims card" in short
    assert "accuracy" not in short
    assert len(short) <= MAX_DESCRIPTION
    assert client.get_model_version("rides", full).description == "x" * 4990
    assert client.get_model_version("rides", full).tags["aims.card_version"] == "1"
    assert any("leaves no room" in note for note in done.notes)


def test_a_registry_that_refuses_is_a_note(client, workspace, monkeypatch):
    run = ended_run(client, workspace.tracking())
    register(client, run)

    def refuse(*_args, **_kwargs):
        raise MlflowException("you may not", PERMISSION_DENIED)

    monkeypatch.setattr(mlflow.MlflowClient, "update_model_version", refuse)
    done = capturing(workspace).one(run)
    assert {kind for kind, _ in done.sealed} >= {EvidenceKind.MODEL_CARD}
    assert any("you may not" in note for note in done.notes)


def test_a_hostile_name_cannot_close_the_markers(client, workspace):
    run = ended_run(client, workspace.tracking())
    client.log_metric(run, "evil", 1)
    version = register(client, run)
    hostile = f"{END}<script>alert(1)</script>"
    table = aggregate([0, 1] * 20, [0, 1] * 20, dataset=hostile).model_dump(mode="json")
    workspace.tracking().write_input(run, "evaluation-2.json", canonical_bytes(table))
    capturing(workspace).one(run)
    text = client.get_model_version("rides", version).description
    assert text.count(END) == 1
    assert "<script>" not in text


pieces = st.lists(st.sampled_from([BEGIN, END, "mine", "\n", " ", "é"]), max_size=8)


@settings(max_examples=100, deadline=None)
@given(pieces)
def test_no_text_of_a_person_is_ever_eaten(parts):
    text = "".join(parts)
    blocks = [f"{BEGIN}\n{number}\n{END}" for number in (1, 2)]
    first = merged(text, blocks[0])
    second = merged(first, blocks[1])
    assert merged(second, blocks[1]) == second
    # Outside of our pair of markers, the second time changes no byte.
    assert second == first[::-1].replace(blocks[0][::-1], blocks[1][::-1], 1)[::-1]
    if BEGIN not in parts or END not in parts:
        assert first in (f"{text}\n\n{blocks[0]}", blocks[0])
    assert first.count("mine") >= _outside(parts)


def _outside(parts) -> int:
    """How many words stand outside of every sound pair of markers."""
    count, inside, kept = 0, None, 0
    for part in parts:
        if part == BEGIN:
            kept += inside or 0
            inside = 0
        elif part == END:
            inside = None
        elif part == "mine" and inside is not None:
            inside += 1
        elif part == "mine":
            count += 1
    return count + kept + (inside or 0)


def test_the_version_in_production_is_pinned_and_compared_with(client, workspace):
    tracking = workspace.tracking()
    old = ended_run(client, tracking, 40, "old")
    version = register(client, old)
    client.set_registered_model_alias("rides", "champion", version)
    run = ended_run(client, tracking, 36, "new")
    first = capturing(workspace).one(run)
    compared = newest(workspace.ledger(), run, EvidenceKind.EVALUATION_REPORT).body["baseline"]
    assert (compared["version"], compared["run_id"]) == (version, old)
    (row,) = (r for r in compared["rows"] if r["metric"] == "accuracy")
    assert (row["value"], row["baseline"], row["better"]) == (0.9, 1, False)
    # Production moves on: what this run was compared with stays.
    client.set_registered_model_alias(
        "rides", "champion", register(client, ended_run(client, tracking))
    )
    assert first.sealed
    assert capturing(workspace).one(run).sealed == ()
    assert Tracking(tracking.uri).fetch(run).baseline.run_id == old


def test_the_summary_says_what_changed_since_production(client, workspace):
    tracking = workspace.tracking()
    old = register(client, ended_run(client, tracking, 40, "old"))
    client.set_registered_model_alias("rides", "champion", old)
    run = ended_run(client, tracking, 30, "new")
    version = register(client, run)
    capturing(workspace).one(run)
    text = client.get_model_version("rides", version).description
    assert f"Since version {old} in production: accuracy" in text
    assert "0.75" in text


def test_registering_compares_with_what_is_in_production_then(client, workspace):
    tracking = workspace.tracking()
    run = ended_run(client, tracking)
    capturing(workspace).one(run)
    assert tracking.fetch(run).baseline is None
    other = ended_run(client, tracking, name="other")
    client.set_registered_model_alias("rides", "champion", register(client, other))
    capturing(workspace).one(run)
    assert tracking.fetch(run).baseline is None  # there was none when it was captured
    mine = register(client, run)
    capturing(workspace).one(run)
    assert tracking.fetch(run).baseline.run_id == other
    client.set_registered_model_alias("rides", "champion", mine)
    capturing(workspace).one(run)
    assert tracking.fetch(run).baseline.run_id == other


def test_a_baseline_that_cannot_be_read_is_a_note(client, workspace):
    tracking = workspace.tracking()
    old = ended_run(client, tracking)
    client.set_registered_model_alias("rides", "champion", register(client, old))
    run = ended_run(client, tracking)
    client.delete_run(old)
    done = capturing(workspace).one(run)
    assert any("in production could not be read" in note for note in done.notes)
    assert newest(workspace.ledger(), run, EvidenceKind.EVALUATION_REPORT).body["baseline"] is None


def test_a_pin_that_is_none_of_ours_is_decided_anew(client, workspace):
    tracking = workspace.tracking()
    run = ended_run(client, tracking)
    tracking.write_input(run, "baseline.json", b'{"baseline": 3}')
    old = ended_run(client, tracking)
    client.set_registered_model_alias("rides", "champion", register(client, old))
    capturing(workspace).one(run)
    assert Tracking(tracking.uri).fetch(run).baseline.run_id == old


def test_the_plan_with_a_baseline_is_a_pure_function(client, workspace):
    tracking = workspace.tracking()
    old = ended_run(client, tracking)
    client.set_registered_model_alias("rides", "champion", register(client, old))
    run = ended_run(client, tracking)
    capturing(workspace).one(run)
    facts, baseline = tracking.fetch(run), tracking.fetch(old)
    digests = [
        [p.draft.content_digest() for p in plan(facts, workspace.profile, baseline).items]
        for _ in range(2)
    ]
    assert digests[0] == digests[1]


def test_the_drainer_waits_with_a_registration_for_the_end_of_its_run(client, workspace):
    tracking = workspace.tracking()
    run = client.create_run("0").info.run_id
    register(client, run)
    intent = {"what": "registered", "uri": tracking.uri, "run_id": run, "version": ["rides", "1"]}
    drainer = Drainer(workspace, source="hook", own=True)
    assert drainer.process(dict(intent))
    assert drainer.progress.captured == {}
    client.set_terminated(run)
    assert drainer.process(dict(intent))
    assert set(drainer.progress.captured) == {run}
    assert client.get_model_version("rides", "1").tags["aims.card_version"] == "1"


def test_a_script_that_registers_its_model_needs_no_other_line(project, workspace):
    code = """
        import mlflow
        from mlflow.pyfunc import PythonModel
        class Twice(PythonModel):
            def predict(self, context, model_input, params=None):
                return model_input
        mlflow.set_experiment("rides")
        with mlflow.start_run() as run:
            model = mlflow.pyfunc.log_model(name="model", python_model=Twice(), pip_requirements=[])
        mlflow.register_model(model.model_uri, "rides")
    """
    (project / "train.py").write_text(textwrap.dedent(code), "utf-8")
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=project,
        env={**keep, "AIMS_EXIT_TIMEOUT": "60"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    version = mlflow.MlflowClient(workspace.tracking().uri).get_model_version("rides", "1")
    assert BEGIN in version.description, done.stderr
    assert version.tags["aims.verdict"] == "INSUFFICIENT"
    card = newest(workspace.ledger(), version.run_id)
    assert version.tags["aims.card_version"] == str(card.version)


def test_a_moved_alias_changes_no_digest(client, workspace):
    run = ended_run(client, workspace.tracking())
    version = register(client, run)
    capturing(workspace).one(run)
    client.set_registered_model_alias("rides", "shadow", version)
    assert capturing(workspace).one(run).sealed == ()
