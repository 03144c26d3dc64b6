"""One value against one declared limit, and the words for it."""

from __future__ import annotations

import difflib
import math
import re
from operator import gt, lt
from typing import TYPE_CHECKING

from aims_mlflow.readings import LEVEL, Judgement, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aims_mlflow.governance.thresholds import Threshold
    from aims_mlflow.readings import Interval

#: A rate of counts that equals the limit on paper may miss it by a few units in the last place.
TOLERANCE = 1e-12
#: Characters of a name, such as a column's, that a reason shows.
MAX_NAME = 80
#: Refusals that are told in a reason; the others are counted.
MAX_REFUSALS = 2


def held(
    threshold: Threshold, value: float, interval: Interval | None = None
) -> tuple[Verdict, str]:
    """A value against the limits; one that equals a limit passes.

    An interval that reaches across the limit is said in the reason. It does not change the
    verdict: the declared rule is about the value.
    """
    verdict, reason = _held(threshold, value)
    if interval is None or not _reaches_across(threshold, interval):
        return verdict, reason
    ends = f"{interval.low:.3g} to {interval.high:.3g}"
    return verdict, f"{reason}, but its {LEVEL * 100:g} % interval {ends} reaches across the limit"


def limits(threshold: Threshold) -> tuple[float | None, float | None]:
    """The smallest and the largest value that pass; of a fall or a change, only the largest."""
    most = threshold.max if threshold.max_fall is None else threshold.max_fall
    return threshold.min, most if threshold.max_change is None else threshold.max_change


def part_of(threshold: Threshold) -> str:
    """The part of an evaluation that a threshold is about: `"slice night"`; empty for all rows."""
    for key in ("slice", "perturbation", "scorer"):
        name = getattr(threshold, key)
        if name is not None:
            return f"{key} {name}"
    return ""


def judgement(
    threshold: Threshold,
    dataset: str | None,
    verdict: Verdict,
    reason: str,
    *,
    value: float | None = None,
    n: int | None = None,
    excluded: tuple[str, ...] = (),
    column: str | None = None,
    baseline: float | None = None,
    error_bound: float = 0,
    n_total: int | None = None,
    seed: int | None = None,
) -> Judgement:
    """A verdict with everything that it was reached by."""
    return Judgement(
        threshold=threshold.id,
        metric=threshold.subject,
        feature=threshold.feature,
        dataset=dataset,
        value=value,
        limit=threshold.limit,
        verdict=verdict,
        severity=threshold.severity.value,
        reason=reason,
        part=part_of(threshold),
        n=n,
        excluded=excluded,
        declared=threshold.model_dump(mode="json"),
        column=column,
        baseline=baseline,
        error_bound=error_bound,
        n_total=n_total,
        seed=seed,
    )


def too_few(threshold: Threshold, n: int, what: str) -> str:
    """Why n rows (or assessments, as `what` says) do not suffice."""
    return f"{n} {what} are fewer than min_rows ({threshold.min_rows})"


def near(name: str, names: Iterable[str]) -> str:
    """A question after a mistyped name: `"; did you mean 'a' or 'b'?"`, or nothing."""
    found = difflib.get_close_matches(name, list(names), n=3)
    return f"; did you mean {' or '.join(repr(shown(n)) for n in found)}?" if found else ""


def shown(name: str) -> str:
    """A name in a reason; of an overlong one its beginning."""
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"


def listed(texts: Sequence[str], most: int, separator: str = ", ") -> str:
    """The first texts, and the count of the others.

    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    more = len(texts) - most
    return separator.join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def nothing_to_judge(
    threshold: Threshold, what: str, datasets: Sequence[str], problems: Sequence[str], call: str
) -> str:
    """Why there is nothing to hold a threshold against, and what to add.

    Args:
        threshold: The threshold.
        what: What it needs: `evaluation` or `robustness evaluation`.
        datasets: Of what was logged of that kind.
        problems: What was refused or cannot be read of that kind. Those that name the dataset are
            told, and all of them where the threshold names none or nothing was logged.
        call: The call to add, with `{}` where the dataset's argument goes.
    """
    dataset = threshold.dataset
    told = _refusals(what, about(dataset, datasets, problems))
    if dataset is None or (told and not datasets):
        return told or f"no {what} was logged; add {call.format('')}"
    argument = call.format(f", dataset={dataset!r}")
    if not datasets:
        return f"no {what} was logged; add {argument}"
    names = ", ".join(f"'{name}'" for name in dict.fromkeys(datasets))
    reason = f"no {what} of the dataset '{dataset}' was logged, only of {names}"
    if told:
        return f"{reason}; {told}"
    return f"{reason}{near(dataset, datasets) or f'; add {argument}'}"


def about(dataset: str | None, datasets: Sequence[str], problems: Sequence[str]) -> list[str]:
    """The problems that could be about the dataset."""
    if dataset is None or not datasets:
        return list(problems)
    # A whole word: 'test' is not named by "of 'latest'".
    named = re.compile(rf"(?<!\w){re.escape(dataset)}(?!\w)")
    return [problem for problem in problems if named.search(problem)]


def _refusals(what: str, problems: Sequence[str]) -> str:
    """At most two refusals and the count of the others; empty for none."""
    if not problems:
        return ""
    told = "; ".join(problems[:MAX_REFUSALS])
    more = len(problems) - MAX_REFUSALS
    article = "an" if what[0] in "aeiou" else "a"
    return f"{article} {what} was refused: {told}" + (f"; and {more} more" if more > 0 else "")


def _held(threshold: Threshold, value: float) -> tuple[Verdict, str]:
    least, most = limits(threshold)
    for limit, beyond, word in ((least, lt, "below"), (most, gt, "above")):
        if limit is None or math.isclose(value, limit, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            continue
        if beyond(value, limit):
            # As many digits as tell the value from the limit: 0.1004, not "0.1 is above 0.1".
            texts = [f"{value:.{digits}g}" for digits in (3, 6, 9, 12, 17)]
            shown = next(text for text in texts if beyond(float(text), limit))
            return Verdict.FAIL, f"{shown} is {word} {limit:.12g}"
    shown = f"{value:.3g}"
    if least is not None and most is not None:
        return Verdict.PASS, f"{shown} is within {threshold.limit}"
    if least is not None:
        return Verdict.PASS, f"{shown} is not below {least:.12g}"
    return Verdict.PASS, f"{shown} is not above {most:.12g}"


def _reaches_across(threshold: Threshold, interval: Interval) -> bool:
    return any(
        interval.low < limit - TOLERANCE and limit + TOLERANCE < interval.high
        for limit in limits(threshold)
        if limit is not None
    )
