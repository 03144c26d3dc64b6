"""Labels that arrive late, joined with the predictions that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.errors import MonitorError
from aims_mlflow.monitors.count_types import collected, holds_numbers, holds_text, plain
from aims_mlflow.monitors.engines import read_table
from aims_mlflow.monitors.source_failures import counted, missing_column, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import narwhals as nw

#: Whole numbers beyond this are no longer told apart as floats.
_SAFE = 2**53
_ROWS = "aims_rows"
_OWN = "aims_own_target"
#: Types whose values can be compared.
_HOLDS = (holds_text, holds_numbers)


class LabelJoin(NamedTuple):
    """How labels met predictions.

    `predictions` are the rows that were predicted, `labelled` those of them that a label was found
    for, `unmatched_labels` the labels of none of them. `without_key` predictions, and
    `labels_without_key`, have no complete key and match nothing. `notes` say what else was done.
    """

    predictions: int
    labelled: int
    unmatched_labels: int
    without_key: int = 0
    labels_without_key: int = 0
    notes: tuple[str, ...] = ()

    @property
    def coverage(self) -> float:
        """The share of the predictions that have a label; 0 where there are no predictions."""
        return self.labelled / self.predictions if self.predictions else 0.0


class _Side(NamedTuple):
    """One of the two frames, and what its key looks like."""

    what: str
    frame: nw.LazyFrame[Any]
    names: list[str]


def join_labels(
    predictions: Any, labels: Any, key: Sequence[str], *, target: str
) -> tuple[Any, LabelJoin]:
    """Every prediction with its label, if one has arrived.

    Two passes over the keys of each side count them, and one over the join; the frame that comes
    back is lazy where the engine is. DuckDB holds the labels in memory.
    Keys of different number types, and text with categories, are compared by value. The predictions
    keep their columns: the labels add the target, and what the predictions lack. A target that the
    predictions have too is replaced, and the notes say how often its values differed. Labels of
    other predictions are only counted, whatever their keys.

    Args:
        predictions: A data frame of pandas, Polars, PyArrow, DuckDB, PySpark or Narwhals.
        labels: Another one of the same engine.
        key: The columns that both have and that tell rows apart.
        target: The column of the labels with the true value.

    Returns:
        A Narwhals lazy frame of all predictions, null in the columns of the labels where there is
        none, and what was found.

    Raises:
        MonitorError: The engines differ, a key occurs twice in the predictions or in their labels,
            or the types of a key column cannot be compared.
        SourceError: A key column or the target is missing, or the data cannot be read.
    """
    if not key:
        raise MonitorError(
            "Labels cannot be joined without a key.",
            "Name the columns that labels and predictions share under the monitor's 'key'.",
        )
    left, right = _side("the predictions", predictions, key), _side("the labels", labels, key)
    if target not in right.names:
        raise missing_column([target], right.names, "The table of labels", "the target")
    if left.frame.implementation != right.frame.implementation:
        raise MonitorError(
            f"The predictions are held by {left.frame.implementation.value} and the labels by "
            f"{right.frame.implementation.value}.",
            "Open both with the same engine.",
        )
    left, right = _alike(left, right, key)
    rows, without = _count(left, key)
    _check_unique(left, key)
    arrived, unkeyed = _count(right, key)
    both = set(left.names) & set(right.names) - {*key, target}
    keyed = right.frame.select(*(name for name in right.names if name not in both))
    keyed = keyed.filter(~_incomplete(key)).with_columns(**{_ROWS: _one()})
    # A table of labels reaches beyond the window: faults outside are not this window's.
    own = _beside(left.frame, keyed).join(left.frame.select(*key), on=list(key), how="semi")
    _check_unique(right._replace(frame=own), key)
    held = target in left.names and target not in key
    kept = left.frame.rename({target: _OWN}) if held else left.frame
    joined = kept.join(own, on=list(key), how="left")
    labelled, other = _matched(joined, target, held=held)
    found = LabelJoin(
        predictions=rows,
        labelled=labelled,
        unmatched_labels=arrived - unkeyed - labelled,
        without_key=without,
        labels_without_key=unkeyed,
        notes=tuple(_notes(both, target if held else None, other)),
    )
    return joined.drop(_ROWS, *([_OWN] if held else [])), found


def _notes(both: Iterable[str], target: str | None, other: int | None) -> Iterator[str]:
    if target is not None:
        differ = (
            "cannot be compared with it" if other is None else f"differ in {counted(other, 'row')}"
        )
        yield (
            f"the target '{shown(target)}' is that of the labels; values of the predictions' own "
            f"column of this name {differ}"
        )
    for name in sorted(both):
        yield f"the column '{shown(name)}' is that of the predictions, not of the labels"


def _side(what: str, frame: Any, key: Sequence[str]) -> _Side:
    table = read_table(frame)
    lacking = [name for name in key if name not in table.families]
    if lacking:
        name = f"The table of {what.removeprefix('the ')}"
        raise missing_column(lacking, table.names, name, "key")
    return _Side(what, table.frame, table.names)


def _alike(left: _Side, right: _Side, key: Sequence[str]) -> tuple[_Side, _Side]:
    """Both sides with key columns of one type.

    Raises:
        MonitorError: There is none.
    """
    import narwhals as nw

    types = left.frame.collect_schema(), right.frame.collect_schema()
    for name in key:
        one, other = types[0][name], types[1][name]
        if one == other and not one.is_float():
            continue
        if holds_text(one) and holds_text(other):
            target: Any = nw.String
        elif one.is_numeric() and other.is_numeric():
            for side, dtype in ((left, one), (right, other)):
                _check_whole(side, name, dtype)
            target = nw.Int64
        else:
            raise MonitorError(
                f"The key '{shown(name)}' has the type {one} in the predictions and {other} in "
                "the labels, which are never equal.",
                "Write both in the same type where they come from.",
            )
        left, right = (
            side._replace(frame=side.frame.with_columns(nw.col(name).cast(target)))
            for side in (left, right)
        )
    return left, right


def _check_whole(side: _Side, name: str, dtype: nw.dtypes.DType) -> None:
    """Refuse numbers that a float does not tell apart.

    Raises:
        MonitorError: A fraction, or a float beyond 2^53.
    """
    import narwhals as nw

    if dtype.is_integer():
        return
    number = nw.col(name).cast(nw.Float64)
    odd = (number != number.floor()) | (number.abs() > _SAFE)
    found = side.frame.select(odd.fill_null(False).cast(nw.Int64).sum())
    if collected(found).column(0)[0].as_py():
        raise MonitorError(
            f"The key '{shown(name)}' of {side.what} holds fractions, or floats so large that "
            "neighbours are the same.",
            "Use a key of whole numbers or text.",
        )


def _incomplete(key: Sequence[str]) -> nw.Expr:
    import narwhals as nw

    return nw.any_horizontal(*(nw.col(name).is_null() for name in key), ignore_nulls=False)


def _count(side: _Side, key: Sequence[str]) -> tuple[int, int]:
    """All rows, and those without a complete key."""
    import narwhals as nw

    unkeyed = _incomplete(key).cast(nw.Int64)
    totals = collected(side.frame.select(nw.len().alias("n"), unkeyed.sum().alias("unkeyed")))
    return int(totals["n"][0].as_py()), int(totals["unkeyed"][0].as_py() or 0)


def _check_unique(side: _Side, key: Sequence[str]) -> None:
    """Refuse rows that the key does not tell apart.

    Raises:
        MonitorError: A key occurs twice.
    """
    import narwhals as nw

    groups = side.frame.filter(~_incomplete(key)).group_by(*key).agg(nw.len().alias(_ROWS))
    again = groups.filter(nw.col(_ROWS) > 1)
    more = collected(again.select(nw.len().alias("n"), nw.col(_ROWS).max().alias("most")))
    count = int(more["n"][0].as_py())
    if count:
        raise MonitorError(
            f"{count} key{'s' * (count > 1)} ({', '.join(map(shown, key))}) occur"
            f"{'s' * (count == 1)} more than once in {side.what}, up to "
            f"{int(more['most'][0].as_py())} times.",
            "Keep one row for each key, or add the column that tells the rows apart to 'key'.",
        )


def _beside(left: nw.LazyFrame[Any], right: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The labels where the predictions are.

    Relations of DuckDB belong to a connection, and those of two do not join: the labels are copied
    into memory, from where the connection of the predictions reads them.
    """
    import narwhals as nw

    if not left.implementation.is_duckdb():
        return right
    aims_labels = collected(right)  # noqa: F841 (DuckDB finds it by its name)
    copied = nw.to_native(left).query("aims_predictions", "SELECT * FROM aims_labels")
    labels: nw.LazyFrame[Any] = nw.from_native(copied).lazy()
    return labels


def _one() -> nw.Expr:
    import narwhals as nw

    return nw.lit(1)


def _matched(joined: nw.LazyFrame[Any], target: str, *, held: bool) -> tuple[int, int | None]:
    """Rows with a label, and those whose own target is another value; None where types differ."""
    import narwhals as nw

    schema = joined.collect_schema()
    asked = [(~nw.col(_ROWS).is_null()).cast(nw.Int64).sum().alias("n")]
    own, given = schema[_OWN if held else target], schema[target]
    comparable = held and (own == given or any(holds(own) and holds(given) for holds in _HOLDS))
    if comparable:
        mine, theirs = plain(_OWN, own), plain(target, given)
        differs = (mine != theirs) & ~mine.is_null() & ~theirs.is_null()
        asked.append(nw.when(differs).then(nw.lit(1)).otherwise(nw.lit(0)).sum().alias("other"))
    found = collected(joined.select(*asked))
    other = int(found["other"][0].as_py() or 0) if comparable else None
    return int(found["n"][0].as_py() or 0), other
