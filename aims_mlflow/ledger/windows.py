"""Who works on which window of which monitor: leases, so that each window is judged once.

A lease is a row with a token. Whoever finishes the window must still hold the token inside the
transaction that seals the evidence, so a runner that was thought dead cannot seal it a second
time. The log stays the truth: a row that is missing is read from the sealed evidence.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import and_, delete, func, insert, or_, select, update

from aims_mlflow.errors import LeaseLostError
from aims_mlflow.evidence import MONITOR_REPORTS, EvidenceKind, isoformat
from aims_mlflow.ledger.schema import entries, is_newest, searchable
from aims_mlflow.ledger.schema import windows as table
from aims_mlflow.ledger.window_rows import (
    Claim,
    WindowRow,
    WindowState,
    bounded,
    from_log,
    new_row,
    read_row,
    row_of_claim,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement, Connection, CursorResult

    from aims_mlflow.ledger.database import Database
    from aims_mlflow.monitored import Window

__all__ = ["MAX_ATTEMPTS", "Claim", "WindowClaims", "WindowRow", "WindowState"]

#: Times that a window is tried before it is given up.
MAX_ATTEMPTS = 3
#: What shows that a window was handled: the report of it, or the gap that says that it was missed.
_HANDLED = (*MONITOR_REPORTS, EvidenceKind.GAP)


class WindowClaims:
    """The leases in the ledger's database; safe to use from several threads and processes.

    Every method that opens a transaction raises LedgerError where the database cannot be used.
    Times are the callers': where clocks differ, a lease may be taken over early, which costs the
    work of one of the two and never judges a window twice.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self,
        system: str,
        monitor: str,
        window: Window,
        *,
        holder: str,
        lease: timedelta,
        now: datetime,
    ) -> Claim | None:
        """Take a window up.

        Args:
            system: The AI system.
            monitor: The name of its monitor.
            window: The window.
            holder: Who works on it, for people to read.
            lease: How long it is held without `renew`.
            now: The present, aware.

        Returns:
            The lease; None where the window is done, missed or given up, or another holds it.
        """
        where = _is(system, monitor, window)
        with self._database.writing() as connection:
            row = connection.execute(select(table).where(where)).one_or_none()
            known = read_row(row) if row else _sealed(connection, system, monitor, window)
            if known is not None and not known.is_open(now):
                return None
            claim = Claim(
                system=system,
                monitor=monitor,
                window=window,
                holder=bounded(holder),
                token=uuid4().hex,
                lease=lease,
                expires_at=now + lease,
                attempts=(known.attempts if known else 0) + 1,
            )
            connection.execute(delete(table).where(where))
            connection.execute(insert(table).values(row_of_claim(claim)))
        return claim

    def renew(self, claim: Claim, *, now: datetime) -> Claim:
        """Hold a window for another `lease` from now on.

        Raises:
            LeaseLostError: Another runner took it over.
        """
        renewed = replace(claim, expires_at=now + claim.lease)
        with self._database.writing() as connection:
            _change(connection, claim, {"expires_at": isoformat(renewed.expires_at)})
        return renewed

    @staticmethod
    def finish(connection: Connection, claim: Claim, verdict: str, run_id: str | None) -> None:
        """Mark a window as judged, inside the transaction that seals its evidence.

        Raises:
            LeaseLostError: Another runner took it over: the transaction must be rolled back.
        """
        values = {"state": WindowState.DONE.value, "verdict": verdict, "run_id": run_id}
        _change(connection, claim, {**values, "problem": None})

    @staticmethod
    def judged(
        connection: Connection, system: str, monitor: str, window: Window, verdict: str, run_id: str
    ) -> None:
        """Mark a window as judged that a person had judged without a lease, inside that sealing.

        What a runner works on at the moment is left to it.
        """
        where = _is(system, monitor, window)
        state = connection.scalar(select(table.c.state).where(where))
        if state == WindowState.CLAIMED.value:
            return
        row = new_row(system, monitor, window, WindowState.DONE)
        connection.execute(delete(table).where(where))
        connection.execute(insert(table).values(row | {"verdict": verdict, "run_id": run_id}))

    @staticmethod
    def give_up(connection: Connection, claim: Claim, problem: str) -> None:
        """Mark a window as failed for good, inside the transaction that seals the gap.

        Raises:
            LeaseLostError: Another runner took it over: the transaction must be rolled back.
        """
        _change(connection, claim, {"state": WindowState.FAILED.value, "problem": bounded(problem)})

    @staticmethod
    def miss(connection: Connection, system: str, monitor: str, windows: Sequence[Window]) -> None:
        """Mark windows as missed, inside the transaction that seals the gap.

        Raises:
            LeaseLostError: A runner took one of them up: the transaction must be rolled back.
        """
        rows = [new_row(system, monitor, window, WindowState.MISSED) for window in windows]
        ends = [row["window_end"] for row in rows]
        taken = connection.scalar(
            select(func.count()).where(
                table.c.system == system,
                table.c.monitor == monitor,
                table.c.window_end.between(min(ends), max(ends)),
            )
        )
        if taken:
            raise LeaseLostError(
                f"A window of monitor '{monitor}' of '{system}' was taken up meanwhile.",
                "Look again at which windows are due.",
            )
        connection.execute(insert(table), rows)

    def fail(self, claim: Claim, problem: str, *, counted: bool = True) -> None:
        """Release a window, for another attempt at the next run.

        Args:
            claim: The lease.
            problem: Why this attempt failed.
            counted: Whether it was an attempt; not where the window was not to blame.

        Raises:
            LeaseLostError: Another runner took it over.
        """
        attempts = claim.attempts if counted else claim.attempts - 1
        values = {
            "state": WindowState.RELEASED.value,
            "problem": bounded(problem),
            "attempts": attempts,
        }
        with self._database.writing() as connection:
            _change(connection, claim, values)

    def latest(
        self,
        system: str,
        monitor: str,
        *,
        until: datetime,
        scheduled: Callable[[Window], bool],
    ) -> WindowRow | None:
        """The newest window that any runner has taken up or let go by, by its end.

        Args:
            system: The AI system.
            monitor: The name of its monitor.
            until: Only windows that end by then: those of a clock that once went ahead are left
                out.
            scheduled: Whether a window is one of the schedule. Where the table has no row, the
                log is asked, which also holds what people judged outside of the schedule.
        """
        mine = and_(table.c.system == system, table.c.monitor == monitor)
        query = select(table).where(mine, table.c.window_end <= isoformat(until))
        with self._database.reading() as connection:
            row = connection.execute(query.order_by(table.c.window_end.desc()).limit(1)).first()
            if row is not None:
                return read_row(row)
            newest = entries.c.event_time <= isoformat(until)
            with _handled(connection, system, newest) as found:
                known = (from_log(system, monitor, each) for each in found)
                return next((k for k in known if k and _counts(k, scheduled)), None)

    def open(self, system: str, monitor: str, *, now: datetime) -> tuple[WindowRow, ...]:
        """Windows that wait for another attempt, oldest first."""
        claimed, released = WindowState.CLAIMED.value, WindowState.RELEASED.value
        expired = and_(table.c.state == claimed, table.c.expires_at <= isoformat(now))
        return self._rows(
            table.c.system == system,
            table.c.monitor == monitor,
            or_(table.c.state == released, expired),
        )

    def rows(
        self,
        system: str | None = None,
        *,
        monitor: str | None = None,
        states: Sequence[WindowState] = tuple(WindowState),
        newest: int | None = None,
    ) -> tuple[WindowRow, ...]:
        """Rows by system, monitor and end.

        Args:
            system: Only this system.
            monitor: Only this monitor.
            states: Only these states.
            newest: At most so many, from the newest to the oldest.
        """
        wanted = {"system": system, "monitor": monitor}
        where = [table.c[name] == value for name, value in wanted.items() if value is not None]
        where.append(table.c.state.in_([state.value for state in states]))
        return self._rows(*where, newest=newest)

    def get(self, system: str, monitor: str, window: Window) -> WindowRow | None:
        """What became of a window; None where nobody took it up."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(table).where(_is(system, monitor, window))
            ).one_or_none()
            return read_row(row) if row else _sealed(connection, system, monitor, window)

    def _rows(
        self, *where: ColumnElement[bool], newest: int | None = None
    ) -> tuple[WindowRow, ...]:
        query = select(table).where(*where)
        if newest is None:
            query = query.order_by(table.c.system, table.c.monitor, table.c.window_end)
        else:
            query = query.order_by(table.c.window_end.desc()).limit(newest)
        with self._database.reading() as connection:
            return tuple(map(read_row, connection.execute(query)))


def _sealed(connection: Connection, system: str, monitor: str, window: Window) -> WindowRow | None:
    """A window from the log, where reports and gaps happened when their window ended."""
    with _handled(connection, system, entries.c.event_time == window.key) as found:
        known = (from_log(system, monitor, each) for each in found)
        return next((k for k in known if k is not None and k.window == window), None)


def _handled(connection: Connection, system: str, when: ColumnElement[bool]) -> CursorResult[Any]:
    """Reports and gaps of a system, newest first; streamed, as the first ones are enough."""
    query = select(entries.c.kind, entries.c.run_id, entries.c.body).where(
        entries.c.kind.in_(_HANDLED), entries.c.system == searchable(system), when, is_newest()
    )
    newest_first = query.order_by(entries.c.event_time.desc(), entries.c.seq.desc())
    return connection.execute(newest_first.execution_options(yield_per=50))


def _counts(row: WindowRow, scheduled: Callable[[Window], bool]) -> bool:
    # A gap may reach over many windows of the schedule.
    return row.state is WindowState.MISSED or scheduled(row.window)


def _is(system: str, monitor: str, window: Window) -> ColumnElement[bool]:
    return and_(
        table.c.system == system, table.c.monitor == monitor, table.c.window_end == window.key
    )


def _change(connection: Connection, claim: Claim, values: dict[str, Any]) -> None:
    """Change the row of a claim that still holds its window."""
    held = and_(
        _is(claim.system, claim.monitor, claim.window),
        table.c.token == claim.token,
        table.c.state == WindowState.CLAIMED.value,
    )
    if connection.execute(update(table).where(held).values(values)).rowcount != 1:
        raise LeaseLostError(
            f"Another runner took over the window of monitor '{claim.monitor}' of "
            f"'{claim.system}' that ends at {claim.window.key}.",
            "Nothing is to be done: what this runner measured was not sealed.",
        )
