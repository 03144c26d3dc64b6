"""Notifications: tell people of incidents, once, through the services that they declared.

A delivery is `event_log` evidence: it is claimed before the message is sent, so that no second
process sends it again, and says afterwards whether it arrived. Only the name of a variable is
declared, and only the kind of service is recorded: the URLs of services hold secrets.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote

from pydantic import ValidationError

from aims_mlflow import __version__
from aims_mlflow.errors import LedgerConflictError, UsageError
from aims_mlflow.evidence import (
    Draft,
    EvidenceKind,
    Frozen,
    Subject,
    SubjectType,
    UtcDatetime,
    normalise,
)
from aims_mlflow.ledger.log import Sealing
from aims_mlflow.monitors.incident_records import IncidentState, change_of
from aims_mlflow.secrets import cleared

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aims_mlflow.evidence import Evidence
    from aims_mlflow.governance.organization import Channel, Organization
    from aims_mlflow.ledger.log import Ledger
    from aims_mlflow.monitors.incident_records import IncidentChange

#: What people are told of; each further breach is in the incident only.
TOLD = frozenset({"opened", "relapsed", "raised", "loosened", "recovered", "closed"})
#: Attempts for one message, the seconds after which no further one begins, and the seconds that
#: one of them may take.
ATTEMPTS, BEGIN_WITHIN, ONE_ATTEMPT = 3, 60.0, 20.0
#: After this time, a delivery that was begun and never ended is tried again.
_ABANDONED = timedelta(minutes=15)
#: How far back `outstanding` and `failures` look.
_RECENT = timedelta(days=7)
_TITLE, _BODY, _REASON = 150, 1_500, 300
#: What makes services call people: "@channel", "<!here>", "<@U123>".
_MENTION = re.compile(r"([<@])(?=[!#@\w])")
#: Apprise's logger belongs to the whole process.
_ONE_AT_A_TIME = threading.Lock()
_SCHEMA = "aims.notification/1"


class Delivery(Frozen):
    """One message to one channel: the body of its evidence.

    `service` is the kind of service, `slack` or `mailto`; empty where there is no usable URL.
    `problem` says why it did not arrive, without any part of the URL.
    """

    schema_version: Literal["aims.notification/1"] = "aims.notification/1"
    channel: str
    service: str
    state: Literal["sending", "sent", "failed"]
    what: str
    incident: str | None = None
    incident_version: int | None = None
    attempts: int = 0
    problem: str = ""
    when: UtcDatetime

    @property
    def sent(self) -> bool:
        """Whether the service took the message."""
        return self.state == "sent"


class _Message(NamedTuple):
    title: str
    body: str
    kind: Literal["info", "success", "warning", "failure"]


class _Sent(NamedTuple):
    service: str
    attempts: int
    problem: str


def notify(
    changes: Iterable[IncidentChange],
    organization: Organization,
    ledger: Ledger,
    *,
    actor: str,
    pause: float = 1.0,
) -> tuple[Delivery, ...]:
    """Tell each declared channel what it wants to know, unless the ledger says that it was told.

    A service that fails never raises: the delivery says so, and `aims status` lists it.

    Args:
        changes: What happened to incidents.
        organization: Declares the channels.
        ledger: Remembers what was sent.
        actor: Who or what notifies.
        pause: Seconds before the second attempt; each further one waits twice as long.

    Returns:
        What was sent or failed now.

    Raises:
        LedgerError: The ledger cannot be read or written.
    """
    done = []
    for change in changes:
        if change.what not in TOLD:
            continue
        for channel in organization.notify:
            if channel.wants(change.incident.severity, change.incident.system):
                record = _Record(ledger, _subject(change, channel), change.incident.system, actor)
                begun = record.begin(_delivery(change, channel))
                if begun is not None:
                    sent = _send(channel, _message(change), pause)
                    done.append(record.end(begun, sent))
    return tuple(done)


def outstanding(ledger: Ledger, *, now: datetime) -> tuple[IncidentChange, ...]:
    """What happened to incidents in the last seven days, oldest first: for `notify` to go through.

    It sends what failed, and what a process that was killed never sent; what was sent is not
    sent again.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    entries = ledger.entries(kind=EvidenceKind.INCIDENT_RECORD, newest_first=True)
    recent = takewhile(lambda e: now - e.evidence.receipt_time <= _RECENT, entries)
    changes = [change_of(entry.evidence) for entry in recent if entry.evidence.body is not None]
    return tuple(change for change in reversed(changes) if change.what in TOLD)


