"""Monitors of others: an entry point of the group `aims_mlflow.monitors`, and how it is called.

    [project.entry-points."aims_mlflow.monitors"]
    pii-share = "aims_pii_share:PiiShare"

A monitor of `kind: custom` names the entry point under `use`, and hands it its `options`. What it
measures is judged by thresholds with `custom_metric` and `monitor`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from itertools import islice
from traceback import format_exception_only
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pydantic import ValidationError

from aims_mlflow.errors import MonitorError
from aims_mlflow.governance.monitor_notes import GROUP
from aims_mlflow.monitored import MonitorReading
from aims_mlflow.monitors.verdicts import near
from aims_mlflow.secrets import cleared

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint

    from narwhals import LazyFrame

    from aims_mlflow.monitored import Window

#: Readings that one monitor may give; more is a mistake, or a row for each reading.
MAX_READINGS = 10_000
#: Characters of a text of a reading, and of an error that a monitor raised.
MAX_TEXT = 500
_INSTALL = (
    "Install the package that has it into the environment that runs the monitors; it needs an "
    f"entry point of the group {GROUP}."
)


@dataclass(frozen=True)
class MonitorContext:
    """What a custom monitor is given.

    `current` and `reference` are lazy frames of Narwhals, whatever the engine, or None where the
    monitor declares no such source. `options` are those of the monitor's declaration, unchecked.
    """

    system: str
    window: Window
    options: Mapping[str, Any] = field(default_factory=dict)
    current: LazyFrame[Any] | None = None
    reference: LazyFrame[Any] | None = None


@runtime_checkable
class CustomMonitor(Protocol):
    """What an entry point of the group leads to: an object like this, or a class of them."""

    def measure(self, context: MonitorContext) -> Iterable[MonitorReading]:
        """Measure the data of a window.

        Returns:
            Readings with names of metrics of its own. What cannot be measured is a reading with
            the value None and the reason. Nothing in them may be a raw row.
        """
        ...


def load(name: str) -> CustomMonitor:
    """The installed monitor of this name.

    Raises:
        MonitorError: None or more than one is installed under this name, or it cannot be imported
            or made.
    """
    found = {point.value: point for point in entry_points(group=GROUP) if point.name == name}
    if not found:
        raise _unknown(name)
    if len(found) > 1:
        sources = " and ".join(sorted(map(_distribution, found.values())))
        raise MonitorError(
            f"the custom monitor '{name}' is installed twice: by {sources}", "Remove one of them."
        )
    (point,) = found.values()
    try:
        loaded = point.load()
        monitor = loaded() if isinstance(loaded, type) else loaded
    except (Exception, SystemExit) as error:
        message = f"the custom monitor '{name}' ({point.value}) cannot be loaded: {_told(error)}"
        raise MonitorError(message, "Mend or reinstall the package that has it.") from error
    if not isinstance(monitor, CustomMonitor):
        message = f"the custom monitor '{name}' ({point.value}) has no method 'measure(context)'"
        raise MonitorError(message, "See examples/custom_monitor.")
    return monitor


def measure_custom(
    name: str, monitor: CustomMonitor, context: MonitorContext
) -> tuple[MonitorReading, ...]:
    """What the monitor measures, checked.

    A value that is no finite number becomes a reading without a value; overlong texts are cut and
    secrets in them masked.

    Args:
        name: Of the monitor, for errors.
        monitor: As `load` gives it.
        context: What it is given.

    Raises:
        MonitorError: It raised, or gave something else than readings, too many of them, or two of
            the same key.
    """
    own = replace(context, options=deepcopy(dict(context.options)))
    try:
        given = monitor.measure(own)
        several = isinstance(given, Iterable) and not isinstance(given, MonitorReading)
        readings = list(islice(given, MAX_READINGS + 1)) if several else None
    except (Exception, SystemExit) as error:
        message = f"the custom monitor '{name}' raised {_told(error)}"
        fix = "Its data or options may be wrong, or the monitor is."
        raise MonitorError(message, fix) from error
    if readings is None:
        raise _nonsense(name, f"gave {_a(given)} instead of several readings")
    if len(readings) > MAX_READINGS:
        raise _nonsense(name, f"gave more than {MAX_READINGS} readings")
    checked = tuple(_checked(name, reading) for reading in readings)
    keys: set[str] = set()
    for reading in checked:
        if reading.key in keys:
            raise _nonsense(name, f"gave two readings of '{reading.key}'")
        keys.add(reading.key)
    return checked


def _checked(name: str, reading: object) -> MonitorReading:
    if not isinstance(reading, MonitorReading):
        raise _nonsense(name, f"gave {_a(reading)} among its readings")
    try:
        given = MonitorReading.model_validate(dict(reading)).model_dump()
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise _nonsense(name, f"gave a reading whose '{where}' is wrong: {fault['msg']}") from error
    if not given["metric"].strip():
        raise _nonsense(name, "gave a reading without the name of its metric")
    kept: dict[str, Any] = {
        key: _text(value) if isinstance(value, str) else value for key, value in given.items()
    }
    kept["excluded"] = tuple(map(_text, given["excluded"][:MAX_READINGS]))
    if kept["value"] is not None and not math.isfinite(kept["value"]):
        kept["reason"] = f"{kept['value']} was measured, which is no number"
        kept["value"] = None
    return MonitorReading(**kept)


def _unknown(name: str) -> MonitorError:
    installed = sorted({point.name for point in entry_points(group=GROUP)})
    known = f"installed: {', '.join(installed)}" if installed else "none is installed"
    return MonitorError(
        f"there is no custom monitor '{name}' ({known}){near(name, installed)}", _INSTALL
    )


def _nonsense(name: str, what: str) -> MonitorError:
    return MonitorError(
        f"the custom monitor '{name}' {what}",
        "Its 'measure' is to return aims_mlflow.monitored.MonitorReading, one for each metric.",
    )


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _a(value: object) -> str:
    name = type(value).__name__
    return "nothing" if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _told(error: BaseException) -> str:
    # Also of an error whose own text raises.
    return _text(" ".join("".join(format_exception_only(error)).split()))


def _text(text: str) -> str:
    plain = cleared(text)[0]
    return plain if len(plain) <= MAX_TEXT else f"{plain[:MAX_TEXT]}…"
