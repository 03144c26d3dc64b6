"""The placeholders that a source of a monitor may have: which part of a window each stands for."""

from __future__ import annotations

from string import Formatter
from typing import NamedTuple

#: What stands for the window in a source.
PLACEHOLDERS = ("date", "hour", "start", "end")
#: Beginnings of references that MLflow resolves: nothing in them is a placeholder.
OF_MLFLOW = ("runs:/", "models:/")


class Part(NamedTuple):
    """Literal text, and the placeholder after it with its format; `name` is None for none."""

    literal: str
    name: str | None
    form: str


def parts(template: str) -> tuple[Part, ...]:
    """The parts of a source, in their order.

    Raises:
        ValueError: A brace is alone, or a placeholder is none of `PLACEHOLDERS`; the message is
            about the placeholder alone, not the source.

    >>> [part.name for part in parts("dt={date}/{start:%H}")]
    ['date', 'start']
    """
    found = []
    for literal, name, form, conversion in Formatter().parse(template):
        if name is not None and (name not in PLACEHOLDERS or conversion):
            asked = f"{name}!{conversion}" if conversion else name
            raise ValueError(f"the placeholder '{{{asked[:100]}}}' does not exist")
        found.append(Part(literal, name, form or ""))
    return tuple(found)


def names(template: str) -> frozenset[str]:
    """The placeholders of a source.

    Raises:
        ValueError: As `parts`.
    """
    return frozenset(part.name for part in parts(template) if part.name is not None)