def send_test(
    name: str, organization: Organization, ledger: Ledger, *, actor: str, pause: float = 1.0
) -> Delivery:
    """Send a test to one channel, and record that it was tested.

    Raises:
        UsageError: No channel of this name is declared.
        LedgerError: The ledger cannot be written.
    """
    channel = next((each for each in organization.notify if each.name == name), None)
    if channel is None:
        known = ", ".join(each.name for each in organization.notify) or "none"
        raise UsageError(
            f"No channel '{name}' is declared.",
            f"Declared: {known}. Add it to governance/aims.yaml: "
            f"notify: [{{name: {name}, url_env: AIMS_NOTIFY}}]",
        )
    subject = Subject(type=SubjectType.ORGANIZATION, id=f"notify/{channel.name}")
    record = _Record(ledger, subject, None, actor)
    message = _Message(
        "Test of notifications of AI incidents",
        f"The channel '{channel.name}' works. {actor} sent this test; nothing happened.",
        "info",
    )
    begun = Delivery(channel=channel.name, service="", state="sending", what="test", when=_now())
    return record.end(begun, _send(channel, message, pause))


def delivery_of(item: Evidence) -> Delivery | None:
    """The delivery that an `event_log` item with its body holds; None where it holds no such."""
    if (item.body or {}).get("schema_version") != _SCHEMA:
        return None
    try:
        return Delivery.model_validate(item.body)
    except ValidationError:  # of a later version of this package: nothing that we could tell
        return None


def deliveries_of(evidence: Iterable[Evidence], incident: str) -> tuple[Delivery, ...]:
    """What became of each message on one incident, of evidence in its order."""
    newest: dict[str, Delivery] = {}
    for item in evidence:
        found = delivery_of(item)
        if found is not None and found.incident == incident:
            newest[item.subject.id] = found
    return tuple(newest.values())


def failures(evidence: Iterable[Evidence], *, now: datetime) -> tuple[Delivery, ...]:
    """Deliveries of the last seven days that failed, or were begun and never ended.

    Args:
        evidence: Current evidence with bodies; what is no delivery is passed over.
        now: The time.
    """
    found = (delivery_of(item) for item in evidence if item.kind is EvidenceKind.EVENT_LOG)
    recent = (each for each in found if each is not None and now - each.when <= _RECENT)
    return tuple(each for each in recent if _lost(each, now))


def _lost(delivery: Delivery, now: datetime) -> bool:
    return delivery.state == "failed" or (
        delivery.state == "sending" and now - delivery.when > _ABANDONED
    )


class _Record(NamedTuple):
    """The evidence of one delivery."""

    ledger: Ledger
    subject: Subject
    system: str | None
    actor: str

    def begin(self, delivery: Delivery) -> Delivery | None:
        """Claim the delivery; None where it was made, or another process makes it now."""
        newest = self._newest(delivery)
        known = delivery_of(newest) if newest else None
        if known is not None and not _lost(known, delivery.when):
            return None
        try:
            return delivery if self._seal(delivery, newest) else None
        except LedgerConflictError:
            return None

    def end(self, begun: Delivery, sent: _Sent) -> Delivery:
        """Record what became of it."""
        ended = begun.model_copy(
            update={
                "service": sent.service,
                "state": "failed" if sent.problem else "sent",
                "attempts": sent.attempts,
                "problem": sent.problem,
                "when": _now(),
            }
        )
        self._seal(ended, self._newest(ended))
        return ended

    def _newest(self, delivery: Delivery) -> Evidence | None:
        lineage = self._draft(delivery).lineage
        return self.ledger.latest([lineage]).get(lineage)

    def _seal(self, delivery: Delivery, newest: Evidence | None) -> bool:
        """Whether it is this process that sealed it."""
        sealing = Sealing(
            draft=self._draft(delivery),
            version=newest.version + 1 if newest else 1,
            supersedes=newest.id if newest else None,
            artifacts=(),
            actor=self.actor,
            source=f"aims-mlflow/{__version__} notify",
            capture_time=delivery.when,
        )
        return bool(self.ledger.append([sealing]))

    def _draft(self, delivery: Delivery) -> Draft:
        body, notes = normalise(delivery.model_dump(mode="json"))
        return Draft(
            kind=EvidenceKind.EVENT_LOG,
            system=self.system,
            subject=self.subject,
            event_time=delivery.when,
            body=body,
            normalised=notes,
        )


def _subject(change: IncidentChange, channel: Channel) -> Subject:
    identity = f"{change.incident.id}/v{change.version}/{channel.name}"
    return Subject(type=SubjectType.SYSTEM, id=identity)


