"""p-values of many columns at once, corrected for how many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Correction = Literal["none", "bonferroni", "benjamini_hochberg"]
#: How a reader knows them.
NAMES: dict[Correction, str] = {
    "none": "none",
    "bonferroni": "Bonferroni",
    "benjamini_hochberg": "Benjamini-Hochberg",
}


def corrected(p_values: Sequence[float], correction: Correction) -> tuple[float, ...]:
    """p-values to be held against the level of one test; never smaller than the given ones.

    Bonferroni multiplies by the number of tests and so bounds the chance of any false alarm (Dunn
    1961). Benjamini and Hochberg (1995) bound the expected share of false alarms among all alarms
    (`scipy.stats.false_discovery_control`). A larger p-value never makes another one smaller.

    >>> corrected([0.01, 0.5], "bonferroni")
    (0.02, 1.0)
    """
    from scipy.stats import false_discovery_control

    if correction == "none" or not p_values:
        return tuple(p_values)
    if correction == "bonferroni":
        return tuple(min(1.0, p * len(p_values)) for p in p_values)
    return tuple(float(p) for p in false_discovery_control(p_values, method="bh"))
