"""What follows a sealed report, if its runner died in between: its incidents, its notifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from aims_mlflow.incidents import update
from aims_mlflow.monitored import EVIDENCE_KINDS, MonitoringReport
from aims_mlflow.notifications import notify, outstanding

if TYPE_CHECKING:
    from datetime import datetime

    from aims_mlflow.governance.monitoring import Monitor
    from aims_mlflow.governance.system import AISystem
    from aims_mlflow.ledger.log import Ledger
    from aims_mlflow.ledger.records import Entry
    from aims_mlflow.notifications import Delivery
    from aims_mlflow.workspace import Workspace

#: Entries of a kind that are looked at for the newest report of a monitor.
_LOOKED_AT = 500


def settle(
    ledger: Ledger, system: AISystem, monitor: Monitor, *, now: datetime, actor: str, source: str
) -> None:
    """Let the incidents of a monitor follow its sealed reports; changes nothing where they do.

    Raises:
        LedgerError: The ledger cannot be read or written.
    """
    entry = _newest(ledger, system.id, monitor)
    if entry is None:
        return
    try:
        report = MonitoringReport.model_validate(entry.evidence.body)
    except ValidationError:  # of another version of this package, which will have settled it
        return
    update(
        ledger,
        report,
        evidence_id=entry.evidence.id,
        now=now,
        actor=actor,
        source=source,
        rule=system.incidents,
    )


def tell(
    workspace: Workspace, ledger: Ledger, *, now: datetime, actor: str
) -> tuple[Delivery, ...]:
    """Send the notifications of the last days that were never sent.

    Raises:
        LedgerError: The ledger cannot be read or written.
    """
    changes = outstanding(ledger, now=now)
    return notify(changes, workspace.profile.organization, ledger, actor=actor)


def _newest(ledger: Ledger, system: str, monitor: Monitor) -> Entry | None:
    entries = ledger.entries(
        kind=EVIDENCE_KINDS[monitor.kind],
        system=system,
        current=True,
        newest_first=True,
        limit=_LOOKED_AT,
    )
    return next(
        (e for e in entries if (e.evidence.body or {}).get("monitor") == monitor.name), None
    )
