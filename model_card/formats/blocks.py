"""Any JSON value as blocks: scalars, pairs, lists and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from aims_mlflow.governance.metrics import METRICS
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
from aims_mlflow.model_card.formats.text import (
    NOT_RECORDED,
    humanise,
    is_number,
    shown,
    with_interval,
)
from aims_mlflow.readings import Verdict

#: Columns that are left out of a table when no row has anything in them.
_OPTIONAL = frozenset(
    {"note", "limit", "verdict", "excluded", "reason", "step", "feature", "interval"}
)
#: Names under which rows hold the interval of their "value".
_INTERVAL = ("interval", "interval_low", "interval_high")
_NO_BREAK = "\N{NO-BREAK SPACE}"
_UNDEFINED = Cell("undefined", muted=True)


def verdict_chip(verdict: str) -> Chip:
    """PASS, FAIL or INSUFFICIENT as a chip."""
    return Chip(verdict, verdict.lower())


def cell(value: Any, key: str = "", interval: Any = None, method: str = "") -> Cell:
    """One value of a table or of a list of pairs.

    Args:
        value: Any JSON value.
        key: The name under which it stands; `value` None reads "undefined" under "value".
        interval: Its confidence interval: (low, high), or a mapping with `low` and `high`.
        method: How the interval was computed.
    """
    bounds = _bounds(interval)
    if bounds and is_number(value) and math.isfinite(value):
        text, words = with_interval(float(value), *bounds)
        how = method or (str(interval.get("method", "")) if isinstance(interval, Mapping) else "")
        return Cell(text, exact=repr(float(value)), interval=words, method=how)
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
    if "value" in keys:
        keys = [key for key in keys if key not in _INTERVAL]
    return Table(
        caption=caption,
        columns=tuple(Column(humanise(key), _numeric(key, rows)) for key in keys),
        rows=tuple(tuple(_cell_of(row, key) for key in keys) for row in rows),
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
    values = [row.get(key) for row in rows if row.get(key) not in (None, "")]
    return bool(values) and all(is_number(value) for value in values)


def _cell_of(row: Mapping[str, Any], key: str) -> Cell:
    value = row.get(key)
    if value in ("", []) or (value is None and key in _OPTIONAL):
        return Cell("–", muted=True)
    if key == "limit":
        return Cell(shown(value).replace(" ", _NO_BREAK))
    if key == "metric" and value in METRICS:
        return Cell(humanise(value))
    if key != "value":
        return cell(value, key)
    low, high = row.get("interval_low"), row.get("interval_high")
    return cell(value, key, row.get("interval") or (low, high))


def _bounds(interval: Any) -> tuple[float, float] | None:
    """Both ends of an interval, where they are numbers; a body holds infinities as text."""
    found = interval
    if isinstance(interval, Mapping):
        found = [interval.get("low"), interval.get("high")]
    if not isinstance(found, list | tuple) or len(found) != 2 or not all(map(is_number, found)):
        return None
    low, high = float(found[0]), float(found[1])
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None
