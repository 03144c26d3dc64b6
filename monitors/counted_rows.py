"""Counted cells as the fields of count tables: what `rows.py` makes of the rows, from counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.monitors import exact as scalars
from aims_mlflow.monitors.counting import CALIBRATION, FINE, HISTOGRAM, POSITIVE
from aims_mlflow.monitors.exact import Estimate, Ties
from aims_mlflow.monitors.fine_bins import rank_bounds
from aims_mlflow.monitors.rows import OF_PROBABILITIES, OF_RANKS, undefined_scalars

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from aims_mlflow.monitors.counting import Cells
    from aims_mlflow.monitors.targets import Labels

    Array = npt.NDArray[Any]
    Floats = npt.NDArray[np.float64]

#: A variance below this share of the squared mean is the rounding of sums.
_ROUNDING = 1e-14
#: Beyond so many rows, products of their numbers leave 64 bits.
_WHOLE = 2**31


class Counts(Protocol):
    """Cells that can be aggregated in parts."""

    def fields(self, part: Array) -> dict[str, Any]:
        """Some cells (their places) as fields of a `CountRow`."""


class FineCounts(Counts, Protocol):
    """The same of fine bins, whose cells are others."""

    @property
    def cells(self) -> Cells:
        """The cells."""


@dataclass(frozen=True)
class ClassCounts:
    """Cells of a classifier: `pairs` (k,) is true * labels + predicted, `n` (k,) the rows."""

    n: Array
    pairs: Array
    k: int

    @classmethod
    def of(cls, cells: Cells, labels: Labels) -> ClassCounts:
        """The cells with their labels."""
        k = len(labels.names)
        return cls(cells.n, labels.true * k + labels.predicted, k)

    def fields(self, part: Array) -> dict[str, Any]:
        """The confusion counts."""
        import numpy as np

        found, place = np.unique(self.pairs[part], return_inverse=True)
        sizes = np.zeros(len(found), dtype=np.int64)
        np.add.at(sizes, place, self.n[part])
        pairs = zip(found.tolist(), sizes.tolist(), strict=True)
        return {"counts": tuple((*divmod(cell, self.k), n) for cell, n in pairs)}


@dataclass(frozen=True)
class ValueCounts:
    """Cells of a regression, with the sums of `counting.count_values`."""

    cells: Cells

    def fields(self, part: Array) -> dict[str, Any]:
        """The sums, and the interval of r2.

        Raises:
            EvaluationInputError: Squares are beyond the range of numbers.
        """
        import numpy as np

        sums, n = self.cells.sums, int(self.cells.n[part].sum())
        with np.errstate(over="ignore", invalid="ignore"):
            total = {name: float(values[part].sum()) for name, values in sums.items()}
        constant = sums["low"][part].min() == sums["high"][part].max()
        centre = total["t"] / n
        spread = 0.0 if constant else max(0.0, total["tt"] - n * centre * centre)
        found = {
            "error": total["e"],
            "abs_error": total["size"],
            "squared_error": total["ee"],
            "y": total["y"],
            "squared_deviation_y": spread,
        }
        if not all(map(math.isfinite, found.values())):
            raise EvaluationInputError(
                "The squares of the truth or of the errors are beyond the range of numbers.",
                "Scale the target, for example to another unit.",
            )
        quartic = total["eeee"] if math.isfinite(total["eeee"]) else None
        bounds = None if constant or quartic is None else _r2(total, centre, spread, n)
        return {
            "sums": found | {"quartic_error": quartic},
            "intervals": {} if bounds is None else {"r2": bounds},
        }


@dataclass(frozen=True)
class ScoreCounts:
    """Cells of a binary score in ascending order; `ties` (k,) numbers their fine bins."""

    cells: Cells
    ties: Array

    @classmethod
    def of(cls, cells: Cells) -> ScoreCounts:
        """The cells of `counting.count_scores`, put in order."""
        import numpy as np

        keys = np.stack([cells.sums[name] for name in (HISTOGRAM, CALIBRATION, FINE)])
        order = np.lexsort(keys)
        ordered = keys[:, order]
        starts = np.ones(len(order), dtype=bool)
        starts[1:] = (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)
        return cls(cells.taken(order), starts.cumsum())

    def fields(self, part: Array) -> dict[str, Any]:
        """The scalars of the score, and how far those that come from bins can be off."""
        undefined = self.undefined(part)
        if "roc_auc" in undefined:
            return {"undefined": undefined}
        n, sums = self.cells.n[part], self.cells.sums
        hits = sums[POSITIVE][part] > 0
        low, high = sums["low"][part], sums["high"][part]
        ties, blurred = _ties(self.ties[part], n, hits, low, high)
        found = {
            "roc_auc": scalars.roc_auc(ties),
            "average_precision": scalars.average_precision(ties),
        }
        if not undefined:
            found |= self._losses(part, int(n.sum()))
        return {
            "undefined": undefined,
            "bounds": rank_bounds(ties, blurred),
            **scalars.as_fields(found),
        }

    def undefined(self, part: Array | slice = slice(None)) -> dict[str, str]:
        """Which scalars mean nothing on these cells, and why."""
        n, sums = self.cells.n[part], self.cells.sums
        if not len(n):
            return dict.fromkeys(OF_RANKS + OF_PROBABILITIES, "no row has a score")
        hits = int(n[sums[POSITIVE][part] > 0].sum())
        inside = bool(sums["low"][part].min() >= 0 and sums["high"][part].max() <= 1)
        return undefined_scalars(int(n.sum()), hits, probabilities=inside)

    def calibration(self) -> dict[str, list[float]]:
        """The calibration bins of all rows, as `EvaluationTable` holds them."""
        import numpy as np

        edges = np.linspace(0.0, 1.0, scalars.CALIBRATION_BINS + 1)
        n, hits, scores = self._bins(slice(None))
        return {
            "edges": edges.tolist(),
            "n": n.astype(int).tolist(),
            "positives": hits.astype(int).tolist(),
            "score_sum": scores.tolist(),
        }

    def histogram(self, edges: Floats) -> dict[str, list[float]]:
        """The score histogram of all rows, as `EvaluationTable` holds it."""
        import numpy as np

        sums, n = self.cells.sums, self.cells.n
        place, hits = sums[HISTOGRAM].astype(int), sums[POSITIVE] > 0
        every = {
            "negatives": np.bincount(place, n * ~hits, minlength=len(edges) - 1),
            "positives": np.bincount(place, n * hits, minlength=len(edges) - 1),
        }
        counted = {name: counts.astype(int).tolist() for name, counts in every.items()}
        return {"edges": edges.tolist(), **counted}

    def _losses(self, part: Array, n: int) -> dict[str, Estimate]:
        sums = self.cells.sums
        means = {
            "brier_score": ("square", "squares", 1.0),
            "log_loss": ("loss", "losses", math.inf),
        }
        found = {}
        for name, (first, second, most) in means.items():
            mean = float(sums[first][part].sum()) / n
            square = float(sums[second][part].sum()) / n
            deviation = _deviation(mean, square, n)
            found[name] = scalars.mean_of(mean, deviation, n, 0.0, most)
        _, hits, scores = self._bins(part)
        found["expected_calibration_error"] = Estimate(math.fsum(abs(scores - hits)) / n)
        return found

    def _bins(self, part: Array | slice) -> tuple[Floats, Floats, Floats]:
        """Rows, positives and sum of scores in each calibration bin."""
        import numpy as np

        sums, n = self.cells.sums, self.cells.n[part]
        place = sums[CALIBRATION][part].astype(int)
        values = (n, n * (sums[POSITIVE][part] > 0), sums["s"][part])
        rows, hits, scores = (
            np.bincount(place, v, scalars.CALIBRATION_BINS).astype(float) for v in values
        )
        return rows, hits, scores


@dataclass(frozen=True)
class SizeCounts:
    """Cells of absolute errors in ascending order of their fine bins."""

    cells: Cells

    @classmethod
    def of(cls, cells: Cells) -> SizeCounts:
        """The cells of `counting.count_sizes`, put in order."""
        import numpy as np

        return cls(cells.taken(np.argsort(cells.sums[FINE], kind="stable")))

    def fields(self, part: Array) -> dict[str, Any]:
        """The median absolute error with its interval, and how far it can be off."""
        import numpy as np

        fine = self.cells.sums[FINE][part]
        starts = np.flatnonzero(np.r_[True, fine[1:] != fine[:-1]])
        below = np.add.reduceat(self.cells.n[part], starts).cumsum()
        low = np.minimum.reduceat(self.cells.sums["low"][part], starts)
        high = np.maximum.reduceat(self.cells.sums["high"][part], starts)
        n = int(below[-1])
        places = np.searchsorted(below, [(n + 1) // 2, n // 2 + 1])
        least, most = float(low[places].mean()), float(high[places].mean())
        rank = scalars.median_rank(n)
        bounds = None
        if rank:
            first, last = np.searchsorted(below, [rank, n - rank + 1])
            bounds = (float(low[first]), float(high[last]))
        found = scalars.as_fields({"median_absolute_error": Estimate((least + most) / 2, bounds)})
        off = (most - least) / 2
        return found | {"bounds": {"median_absolute_error": off} if off else {}}


def _ties(
    bins: Array, n: Array, hits: Array, low: Floats, high: Floats
) -> tuple[Ties, npt.NDArray[np.bool_]]:
    """Cells of ascending bins by bin, and which bins hold different scores."""
    import numpy as np

    starts = np.flatnonzero(np.r_[True, bins[1:] != bins[:-1]])
    positives = np.add.reduceat(n * hits, starts)
    sizes = np.add.reduceat(n, starts)
    total = int(sizes.sum())
    ties = Ties(positives, sizes - positives, total - sizes.cumsum() + sizes)
    if total >= _WHOLE:
        ties = Ties(*(counts.astype(float) for counts in ties))
    blurred = np.minimum.reduceat(low, starts) < np.maximum.reduceat(high, starts)
    return ties, blurred


def _deviation(mean: float, square: float, n: int) -> float:
    """The standard deviation (ddof 1) of n values from their mean and the mean of their squares."""
    variance = square - mean * mean
    if n < 2 or variance <= _ROUNDING * mean * mean:
        return 0.0
    return math.sqrt(variance * n / (n - 1))


def _r2(total: dict[str, float], centre: float, spread: float, n: int) -> scalars.Bounds | None:
    """The interval of `exact.r2_bounds` from sums of products around another centre."""
    error, spread = total["ee"] / n, spread / n
    if error == 0 or spread == 0:
        return None
    crossed = total["eett"] - 2 * centre * total["eet"] + centre**2 * total["ee"]
    quartic = (
        total["tttt"]
        - 4 * centre * total["ttt"]
        + 6 * centre**2 * total["tt"]
        - 4 * centre**3 * total["t"]
        + n * centre**4
    )
    parts = (total["eeee"] / error**2, -2 * crossed / error / spread, quartic / spread**2)
    variance = math.fsum(parts) / (n - 1)
    if not math.isfinite(variance):
        return None
    return scalars.r2_interval(error, spread, math.sqrt(max(0.0, variance)), n)
