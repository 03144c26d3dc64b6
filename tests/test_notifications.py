"""Notifications: sent once to who is declared, retried, and visible where they fail."""

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aims_mlflow import notifications
from aims_mlflow.errors import UsageError
from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.governance.loader import load_profile
from aims_mlflow.governance.organization import Channel, Organization
from aims_mlflow.governance.thresholds import Severity, Threshold
from aims_mlflow.ledger.log import Ledger
from aims_mlflow.monitored import Window
from aims_mlflow.monitors.incident_records import (
    Incident,
    IncidentChange,
    IncidentEvent,
    IncidentState,
    Observation,
    Watched,
)
from aims_mlflow.notifications import delivery_of, failures, notify, send_test

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECRET = "tok3n-of-the-oncall-team"


class Service:
    """A real web hook: answers as it is told, in turn, the last answer for ever."""

    def __init__(self) -> None:
        self.answers = [200]
        self.received: list[dict] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.received.append({"path": self.path, **json.loads(body)})
                answers = service.answers
                self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_port}/{SECRET}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    running = Service()
    monkeypatch.setenv("AIMS_NOTIFY_ONCALL", running.url)
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'aims.db'}") as opened:
        yield opened


def declared(**channel) -> Organization:
    return Organization(notify=(Channel(name="oncall", url_env="AIMS_NOTIFY_ONCALL", **channel),))


def change(what="opened", *, version=1, severity="major", reason="0.31 is above 0.1"):
    end = NOW - timedelta(hours=6)
    window = Window(start=end - timedelta(days=1), end=end)
    seen = Observation(
        monitor="bias",
        window=window,
        value=0.31,
        limit="<= 0.1",
        reason=reason,
        run_id="r1",
        evidence_id="e" * 64,
        model_version="credit/3",
    )
    state = {"closed": IncidentState.CLOSED, "recovered": IncidentState.RECOVERED}
    incident = Incident(
        id="credit/dp-sex#1",
        system="credit",
        threshold_id="dp-sex",
        number=1,
        threshold=Threshold(id="dp-sex", custom_metric="m", monitor="bias", max=0.1).model_dump(
            mode="json"
        ),
        severity=Severity(severity),
        type="bias",
        state=state.get(what, IncidentState.OPEN),
        opened_at=NOW,
        last_breach=end,
        breaches=1,
        first=seen,
        last=seen,
        watched={"bias": Watched(since=end, seen=end, failing=True, counted=(end,))},
        event=IncidentEvent(what=what, when=NOW, by="job", text=reason),
    )
    return IncidentChange(what=what, incident=incident, evidence_id="a" * 64, version=version)


def sent(log, *changes, organization=None):
    return notify(changes, organization or declared(), log, actor="job", pause=0.01)


def everything(log: Ledger) -> str:
    return "".join(json.dumps(e.evidence.body) for e in log.entries())


def test_an_opened_incident_is_told_with_what_broke_and_where_to_look(log, service):
    (delivery,) = sent(log, change())
    assert (delivery.sent, delivery.service, delivery.attempts) == (True, "json", 1)
    (message,) = service.received
    assert message["title"] == "[major] credit/dp-sex#1 opened"
    assert message["type"] == "failure"
    for line in (
        "AI system: credit",
        "Threshold: dp-sex, limit <= 0.1, last breach 0.31",
        "Window: 2026-11-22 06:00 to 2026-11-23 06:00 UTC",
        "Model: credit/3",
        "MLflow run: r1",
        "aims incident show 'credit/dp-sex#1'",
    ):
        assert line in message["message"]


def test_what_was_told_is_not_told_again(ledger, service):
    sent(ledger, change())
    assert sent(ledger, change()) == ()
    assert len(service.received) == 1
    (entry,) = ledger.entries(kind=EvidenceKind.EVENT_LOG, current=True)
    assert delivery_of(entry.evidence).sent
    assert entry.evidence.system == "credit"
    assert SECRET not in everything(ledger)


def test_two_processes_at_once_send_one_message(ledger_uri, service):
    Ledger.open(ledger_uri).close()
    barrier = threading.Barrier(4)

    def work() -> None:
        with Ledger.open(ledger_uri) as own:
            barrier.wait(30)
            sent(own, change())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(service.received) == 1


@pytest.mark.parametrize("what", ["extended", "noted", "eased"])
def test_further_breaches_are_not_told(log, service, what):
    assert sent(log, change(what)) == ()
    assert service.received == []


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("relapsed", "failure"),
        ("raised", "failure"),
        ("recovered", "success"),
        ("closed", "success"),
    ],
)
def test_what_people_are_told_of(log, service, what, kind):
    (delivery,) = sent(log, change(what))
    assert delivery.sent
    assert service.received[0]["type"] == kind


def test_a_channel_gets_the_severities_and_systems_that_it_wants(log, service):
    assert sent(log, change(), organization=declared(severities=(Severity.CRITICAL,))) == ()
    assert sent(log, change(), organization=declared(systems=("other",))) == ()
    wanted = declared(severities=(Severity.MAJOR,), systems=("credit",))
    assert [each.sent for each in sent(log, change(), organization=wanted)] == [True]


def test_a_service_that_fails_twice_gets_the_third_attempt(log, service):
    service.answers = [500, 503, 200]
    (delivery,) = sent(log, change())
    assert (delivery.sent, delivery.attempts) == (True, 3)
    assert len(service.received) == 3


