"""Evidently itself on small data: up to 1,000 rows of the reference its word is what counts."""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from aims_mlflow.governance.monitoring import DriftTest

#: Evidently's names of its tests, as its results show them.
_TESTS: Mapping[str, DriftTest] = {
    "Wasserstein distance (normed)": "wasserstein",
    "Jensen-Shannon distance": "jensenshannon",
    "PSI": "psi",
    "K-S p_value": "ks",
    "chi-square p_value": "chisquare",
    "Z-test p_value": "z",
    "Hellinger distance": "hellinger",
    "Total-Variation-Distance": "TVD",
}
#: Letters of an error of Evidently's that a note repeats.
_SHOWN = 200


class Asked(NamedTuple):
    """One column to test; without a `test`, a `limit` or both, those that Evidently chooses."""

    column: str
    categories: bool
    test: DriftTest | None = None
    limit: float | None = None


class Answer(NamedTuple):
    """What Evidently says of one column."""

    test: DriftTest
    score: float
    limit: float
    drifted: bool


def evidently_tests(
    reference: Any, current: Any, asked: Sequence[Asked]
) -> dict[str, Answer | str]:
    """Evidently's `ValueDrift` of each column, in this process and without telemetry.

    Args:
        reference: The rows of the reference: any frame that Narwhals takes.
        current: The rows of the current data.
        asked: The columns, which both frames have.

    Returns:
        For each column what Evidently says; or, as a text, why it says nothing.
    """
    # Evidently reads this when it is imported.
    os.environ["DO_NOT_TRACK"] = "1"
    names = [one.column for one in asked]
    if not names:
        return {}
    before, after = (_pandas(frame, names) for frame in (reference, current))
    found: dict[str, Answer | str] = {}
    with _undisturbed():
        for one in asked:
            try:
                found[one.column] = _answer(before[one.column], after[one.column], one)
            except Exception as error:  # Evidently raises whatever NumPy, pandas and SciPy do
                found[one.column] = f"{type(error).__name__}: {str(error)[:_SHOWN]}"
    return found


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Evidently neither warns nor leaves NumPy's global generator seeded, as its TVD test does."""
    import numpy as np

    state = np.random.get_state()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(state)


def _answer(reference: pd.Series[Any], current: pd.Series[Any], asked: Asked) -> Answer:
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    # A name of ours: names from the data may be anything.
    kind = "categorical_columns" if asked.categories else "numerical_columns"
    definition = DataDefinition(**{kind: ["value"]})
    before, after = (
        Dataset.from_pandas(
            pd.DataFrame({"value": _typed(column, asked.categories)}), data_definition=definition
        )
        for column in (reference, current)
    )
    metric = ValueDrift(column="value", method=asked.test, threshold=asked.limit)
    result = Report([metric], include_tests=True).run(after, before).dict()
    shown, told = result["metrics"][0], result["tests"][0]
    config = shown["config"]
    test = asked.test or _TESTS[config["method"]]
    limit = asked.limit if asked.limit is not None else float(config["threshold"])
    return Answer(test, float(shown["value"]), limit, str(told["status"].value) == "FAIL")


def _typed(column: pd.Series[Any], categories: bool) -> pd.Series[Any]:
    import pandas as pd

    if categories:
        return column.astype(object).where(column.notna(), None)
    if pd.api.types.is_integer_dtype(column.dtype) and not column.hasnans:
        return column.astype("int64")
    return pd.to_numeric(column).astype("float64")


def _pandas(frame: Any, names: list[str]) -> pd.DataFrame:
    import narwhals as nw

    lazy = nw.from_native(frame).lazy().select(names)
    found: pd.DataFrame = lazy.collect(backend="pandas").to_native()
    return found.reset_index(drop=True)
