"""Turn sensitive features into groups: one code per row, one name per group."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.monitors.targets import label_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from aims_mlflow.governance.system import SensitiveFeature
    from aims_mlflow.monitors.columns import Column

    Codes = npt.NDArray[np.int64]

#: The group of the rows whose value is missing, and the one of all groups beyond the largest.
MISSING = "(missing)"
OTHER = "(other)"
#: Groups of one feature or combination that are kept apart; the largest ones.
MAX_GROUPS = 200
#: Combinations of two are all kept for up to this many features.
MAX_PAIRED_FEATURES = 4
#: An undeclared numeric feature with more distinct values is cut at its quartiles.
MAX_DISTINCT_NUMBERS = 10


class Group(NamedTuple):
    """One group: its value per feature; `merged` when it stands for many smaller groups."""

    values: dict[str, str]
    merged: bool = False


class Grouping(NamedTuple):
    """Rows by group: `codes` (n,) index `groups`, every one of which has rows."""

    features: tuple[str, ...]
    codes: Codes
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()


def groupings(
    columns: Sequence[Column],
    declared: Sequence[SensitiveFeature],
    weights: Codes | None = None,
    cut: Mapping[str, Sequence[float]] | None = None,
) -> list[Grouping]:
    """Every single feature, all pairs of up to four features, and all features together.

    Args:
        columns: The features, each of n values.
        declared: The system's sensitive features, with the bins of numeric ones.
        weights: How many rows each value stands for (n,); one each when None.
        cut: Quartile edges (`quartile_edges`) of features whose values only say in which quarter
            they lie.

    Raises:
        EvaluationInputError: A feature that cannot be grouped, or is declared with bins and
            holds text.
    """
    bins = {feature.name: feature.bins for feature in declared}
    cut = cut or {}
    singles = [
        _limited(
            _quartered(column, cut[column.name])
            if column.name in cut
            else _single(column, bins.get(column.name), weights),
            weights,
        )
        for column in columns
    ]
    found = list(singles)
    for chosen in _combined(len(singles)):
        grouping = singles[chosen[0]]
        for index in chosen[1:]:
            grouping = _crossed(grouping, singles[index])
        found.append(_limited(grouping, weights))
    return found


def _combined(count: int) -> Iterator[tuple[int, ...]]:
    if 2 < count <= MAX_PAIRED_FEATURES:
        yield from combinations(range(count), 2)
    if count > 1:
        yield tuple(range(count))


def _single(column: Column, bins: tuple[float, ...] | None, weights: Codes | None) -> Grouping:
    if bins is not None:
        return _binned(column, bins)
    codes, names = _distinct(column)
    if column.kind == "number" and len(names) > MAX_DISTINCT_NUMBERS:
        return _quartered(column, _quartiles(column, weights))
    return _grouping(column.name, codes, names)


def _distinct(column: Column) -> tuple[Codes, list[str]]:
    import numpy as np
    import pandas as pd

    try:
        codes, uniques = pd.factorize(column.values)
    except TypeError as error:
        raise EvaluationInputError(
            f"The sensitive feature '{column.name}' holds values that cannot be compared: {error}.",
            "Pass one text, number or boolean per row.",
        ) from error
    names = [label_text(value) for value in uniques.tolist()]
    if column.kind in ("number", "bool"):
        ordered = [names[index] for index in np.argsort(uniques)]
    else:
        ordered = sorted(set(names))
    place = {name: index for index, name in enumerate(ordered)}
    # The code of a missing value is -1, and so reads the last entry.
    last = place.get(MISSING, len(ordered))
    lookup = np.array([*(place[name] for name in names), last], dtype=np.int64)
    return lookup[codes], ordered


def _binned(column: Column, edges: Sequence[float], notes: tuple[str, ...] = ()) -> Grouping:
    import numpy as np

    if column.kind not in ("number", "bool", "empty"):
        raise EvaluationInputError(
            f"The sensitive feature '{column.name}' is declared with bins and holds "
            f"{'text' if column.kind == 'text' else 'values of different types'}.",
            "Pass it as numbers, or remove its bins from the system's file.",
        )
    codes = np.full(len(column.values), len(edges) + 1, dtype=np.int64)
    present = ~column.missing
    codes[present] = np.digitize(column.values[present].astype(float), list(edges))
    texts = [label_text(float(edge)) for edge in edges]
    between = [f"{low}-{high}" for low, high in pairwise(texts)]
    return _grouping(column.name, codes, [f"<{texts[0]}", *between, f">={texts[-1]}"], notes)


def quartile_edges(quartiles: Sequence[float], low: float, second: float) -> list[float]:
    """The inner edges that cut numbers at their quartiles.

    Edges are values that occur, so that infinite ones cannot make them undefined.

    Args:
        quartiles: Of the numbers; each of them occurs.
        low: The smallest number.
        second: The smallest above it, which is the edge where no quartile is above `low`.

    >>> quartile_edges([1.0, 2.0, 2.0], 1.0, 2.0), quartile_edges([1.0, 1.0, 1.0], 1.0, 7.0)
    ([2.0], [7.0])
    """
    return [edge for edge in sorted(set(quartiles)) if edge > low] or [second]


def quartile_ranks(n: int) -> tuple[int, int, int]:
    """The ranks (from 1) of the quartiles of n ordered numbers: the inverse of their distribution.

    >>> quartile_ranks(10)
    (3, 5, 8)
    """
    return -(-n // 4), -(-n // 2), -(-3 * n // 4)


def _quartiles(column: Column, weights: Codes | None) -> list[float]:
    import numpy as np

    present = ~column.missing
    values = column.values[present].astype(float)
    order = np.argsort(values)
    below = np.arange(1, len(values) + 1)
    if weights is not None:
        below = weights[present][order].cumsum()
    ordered = values[order]
    ranks = quartile_ranks(int(below[-1]))
    quartiles = ordered[np.searchsorted(below, ranks, side="left")].tolist()
    second = float(ordered[np.searchsorted(ordered, ordered[0], side="right")])
    return quartile_edges(quartiles, float(ordered[0]), second)


def _quartered(column: Column, edges: Sequence[float]) -> Grouping:
    note = (
        f"The numeric feature '{column.name}' was cut at its quartiles; "
        "declare its bins in the system's file to keep the groups the same from run to run."
    )
    return _binned(column, edges, (note,))


def _grouping(
    feature: str, codes: Codes, names: list[str], notes: tuple[str, ...] = ()
) -> Grouping:
    """Only groups that occur; the code after the last name is that of missing values."""
    codes, occurring = _compact(codes)
    every = [*names, MISSING]
    groups = tuple(Group({feature: every[index]}) for index in occurring)
    return Grouping((feature,), codes, groups, notes)


def _crossed(left: Grouping, right: Grouping) -> Grouping:
    codes, occurring = _compact(left.codes * len(right.groups) + right.codes)
    parts = [divmod(index, len(right.groups)) for index in occurring]
    groups = tuple(
        Group(
            left.groups[i].values | right.groups[j].values,
            left.groups[i].merged or right.groups[j].merged,
        )
        for i, j in parts
    )
    return Grouping(left.features + right.features, codes, groups)


def _limited(grouping: Grouping, weights: Codes | None) -> Grouping:
    """The largest groups as they are, all further ones merged into one."""
    import numpy as np

    if len(grouping.groups) <= MAX_GROUPS:
        return grouping
    sizes = np.bincount(grouping.codes, weights, minlength=len(grouping.groups))
    kept = np.sort(np.argsort(-sizes, kind="stable")[:MAX_GROUPS])
    lookup = np.full(len(sizes), MAX_GROUPS, dtype=np.int64)
    lookup[kept] = np.arange(MAX_GROUPS)
    rest = Group(dict.fromkeys(grouping.features, OTHER), merged=True)
    note = (
        f"{' x '.join(grouping.features)} has {len(sizes)} groups; the {MAX_GROUPS} largest are "
        f"kept and the others merged into {OTHER}."
    )
    return Grouping(
        grouping.features,
        lookup[grouping.codes],
        (*(grouping.groups[index] for index in kept), rest),
        (*grouping.notes, note),
    )


def _compact(codes: Codes) -> tuple[Codes, list[int]]:
    """Codes without holes, and what each of them was."""
    import pandas as pd

    compact, uniques = pd.factorize(codes, sort=True)
    return compact.astype("int64"), uniques.tolist()
