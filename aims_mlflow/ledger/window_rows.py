"""What the table of windows holds, as models."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from aims_mlflow.evidence import EvidenceKind, Frozen, UtcDatetime, isoformat
from aims_mlflow.ledger.schema import searchable
from aims_mlflow.monitored import Window

if TYPE_CHECKING:
    from sqlalchemy import Row

_MAX_TEXT = 2000


class WindowState(StrEnum):
    """What became of a window. `released` waits for its next attempt."""

    CLAIMED = "claimed"
    RELEASED = "released"
    DONE = "done"
    FAILED = "failed"
    MISSED = "missed"


@dataclass(frozen=True)
class Claim:
    """A lease on a window. `attempts` counts this one; the first is 1."""

    system: str
    monitor: str
    window: Window
    holder: str
    token: str
    lease: timedelta
    expires_at: datetime
    attempts: int


class WindowRow(Frozen):
    """A window as the table holds it, or as the log shows it where the row is missing.

    `expires_at` is when a claimed one may be taken over; `problem` is why the last attempt failed.
    """

    system: str
    monitor: str
    window: Window
    state: WindowState
    attempts: int = 0
    holder: str | None = None
    expires_at: UtcDatetime | None = None
    run_id: str | None = None
    verdict: str | None = None
    problem: str | None = None

    def is_open(self, now: datetime) -> bool:
        """Whether it waits for a runner: released, or claimed by one whose lease has expired."""
        if self.state is WindowState.CLAIMED:
            return self.expires_at is None or self.expires_at <= now
        return self.state is WindowState.RELEASED


def new_row(system: str, monitor: str, window: Window, state: WindowState) -> dict[str, Any]:
    """The columns of a window that nobody holds."""
    return {
        "system": system,
        "monitor": monitor,
        "window_end": window.key,
        "window_start": isoformat(window.start),
        "state": state.value,
        "attempts": 0,
    }


def row_of_claim(claim: Claim) -> dict[str, Any]:
    """The columns of a window that is held."""
    return new_row(claim.system, claim.monitor, claim.window, WindowState.CLAIMED) | {
        "attempts": claim.attempts,
        "holder": claim.holder,
        "token": claim.token,
        "expires_at": isoformat(claim.expires_at),
    }


def read_row(row: Row[Any]) -> WindowRow:
    """A row of the table."""
    return WindowRow(
        system=row.system,
        monitor=row.monitor,
        window=Window(start=_time(row.window_start), end=_time(row.window_end)),
        state=WindowState(row.state),
        attempts=row.attempts,
        holder=row.holder,
        expires_at=_time(row.expires_at) if row.expires_at else None,
        run_id=row.run_id,
        verdict=row.verdict,
        problem=row.problem,
    )


def from_log(system: str, monitor: str, row: Row[Any]) -> WindowRow | None:
    """A sealed report or gap as a row; None where it is of something else.

    A report of data that a person gave, or of which not all could be read, handles no window: to
    judge one once more is better than not to judge it.
    """
    body = json.loads(row.body) if row.body else {}
    if body.get("monitor") != monitor:
        return None
    try:
        window = Window.model_validate(body.get("window"))
    except ValueError:
        return None
    gap = row.kind == EvidenceKind.GAP.value
    if not gap and (body.get("given") or body.get("problems")):
        return None
    return WindowRow(
        system=system,
        monitor=monitor,
        window=window,
        state=WindowState.MISSED if gap else WindowState.DONE,
        run_id=None if gap else row.run_id,
        verdict=None if gap else str(body.get("verdict")),
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def bounded(text: str) -> str:
    """A text as the table holds it."""
    return (searchable(text) or "")[:_MAX_TEXT]
