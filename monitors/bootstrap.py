"""Bootstrap intervals of what a confusion table gives and no closed form serves well.

The rows of a confusion table are drawn anew, 1,000 times, from the multinomial distribution of its
own counts: what resampling the rows would give, in milliseconds. The seed is derived from the
counts, so the same table always has the same interval; also with a later NumPy, whose `RandomState`
alone promises to draw the same numbers for ever (NEP 19). Evidence is compared by its digest.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from aims_mlflow.readings import LEVEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from aims_mlflow.monitors.formulas import Measured

    Array = npt.NDArray[Any]
    Counts = Sequence[tuple[int, int, int]]

METRICS = ("f1_macro", "matthews_corrcoef")
METHOD = "bias-corrected bootstrap of the confusion counts, 1,000 replicates, seeded"
REPLICATES = 1_000
#: More cells with rows than this get no bootstrap: it would take longer than it is worth.
MAX_CELLS = 400
#: The least share of replicates in which the metric must be defined.
_DEFINED = 0.9


def bootstrap(counts: Counts, found: Mapping[str, Measured]) -> dict[str, tuple[float, float]]:
    """Intervals of macro F1 and of Matthews' correlation, at `readings.LEVEL`.

    Bias-corrected percentiles: Efron (1987), Better bootstrap confidence intervals, JASA 82, with
    an acceleration of zero.

    Args:
        counts: Of one group: (true, predicted, n).
        found: Its metrics, from `formulas.measure`.

    Returns:
        By metric. Left out where the metric is undefined, here or in more than a tenth of the
        replicates, and where every replicate is the same: perfect predictions make an interval of
        no width, which would claim to know too much.
    """
    wanted = {name: found[name].value for name in METRICS if name in found}
    if not wanted or len(counts) < 2 or len(counts) > MAX_CELLS:
        return {}
    replicates = _replicates(counts)
    limits = {
        name: _percentiles(replicates[name], value)
        for name, value in wanted.items()
        if value is not None
    }
    return {name: at for name, at in limits.items() if at is not None}


def _replicates(counts: Counts) -> dict[str, Array]:
    """Each metric (1000,) of the drawn tables; NaN where it is undefined."""
    import numpy as np

    true, predicted, n = np.array(counts).T
    total = int(n.sum())
    # Macro F1 is the mean over the classes that occur, also where a replicate has lost one.
    classes = np.array(sorted({*true.tolist(), *predicted.tolist()}))[:, None]
    of_true, of_predicted = (true == classes) * 1.0, (predicted == classes) * 1.0
    generator = np.random.RandomState(np.random.MT19937([x for cell in counts for x in cell]))
    drawn = generator.multinomial(total, n / total, size=REPLICATES).T.astype(float)
    t, p, hits = of_true @ drawn, of_predicted @ drawn, (of_true * of_predicted) @ drawn
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "f1_macro": (2 * hits / (t + p)).sum(axis=0) / len(classes),
            "matthews_corrcoef": _matthews(hits.sum(axis=0), t, p, float(total)),
        }


def _matthews(hits: Array, true: Array, predicted: Array, n: float) -> Array:
    import numpy as np

    spread = (n * n - (true * true).sum(axis=0)) * (n * n - (predicted * predicted).sum(axis=0))
    found: Array = (hits * n - (true * predicted).sum(axis=0)) / np.sqrt(spread)
    return found


def _percentiles(replicates: Array, value: float) -> tuple[float, float] | None:
    import numpy as np

    defined = np.sort(replicates[np.isfinite(replicates)])
    size = len(defined)
    if size < _DEFINED * len(replicates) or defined[0] == defined[-1]:
        return None
    # Replicates that equal the value, up to rounding, count half.
    below = np.searchsorted(defined, [value - 1e-12, value + 1e-12]).mean() / size
    if not 0 < below < 1:
        return None
    normal = NormalDist()
    shift = 2 * normal.inv_cdf(float(below))
    ranks = [normal.cdf(shift + normal.inv_cdf(at)) for at in ((1 - LEVEL) / 2, (1 + LEVEL) / 2)]
    low, high = np.interp(np.array(ranks) * (size - 1), np.arange(size), defined).tolist()
    return min(low, value), max(high, value)
