"""Bounds: what a run may be as large as it likes, a document may not.

Texts and collections that come from a run are cut at a fixed size. What was cut says so, with its
full length and a SHA-256 over all of it, so that nothing disappears silently and the whole can
still be held against the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

from pydantic import BaseModel

from aims_mlflow.evidence import canonical_bytes, digest, isoformat, normalise

#: Characters of one text that a document keeps.
MAX_TEXT = 500
#: Entries of one map or list that a document keeps.
MAX_ENTRIES = 1_000
_BOUNDED_KEYS = {"count", "sha256", "entries"}


def cut_text(text: str) -> str:
    """The text itself, or its first 500 characters with its length and its SHA-256.

    >>> cut_text("short")
    'short'
    >>> cut_text("x" * 501)[500:524]
    '… (cut: 501 characters, '
    """
    if len(text) <= MAX_TEXT:
        return text
    seal = digest(text.encode("utf-8", "surrogatepass"))
    return f"{text[:MAX_TEXT]}… (cut: {len(text)} characters, SHA-256 {seal})"


def cut_texts(value: Any) -> Any:
    """`value` with every text in it cut, keys included; collections keep their length."""
    match value:
        case str():
            return cut_text(value)
        case Mapping():
            return {cut_text(str(key)): cut_texts(item) for key, item in value.items()}
        case list() | tuple():
            return [cut_texts(item) for item in value]
    return value


def bound_map(values: Mapping[str, Any]) -> dict[str, Any]:
    """The first 1,000 entries by name, the number of all, and a SHA-256 over all.

    Returns:
        `count` and `sha256` (of the RFC 8785 bytes) speak of the whole map, `entries` holds what
        is kept, with long texts cut.
    """
    kept = {name: values[name] for name in sorted(values)[:MAX_ENTRIES]}
    return {"count": len(values), "sha256": _seal(dict(values)), "entries": cut_texts(kept)}


def bound_list(values: Sequence[Any]) -> dict[str, Any]:
    """The first 1,000 items in their order, the number of all, and a SHA-256 over all."""
    kept = cut_texts(list(values[:MAX_ENTRIES]))
    return {"count": len(values), "sha256": _seal(list(values)), "entries": kept}


def is_bounded(value: object) -> bool:
    """Whether `value` is what `bound_map` or `bound_list` returned, or has that very form."""
    return (
        isinstance(value, dict)
        and value.keys() == _BOUNDED_KEYS
        and isinstance(value["count"], int)
        and isinstance(value["entries"], dict | list)
    )


def plain(value: Any) -> Any:
    """Models, enums, tuples and times as dicts, lists and texts.

    NaN and infinities stay, so that `aims_mlflow.evidence.normalise` can note them.
    """
    match value:
        case BaseModel():
            return {
                name: plain(getattr(value, name))
                for name in type(value).model_fields
                if not type(value).model_fields[name].exclude
            }
        case Enum():
            return value.value
        case datetime():
            return isoformat(value)
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    return value


def _seal(value: Any) -> str:
    return digest(canonical_bytes(normalise(value)[0]))