def test_a_service_that_refuses_is_recorded_and_can_be_tried_again(log, service):
    service.answers = [401]
    (delivery,) = sent(log, change())
    assert (delivery.state, delivery.attempts) == ("failed", 3)
    assert "401" in delivery.problem
    assert SECRET not in delivery.problem
    current = [e.evidence for e in log.entries(current=True)]
    assert [each.channel for each in failures(current, now=NOW)] == ["oncall"]
    service.answers = [200]
    (again,) = sent(log, change())
    assert again.sent
    assert failures((e.evidence for e in log.entries(current=True)), now=NOW) == ()


def test_a_dead_service_does_not_raise(log, monkeypatch, caplog):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("AIMS_NOTIFY_ONCALL", f"json://ada:{SECRET}@127.0.0.1:{port}/{SECRET}")
    (delivery,) = sent(log, change())
    assert (delivery.state, delivery.attempts) == ("failed", 3)
    assert delivery.problem
    assert SECRET not in everything(log) + caplog.text
    assert "127.0.0.1" not in everything(log)


def test_a_service_that_hangs_is_given_up(log, monkeypatch):
    monkeypatch.setattr(notifications, "ONE_ATTEMPT", 0.5)
    monkeypatch.setattr(notifications, "BEGIN_WITHIN", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("AIMS_NOTIFY_ONCALL", f"json://127.0.0.1:{port}/{SECRET}")
        (delivery,) = sent(log, change())
    assert (delivery.state, delivery.attempts) == ("failed", 1)


@pytest.mark.parametrize("url", ["", "nonsense", f"nosuch://{SECRET}", f"slack://{SECRET}"])
def test_a_channel_without_a_usable_url_is_a_failed_delivery(log, monkeypatch, url, caplog):
    monkeypatch.setenv("AIMS_NOTIFY_ONCALL", url)
    (delivery,) = sent(log, change())
    assert (delivery.state, delivery.attempts, delivery.service) == ("failed", 0, "")
    assert "AIMS_NOTIFY_ONCALL" in delivery.problem
    assert SECRET not in everything(log) + caplog.text


def test_one_channel_that_fails_does_not_keep_another_from_being_told(log, service):
    organization = Organization(
        notify=(
            Channel(name="broken", url_env="AIMS_NOTIFY_NOT_SET"),
            Channel(name="oncall", url_env="AIMS_NOTIFY_ONCALL"),
        )
    )
    told = sent(log, change(), organization=organization)
    assert [(each.channel, each.sent) for each in told] == [("broken", False), ("oncall", True)]


def test_a_delivery_that_a_killed_process_left_is_made_later(log, service, monkeypatch):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(notifications, "_send", killed)
        with pytest.raises(KeyboardInterrupt):
            sent(log, change())
    assert sent(log, change()) == (), "perhaps it is still being sent"
    later = datetime.now(UTC) + timedelta(minutes=20)
    assert len(failures((e.evidence for e in log.entries(current=True)), now=later)) == 1
    monkeypatch.setattr(notifications, "_now", lambda: later)
    assert [each.sent for each in sent(log, change())] == [True]


def test_hostile_words_call_nobody_and_stay_short(log, service):
    hostile = "@everyone <!channel> <@U1>\x1b[31m\npassword=hunter22 " + "x" * 5000
    sent(log, change(reason=hostile))
    (message,) = service.received
    text = message["message"]
    assert "@everyone" not in text
    assert "<!channel>" not in text
    assert "<@U1>" not in text
    assert "hunter22" not in text
    assert "\x1b" not in text
    assert len(text) <= 1500


def test_a_test_message_is_sent_and_recorded(log, service):
    delivery = send_test("oncall", declared(), log, actor="ada")
    assert delivery.sent
    assert "nothing happened" in service.received[0]["message"]
    (entry,) = log.entries(current=True)
    assert delivery_of(entry.evidence).what == "test"
    with pytest.raises(UsageError, match="No channel 'oncal'") as caught:
        send_test("oncal", declared(), log, actor="ada")
    assert "Declared: oncall." in caught.value.fix


def profile_problems(tmp_path: Path, text: str) -> str:
    folder = tmp_path / "governance"
    folder.mkdir()
    (folder / "aims.yaml").write_text(text, "utf-8")
    profile = load_profile(folder)
    return "\n".join(map(str, profile.problems))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{name: oncall, url: 'slack://s3cret'}", "unknown key 'url'. Did you mean 'url_env'?"),
        (
            "{name: oncall, url_env: 'slack://s3cret'}",
            "'url_env' holds a URL, and URLs",
        ),
        ("{name: oncall, url_env: 'a b'}", "not the name of an environment variable"),
        ("{name: oncall, url_env: A, severities: [grave]}", "'grave' is not allowed"),
        ("{name: oncall, url_env: A}, {name: oncall, url_env: B}", "are named oncall"),
        ("{name: oncall}", "'url_env' is missing"),
    ],
)
def test_a_declaration_that_cannot_work_is_told_without_the_secret(tmp_path, line, told):
    found = profile_problems(tmp_path, f"name: Bank\nnotify: [{line}]\n")
    assert told in found
    assert "governance/aims.yaml:2" in found
    assert "s3cret" not in found


def test_channels_are_declared_in_the_profile(tmp_path):
    folder = tmp_path / "governance"
    folder.mkdir()
    (folder / "aims.yaml").write_text(
        "notify:\n"
        "  - {name: oncall, url_env: AIMS_NOTIFY_ONCALL, severities: [major], systems: [credit]}\n"
    )
    profile = load_profile(folder)
    assert not profile.problems
    (channel,) = profile.organization.notify
    assert channel.wants(Severity.MAJOR, "credit")
    assert not channel.wants(Severity.MINOR, "credit")
