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


#: The confidence level of every interval of this package.
LEVEL = 0.95


class Interval(Frozen):
    """A confidence interval at `LEVEL`; `method` names how it was computed."""

    low: float
    high: float
    method: str


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
    interval: Interval | None = None


class GroupRow(Frozen):
    """One group of a group table: its name per feature, its size and its metrics.

    `excluded` says why the group takes no part in disparities ("n=12 below 50"), or is empty. A
    metric is None where it is undefined (no positives, no negatives, suppressed).
    """

    group: dict[str, str]
    n: int
    metrics: dict[str, float | None]
    excluded: str = ""
    intervals: dict[str, tuple[float, float]] = {}


class GroupTable(Frozen):
    """Metrics of every group of one feature or of one combination of features.

    Declared slices are such a table with the one feature `slice`, the classes of a classifier
    one with the feature `class`.
    """

    dataset: str
    features: tuple[str, ...]
    rows: tuple[GroupRow, ...]
    min_group_size: int


class CalibrationBin(Frozen):
    """Rows whose score lies in one bin: how many, their mean score, the share of positives."""

    low: float
    high: float
    n: int
    mean_score: float
    observed: float
    interval: tuple[float, float]


class Calibration(Frozen):
    """Reliability of a binary score in equal bins of 0 to 1; empty bins are left out.

    `ece` and `mce` are the expected (weighted by n) and the maximum calibration error: the
    absolute gap between mean score and share of positives.
    """

    bins: tuple[CalibrationBin, ...]
    ece: float
    mce: float


class CurvePoint(Frozen):
    """What a binary classifier would do if it said positive from this score on, exactly."""

    threshold: float
    true_positive_rate: float | None
    false_positive_rate: float | None
    precision: float | None
    f1: float | None
    selection_rate: float


class Scores(Frozen):
    """Everything measured on one evaluated dataset.

    `confusion` is the overall confusion table as (true, predicted, n) rows for classifiers;
    `classes` has one row for each class or label, `slices` one for each declared slice.
    `score_histogram` holds `edges` (k+1), `negatives` (k) and `positives` (k) of a binary score.
    `interval_methods` says how the intervals of each metric were computed.
    """

    dataset: str
    task: Literal["binary", "multiclass", "multilabel", "regression", "ranking"]
    n: int
    overall: tuple[Reading, ...]
    classes: GroupTable | None = None
    groups: tuple[GroupTable, ...] = ()
    slices: GroupTable | None = None
    disparities: tuple[Reading, ...] = ()
    labels: tuple[str, ...] = ()
    positive_label: str | None = None
    confusion: tuple[tuple[str, str, int], ...] = ()
    score_histogram: dict[str, list[float]] | None = None
    calibration: Calibration | None = None
    curve: tuple[CurvePoint, ...] = ()
    interval_methods: dict[str, str] = {}
    notes: tuple[str, ...] = ()


class Fall(Frozen):
    """One metric with and without a perturbation.

    `fall` is how much worse it got, whichever direction is better; None where it is undefined,
    with the `reason`. `interval` is the confidence interval of the fall, where one is known.
    """

    metric: str
    clean: float | None
    perturbed: float | None
    fall: float | None
    interval: Interval | None = None
    reason: str = ""


class PerturbationResult(Frozen):
    """One perturbation: what was done to which columns, and how the metrics fell."""

    id: str
    kind: str
    amount: float | None
    columns: tuple[str, ...]
    falls: tuple[Fall, ...] = ()
    note: str = ""


class Robustness(Frozen):
    """A robustness evaluation, bounded in rows.

    `n` rows of `n_total` were perturbed, drawn with `seed`; `error_bound` is the largest error
    (at `LEVEL`) that the sampling can make in a share of rows; 0 where all rows were used.
    """

    schema_version: Literal["aims.robustness/1"] = "aims.robustness/1"
    dataset: str
    task: str
    n: int
    n_total: int
    seed: int
    error_bound: float
    results: tuple[PerturbationResult, ...]
    notes: tuple[str, ...] = ()


class Judgement(Frozen):
    """One threshold held against one reading. `limit` reads like `"<= 0.1"`.

    `part` says of which part of an evaluation it speaks: `"slice night"`,
    `"perturbation noise-0.1"`, `"scorer relevance"`; it is empty for all rows and for groups.
    A monitor adds the `column`, the `baseline` that a change is counted from, how far the value
    may be off (`error_bound`), and, where rows were sampled, of how many and with which seed.
    """

    threshold: str
    metric: str
    feature: str | None
    dataset: str | None
    value: float | None
    limit: str
    verdict: Verdict
    severity: str
    reason: str
    part: str = ""
    n: int | None = None
    excluded: tuple[str, ...] = ()
    declared: dict[str, Any] = {}
    column: str | None = None
    baseline: float | None = None
    error_bound: float = 0
    n_total: int | None = None
    seed: int | None = None
