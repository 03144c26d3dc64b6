"""The ledger: an append-only log of evidence, each entry a leaf of one Merkle tree."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Self

from sqlalchemy import ColumnElement, select

from aims_mlflow.errors import LedgerError, UsageError
from aims_mlflow.evidence import Evidence, EvidenceKind
from aims_mlflow.ledger.database import Database
from aims_mlflow.ledger.merkle import inclusion_path, verify_inclusion
from aims_mlflow.ledger.records import VERIFY, Entry, Head, Sealing, read_entry
from aims_mlflow.ledger.schema import chunks, is_newest, lineage_key, searchable
from aims_mlflow.ledger.schema import entries as table
from aims_mlflow.ledger.sealing import head_row, prepare, seal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    from sqlalchemy import Connection

__all__ = ["Entry", "Head", "Ledger", "Sealing"]

#: Rows read at once: the memory that reading a ledger of any length takes.
BATCH = 200
_LEAVES_AT_ONCE = 10_000
_PREFIX = re.compile(r"[0-9a-f]{6,64}")
_SHOWN = 10


class Ledger:
    """An open ledger. Safe to use from several threads, and in a child after a fork."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def open(cls, uri: str) -> Ledger:
        """Open a ledger; create or migrate it first where that is needed.

        Args:
            uri: `sqlite:///path` or `postgresql://user:password@host/database`.

        Raises:
            LedgerSchemaError: A newer version of this package wrote it.
            LedgerError: It cannot be opened; says why.
        """
        return cls(Database(uri))

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def append(
        self,
        items: Sequence[Sealing],
        *,
        within: Callable[[Connection], None] | None = None,
    ) -> tuple[Entry, ...]:
        """Seal drafts, all in one transaction or none.

        Args:
            items: What to seal.
            within: Called in the same transaction, after the entries: what it raises undoes them.

        Returns:
            The new entries. What the ledger holds already, by its id, is left out.

        Raises:
            LedgerConflictError: The newest version of a lineage is not the one that the item
                supersedes. Nothing was written.
            NormalisationError: A draft is not canonical JSON. Nothing was written.
            LedgerError: The database cannot be written. Nothing was written.
        """
        prepared = [prepare(item) for item in items]
        with self.database.writing() as connection:
            entries = seal(connection, prepared)
            if within is not None:
                within(connection)
            return entries

    def latest(self, lineages: Iterable[str]) -> dict[str, Evidence]:
        """The newest version of each `Draft.lineage` that the ledger knows.

        Raises:
            LedgerError: The database cannot be read.
        """
        wanted = {lineage_key(lineage): lineage for lineage in lineages}
        found: dict[str, Evidence] = {}
        for keys in chunks(wanted):
            query = select(table).where(table.c.lineage.in_(keys), is_newest())
            with self.database.reading() as connection:
                rows = connection.execute(query).all()
            found |= {wanted[row.lineage]: read_entry(row).evidence for row in rows}
        return found

    def entries(
        self,
        *,
        kind: EvidenceKind | None = None,
        system: str | None = None,
        run_id: str | None = None,
        current: bool = False,
        after: int = -1,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Entry]:
        """Stream entries in their order; what is appended meanwhile is not seen.

        Args:
            kind: Only this kind.
            system: Only this AI system.
            run_id: Only what belongs to this MLflow run.
            current: Only the newest version of each lineage.
            after: Only entries whose `seq` is greater.
            limit: At most so many.
            newest_first: From the newest to the oldest.

        Raises:
            LedgerError: The database cannot be read, or an entry in it cannot.
        """
        size = self.head().size
        wanted = {"kind": kind, "system": searchable(system), "run_id": searchable(run_id)}
        where = [table.c[name] == value for name, value in wanted.items() if value is not None]
        where += [table.c.seq > after, table.c.seq < size]
        if current:
            where.append(is_newest(size))
        return islice(self._stream(where, newest_first), limit)

    def get(self, prefix: str) -> Entry:
        """The entry with this id, or whose id alone begins so.

        Args:
            prefix: At least 6 hexadecimal characters.

        Raises:
            UsageError: There is no such entry, or several; names them.
            LedgerError: The database cannot be read.
        """
        start = prefix.strip().lower()
        if not _PREFIX.fullmatch(start):
            raise UsageError(
                f"'{prefix}' is no evidence id.",
                "Give 6 to 64 of its hexadecimal characters, from the first.",
            )
        query = (
            select(table)
            .where(table.c.entry_id.between(start, start.ljust(64, "f")))
            .order_by(table.c.entry_id)
            .limit(_SHOWN)
        )
        with self.database.reading() as connection:
            rows = connection.execute(query).all()
        if len(rows) == 1:
            return read_entry(rows[0])
        if not rows:
            raise UsageError(
                f"There is no evidence whose id begins with '{start}'.",
                "`aims evidence list` shows what there is.",
            )
        candidates = ", ".join(f"{row.entry_id[: len(start) + 8]} ({row.kind})" for row in rows)
        raise UsageError(f"'{start}' begins several ids: {candidates}.", "Give more of the id.")

    def captured_runs(self, kinds: Sequence[EvidenceKind] = (EvidenceKind.RUN_RECORD,)) -> set[str]:
        """Ids of the MLflow runs that have evidence of one of these kinds; a run record if none.

        Raises:
            LedgerError: The database cannot be read.
        """
        query = select(table.c.run_id).where(table.c.kind.in_(kinds), table.c.run_id.is_not(None))
        with self.database.reading() as connection:
            return set(connection.scalars(query.distinct()))

    def head(self) -> Head:
        """The size and the root, as the last writer left them.

        Raises:
            LedgerError: The database cannot be read, or its head is gone.
        """
        with self.database.reading() as connection:
            row = head_row(connection)
        return Head(size=row.size, root=row.root)

    def inclusion_proof(self, seq: int) -> tuple[str, ...]:
        """The RFC 6962 inclusion proof of an entry for the current head, hex, bottom up.

        Raises:
            UsageError: There is no such entry.
            LedgerError: The database cannot be read, or no longer gives the root in its head.
        """
        head = self.head()
        if not 0 <= seq < head.size:
            raise UsageError(
                f"There is no entry {seq}.", f"The ledger holds {head.size}, counted from 0."
            )
        try:
            path = inclusion_path(self._leaves(head.size), seq, head.size)
            root = bytes.fromhex(head.root)
        except ValueError as error:
            raise LedgerError(f"{self.database.where}: {error}.", VERIFY) from error
        leaf = next(self._leaves(seq + 1, seq), b"")
        if not verify_inclusion(leaf, seq, head.size, path, root):
            raise LedgerError(f"{self.database.where}: entry {seq} is not under the root.", VERIFY)
        return tuple(node.hex() for node in path)

    def _stream(self, where: list[ColumnElement[bool]], newest_first: bool) -> Iterator[Entry]:
        order = table.c.seq.desc() if newest_first else table.c.seq
        further: list[ColumnElement[bool]] = []
        while True:
            query = select(table).where(*where, *further).order_by(order).limit(BATCH)
            # A transaction for each batch: nobody's slow loop keeps one open.
            with self.database.reading() as connection:
                rows = connection.execute(query).all()
            yield from map(read_entry, rows)
            if len(rows) < BATCH:
                return
            last = rows[-1].seq
            further = [table.c.seq < last if newest_first else table.c.seq > last]

    def _leaves(self, stop: int, start: int = 0) -> Iterator[bytes]:
        while start < stop:
            end = min(start + _LEAVES_AT_ONCE, stop)
            query = select(table.c.leaf).where(table.c.seq >= start, table.c.seq < end)
            with self.database.reading() as connection:
                leaves = connection.scalars(query.order_by(table.c.seq)).all()
            yield from leaves
            start = end
