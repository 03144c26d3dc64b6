"""Any JSON value as blocks, and the tables that deserve a form of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aims_mlflow.model_card.bounds import is_bounded
from aims_mlflow.model_card.formats.document import (
    Block,
    Cell,
    Chip,
    Column,
    Items,
    Pairs,
    Paragraph,
    Table,
)
from aims_mlflow.model_card.formats.text import NOT_RECORDED, humanise, is_number, shown
from aims_mlflow.readings import Verdict

#: Columns that are left out of a table when no row has anything in them.
_OPTIONAL = frozenset({"note", "limit", "verdict", "excluded", "reason", "step", "feature"})
_NO_BREAK = "\N{NO-BREAK SPACE}"
_UNDEFINED = Cell("undefined", muted=True)


def verdict_chip(verdict: str) -> Chip:
    """PASS, FAIL or INSUFFICIENT as a chip."""
    return Chip(verdict, verdict.lower())


def cell(value: Any, key: str = "") -> Cell:
    """One value of a table or of a list of pairs; `key` is the name under which it stands."""
    if key == "verdict" and value in list(Verdict):
        return Cell(str(value), chip=verdict_chip(str(value)))
    if value is None:
        return _UNDEFINED if key == "value" else Cell(NOT_RECORDED, muted=True)
    if isinstance(value, float):
        return Cell(shown(value), exact=repr(value))
    return Cell(shown(value))


def blocks(value: Any, caption: str, *, verbatim: bool = False) -> list[Block]:
    """A JSON value as blocks.

    Args:
        value: Scalars, lists and dicts; also what `bound_map` and `bound_list` return.
        caption: What the value is, for a reader who meets the table alone.
        verbatim: The keys are names that a user chose and are shown as they are.
    """
    if is_bounded(value):
        return _bounded(value, caption)
    if isinstance(value, Mapping):
        return _mapping(value, caption, verbatim)
    if isinstance(value, list | tuple):
        return _list(value, caption)
    return [Paragraph(shown(value))]


def table(rows: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Rows of the same kind as a table, columns in the order in which they first occur."""
    keys = [key for key in dict.fromkeys(k for row in rows for k in row) if _has(key, rows)]
    return Table(
        caption=caption,
        columns=tuple(Column(humanise(key), _numeric(key, rows)) for key in keys),
        rows=tuple(tuple(_cell_of(row, key) for key in keys) for row in rows),
    )


def group_table(found: Mapping[str, Any]) -> Table:
    """A `GroupTable` as a table: groups, n, metrics, and why a group was left out."""
    features, rows = list(found["features"]), found["rows"]
    metrics = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    heads = [*map(Column, features), Column("n", numeric=True)]
    heads += [Column(humanise(name), numeric=True) for name in metrics]
    muted = frozenset(index for index, row in enumerate(rows) if row["excluded"])
    return Table(
        caption=(
            f"{found['dataset']} by {' x '.join(features)}; groups below "
            f"{found['min_group_size']} rows are not compared"
        ),
        columns=(*heads, Column("compared")),
        rows=tuple(_group_row(row, features, metrics) for row in rows),
        muted=muted,
    )


def _group_row(
    row: Mapping[str, Any], features: Sequence[str], metrics: Sequence[str]
) -> tuple[Cell, ...]:
    compared = f"no: {row['excluded']}" if row["excluded"] else "yes"
    return (
        *(cell(row["group"].get(feature)) for feature in features),
        cell(row["n"]),
        *(cell(row["metrics"].get(name), "value") for name in metrics),
        Cell(compared),
    )


def _bounded(value: Mapping[str, Any], caption: str) -> list[Block]:
    entries, count = value["entries"], value["count"]
    found = blocks(entries, caption, verbatim=True)
    if len(entries) < count:
        note = f"{len(entries):,} of {count:,} are shown. SHA-256 over all: {value['sha256']}"
        found.append(Paragraph(note, muted=True))
    return found


def _mapping(value: Mapping[str, Any], caption: str, verbatim: bool) -> list[Block]:
    name = str if verbatim else humanise
    flat = {key: item for key, item in value.items() if not _is_nested(item)}
    found: list[Block] = []
    if flat:
        rows = tuple((name(str(key)), cell(item, str(key))) for key, item in flat.items())
        found.append(Pairs(caption, rows))
    for key, item in value.items():
        if _is_nested(item):
            found += blocks(item, name(str(key)))
    return found


def _list(value: Sequence[Any], caption: str) -> list[Block]:
    if value and all(isinstance(item, Mapping) for item in value):
        return [table(value, caption)]
    return [Items(caption, tuple(shown(item) for item in value))]


def _is_nested(value: Any) -> bool:
    if isinstance(value, Mapping):
        return is_bounded(value) or any(isinstance(v, Mapping | list) for v in value.values())
    return isinstance(value, list) and any(isinstance(item, Mapping) for item in value)


def _has(key: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    return key not in _OPTIONAL or any(row.get(key) not in (None, "", []) for row in rows)


def _numeric(key: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    values = [row.get(key) for row in rows if row.get(key) is not None]
    return bool(values) and all(is_number(value) for value in values)


def _cell_of(row: Mapping[str, Any], key: str) -> Cell:
    value = row.get(key)
    if value in ("", []) or (value is None and key in _OPTIONAL):
        return Cell("–", muted=True)
    if key == "limit":
        return Cell(shown(value).replace(" ", _NO_BREAK))
    return cell(value, key)
