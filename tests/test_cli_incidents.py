"""`aims incident` and the findings of monitoring, on a real ledger: what a person reads."""

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from aims_mlflow.cli import main
from aims_mlflow.evidence import Draft, EvidenceKind, Subject, SubjectType, normalise
from aims_mlflow.findings import Finding, Rank, overview
from aims_mlflow.governance.loader import load_profile
from aims_mlflow.governance.thresholds import Severity, Threshold
from aims_mlflow.incidents import update
from aims_mlflow.ledger.log import Ledger, Sealing
from aims_mlflow.monitored import MonitoringReport, Window
from aims_mlflow.readings import Judgement, Verdict

SYSTEM = """
id: credit
name: Credit
owner: {name: Ada}
thresholds:
  - {id: max-missing, metric: missing_share, max: 0.1, reason: r, approved_by: a}
monitors:
  - {kind: quality, schedule: "0 6 * * *"}
"""
NOW = datetime.now(UTC).replace(microsecond=0)
TODAY = NOW.replace(hour=6, minute=0, second=0)
LAST = TODAY if TODAY <= NOW else TODAY - timedelta(days=1)
ID = "credit/max-missing#1"
PASS, FAIL, INSUFFICIENT = Verdict.PASS, Verdict.FAIL, Verdict.INSUFFICIENT


