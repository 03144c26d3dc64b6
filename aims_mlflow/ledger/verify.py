"""Recompute the whole log from its bytes, and say what is not as it was sealed.

What this cannot show alone: entries cut from the end together with a rewritten head, and a log
that was rewritten from the start. A checkpoint kept elsewhere shows both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from aims_mlflow.errors import NormalisationError, UsageError
from aims_mlflow.evidence import Draft, Evidence, Frozen, digest, evidence_id, isoformat
from aims_mlflow.ledger.log import BATCH
from aims_mlflow.ledger.merkle import CompactRange, leaf_hash
from aims_mlflow.ledger.records import decode_body
from aims_mlflow.ledger.schema import entries as table
from aims_mlflow.ledger.schema import head as head_table
from aims_mlflow.ledger.schema import projection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from aims_mlflow.ledger.log import Ledger

_CHECKPOINT = re.compile(r"(0|[1-9][0-9]{0,18}):([0-9a-f]{64})")
#: Findings that are kept: a log that is wrong everywhere must not fill the memory.
_MOST = 1000


class Finding(Frozen):
    """One thing that is wrong or notable, and the entry where it stands, if it is one entry."""

    seq: int | None = None
    entry_id: str | None = None
    message: str


class VerifyReport(Frozen):
    """What was recomputed: entries read, the root over them (hex), and what is wrong.

    `problems` are in the order of the log, so that the first one is where to look; at most 1000
    are kept. `notes` are worth knowing and no proof of a change.
    """

    size: int
    root: str
    problems: tuple[Finding, ...]
    notes: tuple[Finding, ...] = ()


def verify(
    ledger: Ledger,
    checkpoint: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Recompute every hash, digest, column and link of the ledger.

    Memory does not grow with the ledger. Entries that are appended meanwhile are left for the
    next time.

    Args:
        ledger: The ledger.
        checkpoint: `SIZE:ROOT` (`Head.checkpoint`) that was kept elsewhere.
        progress: Called with the number of entries that are done and that there are.

    Raises:
        UsageError: The checkpoint is not of the form SIZE:ROOT.
        LedgerError: The ledger cannot be read.
    """
    held = None if checkpoint is None else _parse(checkpoint)
    with ledger.database.reading() as connection:
        head = connection.execute(select(head_table)).one_or_none()
        last = connection.scalar(select(func.max(table.c.seq)))
    total = 0 if last is None else int(last) + 1
    audit = _Audit(held)
    for batch in _batches(ledger, total):
        for row in batch:
            audit.entry(row)
        if progress is not None:
            progress(audit.expected, total)
    audit.end(head)
    return VerifyReport(
        size=audit.tree.size,
        root=audit.tree.root().hex(),
        problems=tuple(audit.problems),
        notes=tuple(audit.notes),
    )


class _Audit:
    """One pass over the log. `held` is a checkpoint's size and root."""

    def __init__(self, held: tuple[int, str] | None) -> None:
        self.held = held
        self.tree = CompactRange()
        self.expected = 0
        self.problems: list[Finding] = []
        self.notes: list[Finding] = []
        self._received: datetime | None = None
        self._hold()

    def entry(self, row: Row[Any]) -> None:
        if row.seq != self.expected:
            self._problem(f"missing from the log: {_span(self.expected, row.seq - 1)}")
        self.expected = row.seq + 1
        evidence = _parsed(row.header)
        for fault in _faults(row, evidence):
            self._problem(fault, row)
        if isinstance(row.header, bytes):
            self.tree.append(leaf_hash(row.header))
            self._hold()
        if evidence is not None:
            self._clock(row, evidence.receipt_time)

    def end(self, head: Row[Any] | None) -> None:
        """Hold what was recomputed against the head and the checkpoint."""
        size, root = self.tree.size, self.tree.root().hex()
        if head is None:
            self._problem("the head of the ledger is gone")
        elif head.size != size:
            self._problem(f"the head counts {head.size} entries, the log holds {size}")
        elif head.root != root:
            self._problem(f"the root over the entries is {root}, the head says {head.root}")
        elif head.peaks != self.tree.to_bytes():
            self._problem("the subtree hashes in the head are not those of the entries")
        if self.held and self.held[0] > size:
            self._problem(f"the checkpoint counts {self.held[0]} entries, the log holds {size}")

    def _hold(self) -> None:
        if self.held and self.held[0] == self.tree.size and self.held[1] != self.tree.root().hex():
            self._problem(
                f"the root over the first {self.tree.size} entries is {self.tree.root().hex()}, "
                f"the checkpoint says {self.held[1]}"
            )

    def _clock(self, row: Row[Any], received: datetime) -> None:
        if self._received is not None and received < self._received and len(self.notes) < _MOST:
            message = (
                f"received {isoformat(received)}, the entry before at "
                f"{isoformat(self._received)}: the clock was set back"
            )
            self.notes.append(Finding(seq=row.seq, entry_id=row.entry_id, message=message))
        self._received = received

    def _problem(self, message: str, row: Row[Any] | None = None) -> None:
        if len(self.problems) >= _MOST:
            return
        seq, identity = (None, None) if row is None else (row.seq, str(row.entry_id))
        self.problems.append(Finding(seq=seq, entry_id=identity, message=message))


