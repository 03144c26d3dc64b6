"""One column of texts or booleans, counted category by category."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

from aims_mlflow.monitors.engines import answers, slices, text, values_of
from aims_mlflow.monitors.summaries import MAX_CATEGORIES, ColumnSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import narwhals as nw

    from aims_mlflow.governance.monitoring import Expectation
    from aims_mlflow.monitors.engines import Table

#: A category is shown with so many characters; a longer one is cut and told apart by its digest.
LABEL = 200
#: On average longer than this, a column is free text.
_FREE_TEXT = 256
#: More different values than this in the sample, and a column may be an identifier.
_SUSPICIOUS = 1_000


def label(value: str) -> str:
    """A category as it is named: bounded, and without what is not Unicode.

    >>> label("a" * 1000)[-16:]
    'aaa…41edece42d63'
    """
    if len(value) > LABEL:
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
        value = f"{value[: LABEL - 13]}…{digest[:12]}"
    return value.encode("utf-8", "replace").decode()


class CategoryColumn:
    """Counts one column of texts or booleans, pass by pass as `NumberColumn` does.

    Args:
        name: The column.
        table: The data.
        n: Its rows.
        sample: Some of its values (k,), without missing ones.
        expectation: What its values are to be.
    """

    def __init__(
        self,
        name: str,
        table: Table,
        n: int,
        sample: Sequence[str | bool] = (),
        expectation: Expectation | None = None,
    ) -> None:
        self.name = name
        self._table = table
        self._n = n
        self._boolean = table.families[name] == "boolean"
        self._expectation = expectation
        self._counts: dict[str | bool, int] = {}
        self._missing = 0
        self._outside: int | None = None
        self._uncounted = ""
        suspicious = len(set(sample)) > _SUSPICIOUS
        length = 0 if self._boolean else sum(map(len, map(str, sample))) / max(len(sample), 1)
        if length > _FREE_TEXT:
            self._uncounted = f"free text, {length:.0f} characters on average"

        self._parts = None if self._uncounted or not suspicious else slices(table, n)

    @property
    def in_parts(self) -> bool:
        """Whether `take_parts` is to count it, not `ask` and `take`."""
        return self._parts is not None and not self._uncounted

    def ask(self) -> nw.LazyFrame[Any]:
        """What to ask of the data next."""
        if self._uncounted:
            return self._selected(self._table.frame).select(*self._totals())
        return self._grouped(self._table.frame)

    def _selected(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        import narwhals as nw

        return frame.select(v=nw.col(self.name) if self._boolean else text(self.name))

    def _grouped(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        import narwhals as nw

        # One more than is needed to see that there are too many; one is for null.
        counts = self._selected(frame).group_by("v").agg(nw.len().alias("n"))
        return counts.head(MAX_CATEGORIES + 2)

    def _totals(self) -> list[nw.Expr]:
        import narwhals as nw

        missing = nw.col("v").is_null()
        totals = [missing.cast(nw.Int64).sum().alias("missing")]
        if self._expectation is not None and self._expectation.categories is not None:
            wrong = ~nw.col("v").is_in(sorted(map(str, self._allowed()))) & ~missing
            totals.append(wrong.cast(nw.Int64).sum().alias("outside"))
        return totals

    def take(self, found: Mapping[str, Sequence[Any]]) -> str | None:
        """Take the answer to `ask`, by column. Returns why another one is needed, or None."""
        if self._uncounted:
            self._missing = int(found["missing"][0] or 0)
            self._outside = int(found["outside"][0] or 0) if "outside" in found else None
            return None
        self._add(found)
        return self._next()

    def _next(self) -> str | None:
        if len(self._counts) <= MAX_CATEGORIES:
            self._judge()
            return None
        self._counts = {}
        self._uncounted = f"more than {MAX_CATEGORIES:,} categories: text or an identifier"
        return "missing values of columns that are text or identifiers"

    def take_parts(self) -> str | None:
        """Count in parts, where counting at once could need the memory of the whole column.

        Returns:
            Why another query is needed, or None.

        Raises:
            SourceError: The data cannot be read.
        """
        for part in self._parts or ():
            (found,) = answers(self._table, [partial(self._grouped, part)])
            self._add(values_of(found))
            if len(self._counts) > MAX_CATEGORIES:
                break
        return self._next()

    @property
    def counted(self) -> int | None:
        """The rows that were seen; None where categories were not counted."""
        return None if self._uncounted else sum(self._counts.values()) + self._missing

    def _add(self, found: Mapping[str, Sequence[Any]]) -> None:
        for value, n in zip(found["v"], found["n"], strict=True):
            if value is None:
                self._missing += int(n)
            else:
                self._counts[value] = self._counts.get(value, 0) + int(n)

    def _allowed(self) -> set[str | bool]:
        expected = self._expectation
        categories = () if expected is None else expected.categories or ()
        if not self._boolean:
            return {str(category) for category in categories}
        words: dict[str, bool] = {"true": True, "1": True, "false": False, "0": False}
        found = (words.get(str(category).lower()) for category in categories)
        return {value for value in found if value is not None}

    def _judge(self) -> None:
        if self._expectation is not None and self._expectation.categories is not None:
            allowed = self._allowed()
            wrong = (n for value, n in self._counts.items() if value not in allowed)
            self._outside = sum(wrong)

    def summary(self, n: int, dtype: str) -> ColumnSummary:
        """The column as counted. `n` are the rows of the data."""
        named: dict[str | bool, int] = {}
        for value, count in self._counts.items():
            name = value if isinstance(value, bool) else label(value)
            named[name] = named.get(name, 0) + count
        return ColumnSummary(
            name=self.name,
            family=self._table.families[self.name],
            dtype=dtype,
            n=n,
            missing=self._missing,
            distinct=None if self._uncounted else len(self._counts),
            values=None if self._uncounted else tuple(sorted(named.items())),
            outside=self._outside,
            uncounted=self._uncounted,
        )

    def notes(self) -> Iterable[str]:
        """What a reader should know about the counts."""
        if self._expectation is not None and self._expectation.range is not None:
            yield f"{self.name}: a range is declared of values that are no numbers; not counted"
