"""Windows that nobody judged, as evidence: a gap that says which, how many and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aims_mlflow import __version__
from aims_mlflow.drain import actor
from aims_mlflow.evidence import Draft, EvidenceKind, Subject, SubjectType, digest, normalise
from aims_mlflow.ledger.records import Sealing
from aims_mlflow.monitored import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from aims_mlflow.ledger.log import Ledger


@dataclass(frozen=True)
class MissedWindows:
    """Windows of one monitor that follow one another, at least one, and why they were missed."""

    system: str
    monitor: str
    windows: tuple[Window, ...]
    reason: str

    @property
    def span(self) -> Window:
        """From the beginning of the first to the end of the last."""
        return Window(start=self.windows[0].start, end=self.windows[-1].end)

    def draft(self) -> Draft:
        """The gap: it happened when the last of the windows ended."""
        where = f"{self.monitor}@{self.span.key}"
        body, notes = normalise(
            {
                "reason": f"monitor {where}: {self.reason}",
                "monitor": self.monitor,
                "window": self.span.model_dump(mode="json"),
                "windows": len(self.windows),
            }
        )
        return Draft(
            kind=EvidenceKind.GAP,
            system=self.system,
            subject=Subject(type=SubjectType.SYSTEM, id=f"{self.system}/{where}"),
            event_time=self.span.end,
            body=body,
            normalised=notes,
        )


def seal_missed(
    ledger: Ledger, missed: MissedWindows, mark: Callable[[Connection], None], *, source: str
) -> None:
    """Seal the gap and mark its windows, both or neither.

    Args:
        ledger: The ledger.
        missed: What was missed.
        mark: Marks the windows inside the ledger's transaction.
        source: What caused it.

    Raises:
        LeaseLostError: `mark` found another runner at work; nothing was written.
        LedgerError: The ledger cannot be written.
    """
    draft = missed.draft()
    previous = ledger.latest([draft.lineage]).get(draft.lineage)
    sealing = Sealing(
        draft=draft,
        version=previous.version + 1 if previous else 1,
        supersedes=previous.id if previous else None,
        artifacts=(),
        actor=actor(),
        source=f"aims-mlflow/{__version__} {source}",
        capture_time=datetime.now(UTC),
    )
    same = previous is not None and previous.body_sha256 == digest(draft.body_bytes())
    ledger.append([] if same else [sealing], within=mark)
