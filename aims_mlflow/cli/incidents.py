"""`aims incident`: list, show, note and close incidents; test and repeat notifications."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table
from rich.text import Text

from aims_mlflow import incidents as flow
from aims_mlflow.cli.output import ago, err, out, print_json, text, with_json
from aims_mlflow.drain import actor
from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.incidents import Incident, IncidentState
from aims_mlflow.notifications import Delivery, deliveries_of, notify, outstanding, send_test
from aims_mlflow.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aims_mlflow.incidents import IncidentChange
    from aims_mlflow.ledger.log import Ledger

_STATES = [state.value for state in IncidentState]
_STYLES = {
    IncidentState.OPEN: "bold red",
    IncidentState.RECOVERED: "yellow",
    IncidentState.CLOSED: "dim",
}
_BY = click.option(
    "--by", help="The person, where the login is not theirs.  [default: the login]", metavar="NAME"
)


@click.group(
    epilog="Exit codes: 0 done; 1 a notification did not arrive; 2 it could not be done (no such "
    "incident, an empty reason, no ledger)."
)
def incident() -> None:
    """Incidents: breaches of thresholds, until a person closes them.

    An ID reads like credit-scoring/dp-sex#2; put it in quotes.
    """


@incident.command("list")
@click.option("--system", "system_id", help="One AI system only.")
@click.option(
    "--state",
    type=click.Choice([*_STATES, "all"]),
    help="One state only; by default all that are not closed.",
)
@with_json
def list_incidents(system_id: str | None, state: str | None, as_json: bool) -> None:
    """Incidents that are not closed, the newest first."""
    wanted = set(_STATES) if state == "all" else {state} if state else {"open", "recovered"}
    found = flow.incidents(Workspace().ledger(create=False), system_id)
    shown = [each for each in found if each.state.value in wanted]
    if as_json:
        print_json([_data(each) for each in shown])
        return
    if not shown:
        out.print("No incident." if state == "all" else "No incident is open.", style="green")
        return
    _print_list(shown)


def _print_list(shown: list[Incident]) -> None:
    now = datetime.now(UTC)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for head in ("incident", "severity", "state", "since", "breaches", "last breach"):
        table.add_column(head, no_wrap=head not in {"incident", "last breach"}, overflow="fold")
    for each in shown:
        table.add_row(
            text(each.id, "bold"),
            text(each.severity.value),
            text(each.state.value, _STYLES[each.state]),
            f"{ago(each.opened_at, now)} ago",
            str(each.breaches),
            text(each.last.reason),
        )
    out.print(table)


@incident.command("show")
@click.argument("incident_id", metavar="ID")
@with_json
def show(incident_id: str, as_json: bool) -> None:
    """One incident: what broke, and everything that happened since."""
    ledger = Workspace().ledger(create=False)
    versions = flow.history(ledger, incident_id)
    current = versions[-1].incident
    told = deliveries_of(
        (e.evidence for e in ledger.entries(kind=EvidenceKind.EVENT_LOG, system=current.system)),
        current.id,
    )
    if as_json:
        events = [
            {"version": v.version, "evidence_id": v.evidence_id, **v.incident.event.model_dump()}
            for v in versions
        ]
        print_json({**_data(current), "history": events, "notifications": _dumped(told)})
        return
    _print_incident(current)
    _print_history(versions)
    for each in told:
        _print_delivery(each)


def _print_incident(current: Incident) -> None:
    first, last = current.first, current.last
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    rows = {
        "incident": current.id,
        "state": f"{current.state.value}, {current.severity.value}, {current.type}",
        "threshold": f"{current.threshold_id}: limit {last.limit}",
        "first breach": f"{_window(first.window)}: {first.reason}",
        "last breach": f"{_window(last.window)}: {last.reason}",
        "breaches": f"{current.breaches} windows, monitors: {', '.join(sorted(current.watched))}",
        "still failing": ", ".join(current.failing) or "no",
        "model": last.model_version or "",
        "run": last.run_id or "",
        "report": f"aims evidence show {last.evidence_id[:12]}",
    }
    for name, value in rows.items():
        if value:
            table.add_row(text(name, "dim"), text(value))
    out.print(table)


def _window(window: Any) -> str:
    return f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"


def _print_history(versions: Iterable[IncidentChange]) -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for head in ("when", "what", "by", ""):
        table.add_column(head, no_wrap=head in {"when", "what"}, overflow="fold")
    for version in versions:
        event = version.incident.event
        moment = f"{event.when:%Y-%m-%d %H:%M}"
        table.add_row(moment, text(event.what), text(event.by), text(event.text))
    out.print(table)


@incident.command("note")
@click.argument("incident_id", metavar="ID")
@click.argument("words", metavar="TEXT")
@_BY
@with_json
def note(incident_id: str, words: str, by: str | None, as_json: bool) -> None:
    """Write on an incident: a cause, an action, a decision."""
    ledger = Workspace().ledger(create=False)
    _print_change(flow.note(ledger, incident_id, words, by or actor(), now=_now()), (), as_json)


@incident.command("close")
@click.argument("incident_id", metavar="ID")
@click.option("--reason", required=True, help="Why it can be closed.")
@_BY
@with_json
def close(incident_id: str, reason: str, by: str | None, as_json: bool) -> None:
    """Close an incident, with a reason.

    Where its threshold still fails, the next breach opens another incident.
    """
    workspace = Workspace()
    ledger = workspace.ledger(create=False)
    change = flow.close(ledger, incident_id, reason, by or actor(), now=_now())
    told = notify([change], workspace.profile.organization, ledger, actor=actor())
    _print_change(change, told, as_json)


def _print_change(change: IncidentChange, told: tuple[Delivery, ...], as_json: bool) -> None:
    current = change.incident
    if as_json:
        print_json({**_data(current), "notifications": _dumped(told)})
        return
    out.print(text(f"{current.id}: {change.what} by {current.event.by}, version {change.version}"))
    if change.what == "closed" and current.failing:
        line = f"Its threshold still fails ({', '.join(current.failing)}): the next breach opens "
        out.print(text(f"{line}another incident.", "yellow"))
    for each in told:
        _print_delivery(each)


@incident.command("notify")
@click.option("--test", "name", metavar="NAME", help="Send a test message to this channel.")
@with_json
def notify_people(name: str | None, as_json: bool) -> None:
    """Send what failed or was interrupted in the last seven days; or a test.

    Exit code 1 where a message did not arrive.
    """
    workspace = Workspace()
    organization = workspace.profile.organization
    done: tuple[Delivery, ...]
    if name is not None:
        done = (send_test(name, organization, workspace.ledger(), actor=actor()),)
    else:
        ledger: Ledger = workspace.ledger(create=False)
        done = notify(outstanding(ledger, now=_now()), organization, ledger, actor=actor())
    if as_json:
        print_json(_dumped(done))
    elif not done:
        out.print("Nothing is left to send.", style="green")
    else:
        for each in done:
            _print_delivery(each)
    sys.exit(0 if all(each.sent for each in done) else 1)


def _print_delivery(delivery: Delivery) -> None:
    about = f" {delivery.incident}" if delivery.incident else ""
    line = f"{delivery.channel}:{about} {delivery.what}: {delivery.state}"
    if delivery.service:
        line += f" through {delivery.service}"
    if delivery.sent:
        out.print(text(line, "dim"))
        return
    told = Text.assemble(text(line, "red"), text(f", {delivery.problem}" * bool(delivery.problem)))
    err.print(told)


def _data(current: Incident) -> dict[str, Any]:
    return {**current.body(), "failing": list(current.failing)}


def _dumped(told: Iterable[Delivery]) -> list[dict[str, Any]]:
    return [each.model_dump(mode="json") for each in told]


def _now() -> datetime:
    return datetime.now(UTC)
