"""Sweeps: one card for the chosen candidate, a digest for the others, whoever ends it."""

import json
import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import mlflow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.capture import capture
from aims_mlflow.drain import Drainer
from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.exit_line import exit_line
from aims_mlflow.families import Capturing
from aims_mlflow.governance.loader import load_profile
from aims_mlflow.governance.system import SweepRule
from aims_mlflow.ledger.log import Ledger
from aims_mlflow.monitors.tables import aggregate
from aims_mlflow.nesting import Nesting
from aims_mlflow.spool import Spool
from aims_mlflow.sweeps import below, choose, find_sweep, fingerprint, sweep_record
from aims_mlflow.sync import coverage, sync
from aims_mlflow.tracking import Tracking
from aims_mlflow.tracking.children import Candidate, RunHead
from aims_mlflow.workspace import Workspace

BEST = "sweep: {chosen: best, metric: loss, mode: min}"
PARENT_TAG = "mlflow.parentRunId"


@pytest.fixture
def project(blank_store, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith(("AIMS_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{blank_store}")
    declare(tmp_path, BEST)
    return tmp_path


def declare(project: Path, *lines: str) -> None:
    systems = project / "governance" / "systems"
    systems.mkdir(parents=True, exist_ok=True)
    head = ("id: rides", "name: Rides", "mlflow: {experiments: [rides]}")
    (systems / "rides.yaml").write_text("\n".join((*head, *lines)) + "\n", "utf-8")


@pytest.fixture
def client(project) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")


def experiment(client, name="rides") -> str:
    found = client.get_experiment_by_name(name)
    where = str(Path.cwd() / "mlruns" / name)
    return found.experiment_id if found else client.create_experiment(name, where)


def begun(client, parent=None, name="run", **tags: str) -> str:
    tags |= {PARENT_TAG: parent} if parent else {}
    return client.create_run(experiment(client), run_name=name, tags=tags).info.run_id


def candidate(client, parent, loss=None, status="FINISHED", **tags: str) -> str:
    run = begun(client, parent, "candidate", **tags)
    client.log_param(run, "depth", 3)
    if loss is not None:
        client.log_metric(run, "loss", loss)
    client.set_terminated(run, status)
    return run


def swept(client, losses) -> tuple[str, list[str]]:
    """A parent that ended, with one child for each loss."""
    parent = begun(client, name="search")
    children = [candidate(client, parent, loss) for loss in losses]
    client.set_terminated(parent)
    return parent, children


def kinds(ledger, kind=EvidenceKind.MODEL_CARD) -> list[str]:
    return [e.evidence.subject.id for e in ledger.entries(kind=kind, current=True)]


def sweep_of(ledger, parent) -> dict:
    found = ledger.entries(kind=EvidenceKind.RUN_RECORD, run_id=parent, current=True)
    (body,) = (e.evidence.body for e in found if e.evidence.subject.id == f"{parent}#sweep")
    return body


def report_of(ledger, run) -> dict:
    (one,) = ledger.entries(kind=EvidenceKind.EVALUATION_REPORT, run_id=run, current=True)
    return one.evidence.body


@pytest.fixture
def workspace(project) -> Workspace:
    opened = Workspace()
    yield opened
    opened.close()


def capturing(workspace) -> Capturing:
    tracking = workspace.tracking()
    workspace.refresh()
    return Capturing(tracking, workspace.ledger(tracking), workspace.profile, "test", "tester")


LOSSES = [0.9, 0.4, 0.7, 0.2, 0.8, 0.6, 0.5, 0.3, 0.95, 0.85, 0.75, 0.65]


def test_the_best_candidate_gets_the_card_and_the_others_a_digest(client, workspace, project):
    parent, children = swept(client, LOSSES)
    done = capturing(workspace).tree(parent)
    ledger = workspace.ledger()
    assert set(kinds(ledger)) == {parent, children[3]}
    body = sweep_of(ledger, parent)
    assert (body["count"], body["finished"], body["failed"]) == (12, 12, 0)
    assert [c["run_id"] for c in body["chosen"]] == [children[3]]
    assert [row[0] for row in body["candidates"]] == children
    assert [row[2] for row in body["candidates"]] == LOSSES
    assert len({row[3] for row in body["candidates"]}) == 12
    assert done.members == {parent, *children}
    chosen = report_of(ledger, children[3])["selection"]
    assert (chosen["candidates"], chosen["rank"], chosen["value"]) == (12, 1, 0.2)
    assert "best loss" in chosen["chosen_by"]
    (document,) = (project / "mlruns" / "rides" / parent / "artifacts" / "aims").glob("sweep_*")
    assert json.loads(document.read_text())["count"] == 12


def test_a_second_capture_changes_nothing_and_gives_the_same_ids_elsewhere(
    client, workspace, tmp_path
):
    parent, children = swept(client, LOSSES)
    first = capturing(workspace).tree(parent)
    assert all(not done.sealed for done in capturing(workspace).tree(parent).captured)
    tracking = Tracking(workspace.tracking().uri)
    alone = capture(
        children[3],
        tracking=tracking,
        ledger=workspace.ledger(),
        profile=workspace.profile,
        source="capture",
        actor="another",
    )
    assert alone.sealed == ()  # by itself it knows how it was chosen, too
    with Ledger.open(f"sqlite:///{tmp_path / 'other.db'}") as other:
        again = Capturing(tracking, other, workspace.profile, "sync", "another").tree(parent)
    assert [c.sealed for c in again.captured] == [c.sealed for c in first.captured]


def test_a_changed_candidate_has_another_digest(client, workspace):
    parent, children = swept(client, LOSSES)
    capturing(workspace).tree(parent)
    before = {row[0]: row[3] for row in sweep_of(workspace.ledger(), parent)["candidates"]}
    client.log_param(children[0], "late", 1)
    capturing(workspace).tree(parent)
    after = {row[0]: row[3] for row in sweep_of(workspace.ledger(), parent)["candidates"]}
    assert [run for run in children if before[run] != after[run]] == [children[0]]


def test_few_children_are_no_sweep_and_the_rule_may_want_every_card(client, workspace, project):
    parent, children = swept(client, LOSSES[:9])
    assert len(capturing(workspace).tree(parent).captured) == 1
    assert sync(workspace).waiting == {}
    assert set(kinds(workspace.ledger())) == {parent, *children}
    declare(project, "sweep: {chosen: all}")
    more, twelve = swept(client, LOSSES)
    sync(workspace)
    assert set(kinds(workspace.ledger())) == {parent, *children, more, *twelve}


def test_a_tag_overrides_the_rule(client, workspace):
    parent, children = swept(client, LOSSES)
    client.set_tag(children[5], "aims.chosen", "yes")
    client.set_tag(children[6], "aims.chosen", "false")
    capturing(workspace).tree(parent)
    assert set(kinds(workspace.ledger())) == {parent, children[5]}
    assert "aims.chosen" in report_of(workspace.ledger(), children[5])["selection"]["chosen_by"]


def test_a_later_tag_is_found_by_sync_and_the_old_choice_is_taken_back(client, workspace):
    parent, children = swept(client, LOSSES)
    sync(workspace)
    assert report_of(workspace.ledger(), children[3])["selection"] is not None
    client.set_tag(children[5], "aims.chosen", "1")
    assert coverage(workspace, workspace.tracking(), workspace.ledger()).late == (parent,)
    sync(workspace)
    assert report_of(workspace.ledger(), children[5])["selection"] is not None
    assert report_of(workspace.ledger(), children[3])["selection"] is None


def test_a_registered_candidate_is_the_default_choice(client, workspace, project):
    declare(project)
    parent, children = swept(client, LOSSES)
    client.create_registered_model("rides")
    client.create_model_version("rides", f"runs:/{children[2]}/model", children[2])
    capturing(workspace).tree(parent)
    assert set(kinds(workspace.ledger())) == {parent, children[2]}
    assert report_of(workspace.ledger(), children[2])["selection"]["metric"] is None


def test_without_rule_tag_or_registration_the_report_says_what_to_declare(
    client, workspace, project
):
    declare(project)
    parent, _children = swept(client, LOSSES)
    capturing(workspace).tree(parent)
    assert kinds(workspace.ledger()) == [parent]
    lines = report_of(workspace.ledger(), parent)["insufficient"]
    (line,) = (line for line in lines if line["subject"] == "Sweep")
    assert "sweep: {chosen: best" in line["fix"]


def test_failed_candidates_and_those_without_a_value_are_never_the_best(client, workspace):
    parent = begun(client)
    runs = [candidate(client, parent, loss) for loss in (*LOSSES[:9], float("nan"), None)]
    failed = candidate(client, parent, 0.01, "FAILED")
    client.set_terminated(parent)
    capturing(workspace).tree(parent)
    body = sweep_of(workspace.ledger(), parent)
    assert (body["count"], body["finished"], body["failed"]) == (12, 11, 1)
    assert [c["run_id"] for c in body["chosen"]] == [runs[3]]
    assert failed not in kinds(workspace.ledger())


def test_sync_captures_a_sweep_as_a_whole_and_status_calls_nothing_missing(client, workspace):
    parent, children = swept(client, LOSSES)
    tracking, ledger = workspace.tracking(), workspace.ledger()
    assert len(coverage(workspace, tracking, ledger).missing) == 13
    report = sync(workspace)
    assert {done.run_id for done in report.captured} == {parent, children[3]}
    state = coverage(workspace, tracking, ledger)
    assert len(state.recorded) == 13
    assert not state.missing + state.late
    assert sync(workspace).captured == ()


def test_a_late_child_makes_a_second_version_of_the_evidence(client, workspace):
    parent, children = swept(client, LOSSES)
    sync(workspace)
    late = candidate(client, parent, 0.01)
    state = coverage(workspace, workspace.tracking(), workspace.ledger())
    assert set(state.late) == {parent, late}
    sync(workspace)
    assert set(kinds(workspace.ledger())) == {parent, children[3], late}
    versions = [
        e.evidence.version
        for e in workspace.ledger().entries(kind=EvidenceKind.RUN_RECORD, run_id=parent)
        if e.evidence.subject.id.endswith("#sweep")
    ]
    assert versions == [1, 2]
    assert report_of(workspace.ledger(), children[3])["selection"] is None
    state = coverage(workspace, workspace.tracking(), workspace.ledger())
    assert not state.late + state.missing


def test_a_sweep_that_still_runs_is_neither_missing_nor_captured(client, workspace):
    parent = begun(client)
    children = [candidate(client, parent, loss) for loss in LOSSES]
    state = coverage(workspace, workspace.tracking(), workspace.ledger())
    assert set(state.running) == {parent, *children}
    assert sync(workspace).captured == ()
    client.set_terminated(parent)
    sync(workspace)
    assert set(kinds(workspace.ledger())) == {parent, children[3]}


def test_a_parent_that_was_killed_long_ago_is_captured_with_its_candidates(client, workspace):
    day = timedelta(days=2)
    long_ago = int((datetime.now(UTC) - day).timestamp() * 1000)
    tags = {PARENT_TAG: client.create_run(experiment(client), long_ago).info.run_id}
    for index, loss in enumerate(LOSSES):
        run = client.create_run(experiment(client), long_ago + index, tags).info.run_id
        client.log_metric(run, "loss", loss)
        client.set_terminated(run, end_time=long_ago + index + 1)
    sync(workspace)
    parent = tags[PARENT_TAG]
    assert sweep_of(workspace.ledger(), parent)["run"]["status"] == "RUNNING"
    assert len(kinds(workspace.ledger())) == 2
    state = coverage(workspace, workspace.tracking(), workspace.ledger())
    assert (len(state.recorded), state.stale) == (12, (parent,))
    assert sync(workspace).captured == ()


def test_runs_below_a_candidate_belong_to_the_sweep(client, workspace):
    parent = begun(client)
    children, folds = [], []
    for loss in LOSSES:
        children.append(begun(client, parent))
        client.log_metric(children[-1], "loss", loss)
        folds += [candidate(client, children[-1], loss) for _ in range(2)]
        client.set_terminated(children[-1])
    client.set_terminated(parent)
    assert sync(workspace).waiting == {}
    ledger = workspace.ledger()
    assert set(kinds(ledger)) == {parent, children[3]}
    assert sweep_of(ledger, parent)["nested"] == 24
    assert len(coverage(workspace, workspace.tracking(), ledger).recorded) == 37
    # The digest of a candidate binds what is below it.
    before = {row[0]: row[3] for row in sweep_of(ledger, parent)["candidates"]}
    client.log_param(folds[0], "late", 1)
    capturing(workspace).tree(parent)
    after = {row[0]: row[3] for row in sweep_of(ledger, parent)["candidates"]}
    assert [run for run in children if before[run] != after[run]] == [children[0]]


def test_a_sweep_inside_a_candidate_has_evidence_only_where_that_was_chosen(client, workspace):
    parent = begun(client)
    inner = {}
    for loss in LOSSES[:10]:
        child = begun(client, parent)
        client.log_metric(child, "loss", loss)
        if loss in (0.2, 0.9):
            inner[child] = [candidate(client, child, 0.5 + place) for place in range(10)]
        client.set_terminated(child)
    client.set_terminated(parent)
    sync(workspace)
    (chosen,) = (c["run_id"] for c in sweep_of(workspace.ledger(), parent)["chosen"])
    assert set(kinds(workspace.ledger())) == {parent, chosen, inner[chosen][0]}
    assert sweep_of(workspace.ledger(), chosen)["count"] == 10
    state = coverage(workspace, workspace.tracking(), workspace.ledger())
    assert not state.missing + state.late


def drained(drainer: Drainer, intents: list[dict]) -> None:
    for intent in intents:
        assert drainer.process(intent), drainer.progress.waiting
        assert all(drainer.process(due) for due in drainer.released())


def story(uri, parent, children) -> list[dict]:
    """What the hook says while a parent with these children runs."""
    told = [{"what": "started", "uri": uri, "run_id": parent}]
    for child in children:
        told += [
            {"what": "started", "uri": uri, "run_id": child, "parent": parent}
            | {"environment_of": parent},
            {"what": "ended", "uri": uri, "run_id": child, "parent": parent},
        ]
    return [*told, {"what": "ended", "uri": uri, "run_id": parent}]


def test_children_wait_for_the_end_of_their_parent(client, workspace):
    parent, children = swept(client, LOSSES)
    uri = workspace.tracking().uri
    drainer = Drainer(workspace, source="hook", own=True)
    told = story(uri, parent, children)
    drained(drainer, told[:-1])
    assert drainer.progress.captured == {}
    assert {i["run_id"] for i in drainer.waiting_children()} == set(children)
    drained(drainer, told[-1:])
    assert set(drainer.progress.captured) == {parent, children[3]}
    assert drainer.waiting_children() == []


def test_few_children_are_captured_when_the_parent_ended(client, workspace):
    parent, children = swept(client, LOSSES[:3])
    drainer = Drainer(workspace, source="hook", own=True)
    drained(drainer, story(workspace.tracking().uri, parent, children))
    assert set(drainer.progress.captured) == {parent, *children}


def test_the_evaluation_of_a_candidate_is_written_before_the_sweep_is_judged(
    client, workspace, monkeypatch
):
    parent, children = swept(client, LOSSES)
    uri = workspace.tracking().uri
    table = aggregate([0, 1] * 20, [0, 1] * 20).model_dump(mode="json")
    told = story(uri, parent, children)
    told.insert(8, {"what": "evaluated", "uri": uri, "run_id": children[3], "table": table})
    assert told[7]["run_id"] == children[3]
    drainer = Drainer(workspace, source="hook", own=True)
    write, fails = Tracking.write, ["disk full"]

    def failing(self, run_id, files):
        if fails and run_id == children[3]:
            raise OSError(fails.pop())
        write(self, run_id, files)

    monkeypatch.setattr(Tracking, "write", failing)
    left = [intent for intent in told if not drainer.process(intent)]
    assert drainer.progress.captured == {}
    assert {i["run_id"] for i in left} == {children[3], parent}
    drainer.begin()
    drained(drainer, left)
    (scores,) = report_of(workspace.ledger(), children[3])["scores"]
    assert scores["n"] == 40


def test_a_child_of_a_parent_elsewhere_is_left_to_it_once_there_are_enough(client, workspace):
    parent = begun(client)
    first = candidate(client, parent, 0.9)
    uri = workspace.tracking().uri
    drainer = Drainer(workspace, source="hook", own=True)
    drained(drainer, [{"what": "ended", "uri": uri, "run_id": first}])
    assert set(drainer.progress.captured) == {first}
    others = [candidate(client, parent, loss) for loss in LOSSES]
    drained(drainer, [{"what": "ended", "uri": uri, "run_id": others[-1]}])
    assert set(drainer.progress.captured) == {first}
    assert drainer.progress.left == {others[-1]: parent}
    said = exit_line(drainer, [], Spool(Path("spool")))
    assert "1 run left to the capture of their sweep" in said


def test_a_parent_that_is_named_after_the_run_began_is_waited_for_too(client, workspace):
    uri = workspace.tracking().uri
    study, trial = begun(client), begun(client)
    client.set_tag(trial, PARENT_TAG, study)
    client.set_terminated(trial)
    drainer = Drainer(workspace, source="hook", own=True)
    for run in (study, trial):
        drained(drainer, [{"what": "started", "uri": uri, "run_id": run}])
    drained(drainer, [{"what": "ended", "uri": uri, "run_id": trial}])
    assert drainer.progress.captured == {}
    drainer.settle()  # nobody ends the study
    drained(drainer, drainer.released())
    assert set(drainer.progress.captured) == {trial}


def test_a_deleted_parent_releases_its_children(client, workspace):
    parent, children = swept(client, LOSSES[:2])
    client.delete_run(parent)
    drainer = Drainer(workspace, source="hook", own=True)
    drained(drainer, story(workspace.tracking().uri, parent, children)[1:])
    assert set(drainer.progress.captured) == set(children)
    assert any("gone" in gap for gap in drainer.progress.gaps)


def environment(**extra: str) -> dict[str, str]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    return {**keep, "AIMS_EXIT_TIMEOUT": "60", **extra}


def script(project: Path, code: str) -> subprocess.CompletedProcess[str]:
    (project / "train.py").write_text(textwrap.dedent(code), "utf-8")
    return subprocess.run(
        [sys.executable, "train.py"],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
    )


SEARCH = """
    import mlflow, os, signal
    mlflow.set_experiment("rides")
    with mlflow.start_run(run_name="search"):
        for i in range(15):
            with mlflow.start_run(nested=True):
                mlflow.log_param("i", i)
                mlflow.log_metric("loss", abs(i - 7))
"""


def test_an_unchanged_search_script_leaves_two_cards(project, workspace):
    done = script(project, SEARCH)
    assert done.returncode == 0, done.stderr
    assert "captured 2 runs (and 15 candidates of a sweep by digest) of rides" in done.stderr
    ledger = workspace.ledger()
    assert len(kinds(ledger)) == 2
    state = coverage(workspace, workspace.tracking(), ledger)
    assert (len(state.recorded), state.missing, state.late) == (16, (), ())
    # One process, one environment: logged to the parent, and the chosen candidate refers to it.
    locks = list(ledger.entries(kind=EvidenceKind.ENVIRONMENT_LOCK, current=True))
    assert len({e.evidence.body["lock_sha256"] for e in locks}) == 1
    assert len(locks) == 2
    assert len(list((project / "mlruns").rglob("environment.json"))) == 1


def test_children_of_a_resumed_run_record_their_own_environment(project, client, workspace):
    parent = begun(client)
    client.set_terminated(parent)
    again = SEARCH.replace('run_name="search"', f"run_id={parent!r}")
    done = script(project, again)
    assert "captured 2 runs (and 15 candidates" in done.stderr, done.stderr
    assert set(kinds(workspace.ledger())) > {parent}
    assert len(list((project / "mlruns").rglob("environment.json"))) == 15


def test_a_search_that_was_killed_is_brought_in_by_sync_at_once(project, workspace):
    done = script(project, SEARCH + "        os.kill(os.getpid(), signal.SIGKILL)\n")
    assert done.returncode < 0
    report = sync(workspace)
    assert report.waiting == {}
    ledger = workspace.ledger()
    (parent,) = (run.removesuffix("#sweep") for run in kinds(ledger, EvidenceKind.RUN_RECORD)
                 if run.endswith("#sweep"))  # fmt: skip
    assert sweep_of(ledger, parent)["count"] == 15
    assert len(kinds(ledger)) == 2
    state = coverage(workspace, workspace.tracking(), ledger)
    assert (len(state.recorded), state.missing, state.late) == (15, (), ())


def head(run_id, parent=None, started=0, **changed) -> RunHead:
    known = {
        "name": run_id, "experiment_id": "1", "status": "FINISHED", "ended": started + 1,
        "system": None, "chosen": False,
    }  # fmt: skip
    return RunHead(run_id=run_id, parent=parent, started=started, **(known | changed))


numbers = st.none() | st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=50, deadline=None)
@given(st.lists(numbers, max_size=20), st.sampled_from(["min", "max"]))
def test_the_best_is_never_beaten_by_another_candidate(values, mode):
    runs = [Candidate(head(str(i), "p", i), "0" * 64, v) for i, v in enumerate(values)]
    rule = SweepRule(chosen="best", metric="loss", mode=mode)
    chosen = choose(runs, rule)
    # MLflow keeps infinity as the largest float in its databases: neither is a result.
    numbered = [v for v in values if v is not None and abs(v) < sys.float_info.max]
    assert len(chosen) == bool(numbered)
    for run_id in chosen:
        best = max if mode == "max" else min
        assert values[int(run_id)] == best(numbered)
        assert values.index(values[int(run_id)]) == int(run_id)  # the first of equals


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(6)), st.integers(0, 5))
def test_a_fingerprint_ignores_the_order_and_nothing_else(order, one):
    runs = [head(str(i), "p", i) for i in range(6)]
    assert fingerprint(runs[i] for i in order) == fingerprint(runs)
    changed = [*runs[:one], head(str(one), "p", one, status="FAILED"), *runs[one + 1 :]]
    assert fingerprint(changed) != fingerprint(runs)
    assert fingerprint(runs[:one]) != fingerprint(runs)