class Project:
    """A project folder with a ledger, in which monitors reported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = f"sqlite:///{folder / 'aims.db'}"
        systems = folder / "governance" / "systems"
        systems.mkdir(parents=True)
        (systems / "credit.yaml").write_text(SYSTEM, "utf-8")
        Ledger.open(self.uri).close()

    def monitor(self, verdict: Verdict, *, days_ago=0, threshold="max-missing", severity="major"):
        """Seal the report of a window, and let it change the incidents."""
        declared = Threshold(
            id=threshold, metric="missing_share", max=0.1, severity=Severity(severity)
        )
        reasons = {FAIL: "0.31 is above 0.1", PASS: "fine", INSUFFICIENT: "9 rows are too few"}
        judgement = Judgement(
            threshold=threshold,
            metric="missing_share",
            feature=None,
            dataset=None,
            value=None if verdict is INSUFFICIENT else 0.31,
            limit="<= 0.1",
            verdict=verdict,
            severity=severity,
            reason=reasons[verdict],
            declared=declared.model_dump(mode="json"),
        )
        end = LAST - timedelta(days=days_ago)
        report = MonitoringReport(
            system_id="credit",
            monitor="quality",
            kind="quality",
            window=Window(start=end - timedelta(days=1), end=end),
            verdict=verdict,
            judgements=(judgement,),
        )
        with Ledger.open(self.uri) as ledger:
            body, _ = normalise(report.body())
            identity = self.seal(ledger, EvidenceKind.DATA_QUALITY_REPORT, body)
            update(ledger, report, evidence_id=identity, now=NOW, actor="job", source="monitor")

    def seal(self, ledger: Ledger, kind: EvidenceKind, body: dict, *, at=NOW) -> str:
        clean, notes = normalise(body)
        draft = Draft(
            kind=kind,
            system="credit",
            subject=Subject(type=SubjectType.SYSTEM, id="credit", run_id=uuid4().hex),
            event_time=at,
            body=clean,
            normalised=notes,
        )
        sealing = Sealing(
            draft=draft,
            version=1,
            supersedes=None,
            artifacts=(),
            actor="job",
            source="test",
            capture_time=NOW,
        )
        (entry,) = ledger.append([sealing])
        return entry.evidence.id

    def aims(self, *arguments: str, **variables: str) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name in list(os.environ):
                if name.startswith(("AIMS_", "MLFLOW_")):
                    patch.delenv(name)
            given = {"COLUMNS": "200", "AIMS_LEDGER_URI": self.uri, **variables}
            for name, value in given.items():
                patch.setenv(name, value)
            done = CliRunner().invoke(main, arguments, prog_name="aims")
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    def answer(self, *arguments: str, **variables: str):
        return json.loads(self.aims(*arguments, "--json", **variables).stdout)

    def findings(self, *, now: datetime = NOW) -> list[Finding]:
        profile = load_profile(self.folder / "governance")
        with Ledger.open(self.uri) as ledger:
            current = [entry.evidence for entry in ledger.entries(current=True)]
        return list(overview(profile, current, now=now).findings)


@pytest.fixture
def project(tmp_path: Path, blank_store: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def service() -> Iterator[tuple[str, list[str]]]:
    """A web hook: its Apprise URL, and the titles that it received."""
    titles: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            titles.append(json.loads(body)["title"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"json://127.0.0.1:{server.server_port}/s3cret", titles
    server.shutdown()
    server.server_close()


def channel(project: Project) -> None:
    text = "notify: [{name: oncall, url_env: AIMS_NOTIFY_ONCALL}]\n"
    (project.folder / "governance" / "aims.yaml").write_text(text, "utf-8")


def test_the_list_shows_what_is_not_closed(project):
    done = project.aims("incident", "list")
    assert (done.exit_code, done.stdout.strip()) == (0, "No incident is open.")
    project.monitor(FAIL)
    done = project.aims("incident", "list")
    assert done.exit_code == 0
    for part in (ID, "major", "open", "0.31 is above 0.1"):
        assert part in done.stdout
    (incident,) = project.answer("incident", "list")
    assert (incident["id"], incident["failing"]) == (ID, ["quality"])
    assert project.answer("incident", "list", "--system", "other") == []
    assert project.answer("incident", "list", "--state", "recovered") == []
    project.aims("incident", "close", ID, "--reason", "mended")
    assert project.answer("incident", "list") == []
    assert len(project.answer("incident", "list", "--state", "all")) == 1
    assert len(project.answer("incident", "list", "--state", "closed")) == 1


def test_an_incident_is_shown_with_its_whole_history(project):
    project.monitor(FAIL, days_ago=2)
    project.monitor(FAIL, days_ago=1)
    project.monitor(PASS)
    done = project.aims("incident", "note", ID, "a [bold]cause[/bold]", "--by", "grace")
    assert done.exit_code == 0, done.stderr
    done = project.aims("incident", "show", ID)
    assert done.exit_code == 0
    for part in (
        "recovered, major, data_quality",
        "2 windows, monitors: quality",
        "aims evidence show",
        "a [bold]cause[/bold]",
        "grace",
    ):
        assert part in done.stdout
    shown = project.answer("incident", "show", ID)
    whats = [event["what"] for event in shown["history"]]
    assert whats == ["opened", "extended", "recovered", "noted"]
    assert shown["notes"][0]["by"] == "grace"


def test_closing_needs_a_reason_and_says_that_the_threshold_still_fails(project):
    project.monitor(FAIL)
    assert project.aims("incident", "close", ID).exit_code == 2
    done = project.aims("incident", "close", ID, "--reason", " ")
    assert done.exit_code == 2
    assert "The reason is empty" in done.stderr
    done = project.aims("incident", "close", ID, "--reason", "accepted until May")
    assert done.exit_code == 0
    assert "still fails (quality)" in done.stdout
    done = project.aims("incident", "close", ID, "--reason", "again")
    assert (done.exit_code, "closed already" in done.stderr) == (2, True)


def test_an_unknown_incident_names_the_near_ones(project):
    project.monitor(FAIL)
    done = project.aims("incident", "show", "credit/max-mising#1")
    assert done.exit_code == 2
    assert f"Did you mean {ID}?" in done.stderr
    assert "error" in project.answer("incident", "show", "credit/max-mising#1")


def test_without_a_ledger_nothing_is_made(tmp_path, blank_store):
    project = Project.__new__(Project)
    project.folder, project.uri = tmp_path, f"sqlite:///{tmp_path / 'none.db'}"
    for words in (("list",), ("show", ID), ("note", ID, "x"), ("close", ID, "--reason", "x")):
        assert project.aims("incident", *words).exit_code == 2
    assert not (tmp_path / "none.db").exists()


def test_a_test_message_and_a_closed_incident_reach_the_channel(project, service):
    channel(project)
    url, titles = service
    done = project.aims("incident", "notify", "--test", "oncall", AIMS_NOTIFY_ONCALL=url)
    assert done.exit_code == 0, done.stderr
    assert "oncall: test: sent through json" in done.stdout
    project.monitor(FAIL)
    done = project.aims("incident", "notify", AIMS_NOTIFY_ONCALL=url)
    assert done.exit_code == 0, done.stderr
    assert (
        "Nothing is left to send."
        in project.aims("incident", "notify", AIMS_NOTIFY_ONCALL=url).stdout
    )
    project.aims("incident", "close", ID, "--reason", "mended", AIMS_NOTIFY_ONCALL=url)
    assert titles == [
        "Test of notifications of AI incidents",
        f"[major] {ID} opened",
        f"[major] {ID} closed",
    ]
    told = project.answer("incident", "show", ID)["notifications"]
    assert [(each["what"], each["state"]) for each in told] == [
        ("opened", "sent"),
        ("closed", "sent"),
    ]


def test_a_channel_that_fails_exits_1_is_a_finding_and_closes_nevertheless(project):
    channel(project)
    done = project.aims("incident", "notify", "--test", "oncall")
    assert done.exit_code == 1
    assert "AIMS_NOTIFY_ONCALL is not set" in done.stderr
    assert project.aims("incident", "notify", "--test", "other").exit_code == 2
    project.monitor(FAIL)
    assert project.aims("incident", "close", ID, "--reason", "mended").exit_code == 0
    done = project.aims("status")
    text = " ".join(done.stdout.split())
    assert f"nobody was told through 'oncall' of {ID} closed" in text
    assert "aims incident notify --test oncall" in text


def test_status_ranks_open_incidents_by_severity_with_who_and_since_when(project):
    project.monitor(FAIL, threshold="small", severity="minor")
    project.monitor(FAIL, threshold="large", severity="critical")
    project.monitor(FAIL, days_ago=1, threshold="mended")
    project.monitor(PASS, threshold="mended")
    found = [f for f in project.findings() if f.rule == "incident"]
    assert [(f.rank, f.severity) for f in found] == [
        (Rank.FAIL, Severity.CRITICAL),
        (Rank.FAIL, Severity.MINOR),
        (Rank.NOTE, Severity.MAJOR),
    ]
    since = f"{NOW:%Y-%m-%d %H:%M} UTC"
    assert f"critical incident credit/large#1 since {since}, Ada: 0.31" in found[0].message
    assert found[0].fix == "aims incident show 'credit/large#1'"
    assert "waits to be closed" in found[2].message
    project.aims("incident", "close", "credit/large#1", "--reason", "mended")
    assert len([f for f in project.findings() if f.rule == "incident"]) == 2


def test_only_the_newest_window_of_a_monitor_is_looked_at(project):
    project.monitor(INSUFFICIENT, days_ago=2)
    project.monitor(INSUFFICIENT, days_ago=1)
    found = [f for f in project.findings() if f.rank is Rank.INSUFFICIENT]
    assert len(found) == 1
    assert "9 rows are too few" in found[0].message
    project.monitor(PASS)
    assert [f for f in project.findings() if f.rank is Rank.INSUFFICIENT] == []


def test_a_monitor_that_fell_silent_is_a_gap(project):
    def silent(now: datetime = NOW) -> list[str]:
        return [f.message for f in project.findings(now=now) if f.rule == "silent-monitor"]

    assert silent() == [], "declared and never published: nobody knows since when"
    with Ledger.open(project.uri) as ledger:
        project.seal(ledger, EvidenceKind.MONITORING_CONFIG, {"monitors": []}, at=NOW)
    assert silent() == []
    assert silent(NOW + timedelta(days=3)) == [
        "monitor quality judged none of its last two windows: it never ran"
    ]
    project.monitor(PASS, days_ago=1)
    assert silent() == []
    assert len(silent(NOW + timedelta(days=2))) == 1
