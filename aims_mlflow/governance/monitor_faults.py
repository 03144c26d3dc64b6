"""What the keys of one declared monitor say against each other, looked for in the data as written.

A fault elsewhere in the file, or in another key of the same monitor, hides none of them.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.governance.durations import duration
from aims_mlflow.governance.placeholders import OF_MLFLOW, PLACEHOLDERS, parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LONGEST = timedelta(weeks=1)
#: Kinds that measure by themselves.
_MEASURING = ("drift", "quality", "bias", "performance", "operation")
_ASKED = re.compile(r"'\{(\w+)\}'")


class MonitorFault(NamedTuple):
    """What is wrong at `key` of a monitor; `word` is a name that none of `known` is."""

    key: str
    message: str
    word: str = ""
    known: tuple[str, ...] = ()


def monitor_faults(declared: Mapping[str, Any]) -> Iterator[MonitorFault]:
    """Every such fault of a monitor.

    Never raises: what has the wrong shape is passed over, because the model says that.

    >>> [fault.message for fault in monitor_faults({"kind": "operation"})]
    ["kind 'operation' needs the column 'latency' (in seconds), 'error' or both"]
    """
    yield from _of_kind(declared)
    if declared.get("labels") is not None and not declared.get("key"):
        yield MonitorFault(
            "labels", "'labels' needs the 'key': the columns that join labels with predictions"
        )
    yield from _of_time(declared)
    both = sorted(_texts(declared, "columns") & _texts(declared, "exclude"))
    if both:
        yield MonitorFault("exclude", f"'columns' and 'exclude' both name {', '.join(both)}")
    for key in ("current", "reference", "labels"):
        yield from _of_source(key, declared.get(key))


def _of_kind(declared: Mapping[str, Any]) -> Iterator[MonitorFault]:
    kind = declared.get("kind")
    if not isinstance(kind, str):
        return

    def named(key: str) -> bool:
        return declared.get(key) is not None

    if kind == "custom" and not named("use"):
        yield MonitorFault(
            "kind",
            "kind 'custom' needs 'use': the name of an entry point of the group "
            "aims_mlflow.monitors",
        )
    if kind in _MEASURING and named("use"):
        yield MonitorFault("use", f"'use' is for kind 'custom', not '{kind}'")
    if kind in ("bias", "performance") and not (named("target") and named("prediction")):
        yield MonitorFault("kind", f"kind '{kind}' needs the columns 'target' and 'prediction'")
    if kind == "operation" and not (named("latency") or named("error")):
        yield MonitorFault(
            "kind", "kind 'operation' needs the column 'latency' (in seconds), 'error' or both"
        )


def _of_time(declared: Mapping[str, Any]) -> Iterator[MonitorFault]:
    for key in ("timeout", "window"):
        text = declared.get(key)
        try:
            length = duration(text) if isinstance(text, str) else None
        except ValueError:
            continue
        if length is None:
            continue
        if not length:
            yield MonitorFault(key, f"'{key}' ({text}) leaves no time at all")
        if key == "timeout" and length > _LONGEST:
            yield MonitorFault(key, f"'timeout' ({text}) is longer than a week")


def _of_source(key: str, source: Any) -> Iterator[MonitorFault]:
    if not isinstance(source, str) or source.strip().startswith(OF_MLFLOW):
        return
    try:
        parts(source)
    except ValueError as error:
        asked = _ASKED.search(str(error))
        message = f"'{key}': {error}; write {{{{ and }}}} for braces that are meant"
        yield MonitorFault(key, message, asked[1] if asked else "", PLACEHOLDERS)


def _texts(declared: Mapping[str, Any], key: str) -> set[str]:
    given = declared.get(key)
    many = given if isinstance(given, list | tuple) else ()
    return {text.strip() for text in many if isinstance(text, str)}
