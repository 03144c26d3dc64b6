"""The placeholders of a source: the window in a path, a URL or a query."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from aims_mlflow.errors import MonitorError
from aims_mlflow.evidence import isoformat
from aims_mlflow.governance.placeholders import PLACEHOLDERS, parts
from aims_mlflow.monitors.source_failures import shown

if TYPE_CHECKING:
    from datetime import datetime

    from aims_mlflow.monitored import Window

#: Characters of a format such as `%Y/%m/%d`.
_MAX_FORMAT = 100
_ALLOWED = (
    f"Allowed are {', '.join(f'{{{name}}}' for name in PLACEHOLDERS[:-1])} and "
    f"{{{PLACEHOLDERS[-1]}}}, each also with a format such as "
    "{start:%Y/%m/%d}; write {{ and }} for braces that are meant."
)


def expand(template: str, window: Window, timezone: str = "UTC") -> str:
    """A source with the times of a window in it.

    `{date}` and `{hour}` (two digits) are of the window's start in `timezone`; `{start}` and
    `{end}` are RFC 3339 in UTC. With a format of `strftime` all of them are in `timezone`.

    Raises:
        MonitorError: Another placeholder, an attribute or an index of one, or no such format.

    >>> from datetime import UTC, datetime
    >>> from aims_mlflow.monitored import Window
    >>> start, end = datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC)
    >>> day = Window(start=start, end=end)
    >>> expand("s3://loans/dt={date}/{start:%H}.parquet", day)
    's3://loans/dt=2026-11-23/00.parquet'
    """
    try:
        found = parts(template)
    except ValueError as error:
        raise MonitorError(f"'{shown(template)}': {shown(str(error))}.", _ALLOWED) from None
    zone = ZoneInfo(timezone)
    start, end = window.start.astimezone(zone), window.end.astimezone(zone)
    written = []
    for literal, name, form in found:
        written.append(literal)
        if name is None:
            continue
        moment = end if name == "end" else start
        written.append(_formatted(moment, form, template) if form else _plain(name, moment))
    return "".join(written)


def _plain(name: str, moment: datetime) -> str:
    match name:
        case "date":
            return moment.strftime("%Y-%m-%d")
        case "hour":
            return moment.strftime("%H")
    return isoformat(moment)


def _formatted(moment: datetime, form: str, template: str) -> str:
    try:
        if "%" not in form or "{" in form or len(form) > _MAX_FORMAT:
            raise ValueError
        return moment.strftime(form)
    except ValueError:
        raise MonitorError(
            f"'{shown(template)}' has the format '{shown(form)}', which is none.", _ALLOWED
        ) from None
