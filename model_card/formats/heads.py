"""What the heads of a card and of a report have in common."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from aims_mlflow.governance.metrics import METRICS
from aims_mlflow.model_card.formats.blocks import cell, verdict_chip
from aims_mlflow.model_card.formats.document import Cell, Figure
from aims_mlflow.model_card.formats.text import humanise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aims_mlflow.model_card.card import KeyFigure
    from aims_mlflow.model_card.formats.stamp import Stamp

#: What the verdict chip says beside it when no threshold was judged.
_NOTHING_JUDGED = "no threshold was judged"


def figure(found: KeyFigure) -> Figure:
    """A key figure: its value, and what it was measured on and held against."""
    held = f"limit {found.limit}" if found.limit else ""
    n = f"n={found.n:,}" if found.n is not None else ""
    by = f"by {found.feature}" if found.feature else ""
    note = " · ".join(text for text in (by, found.dataset, n, held) if text)
    chip = verdict_chip(found.verdict) if found.verdict else None
    name = label(found.metric)
    # Under a perturbation the value may be how far the metric fell, and no value of the metric.
    name = f"fall of {name}" if found.limit.startswith("fall") else name
    return Figure(name, _rounded(found.value), note, chip)


def _rounded(value: float | None) -> Cell:
    """Four digits are what a glance takes in; the exact value is kept beside them."""
    exact = cell(value, "value")
    if value is None or not math.isfinite(value) or abs(value) >= 10_000:
        return exact
    return replace(exact, text=f"{value:.4g}")


def label(metric: str) -> str:
    """A metric of this package as words; a name that a script chose stays as it is."""
    return humanise(metric) if metric in METRICS else metric


def system_name(system_id: str | None, name: str | None) -> str:
    """The AI system by its name and id."""
    if system_id is None:
        return "no AI system"
    return f"{name} ({system_id})" if name else system_id


def verdict_note(counts: Mapping[str, int]) -> str:
    """How many thresholds got which verdict."""
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or _NOTHING_JUDGED


def provenance(schema: str, stamp: Stamp) -> tuple[tuple[str, str], ...]:
    """What binds the document to the ledger."""
    return (
        ("Version", str(stamp.version)),
        ("Evidence id", stamp.evidence_id),
        ("Supersedes", stamp.supersedes or "nothing: this is the first version"),
        ("Schema", schema),
    )
