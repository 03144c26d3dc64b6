"""Values as text: the same number reads the same in every format, and no character hides."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

#: Controls but tab and newline, marks that reorder or hide text, and lone surrogates.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    "\ud800-\udfff]"
)
#: Numbers that need more decimals than this are written with an exponent.
_MAX_DECIMALS = 6
NOT_RECORDED = "not recorded"


def visible(text: str) -> str:
    r"""The text with controls and direction marks as visible escapes.

    >>> visible("abc\u202edef")
    'abc\\u202edef'
    """
    if text.isascii() and text.isprintable():
        return text
    plain = text.replace("\r\n", "\n")
    return _INVISIBLE.sub(lambda match: f"\\u{ord(match[0]):04x}", plain)


def shown(value: Any) -> str:
    """A value in a line of text. Floats have six significant digits; JSON has all of them.

    >>> shown(0.123456789), shown(48842), shown(True), shown(None), shown(["a", 1])
    ('0.123457', '48,842', 'yes', 'not recorded', 'a, 1')
    """
    match value:
        case None:
            return NOT_RECORDED
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.6g}" if math.isfinite(value) else _not_finite(value)
        case Mapping():
            return "; ".join(f"{key}: {shown(item)}" for key, item in value.items())
        case list() | tuple():
            return ", ".join(shown(item) for item in value) or "none"
    return str(value)


def with_interval(value: float, low: float, high: float) -> tuple[str, str]:
    """A value and its interval, with no more digits than the width of the interval supports.

    A value that is small beside its interval keeps two digits of its own.

    >>> with_interval(0.872654, 0.8611, 0.8838)
    ('0.873', '0.861 to 0.884')
    >>> with_interval(48842.5, 48120.0, 49600.0)
    ('48,842', '48,120 to 49,600')
    >>> with_interval(0.1551, 0.0, 17.0)
    ('0.16', '0.00 to 17.00')
    """
    digits = _decimals(high - low)
    if digits is not None and value:
        digits = max(digits, _decimals(abs(value)) or 0)
    if digits is None:
        return shown(value), f"{low:.4g} to {high:.4g}"
    return f"{value:,.{digits}f}", f"{low:,.{digits}f} to {high:,.{digits}f}"


def _decimals(width: float) -> int | None:
    """Decimals that show a number with two digits; None where fixed decimals do not suit it."""
    if not math.isfinite(width) or width <= 0:
        return None
    digits = 1 - math.floor(math.log10(width))
    return max(digits, 0) if digits <= _MAX_DECIMALS else None


def is_number(value: object) -> bool:
    """Whether a value is a number to align and to compare."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def humanise(key: str) -> str:
    """A key of this package as words.

    >>> humanise("lock_sha256")
    'lock sha256'
    """
    return key.replace("_", " ")


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