def _delivery(change: IncidentChange, channel: Channel) -> Delivery:
    return Delivery(
        channel=channel.name,
        service="",
        state="sending",
        what=change.what,
        incident=change.incident.id,
        incident_version=change.version,
        when=_now(),
    )


def _message(change: IncidentChange) -> _Message:
    incident = change.incident
    last = incident.last
    value = "no value" if last.value is None else f"{last.value:.6g}"
    lines = [
        f"AI system: {incident.system}",
        f"Threshold: {incident.threshold_id}, limit {last.limit}, last breach {value}",
        f"Reason: {last.reason[:_REASON]}",
        f"Window: {last.window.start:%Y-%m-%d %H:%M} to {last.window.end:%Y-%m-%d %H:%M} UTC",
        f"Monitor: {last.monitor}; breaches: {incident.breaches}; state: {incident.state.value}",
        f"Model: {last.model_version}" if last.model_version else "",
        f"MLflow run: {last.run_id}" if last.run_id else "",
        f"{change.what} by {incident.event.by}: {incident.event.text[:_REASON]}",
        f"aims incident show '{incident.id}'",
    ]
    title = f"[{incident.severity.value}] {incident.id} {change.what}"
    kind: Literal["success", "warning", "failure"] = "failure"
    if incident.state is not IncidentState.OPEN:
        kind = "success" if change.what in ("recovered", "closed") else "warning"
    return _Message(
        _plain(title)[:_TITLE], "\n".join(_plain(line) for line in lines if line)[:_BODY], kind
    )


def _plain(text: str) -> str:
    """One line of text that holds no secret, calls nobody, and is nothing but text."""
    shown = "".join(c if c.isprintable() else " " for c in cleared(text)[0])
    return _MENTION.sub("\\1\N{ZERO WIDTH SPACE}", shown)


def _send(channel: Channel, message: _Message, pause: float) -> _Sent:
    import tenacity

    url = os.environ.get(channel.url_env, "").strip()
    if not url:
        return _Sent("", 0, f"{channel.url_env} is not set where the monitors run")
    service = _service(url)
    if not service:
        return _Sent("", 0, f"{channel.url_env} holds no URL of a service that Apprise knows")
    made = 0

    def attempt() -> str:
        nonlocal made
        made += 1
        return _attempt(url, message)

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(ATTEMPTS) | tenacity.stop_after_delay(BEGIN_WITHIN),
        wait=tenacity.wait_exponential(multiplier=pause, max=10),
        retry=tenacity.retry_if_result(bool),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else "",
    )
    problem = retrying(attempt)
    return _Sent(service, made, problem)


def _service(url: str) -> str:
    """The kind of service of an Apprise URL; empty where Apprise cannot use it."""
    import apprise

    with _quiet():
        made = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    scheme = url.partition("://")[0].lower()
    return scheme if made is not None and re.fullmatch(r"[a-z0-9+.-]{1,30}", scheme) else ""


def _attempt(url: str, message: _Message) -> str:
    """Send once; empty where the service took it, else what Apprise says of the failure."""
    import apprise

    asset = apprise.AppriseAsset(
        async_mode=False, storage_mode="memory", service_timeout=ONE_ATTEMPT
    )
    asset.app_id, asset.app_desc = "aims-mlflow", "AI incidents"
    client = apprise.Apprise(asset=asset)
    with _quiet():
        client.add(url)
        result = client.notify(
            title=message.title,
            body=message.body,
            notify_type=message.kind,
            body_format=apprise.NotifyFormat.TEXT,
            interpret_escapes=False,
        )
    if result:
        return ""
    said = "; ".join(dict.fromkeys(entry.message for entry in result.logs()))
    return _without(url, said)[:_REASON] or "the service did not take the message"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Apprise's messages out of the process's logs: some of them repeat the URL."""
    logger = logging.getLogger("apprise")
    nothing = logging.NullHandler()
    with _ONE_AT_A_TIME:
        before, logger.propagate = logger.propagate, False
        logger.addHandler(nothing)
        try:
            yield
        finally:
            logger.removeHandler(nothing)
            logger.propagate = before


def _without(url: str, text: str) -> str:
    """A text without any part of the URL: tokens stand in its host, its path and its query."""
    parts = re.split(r"[/:@?&=#,]+", url.partition("://")[2])
    for part in sorted({*parts, *map(unquote, parts)}, key=len, reverse=True):
        if len(part) > 2:
            text = text.replace(part, "[redacted]")
    return _plain(text)


def _now() -> datetime:
    return datetime.now(UTC)
