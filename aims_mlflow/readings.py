"""Readings and verdicts: what a measurement is, before anyone renders it.

A *reading* is one measured value; a *judgement* holds a reading against a declared threshold and
says PASS, FAIL or INSUFFICIENT. INSUFFICIENT means that nothing was proven either way, and never
counts as a pass.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from aims_mlflow.evidence import Frozen

if TYPE_CHECKING:
    from collections.abc import Iterable


class Verdict(StrEnum):
    """The outcome of holding a reading against a threshold."""

    PASS = "PASS"
    FAIL = "FAIL"
    INSUFFICIENT = "INSUFFICIENT"

    @staticmethod
    def worst(verdicts: Iterable[Verdict]) -> Verdict:
        """FAIL over INSUFFICIENT over PASS; nothing judged is INSUFFICIENT.

        >>> Verdict.worst([Verdict.PASS, Verdict.INSUFFICIENT]).value
        'INSUFFICIENT'
        >>> Verdict.worst([]).value
        'INSUFFICIENT'
        """
        found = set(verdicts)
        for verdict in (Verdict.FAIL, Verdict.INSUFFICIENT, Verdict.PASS):
            if verdict in found:
                return verdict
        return Verdict.INSUFFICIENT


class Reading(Frozen):
    """One measured value.

    `value` is None where the metric is undefined for these data, and `reason` then says why.
    `n` is the number of rows behind it. `excluded` names groups that were too small, as in
    `"Other (n=12)"`. `feature` is the sensitive feature (or `"sex x race"`) of a disparity.
    """

    metric: str
    value: float | None
    n: int | None
    dataset: str | None = None
    feature: str | None = None
    reason: str = ""
    excluded: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class GroupRow(Frozen):
    """One group of a group table: its name per feature, its size and its metrics.

    `excluded` says why the group takes no part in disparities ("n=12 below 50"), or is empty. A
    metric is None where it is undefined (no positives, no negatives, suppressed).
    """

    group: dict[str, str]
    n: int
    metrics: dict[str, float | None]
    excluded: str = ""


class GroupTable(Frozen):
    """Metrics of every group of one feature or of one combination of features."""

    dataset: str
    features: tuple[str, ...]
    rows: tuple[GroupRow, ...]
    min_group_size: int


class Scores(Frozen):
    """Everything measured on one evaluated dataset.

    `confusion` is the overall confusion table as (true, predicted, n) rows for classifiers;
    `score_histogram` holds `edges` (k+1), `negatives` (k) and `positives` (k) of a binary score.
    """

    dataset: str
    task: Literal["binary", "multiclass", "regression"]
    n: int
    overall: tuple[Reading, ...]
    groups: tuple[GroupTable, ...] = ()
    disparities: tuple[Reading, ...] = ()
    labels: tuple[str, ...] = ()
    confusion: tuple[tuple[str, str, int], ...] = ()
    score_histogram: dict[str, list[float]] | None = None
    notes: tuple[str, ...] = ()


class Judgement(Frozen):
    """One threshold held against one reading. `limit` reads like `"<= 0.1"`."""

    threshold: str
    metric: str
    feature: str | None
    dataset: str | None
    value: float | None
    limit: str
    verdict: Verdict
    severity: str
    reason: str
    n: int | None = None
    excluded: tuple[str, ...] = ()
    declared: dict[str, Any] = {}
