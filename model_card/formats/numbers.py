"""Measured numbers of a monitor as cells: the value, and how far it may be off."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aims_mlflow.model_card.formats.document import Cell
from aims_mlflow.model_card.formats.text import is_number, shown

if TYPE_CHECKING:
    from aims_mlflow.readings import Judgement

#: Where a table has nothing to say.
NONE = Cell("–", muted=True)
_BOUND = "the largest amount by which the value can differ from that of the rows themselves"


def number(value: float | None, bound: float = 0) -> Cell:
    """A measured value in four digits, all of them beside it, and its error bound.

    Args:
        value: None reads "not measured".
        bound: By how much it may be off; 0 for an exact value.
    """
    if value is None:
        return Cell("not measured", muted=True)
    if not math.isfinite(value):
        return Cell(shown(value))
    told = f"± {bound:.2g}" if bound else ""
    return Cell(_text(value), exact=repr(float(value)), interval=told, method=told and _BOUND)


def off_by(judgement: Judgement) -> float | None:
    """How far the value of a judgement is beyond its limit; None where it is within.

    A limit is `min`, `max` or `max_change` of the threshold as it was declared.
    """
    value = judgement.value
    if value is None or not math.isfinite(value):
        return None
    least, most = (_limit(judgement, key) for key in ("min", "max"))
    change = _limit(judgement, "max_change")
    ends = [end for end in (most, change) if end is not None]
    beyond = [value - end for end in ends] + ([] if least is None else [least - value])
    found = max(beyond, default=0.0)
    return found if found > 0 else None


def _limit(judgement: Judgement, key: str) -> float | None:
    found: Any = judgement.declared.get(key)
    return float(found) if is_number(found) else None


def _text(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 1_000 else f"{value:.4g}"
