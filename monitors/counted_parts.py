"""The groups and slices of counted cells, as the rows of count tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aims_mlflow.monitors.count_slices import BITS
from aims_mlflow.monitors.groups import groupings
from aims_mlflow.monitors.rows import SUPPRESSED_BELOW
from aims_mlflow.monitors.tables import CountRow, CountTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from aims_mlflow.governance.system import SensitiveFeature
    from aims_mlflow.monitors.count_keys import Keys
    from aims_mlflow.monitors.counted_rows import Counts, FineCounts
    from aims_mlflow.monitors.counting import Cells
    from aims_mlflow.monitors.groups import Grouping

    Array = npt.NDArray[Any]


@dataclass(frozen=True)
class CountedParts:
    """Cells with their groups; `fine_codes` are the codes of the cells of fine bins by feature."""

    cells: Cells
    counts: Counts
    fine: FineCounts | None
    groupings: tuple[Grouping, ...]
    fine_codes: dict[str, Array]

    @classmethod
    def of(
        cls,
        keys: Keys,
        cells: Cells,
        counts: Counts,
        fine: FineCounts | None,
        declared: Sequence[SensitiveFeature],
    ) -> CountedParts:
        """Group the cells as rows are grouped.

        Raises:
            EvaluationInputError: See `groups.groupings`.
        """
        features = keys.features
        columns = [feature.column(cells.keys[feature.key]) for feature in features]
        cut = {f.name: f.edges for f in features if f.quartered}
        found = groupings(columns, declared, cells.n, cut)
        codes = {}
        if fine is not None:
            for feature, grouping in zip(features, found, strict=False):
                codes[feature.name] = _looked_up(
                    cells.keys[feature.key], grouping.codes, fine.cells.keys[feature.key]
                )
        return cls(cells, counts, fine, tuple(found), codes)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to make the groups."""
        return tuple(note for grouping in self.groupings for note in grouping.notes)

    def overall(self) -> CountRow:
        """All rows."""
        import numpy as np

        every = None if self.fine is None else np.arange(len(self.fine.cells.n))
        part = np.arange(len(self.cells.n))
        return self._row({}, part, every, least=0)

    def tables(self) -> tuple[CountTable, ...]:
        """The groups of every feature and combination."""
        return tuple(map(self._table, self.groupings))

    def slices(self, keys: Keys) -> CountTable | None:
        """The declared slices whose columns were given."""
        rows = []
        for place, declared in enumerate(keys.slices):
            key, bit = keys.slice_keys[place // BITS], place % BITS
            part = _with_bit(self.cells.keys[key], bit)
            fine = None if self.fine is None else _with_bit(self.fine.cells.keys[key], bit)
            rows.append(self._row({"slice": declared.name}, part, fine))
        return CountTable(features=("slice",), rows=tuple(rows)) if rows else None

    def _table(self, grouping: Grouping) -> CountTable:
        single = len(grouping.features) == 1
        codes = self.fine_codes.get(grouping.features[0]) if single else None
        k = len(grouping.groups)
        parts = _by_code(grouping.codes, k)
        fine = [None] * k if codes is None else _by_code(codes, k)
        return CountTable(
            features=grouping.features,
            rows=tuple(
                self._row(group.values, part, of_fine, merged=group.merged)
                for group, part, of_fine in zip(grouping.groups, parts, fine, strict=True)
            ),
        )

    def _row(
        self,
        group: dict[str, str],
        part: Array,
        fine: Array | None,
        *,
        merged: bool = False,
        least: int = SUPPRESSED_BELOW,
    ) -> CountRow:
        n = int(self.cells.n[part].sum())
        if n < least:
            return CountRow(group=group, n=n, suppressed=True, merged=merged)
        fields = self.counts.fields(part)
        if self.fine is not None and fine is not None:
            more = self.fine.fields(fine)
            more["intervals"] = fields.get("intervals", {}) | more.get("intervals", {})
            fields |= more
        return CountRow(group=group, n=n, merged=merged, **fields)


def _by_code(codes: Array, k: int) -> list[Array]:
    """The places of each code from 0 to k, ascending."""
    import numpy as np

    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes, minlength=k))[:-1])


def _with_bit(numbers: list[Any], bit: int) -> Array:
    import numpy as np

    return (np.asarray(numbers, dtype=np.int64) >> bit & 1).nonzero()[0]


def _looked_up(values: list[Any], codes: Array, wanted: list[Any]) -> Array:
    """The codes that the same values have elsewhere."""
    import numpy as np

    code = dict(zip(values, codes.tolist(), strict=True))
    return np.fromiter((code[value] for value in wanted), dtype=np.int64, count=len(wanted))
