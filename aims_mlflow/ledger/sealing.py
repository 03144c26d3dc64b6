"""Appending: one batch inside the writer's transaction, all of it or nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, insert, select, update

from aims_mlflow.errors import LedgerConflictError, LedgerError
from aims_mlflow.evidence import Evidence, digest, evidence_id
from aims_mlflow.ledger.merkle import CompactRange, leaf_hash
from aims_mlflow.ledger.records import VERIFY, Entry, Sealing
from aims_mlflow.ledger.schema import chunks, is_newest, lineage_key, projection
from aims_mlflow.ledger.schema import entries as table
from aims_mlflow.ledger.schema import head as head_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

#: (id, version) of the newest version of each lineage, by `lineage_key`.
_Newest = dict[str, tuple[str, int]]


class Prepared(NamedTuple):
    """A sealing with its digests and its body's canonical bytes."""

    item: Sealing
    identity: str
    content_digest: str
    body: bytes


def prepare(item: Sealing) -> Prepared:
    """Do what needs no database, so that the writers' lock is held for the rest only.

    Raises:
        NormalisationError: The draft is not canonical JSON.
    """
    content = item.draft.content_digest()
    identity = evidence_id(content, item.supersedes)
    return Prepared(item, identity, content, item.draft.body_bytes())


def seal(connection: Connection, items: Sequence[Prepared]) -> tuple[Entry, ...]:
    """Append what is new and move the head.

    Args:
        connection: The only writing transaction.
        items: What to seal.

    Returns:
        The new entries, in the order of the items.

    Raises:
        LedgerConflictError: An item does not follow the newest version of its lineage.
        LedgerError: The head does not fit the entries.
    """
    tree = _tree(connection)
    # Inside the lock, so that receipt times follow the order of the entries.
    sealed = _sealed(connection, items, datetime.now(UTC))
    if not sealed:
        return ()
    entries, rows = [], []
    for evidence, body in sealed:
        entries.append(Entry(seq=tree.size, evidence=evidence))
        rows.append(_row(tree.size, evidence, body))
        tree.append(rows[-1]["leaf"])
    connection.execute(insert(table), rows)
    head = {"size": tree.size, "root": tree.root().hex(), "peaks": tree.to_bytes()}
    connection.execute(update(head_table).values(head))
    return tuple(entries)


def _tree(connection: Connection) -> CompactRange:
    row = head_row(connection)
    last = connection.scalar(select(func.max(table.c.seq)))
    try:
        tree = CompactRange.from_bytes(row.size, row.peaks)
    except ValueError as error:
        raise LedgerError(f"The head of the ledger was changed: {error}.", VERIFY) from error
    if tree.root().hex() != row.root or tree.size != (0 if last is None else last + 1):
        raise LedgerError("The head of the ledger does not fit its entries.", VERIFY)
    return tree


def head_row(connection: Connection) -> Row[Any]:
    """The row of the head.

    Raises:
        LedgerError: It is gone.
    """
    row = connection.execute(select(head_table)).one_or_none()
    if row is None:
        raise LedgerError("The head of the ledger is gone.", VERIFY)
    return row


def _sealed(
    connection: Connection, items: Sequence[Prepared], receipt: datetime
) -> list[tuple[Evidence, bytes]]:
    known = _present(connection, [each.identity for each in items])
    newest = _newest(connection, [lineage_key(each.item.draft.lineage) for each in items])
    sealed = []
    for each in items:
        if each.identity in known:
            continue
        key = lineage_key(each.item.draft.lineage)
        _require_follows(each.item, newest.get(key))
        sealed.append((_evidence(each, receipt), each.body))
        known.add(each.identity)
        newest[key] = (each.identity, each.item.version)
    return sealed


def _require_follows(item: Sealing, newest: tuple[str, int] | None) -> None:
    identity, version = newest or (None, 0)
    if item.supersedes == identity and item.version == version + 1:
        return
    there = f"version {version} ({identity[:12]})" if identity else "no version"
    meant = f"version {item.version} after {item.supersedes[:12] if item.supersedes else 'none'}"
    subject = item.draft.subject
    raise LedgerConflictError(
        f"The ledger holds {there} of the {item.draft.kind} of {subject.type} '{subject.id}'; "
        f"{meant} does not follow it.",
        "Read the newest version again and seal on top of it.",
    )


def _evidence(prepared: Prepared, receipt: datetime) -> Evidence:
    item = prepared.item
    draft = item.draft
    return Evidence(
        id=prepared.identity,
        kind=draft.kind,
        system=draft.system,
        subject=draft.subject,
        version=item.version,
        supersedes=item.supersedes,
        event_time=draft.event_time,
        capture_time=item.capture_time,
        receipt_time=receipt,
        actor=item.actor,
        source=item.source,
        store=item.store,
        content_digest=prepared.content_digest,
        body_sha256=digest(prepared.body),
        artifacts=item.artifacts,
        normalised=draft.normalised,
        body=draft.body,
    )


def _row(seq: int, evidence: Evidence, body: bytes) -> dict[str, Any]:
    header = evidence.header_bytes()
    columns = {"seq": seq, "header": header, "body": body, "leaf": leaf_hash(header)}
    return columns | projection(evidence)


def _present(connection: Connection, identities: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for chunk in chunks(identities):
        query = select(table.c.entry_id).where(table.c.entry_id.in_(chunk))
        found.update(connection.scalars(query))
    return found


def _newest(connection: Connection, keys: Sequence[str]) -> _Newest:
    found: _Newest = {}
    columns = (table.c.lineage, table.c.entry_id, table.c.version)
    for chunk in chunks(keys):
        query = select(*columns).where(table.c.lineage.in_(chunk), is_newest())
        found |= {row.lineage: (row.entry_id, row.version) for row in connection.execute(query)}
    return found
