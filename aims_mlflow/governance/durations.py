"""ISO 8601 durations whose length no calendar changes."""

from __future__ import annotations

import re
from datetime import timedelta

_DURATION = re.compile(
    r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.ASCII
)


def duration(text: str) -> timedelta:
    """An ISO 8601 duration of weeks, days, hours, minutes and seconds.

    Raises:
        ValueError: It is none, or longer than any calendar, or one of months or years, whose
            length depends on the calendar.

    >>> duration("P1DT12H").total_seconds() / 3600
    36.0
    """
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ValueError(
            f"'{text[:50]}' is not an ISO 8601 duration of weeks, days, hours, minutes or seconds, "
            "such as P7D or PT1H"
        )
    try:
        weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except (OverflowError, ValueError):
        # The latter is for a number of thousands of digits.
        raise ValueError(f"'{text[:50]}' is longer than any calendar") from None
