"""The ledger's tables, and what of an entry is repeated in columns for queries.

`header` and `body` are the exact canonical bytes that were hashed; they are never rebuilt from
the other columns. The migrations create these tables; a test holds both definitions together.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    select,
)

from aims_mlflow.evidence import SubjectType, digest, isoformat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import ColumnElement

    from aims_mlflow.evidence import Evidence

#: Alembic's own table, named so that the ledger can share a database with others.
VERSION_TABLE = "aims_alembic_version"
#: Every schema revision that this version of the package knows, oldest first.
REVISIONS = ("0001", "0002")
#: Values of one IN (...): far below what either database allows.
_VALUES = 500

metadata = MetaData()

#: One row for each entry. `lineage` is the SHA-256 of `Evidence.lineage`, because an index holds
#: no text of any length; times are RFC 3339 in UTC and sort as text.
entries = Table(
    "aims_entries",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", String(64), nullable=False),
    Column("header", LargeBinary, nullable=False),
    Column("body", LargeBinary),
    Column("leaf", LargeBinary, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("system", Text),
    Column("subject_type", String(32), nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("run_id", Text),
    Column("lineage", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("event_time", String(32), nullable=False),
    Column("receipt_time", String(32), nullable=False),
    Column("content_digest", String(64), nullable=False),
    UniqueConstraint("entry_id", name="aims_entries_entry_id"),
    UniqueConstraint("lineage", "version", name="aims_entries_lineage"),
    Index("aims_entries_kind", "kind"),
    Index("aims_entries_system", "system"),
    Index("aims_entries_run_id", "run_id"),
)

#: One row: the size of the tree, its root (hex) and its peaks (`CompactRange.to_bytes`).
head = Table(
    "aims_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("root", String(64), nullable=False),
    Column("peaks", LargeBinary, nullable=False),
    CheckConstraint("id = 0", name="aims_head_one_row"),
)

#: One row for each window of a monitor that a runner has taken up or let go by. It says who works
#: on what at the moment; that a window was judged or missed is also, and for good, in the log.
windows = Table(
    "aims_windows",
    metadata,
    Column("system", String(64), primary_key=True),
    Column("monitor", String(64), primary_key=True),
    Column("window_end", String(32), primary_key=True),
    Column("window_start", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("holder", Text),
    Column("token", String(32)),
    Column("expires_at", String(32)),
    Column("run_id", Text),
    Column("verdict", String(16)),
    Column("problem", Text),
)

#: The MLflow run that holds each series of a monitor's history. `store` is the SHA-256 of the
#: store's URI, `begins` the end of the window that its steps are counted from.
histories = Table(
    "aims_histories",
    metadata,
    Column("store", String(64), primary_key=True),
    Column("system", String(64), primary_key=True),
    Column("series", String(160), primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("begins", String(32), nullable=False),
)


def projection(evidence: Evidence) -> dict[str, Any]:
    """The query columns of an entry, by name; a pure function of its header."""
    subject = evidence.subject
    run_id = subject.run_id or (subject.id if subject.type is SubjectType.RUN else None)
    return {
        "entry_id": evidence.id,
        "kind": evidence.kind.value,
        "system": searchable(evidence.system),
        "subject_type": subject.type.value,
        "subject_id": searchable(subject.id),
        "run_id": searchable(run_id),
        "lineage": lineage_key(evidence.lineage),
        "version": evidence.version,
        "event_time": isoformat(evidence.event_time),
        "receipt_time": isoformat(evidence.receipt_time),
        "content_digest": evidence.content_digest,
    }


def lineage_key(lineage: str) -> str:
    """What the `lineage` column holds for an `Evidence.lineage`."""
    return digest(lineage.encode(errors="surrogatepass"))


def searchable(text: str | None) -> str | None:
    r"""A text as a column holds it: PostgreSQL has no NUL in text, the header keeps it.

    >>> searchable("a\x00b") == "a\N{REPLACEMENT CHARACTER}b"
    True
    """
    return None if text is None else text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def is_newest(size: int | None = None) -> ColumnElement[bool]:
    """Whether no later version stands in the ledger, or in its first `size` entries."""
    later = entries.alias("later")
    newer = select(later.c.seq).where(
        later.c.lineage == entries.c.lineage, later.c.version > entries.c.version
    )
    if size is not None:
        newer = newer.where(later.c.seq < size)
    return ~newer.exists()


def chunks(values: Iterable[str]) -> Iterator[list[str]]:
    """Values in lists that are short enough for one `IN (...)`."""
    stream = iter(values)
    while chunk := list(islice(stream, _VALUES)):
        yield chunk
