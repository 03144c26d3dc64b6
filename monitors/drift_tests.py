"""Which test a column gets, and what that test says: Evidently's choice unless one is declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from aims_mlflow.monitors.category_tables import chisquare, different_values, total_variation, z
from aims_mlflow.monitors.distances import hellinger, jensenshannon, psi
from aims_mlflow.monitors.point_masses import NotComparableError, finite, numeric
from aims_mlflow.monitors.statistics import Statistic, ks, wasserstein

if TYPE_CHECKING:
    from aims_mlflow.governance.monitoring import ColumnTest, DriftTest
    from aims_mlflow.monitors.summaries import ColumnSummary

#: Rows of the reference up to which Evidently uses tests with p-values.
SMALL = 1_000
#: Where each test says drift, by Evidently's default.
LIMITS: Mapping[DriftTest, float] = {
    "wasserstein": 0.1,
    "jensenshannon": 0.1,
    "psi": 0.1,
    "hellinger": 0.1,
    "ks": 0.05,
    "chisquare": 0.05,
    "z": 0.05,
    "TVD": 0.1,
}
#: Tests that are decided by a p-value; the others are by a distance.
BY_P_VALUE: frozenset[DriftTest] = frozenset({"ks", "chisquare", "z", "TVD"})
_OF_NUMBERS: frozenset[DriftTest] = frozenset({"wasserstein", "ks"})
_OF_CATEGORIES: frozenset[DriftTest] = frozenset({"chisquare", "z", "TVD"})
#: Different integers up to which Evidently takes them for categories.
_FEW_INTEGERS = 10
#: Different numbers up to which they are compared one by one, and categories that z compares.
_FEW_NUMBERS, _TWO = 5, 2
#: Exact counts of the reference and the current rows of a named column in the given edges.
Recount: TypeAlias = Callable[[str, Sequence[float]], tuple[Sequence[int], Sequence[int]]]


class Chosen(NamedTuple):
    """The test of a column and its limit, and whether its values are taken as categories."""

    test: DriftTest
    limit: float
    categories: bool


def comparable(reference: ColumnSummary | None, current: ColumnSummary | None) -> None:
    """Check that both sides have the column, of the same type and with values.

    Raises:
        NotComparableError: They have not.
    """
    for column, side in ((reference, "reference"), (current, "current")):
        if column is None:
            raise NotComparableError(f"is not in the {side} data")
        if not column.n:
            raise NotComparableError(f"has no rows in the {side} data")
        if not finite(column):
            raise NotComparableError(_all_missing(column, side))
        if column.family == "temporal":
            raise NotComparableError("holds times, which are not tested for drift")
        if column.values is None and column.bins is None:
            raise NotComparableError(
                f"{column.uncounted or 'was not counted'} ({side}); 'exclude' it from the monitor"
            )
    assert reference is not None and current is not None
    same = reference.family == current.family or (numeric(reference) and numeric(current))
    if not same:
        raise NotComparableError(
            f"is of {current.family} values now and was of {reference.family} values"
        )
    for column, side in ((reference, "reference"), (current, "current")):
        if finite(column) < _TWO:
            raise NotComparableError(f"has one value only in the {side} data: too few to compare")


def _all_missing(column: ColumnSummary, side: str) -> str:
    if column.infinite:
        return f"has no finite value in the {side} data"
    return f"is missing in all {column.n} rows of the {side} data"


def choose(reference: ColumnSummary, current: ColumnSummary, declared: ColumnTest | None) -> Chosen:
    """The declared test, or the one that Evidently would choose.

    Strings, booleans and integers with at most ten different values are categories. Up to 1,000
    rows of the reference: Kolmogorov-Smirnov for more than five different numbers, chi-square
    else, z for two; beyond that the Wasserstein distance for more than five different numbers,
    Jensen-Shannon else. A declared test of categories makes numbers categories.

    Raises:
        NotComparableError: The declared test is not for such a column; or it is a text, of which
            more than half of the values of the reference are different.
    """
    different = different_values(reference, current)
    integers = reference.family == current.family == "integer"
    categories = not numeric(reference) or (
        integers and different is not None and different <= _FEW_INTEGERS
    )
    if declared is not None:
        test = declared.test
        if test in _OF_NUMBERS and not numeric(reference):
            raise NotComparableError(f"has no numbers, which its test '{test}' is for")
        if test in _OF_NUMBERS:
            categories = False
        elif test in _OF_CATEGORIES:
            categories = True
        return Chosen(test, declared.limit or LIMITS[test], categories)
    _require_categories(reference)
    test = _by_size(finite(reference) <= SMALL, different, categories)
    return Chosen(test, LIMITS[test], categories)


def _by_size(small: bool, different: int | None, categories: bool) -> DriftTest:
    few = categories or (different is not None and different <= _FEW_NUMBERS)
    if not few:
        return "ks" if small else "wasserstein"
    if not small:
        return "jensenshannon"
    return "z" if different is not None and different <= _TWO else "chisquare"


def _require_categories(reference: ColumnSummary) -> None:
    if reference.family != "string" or reference.values is None:
        return
    different = len(reference.values) + reference.pooled_values
    if different > reference.present / 2 and different > _FEW_NUMBERS:
        raise NotComparableError(
            f"is a text or an identifier ({different} different values in {reference.present} rows "
            "of the reference); 'exclude' it from the monitor, or declare its test under 'tests'"
        )


def score(
    reference: ColumnSummary, current: ColumnSummary, chosen: Chosen, recount: Recount | None
) -> Statistic:
    """What the chosen test says of the two columns.

    Raises:
        NotComparableError: It is undefined for them, or not to be had from what was counted.
    """
    simple: Mapping[str, Callable[[ColumnSummary, ColumnSummary], Statistic]] = {
        "wasserstein": wasserstein,
        "ks": ks,
        "chisquare": chisquare,
        "z": z,
        "TVD": total_variation,
    }
    if chosen.test in simple:
        return simple[chosen.test](reference, current)
    binned = {"jensenshannon": jensenshannon, "psi": psi, "hellinger": hellinger}[chosen.test]
    again = None if recount is None else (lambda edges: recount(current.name, edges))
    return binned(reference, current, categories=chosen.categories, recount=again)


def says_drift(test: DriftTest, value: float, limit: float) -> bool:
    """Whether a score means drift: Evidently takes a KS p-value at the limit for drift.

    >>> says_drift("ks", 0.05, 0.05), says_drift("chisquare", 0.05, 0.05)
    (True, False)
    """
    if test == "ks":
        return value <= limit
    return value < limit if test in BY_P_VALUE else value >= limit
