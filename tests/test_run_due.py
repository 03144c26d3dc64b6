"""`run_due`: each window judged once, by whichever runner is there; one failure stops no other."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aims_mlflow.errors import UsageError
from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.ledger.verify import verify
from aims_mlflow.ledger.windows import WindowClaims, WindowState
from aims_mlflow.monitored import Window
from aims_mlflow.monitoring.asking import judge_now
from aims_mlflow.monitoring.declared import monitor_statuses
from aims_mlflow.monitoring.runner import Outcome, run_due
from aims_mlflow.settings import Settings
from aims_mlflow.workspace import Workspace

RUNNER = Path(__file__).parent / "one_runner.py"
_spec = importlib.util.spec_from_file_location("one_runner", RUNNER)
assert _spec and _spec.loader
one_runner = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(one_runner)
NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
DAY = timedelta(days=1)


def declare(folder: Path, system: str = "credit", *monitors: str) -> None:
    systems = folder / "governance" / "systems"
    systems.mkdir(parents=True, exist_ok=True)
    lines = [f"id: {system}", f"name: {system}", "monitors:"]
    for each in monitors or ("kind: drift",):
        lines.append(f'  - {{schedule: "0 6 * * *", current: x.parquet, {each}}}')
    (systems / f"{system}.yaml").write_text("\n".join(lines) + "\n", "utf-8")


@pytest.fixture
def folder(tmp_path: Path, ledger_uri: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("AIMS_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AIMS_LEDGER_URI", ledger_uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return tmp_path


def workspace(folder: Path) -> Workspace:
    return Workspace(Settings.load(), folder)


def due(folder: Path, now: datetime = NOW, **options) -> Outcome:
    return run_due(workspace(folder), now=now, **{"execute": one_runner.Judge(), **options})


def told(outcome: Outcome) -> list[tuple[str, str, int]]:
    return [(r.monitor, r.outcome, r.window.end.day) for r in outcome.results]


def runner(folder: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, RUNNER, folder, NOW.isoformat(), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rows(folder: Path):
    return WindowClaims(workspace(folder).ledger().database).rows()


def test_what_is_due_is_judged_once(folder: Path):
    declare(folder)
    first = due(folder)
    assert told(first) == [("drift", "judged", 23)]
    assert first.exit_code == 0
    assert due(folder) == Outcome()
    assert told(due(folder, NOW + DAY)) == [("drift", "judged", 24)]


def test_two_runners_at_once_judge_every_window_of_50_systems_once(folder: Path):
    for number in range(50):
        declare(folder, f"system-{number:02}")
    # Both are at work for a while, so that neither is done before the other has begun.
    runners = [runner(folder, "--wait", "0.02") for _ in range(2)]
    outcomes = []
    for each in runners:
        answer, errors = each.communicate(timeout=120)
        assert each.returncode == 0, errors
        outcomes.append(json.loads(answer))
    judged = Counter(r["system"] for outcome in outcomes for r in outcome["results"])
    assert judged == {f"system-{number:02}": 1 for number in range(50)}
    assert {r["outcome"] for outcome in outcomes for r in outcome["results"]} == {"judged"}
    ledger = workspace(folder).ledger()
    sealed = Counter(e.evidence.system for e in ledger.entries(kind=EvidenceKind.DRIFT_REPORT))
    assert sealed == judged
    assert verify(ledger).problems == ()
    assert {row.state for row in rows(folder)} == {WindowState.DONE}


def test_the_window_of_a_killed_runner_is_done_by_the_next(folder: Path):
    declare(folder)
    dead = runner(folder, "--lease", "1", "--hang")
    assert dead.stdout and dead.stdout.readline() == "hanging\n"
    dead.send_signal(signal.SIGKILL)
    dead.wait(timeout=30)
    (row,) = rows(folder)
    assert row.state is WindowState.CLAIMED and f"process {dead.pid}" in (row.holder or "")
    (result,) = _until_done(folder).results
    assert (result.outcome, result.window.end.day) == ("judged", 23)
    (row,) = rows(folder)
    assert (row.state, row.attempts) == (WindowState.DONE, 2)


def test_a_runner_that_wakes_up_too_late_seals_nothing(folder: Path):
    declare(folder)
    stale = runner(folder, "--lease", "1", "--hang")
    assert stale.stdout and stale.stdout.readline() == "hanging\n"
    _until_done(folder)
    stale.send_signal(signal.SIGCONT)
    answer, errors = stale.communicate(timeout=60)
    (result,) = json.loads(answer)["results"]
    assert result["outcome"] == "lost", errors
    assert "Another runner took over the window" in result["problem"]
    ledger = workspace(folder).ledger()
    assert ledger.head().size == 1
    assert verify(ledger).problems == ()


def _until_done(folder: Path) -> Outcome:
    for _ in range(600):
        outcome = due(folder)
        if outcome.results:
            return outcome
    raise AssertionError("the lease never expired")


def test_a_lease_is_renewed_while_its_window_is_worked_on(folder: Path):
    declare(folder)
    slow = runner(folder, "--lease", "0.6", "--wait", "3")
    while not (held := rows(folder)):
        assert slow.poll() is None
    began = held[0].expires_at
    while slow.poll() is None:
        assert due(folder).results == ()
        now = rows(folder)[0].expires_at
    assert now > began + timedelta(seconds=1)
    assert json.loads(slow.communicate()[0])["results"][0]["outcome"] == "judged"


def test_missed_windows_are_caught_up_and_the_others_are_one_gap(folder: Path):
    declare(folder, "credit", "kind: drift, max_catch_up: 2", "kind: quality, missed: gap")
    due(folder)
    outcome = due(folder, NOW + 5 * DAY)
    assert told(outcome) == [
        *[("drift", "missed", 26), ("drift", "judged", 27), ("drift", "judged", 28)],
        *[("quality", "missed", 27), ("quality", "judged", 28)],
    ]
    assert outcome.exit_code == 2
    assert [r.windows for r in outcome.results if r.outcome == "missed"] == [3, 4]
    gaps = list(workspace(folder).ledger().entries(kind=EvidenceKind.GAP))
    assert [g.evidence.subject.id for g in gaps] == [
        "credit/drift@2026-11-26T06:00:00.000000Z",
        "credit/quality@2026-11-27T06:00:00.000000Z",
    ]
    body = gaps[0].evidence.body or {}
    assert "3 windows passed while no runner was there; at most 2 are caught up" in body["reason"]
    assert Window.model_validate(body["window"]).start == datetime(2026, 11, 23, 6, tzinfo=UTC)
    assert due(folder, NOW + 5 * DAY) == Outcome()


def test_one_monitor_that_fails_leaves_the_others_alone(folder: Path):
    bad = (
        "kind: drift, id: a, options: {test: unread}",
        "kind: drift, id: b, options: {test: raise}",
    )
    declare(folder, "credit", *bad, "kind: drift, id: d")
    outcome = due(folder)
    assert told(outcome) == [("a", "later", 23), ("b", "later", 23), ("d", "judged", 23)]
    assert "the bucket is gone" in outcome.results[0].problem
    assert "RuntimeError: a fault of" in outcome.results[1].problem
    assert "hunter2" not in outcome.model_dump_json()
    assert outcome.exit_code == 2


def test_a_window_that_fails_three_times_becomes_a_gap_and_is_left_alone(folder: Path):
    declare(folder, "credit", "kind: drift, options: {test: unread}")
    found = [due(folder).results[0] for _ in range(3)]
    assert [result.outcome for result in found] == ["later", "later", "failed"]
    assert due(folder) == Outcome()
    (gap,) = workspace(folder).ledger().entries(kind=EvidenceKind.GAP)
    assert "given up after 3 attempts: the bucket is gone" in (gap.evidence.body or {})["reason"]
    assert [row.state for row in rows(folder)] == [WindowState.FAILED]


def test_while_mlflow_is_away_the_newest_windows_wait_and_older_ones_become_gaps(folder: Path):
    declare(folder, "credit", "kind: drift, max_catch_up: 2, options: {test: away}")
    for _ in range(5):
        assert told(due(folder)) == [("drift", "later", 23)]
    assert told(due(folder, NOW + DAY))[0] == ("drift", "later", 23)
    assert told(due(folder, NOW + 2 * DAY)) == [
        *[("drift", "failed", 23), ("drift", "later", 24), ("drift", "later", 25)]
    ]
    declare(folder, "credit", "kind: drift, max_catch_up: 2")
    assert told(due(folder, NOW + 2 * DAY)) == [("drift", "judged", 24), ("drift", "judged", 25)]
    (gap,) = workspace(folder).ledger().entries(kind=EvidenceKind.GAP)
    assert "MLflow does not answer" in (gap.evidence.body or {})["reason"]


def test_a_window_that_kills_its_runners_is_given_up(folder: Path):
    declare(folder)
    claims = WindowClaims(workspace(folder).ledger().database)
    window = Window(start=NOW - timedelta(hours=25), end=NOW - timedelta(hours=1))
    for attempt in range(3):
        assert claims.claim(
            *("credit", "drift", window),
            holder="dead",
            lease=timedelta(seconds=1),
            now=NOW - DAY * (1000 - attempt),
        )
    (result,) = due(folder).results
    assert result.outcome == "failed"
    assert "killed" in result.problem


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["PASS"], 0),
        (["PASS", "INSUFFICIENT"], 2),
        (["INSUFFICIENT", "FAIL"], 1),
        (["unread", "FAIL"], 1),
        (["unread"], 2),
    ],
)
def test_the_exit_code_says_breach_before_not_judged(folder: Path, verdicts: list[str], code: int):
    monitors = [f"kind: drift, id: m{n}, options: {{test: {v}}}" for n, v in enumerate(verdicts)]
    declare(folder, "credit", *monitors)
    assert due(folder).exit_code == code


def test_a_faulty_profile_is_told_and_the_valid_systems_are_judged(folder: Path):
    declare(folder)
    declare(folder, "broken", "kind: never")
    outcome = due(folder)
    assert told(outcome) == [("drift", "judged", 23)]
    assert "aims check" in outcome.problems[0]
    assert outcome.exit_code == 2


def test_several_workers_do_the_same(folder: Path):
    for number in range(6):
        declare(folder, f"s{number}", "kind: drift", "kind: quality")
    outcome = due(folder, workers=4)
    assert [(r.system, r.monitor) for r in outcome.results] == [
        (f"s{number}", kind) for number in range(6) for kind in ("drift", "quality")
    ]
    assert {r.outcome for r in outcome.results} == {"judged"}


def test_only_the_named_systems_are_judged_and_a_wrong_name_is_told(folder: Path):
    declare(folder, "credit")
    declare(folder, "churn")
    assert [r.system for r in due(folder, systems=["churn"]).results] == ["churn"]
    with pytest.raises(UsageError) as caught:
        due(folder, systems=["credti"])
    assert "credit" in caught.value.fix


def test_a_clock_that_once_went_ahead_and_came_back_keeps_nothing_from_being_judged(folder: Path):
    declare(folder)
    due(folder)
    assert told(due(folder, NOW + 300 * DAY))[-1] == ("drift", "judged", 19)
    assert due(folder, NOW) == Outcome()
    assert told(due(folder, NOW + DAY)) == []


def test_a_stop_leaves_the_rest_for_another_time(folder: Path):
    declare(folder, "credit", "kind: drift", "kind: quality")
    asked = iter([False, False, True, True])
    assert told(due(folder, stop=lambda: next(asked))) == [("drift", "judged", 23)]
    assert told(due(folder)) == [("quality", "judged", 23)]


def test_an_interrupted_window_is_free_at_once(folder: Path):
    declare(folder)

    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        due(folder, execute=interrupted)
    assert told(due(folder)) == [("drift", "judged", 23)]


def test_a_ledger_that_goes_away_ends_the_look_with_one_problem(folder: Path):
    for number in range(3):
        declare(folder, f"s{number}")
    there = workspace(folder)
    judge = one_runner.Judge()

    def cut(workspace_, system, *args, **options):
        from sqlalchemy import text

        done = judge(workspace_, system, *args, **options)
        with workspace_.ledger().database.writing() as connection:
            connection.execute(text("DROP TABLE aims_windows"))
        return done

    outcome = run_due(there, now=NOW, execute=cut)
    assert [r.system for r in outcome.results] == ["s0"]
    assert len(outcome.problems) == 1
    assert outcome.exit_code == 2


def test_the_status_names_the_last_window_the_next_and_who_is_at_work(folder: Path):
    declare(folder, "credit", "kind: drift", "kind: quality, options: {test: unread}")
    due(folder)
    drift, quality = monitor_statuses(workspace(folder), None, now=NOW)
    assert drift.last is not None and drift.last.verdict == "PASS"
    assert drift.next_due == datetime(2026, 11, 24, 6, tzinfo=UTC)
    assert quality.last is None
    assert [(row.state, row.problem) for row in quality.going] == [
        (WindowState.RELEASED, "the bucket is gone")
    ]


def test_a_window_that_a_person_had_judged_is_not_due_any_more(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    declare(folder, "credit", "kind: drift, options: {test: FAIL}")
    monkeypatch.setattr(
        "aims_mlflow.monitoring.execution.run_monitor", one_runner.Judge(), raising=True
    )
    there = workspace(folder)
    (monitor,) = there.profile.systems["credit"].monitors
    latest = Window(start=NOW - timedelta(hours=25), end=NOW - timedelta(hours=1))
    older = Window(start=latest.start - DAY, end=latest.start)
    judge_now(there, "credit", monitor, older, now=NOW)
    judge_now(there, "credit", monitor, latest, now=NOW, current="other.parquet")
    assert rows(folder) == ()
    judge_now(there, "credit", monitor, latest, now=NOW)
    assert due(folder) == Outcome()
    assert [(row.state, row.verdict) for row in rows(folder)] == [(WindowState.DONE, "FAIL")]
