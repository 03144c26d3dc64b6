"""The columns that an evaluation is counted by: truth, prediction, score, groups and slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.monitors.count_overview import MAX_NUMBERS, distinct, quartiles
from aims_mlflow.monitors.count_slices import slice_bits
from aims_mlflow.monitors.count_types import (
    PREDICTED,
    SCORE,
    TRUTH,
    column_of,
    holds_numbers,
    holds_text,
    plain,
    read_columns,
)
from aims_mlflow.monitors.slices import absent_columns
from aims_mlflow.monitors.source_failures import missing_column, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import narwhals as nw

    from aims_mlflow.governance.system import SensitiveFeature, Slice
    from aims_mlflow.monitors.columns import Column


class Feature(NamedTuple):
    """A sensitive feature as it is counted.

    Its `key` holds its values, or, where there are `edges`, the index of the bin: 0 below the
    first edge. `quartered`: the edges are quartiles, not declared.
    """

    name: str
    key: str
    edges: tuple[float, ...] = ()
    quartered: bool = False

    def column(self, values: list[Any]) -> Column:
        """The key's values as a column; of a bin, a number that lies in it."""
        import numpy as np

        column = column_of(self.name, values)
        if not self.edges:
            return column
        inside = np.array([np.nextafter(self.edges[0], -np.inf), *self.edges])
        numbers = np.full(len(values), np.nan)
        present = ~column.missing
        numbers[present] = inside[column.values[present].astype(int)]
        return column._replace(kind="number", values=numbers)


class Keys(NamedTuple):
    """The rows, with the columns `TRUTH`, `PREDICTED`, `SCORE`, and those of features and slices.

    `numeric` of the first three hold numbers, `floats` floats, `text` text.
    """

    frame: nw.LazyFrame[Any]
    features: tuple[Feature, ...]
    slices: tuple[Slice, ...]
    slice_keys: tuple[str, ...]
    absent_features: tuple[str, ...]
    absent_slices: dict[str, tuple[str, ...]]
    numeric: tuple[str, ...]
    floats: tuple[str, ...]
    text: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns to group by, besides truth and prediction."""
        return (*(feature.key for feature in self.features), *self.slice_keys)

    def labelled(self) -> Keys:
        """Only the rows that have truth and prediction."""
        import narwhals as nw

        known = ~nw.col(TRUTH).is_null() & ~nw.col(PREDICTED).is_null()
        return self._replace(frame=self.frame.filter(known))

    def binned(self) -> Keys:
        """Numeric features with bins, or with many values, become the index of their bin."""
        import narwhals as nw

        schema = self.frame.collect_schema()
        loose = [f.key for f in self.features if not f.edges and schema[f.key].is_numeric()]
        many = {key for key, n in distinct(self.frame, loose).items() if n > MAX_NUMBERS}
        features = tuple(
            f._replace(edges=tuple(quartiles(self.frame, f.key)), quartered=True)
            if f.key in many
            else f
            for f in self.features
        )
        indices = [_index(nw.col(f.key), f.edges).alias(f.key) for f in features if f.edges]
        frame = self.frame.with_columns(*indices) if indices else self.frame
        return self._replace(frame=frame, features=features)


def read_keys(
    frame: Any,
    columns: Mapping[str, str],
    declared: Sequence[SensitiveFeature],
    slices: Sequence[Slice],
) -> Keys:
    """The columns that are needed, of any frame that Narwhals knows.

    Args:
        frame: The rows.
        columns: The column for each of `TRUTH`, `PREDICTED` and, where there is one, `SCORE`.
        declared: The sensitive features; those without a column are listed.
        slices: The slices; those without all their columns are listed.

    Raises:
        MonitorError: It is no frame.
        SourceError: It lacks the truth, the prediction or the score.
        EvaluationInputError: A feature with bins, a slice with a range or a score is no number.
    """
    rows, known = read_columns(
        frame,
        {*columns.values(), *(f.name for f in declared), *(c for s in slices for c in s.where)},
    )
    schema = rows.collect_schema()
    _check(columns, schema, known)
    absent = absent_columns(slices, schema)
    decided = tuple(each for each in slices if each.name not in absent)
    features = tuple(
        _feature(f"aims_group_{i}", feature, schema[feature.name])
        for i, feature in enumerate(f for f in declared if f.name in schema)
    )
    floats = tuple(key for key, name in columns.items() if schema[name].is_float())
    bits = {f"aims_slices_{i}": bit for i, bit in enumerate(slice_bits(decided, schema))}
    selected = [
        *_targets(columns, schema, floats),
        *(plain(f.name, schema[f.name]).alias(f.key) for f in features),
        *(bit.alias(key) for key, bit in bits.items()),
    ]
    return Keys(
        frame=rows.select(*selected),
        features=features,
        slices=decided,
        slice_keys=tuple(bits),
        absent_features=tuple(f.name for f in declared if f.name not in schema),
        absent_slices=absent,
        numeric=tuple(key for key, name in columns.items() if holds_numbers(schema[name])),
        floats=floats,
        text=tuple(key for key, name in columns.items() if holds_text(schema[name])),
    )


def _check(
    columns: Mapping[str, str], schema: Mapping[str, nw.dtypes.DType], known: Sequence[str]
) -> None:
    import narwhals as nw

    lacking = [name for name in columns.values() if name not in schema]
    if lacking:
        raise missing_column(lacking, known, "The data of the evaluation")
    mixed = [name for name in columns.values() if schema[name] == nw.Object]
    if mixed:
        raise EvaluationInputError(
            f"'{shown(mixed[0])}' mixes values of different types.",
            "Give labels of one type: all text, all numbers or all booleans.",
        )
    score = columns.get(SCORE)
    if score and not holds_numbers(schema[score]) and schema[score] != nw.Boolean:
        raise EvaluationInputError(
            f"The score '{shown(score)}' holds values of the type {schema[score]}, and "
            "probabilities are numbers.",
            "Name the column with the probability of the positive class.",
        )


def _feature(key: str, declared: SensitiveFeature, dtype: nw.dtypes.DType) -> Feature:
    import narwhals as nw

    # Bins of text are refused where groups are made, with the words that training gets.
    binned = declared.bins is not None and (holds_numbers(dtype) or dtype == nw.Boolean)
    return Feature(declared.name, key, declared.bins or () if binned else ())


def _targets(
    columns: Mapping[str, str], schema: Mapping[str, nw.dtypes.DType], floats: Sequence[str]
) -> Iterator[nw.Expr]:
    """Truth, prediction and score, null where NaN or infinite, and where they are infinite."""
    import narwhals as nw

    for key, name in columns.items():
        value = plain(name, schema[name])
        if key in floats:
            known = value.is_finite()
            yield nw.when(known).then(value).alias(key)
            yield (~known).fill_null(False).cast(nw.Int64).alias(f"{key}_infinite")
        else:
            boolean = key == SCORE and schema[name] == nw.Boolean
            yield (value.cast(nw.Float64) if boolean else value).alias(key)


def _index(value: nw.Expr, edges: Sequence[float]) -> nw.Expr:
    """The index of the bin, as `numpy.digitize` gives it; null stays null."""
    import narwhals as nw

    number = value.cast(nw.Float64)
    index: nw.Expr = nw.lit(0.0)
    for edge in edges:
        index = index + (number >= edge).cast(nw.Float64)
    return nw.when(~number.is_null()).then(index)
