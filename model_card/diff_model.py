"""What changed between two cards, as data."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from aims_mlflow.evidence import Frozen

#: Changes of one part that a comparison keeps; `omitted` counts the others.
MAX_CHANGES = 200


class Outcome(StrEnum):
    """What became of a value.

    WITHIN_NOISE: the confidence interval of the difference holds zero. NOISE_UNKNOWN: there is no
    such interval, so nobody knows whether the change is more than chance. CHANGED: neither
    direction is better, or nobody knows which.
    """

    BETTER = "better"
    WORSE = "worse"
    WITHIN_NOISE = "within noise"
    NOISE_UNKNOWN = "changed, noise unknown"
    CHANGED = "changed"
    SAME = "same"
    NEW = "new"
    GONE = "gone"


class Side(Frozen):
    """One of the two cards: how it is called, in full and in short, and its overall verdict."""

    name: str
    short: str
    run_id: str
    event_time: str
    verdict: str | None = None


class MetricChange(Frozen):
    """One measured value on both sides.

    `part` is empty for all rows, `"by sex"` for a disparity, `"sex=F"` for one group. `relative`
    is the change as a share of the value before. `delta_interval` is the confidence interval of
    the difference, where both values have one. `same_data` is None where a digest is not known.
    """

    metric: str
    dataset: str
    part: str
    before: float | None
    after: float | None
    delta: float | None = None
    relative: float | None = None
    delta_interval: tuple[float, float] | None = None
    outcome: Outcome
    same_data: bool | None = None


class VerdictChange(Frozen):
    """A threshold whose verdict or limit changed, or that only one side has.

    `about` says what it judges, as in "roc_auc on test". `is_looser` is true where the newer
    limit lets more pass.
    """

    threshold: str
    about: str
    before: str | None
    after: str | None
    before_value: float | None
    after_value: float | None
    before_limit: str
    after_limit: str
    is_looser: bool = False


class GroupChanges(Frozen):
    """What became of groups, slices and classes.

    Of `compared` values, those beyond noise are listed, and those of which that is not known.
    """

    compared: int = 0
    changes: tuple[MetricChange, ...] = ()
    appeared: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()


class DataChange(Frozen):
    """A dataset that was added, removed, or has another digest under the same name."""

    name: str
    use: Literal["training", "evaluation"]
    outcome: Outcome
    before_digest: str | None = None
    after_digest: str | None = None
    before_rows: int | None = None
    after_rows: int | None = None


class ValueChange(Frozen):
    """A named value before and after; None where one side does not have it."""

    name: str
    before: str | None
    after: str | None


class TextChange(Frozen):
    """A declared text that changed: the lines that went (`- `) and came (`+ `)."""

    field: str
    title: str
    lines: tuple[str, ...]


class CardDiff(Frozen):
    """What changed from one card to another.

    `summary` is the change in one sentence without its subject, `headline` with it. `unchanged`
    names in words what was compared and is the same, `unknown` what could not be compared, and
    `omitted` how many changes of a part are not listed.
    """

    schema_version: Literal["aims.card_diff/1"] = "aims.card_diff/1"
    before: Side
    after: Side
    headline: str = ""
    summary: str = ""
    metrics: tuple[MetricChange, ...] = ()
    logged_metrics: tuple[MetricChange, ...] = ()
    verdicts: tuple[VerdictChange, ...] = ()
    verdicts_kept: dict[str, int] = {}
    groups: GroupChanges = GroupChanges()
    data: tuple[DataChange, ...] = ()
    parameters: tuple[ValueChange, ...] = ()
    environment: tuple[ValueChange, ...] = ()
    code: tuple[ValueChange, ...] = ()
    model: tuple[ValueChange, ...] = ()
    signature: tuple[ValueChange, ...] = ()
    texts: tuple[TextChange, ...] = ()
    completeness: tuple[ValueChange, ...] = ()
    unchanged: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    omitted: dict[str, int] = {}