def _parse(checkpoint: str) -> tuple[int, str]:
    match = _CHECKPOINT.fullmatch(checkpoint.strip())
    if match is None:
        raise UsageError(
            f"'{checkpoint}' is no checkpoint.",
            "A checkpoint is SIZE:ROOT, as `aims status` prints it: a number, a colon and 64 "
            "hexadecimal characters.",
        )
    return int(match[1]), match[2]


def _batches(ledger: Ledger, total: int) -> Iterator[list[Row[Any]]]:
    done = -1
    while True:
        with ledger.database.reading() as connection:
            rows = _rows(connection, done, total)
        if rows:
            yield rows
        if len(rows) < BATCH:
            return
        done = rows[-1].seq


def _rows(connection: Connection, after: int, total: int) -> list[Row[Any]]:
    """The next rows, each with the id and the place of the version before it."""
    before = table.alias("before")
    follows = (before.c.lineage == table.c.lineage) & (before.c.version == table.c.version - 1)
    query = (
        select(
            table,
            select(before.c.entry_id).where(follows).limit(1).scalar_subquery().label("before_id"),
            select(before.c.seq).where(follows).limit(1).scalar_subquery().label("before_seq"),
        )
        .where(table.c.seq > after, table.c.seq < total)
        .order_by(table.c.seq)
        .limit(BATCH)
    )
    return list(connection.execute(query))


def _parsed(header: object) -> Evidence | None:
    if not isinstance(header, bytes):
        return None
    try:
        return Evidence.model_validate_json(header)
    except ValueError:
        return None


def _faults(row: Row[Any], evidence: Evidence | None) -> Iterator[str]:
    if not isinstance(row.header, bytes) or row.leaf != leaf_hash(row.header):
        yield "its header is not what was hashed into the tree"
    if evidence is None:
        yield "its header is not evidence that this version of aims-mlflow can read"
        return
    if evidence.header_bytes() != row.header:
        yield "its header is not in canonical form"
    yield from _body_faults(row, evidence)
    if evidence.id != evidence_id(evidence.content_digest, evidence.supersedes):
        yield "its id is not that of its content and of the version before it"
    for column, value in projection(evidence).items():
        if getattr(row, column) != value:
            yield f"the column {column} says {getattr(row, column)!r}, the header {value!r}"
    yield from _chain_faults(row, evidence)


def _body_faults(row: Row[Any], evidence: Evidence) -> Iterator[str]:
    if row.body is None:
        yield "its body is missing"
        return
    if not isinstance(row.body, bytes) or digest(row.body) != evidence.body_sha256:
        yield "its body is not the one that was sealed"
        return
    if _content(row.body, evidence) != evidence.content_digest:
        yield "its content digest is not that of its content"


def _content(body: bytes, evidence: Evidence) -> str | None:
    try:
        draft = Draft(
            kind=evidence.kind,
            system=evidence.system,
            subject=evidence.subject,
            event_time=evidence.event_time,
            body=decode_body(body),
            normalised=evidence.normalised,
        )
        return draft.content_digest()
    except (ValueError, NormalisationError, RecursionError):
        return None


def _chain_faults(row: Row[Any], evidence: Evidence) -> Iterator[str]:
    if evidence.supersedes != row.before_id:
        yield (
            f"it supersedes {evidence.supersedes or 'nothing'}, version {evidence.version - 1} "
            f"in the log is {row.before_id or 'none'}"
        )
    elif row.before_seq is not None and row.before_seq > row.seq:
        yield f"the version before it stands later in the log, as entry {row.before_seq}"


def _span(first: int, last: int) -> str:
    return f"entry {first}" if first == last else f"entries {first} to {last}"