def test_what_is_below_a_candidate_began_while_the_sweep_ran_and_loops_end():
    parent = head("p", None, 10, ended=20)
    runs = [head("c", "p", 5), head("in", "c", 15), head("deep", "in", 16), head("out", "c", 30)]
    children = {"p": [runs[0]], "c": [runs[1], runs[3]], "in": [runs[2]], "deep": [runs[0]]}
    assert {run.run_id for run in below(parent, children)["c"]} == {"in", "deep"}


def test_waiting_ends_are_given_back_once_each_level_at_a_time():
    nesting = Nesting()
    for run, parent in pairwise(["grandchild", "child", "parent"]):
        nesting.wait(parent, {"run_id": run, "uri": "u", "what": "ended"})
    assert list(nesting.ancestors("grandchild")) == ["child", "parent"]
    nesting.release("parent")
    assert [(i["run_id"], i["alone"]) for i in nesting.released()] == [("child", True)]
    assert nesting.released() == []
    assert [i["run_id"] for i in nesting.waiting()] == ["grandchild"]
    nesting.release("child", {"grandchild"})
    assert nesting.waiting() + nesting.released() == []


def test_beyond_the_limit_the_evidence_has_the_number_and_one_digest(
    client, workspace, monkeypatch
):
    parent, children = swept(client, LOSSES)
    whole = find_sweep(
        workspace.tracking().children.head(parent), workspace.tracking(), workspace.profile
    )
    complete = sweep_record(whole, "rides", "rides")
    monkeypatch.setattr("aims_mlflow.sweeps.MAX_ROWS", 5)
    sync(workspace)
    body = sweep_of(workspace.ledger(), parent)
    assert (body["count"], len(body["candidates"])) == (12, 5)
    assert body["sha256"] == complete["sha256"]
    state = coverage(workspace, workspace.tracking(), workspace.ledger())
    assert set(state.recorded) == {parent, *children}


def test_a_profile_without_sweeps_needs_ten(client, workspace, project):
    declare(project)
    parent, _ = swept(client, LOSSES[:10])
    tracking = workspace.tracking()
    found = find_sweep(tracking.children.head(parent), tracking, load_profile(None))
    assert found is not None
    assert found.chosen == {}
