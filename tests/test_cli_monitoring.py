"""`aims monitor` on real data: what a person reads, exit codes, `--json`."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aims_mlflow.cli import main
from aims_mlflow.cli import monitor_output as output
from aims_mlflow.ledger.windows import WindowClaims
from aims_mlflow.publish import publish
from aims_mlflow.settings import Settings
from aims_mlflow.workspace import Workspace

pytestmark = pytest.mark.usefixtures("blank_store")

SYSTEM = """
id: credit-scoring
name: Credit scoring
thresholds:
  - {id: max-missing, metric: missing_share, max: 0.05, min_rows: 1}
  - {id: max-errors, metric: error_rate, max: 0.5, min_rows: 1}
monitors:
  - {kind: quality, schedule: "0 6 * * *", current: data.csv, timezone: Europe/Berlin}
  - {id: requests, kind: operation, schedule: "0 * * * *", current: data.csv, error: failed}
"""


def aims(folder: Path, *arguments: str, **extra: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in list(os.environ):
            if name.startswith(("AIMS_", "MLFLOW_")):
                patch.delenv(name)
        for name, value in {"COLUMNS": "200", "DO_NOT_TRACK": "1", **extra}.items():
            patch.setenv(name, value)
        done = CliRunner().invoke(main, ["monitor", *arguments], prog_name="aims")
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def answer(folder: Path, *arguments: str):
    done = aims(folder, *arguments, "--json")
    return json.loads(done.stdout)


def declare(folder: Path, content: str, system: str = "credit-scoring") -> None:
    systems = folder / "governance" / "systems"
    systems.mkdir(parents=True, exist_ok=True)
    (systems / f"{system}.yaml").write_text(content, "utf-8")


def data(path: Path, *, missing: int = 0, failed: int = 0) -> Path:
    rows = [f"{'' if n < missing else n},{int(n < failed)}" for n in range(100)]
    path.write_text("\n".join(["amount,failed", *rows]) + "\n", "utf-8")
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    declare(tmp_path, SYSTEM)
    data(tmp_path / "data.csv")
    return tmp_path


def test_a_person_judges_a_system_now(project: Path):
    done = aims(project, "run", "credit-scoring")
    assert done.exit_code == 0, done.stdout + done.stderr
    assert "PASS           quality of credit-scoring, " in done.stdout
    assert "  PASS         max-missing: missing_share 0, limit <= 0.05" in done.stdout
    assert "requests of credit-scoring" in done.stdout


def test_a_breach_is_exit_code_1_and_names_the_threshold(project: Path):
    data(project / "data.csv", missing=40)
    done = aims(project, "run", "credit-scoring", "--monitor", "quality")
    assert done.exit_code == 1
    assert "FAIL           quality of credit-scoring" in done.stdout
    assert "  FAIL         max-missing: missing_share 0.2, limit <= 0.05" in done.stdout
    assert "requests" not in done.stdout


def test_data_that_cannot_be_read_are_exit_code_2_and_the_other_monitors_go_on(project: Path):
    declare(project, SYSTEM.replace("current: data.csv, timezone", "current: no.csv, timezone"))
    done = aims(project, "run", "credit-scoring")
    assert done.exit_code == 2
    assert "INSUFFICIENT" in done.stdout
    assert "no.csv" in done.stderr
    assert "PASS           requests of credit-scoring" in done.stdout


def test_json_holds_the_readings_the_judgements_and_the_run(project: Path):
    found = answer(project, "run", "credit-scoring", "--kind", "operation")
    (execution,) = found["executions"]
    assert found["exit_code"] == execution["exit_code"] == 0
    assert execution["run_id"] and execution["evidence_id"]
    assert execution["report"]["judgements"][0]["threshold"] == "max-errors"
    assert {r["metric"] for r in execution["report"]["readings"]} >= {"error_rate", "request_count"}


def test_named_data_need_no_declared_monitor(project: Path, tmp_path: Path):
    declare(project, "id: churn\nname: Churn\n", "churn")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    data(folder / "new.csv")
    done = aims(
        folder,
        *("run", "churn", "--kind", "quality", "--current", "new.csv", "--json"),
        AIMS_PROFILE=str(project / "governance"),
        MLFLOW_TRACKING_URI=f"sqlite:///{project / 'mlflow.db'}",
    )
    (execution,) = json.loads(done.stdout)["executions"]
    report = execution["report"]
    assert report["data"][0]["rows"] == 100
    start, end = (datetime.fromisoformat(report["window"][key]) for key in ("start", "end"))
    assert end - start == timedelta(days=1)
    # Nothing limits these readings: that is not a pass.
    assert done.exit_code == 2


def test_named_data_of_a_declared_monitor_do_not_count_as_its_window(project: Path):
    aims(project, "run", "credit-scoring", "--current", str(data(project / "other.csv")))
    assert _rows(project) == ()
    aims(project, "run", "credit-scoring", "--monitor", "quality")
    assert [(row.monitor, row.verdict) for row in _rows(project)] == [("quality", "PASS")]


def _rows(project: Path):
    settings = Settings(ledger_uri=f"sqlite:///{project / 'aims.db'}")
    return WindowClaims(Workspace(settings, project).ledger().database).rows()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "nope"), "No AI system 'nope' is declared"),
        (("run", "credit-scoring", "--monitor", "nope"), "Declared: quality (quality), requests"),
        (("run", "credit-scoring", "--kind", "bias"), "declares no monitor with the kind 'bias'"),
        (
            ("run", "credit-scoring", "--kind", "bias", "--current", "x.csv"),
            "needs the columns 'target' and 'prediction'",
        ),
        (("run", "credit-scoring", "--labels", "x.csv"), "'labels' needs the 'key'"),
        (("run", "credit-scoring", "--start", "tomorrow"), "--start 'tomorrow' is no time"),
        (
            ("run", "credit-scoring", "--start", "2026-11-23", "--end", "2026-11-22"),
            "not before it ends",
        ),
        (("list", "nope"), "No AI system 'nope' is declared"),
        (("run-due", "--system", "nope"), "No AI system 'nope' is declared"),
    ],
)
def test_what_cannot_mean_anything_is_exit_code_2_with_advice(
    project: Path, arguments: tuple[str, ...], told: str
):
    done = aims(project, *arguments)
    assert done.exit_code == 2
    assert told in " ".join(done.stderr.split())
    assert answer(project, *arguments)["fix"]
    assert _rows(project) == ()


def test_a_window_is_read_in_the_zone_of_the_monitor(project: Path):
    (execution,) = answer(
        project,
        *("run", "credit-scoring", "--monitor", "quality"),
        *("--start", "2026-07-01", "--end", "2026-07-02T12:00+00:00"),
    )["executions"]
    assert execution["window"] == {"start": "2026-06-30T22:00:00Z", "end": "2026-07-02T12:00:00Z"}


def test_run_due_judges_once_and_then_says_that_nothing_is_due(project: Path):
    first = aims(project, "run-due")
    assert first.exit_code == 0, first.stdout + first.stderr
    assert "PASS           quality of credit-scoring, " in first.stdout
    again = aims(project, "run-due")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "Nothing is due" in again.stderr
    assert answer(project, "run-due") == {
        "results": [],
        "problems": [],
        "notifications": [],
        "exit_code": 0,
    }


def test_run_due_tells_what_is_tried_again(project: Path):
    (project / "data.csv").unlink()
    done = aims(project, "run-due")
    assert done.exit_code == 2
    assert "LATER          quality of credit-scoring" in done.stdout
    assert "data.csv" in done.stdout
    shown = aims(project, "list").stdout
    assert "waits for attempt 2" in shown
    assert "data.csv" in shown
    for _ in range(2):
        done = aims(project, "run-due")
    assert "INSUFFICIENT   quality of credit-scoring" in done.stdout


def test_the_list_tells_windows_verdicts_and_who_is_at_work(project: Path):
    assert "no window yet" in aims(project, "list").stdout
    aims(project, "run-due")
    lines = aims(project, "list", "credit-scoring").stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("credit-scoring, quality, quality, PASS ")
    assert ", next " in lines[0]
    quality, requests = answer(project, "list")["monitors"]
    assert quality["last"]["verdict"] == "PASS"
    assert requests["schedule"] == "0 * * * *"
    assert datetime.fromisoformat(requests["next_due"]) > datetime.now(UTC)


def test_the_list_is_a_table_on_a_terminal(project: Path, monkeypatch: pytest.MonkeyPatch):
    from rich.console import Console

    aims(project, "run-due")
    with monkeypatch.context() as patch:
        console = Console(force_terminal=True, width=160, record=True, color_system=None)
        patch.setattr(output, "out", console)
        aims(project, "list")
        shown = console.export_text()
    assert "last window" in shown
    assert "requests" in shown


def test_nothing_declared_says_what_to_add(tmp_path: Path):
    declare(tmp_path, "id: churn\nname: Churn\n", "churn")
    done = aims(tmp_path, "list")
    assert done.exit_code == 0
    assert "Add `monitors:`" in done.stderr
    done = aims(tmp_path, "run", "churn")
    assert done.exit_code == 2
    assert "--kind" in done.stderr
    assert not (tmp_path / "aims.db").exists()


def test_hostile_names_are_text(project: Path):
    evil = "[red]x\x1b[2J.csv"
    done = aims(project, "run", "credit-scoring", "--monitor", "quality", "--current", evil)
    assert done.exit_code == 2
    assert "\x1b" not in done.stdout + done.stderr
    assert "[red]x" in done.stderr


@pytest.mark.parametrize("command", ["run", "run-due", "schedule", "list"])
def test_every_command_documents_its_exit_codes(project: Path, command: str):
    done = aims(project, command, "--help")
    assert "Exit codes:" in done.stdout
    assert "--json" in done.stdout


@pytest.mark.parametrize("command", [["run", "credit-scoring"], ["run-due"]], ids=lambda c: c[0])
def test_a_runner_that_is_ended_leaves_no_rows_behind(tmp_path: Path, command: list[str]):
    declare(tmp_path, SYSTEM)
    with (tmp_path / "data.csv").open("w") as file:
        file.write("amount,failed\n")
        file.writelines(f"Jane Roe {number},0\n" for number in range(3_000_000))
    kept = tmp_path / "kept"
    kept.mkdir()
    dead = kept / "aims-source-dead"
    dead.mkdir()
    (dead / "rows.parquet").write_text("Jane Roe")
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "aims_mlflow", "monitor", *command],
        cwd=tmp_path,
        env={**plain, "TMPDIR": str(kept), "DO_NOT_TRACK": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not any(p.stat().st_size for p in kept.glob("*/rows-*")):
        time.sleep(0.01)
    assert process.poll() is None, "it ended before it had rows on the disk"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert list(kept.glob("aims-source-*")) == []


def status(project: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        for name in list(os.environ):
            if name.startswith(("AIMS_", "MLFLOW_")):
                patch.delenv(name)
        patch.setenv("COLUMNS", "300")
        done = CliRunner().invoke(main, ["status"], prog_name="aims")
    return " ".join(done.stdout.split())


def published(project: Path) -> None:
    settings = Settings(ledger_uri=f"sqlite:///{project / 'aims.db'}")
    there = Workspace(settings, project)
    publish(there.profile, there.ledger(), actor="grace")


def test_a_loosened_limit_is_no_recovery_and_is_told_with_who_can_be_known(project: Path):
    published(project)
    data(project / "data.csv", missing=40)
    quality = ("run", "credit-scoring", "--monitor", "quality")
    done = aims(project, *quality)
    assert "  incident credit-scoring/max-missing#1 opened: " in done.stdout
    assert "not published" not in done.stderr
    declare(project, SYSTEM.replace("max: 0.05", "max: 0.9, approved_by: Mallory, reason: r"))
    done = aims(project, *quality)
    assert done.exit_code == 0
    said = "limit changed from <= 0.05 to <= 0.9 after the breach"
    assert f"  incident credit-scoring/max-missing#1 loosened: {said}" in done.stdout
    assert "recovered" not in done.stdout
    told = "max-missing: limit <= 0.05 is now <= 0.9"
    assert f"Thresholds are not published: {told}. Record them with: aims publish" in done.stderr
    assert told in answer(project, *quality)["unpublished"]
    shown = status(project)
    assert f"threshold max-missing: {said} (approved by Mallory, not published)" in shown
    assert f"monitors judge by thresholds that are not published: {told}" in shown
    published(project)
    shown = status(project)
    assert "(approved by Mallory, published by grace on" in shown
    assert "thresholds that are not published" not in shown


def test_run_due_tells_reasons_incidents_and_notifications_that_did_not_arrive(project: Path):
    notify = "notify: [{name: oncall, url_env: AIMS_NOTIFY_ONCALL}]\n"
    (project / "governance" / "aims.yaml").write_text(notify, "utf-8")
    data(project / "data.csv", missing=40)
    done = aims(project, "run-due")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    judged = next(n for n, line in enumerate(lines) if line.startswith("FAIL "))
    assert "  FAIL         max-missing: missing_share 0.2, limit <= 0.05" in lines[judged + 1]
    assert "  incident credit-scoring/max-missing#1 opened: " in lines[judged + 2]
    assert "nobody was told through 'oncall' of credit-scoring/max-missing#1 opened" in done.stderr
    assert "AIMS_NOTIFY_ONCALL is not set" in done.stderr


def test_json_of_both_ways_holds_incidents_and_notifications(project: Path):
    notify = "notify: [{name: oncall, url_env: AIMS_NOTIFY_ONCALL}]\n"
    (project / "governance" / "aims.yaml").write_text(notify, "utf-8")
    data(project / "data.csv", missing=40, failed=90)
    (one,) = answer(project, "run", "credit-scoring", "--monitor", "quality")["executions"]
    other = answer(project, "run-due")["results"][0]
    for found, name in ((one, "max-missing"), (other, "max-errors")):
        (incident,) = found["incidents"]
        assert (incident["id"], incident["what"]) == (f"credit-scoring/{name}#1", "opened")
        (sent,) = found["notifications"]
        assert (sent["channel"], sent["state"]) == ("oncall", "failed")
    assert [j["threshold"] for j in other["judgements"]] == ["max-errors"]


def test_the_list_of_a_faulty_profile_tells_its_problems(project: Path):
    declare(project, SYSTEM.replace("kind: quality", "kind: qualty"))
    done = aims(project, "list")
    assert done.exit_code == 2
    assert "qualty" in done.stderr
    assert "No monitor is declared" not in done.stderr
    assert "qualty" in json.dumps(answer(project, "list")["problems"])


def test_what_a_person_could_not_read_is_left_to_run_due(project: Path):
    content = (project / "data.csv").read_text("utf-8")
    (project / "data.csv").unlink()
    assert aims(project, "run", "credit-scoring", "--monitor", "quality").exit_code == 2
    assert _rows(project) == ()
    (project / "data.csv").write_text(content, "utf-8")
    assert "PASS           quality of credit-scoring" in aims(project, "run-due").stdout


def test_what_a_person_tries_out_is_not_how_the_monitor_stands(project: Path):
    published(project)
    assert aims(project, "run-due").exit_code == 0
    before = status(project)
    for options in (
        ("--kind", "quality", "--current", "tpyo.csv"),
        ("--kind", "drift", "--current", "tpyo.csv", "--reference", "data.csv"),
        ("--monitor", "quality", "--start", "2020-01-01", "--end", "2020-01-02"),
        ("--monitor", "quality", "--timestamp", "tpyo"),
    ):
        assert aims(project, "run", "credit-scoring", *options).exit_code in (0, 2)
    # What could not be read stays a gap; no threshold of the monitor is told as not judged.
    assert "max-missing: " not in before + status(project)
    assert "credit-scoring, quality, quality, PASS " in aims(project, "list").stdout
