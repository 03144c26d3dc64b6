"""Perturb a model's inputs: noise, missing values, category swaps, rounding, permutation.

Every column is drawn from a generator of its own, seeded by (seed, perturbation id, column), so
that another perturbation or another column changes no draw. The same NumPy gives the same draws.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.governance.system import Perturbation
from aims_mlflow.monitors.frames import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    import numpy.typing as npt

    from aims_mlflow.monitors.frames import ColumnType, Frame

    Array = npt.NDArray[Any]
    Floats = npt.NDArray[np.float64]

#: What is tried where neither the call nor the system's declaration names perturbations.
DEFAULTS = (
    Perturbation(id="noise-small", kind="noise", amount=0.1),
    Perturbation(id="noise-large", kind="noise", amount=0.5),
    Perturbation(id="missing", kind="missing", amount=0.05),
    Perturbation(id="category-swap", kind="category_swap", amount=0.10),
    Perturbation(id="rounding", kind="rounding", amount=2),
    Perturbation(id="permutation", kind="permutation"),
)
#: Columns that one permutation shuffles, one after the other.
MAX_PERMUTED = 20
#: Names of columns that a note or a result lists, and characters of each.
MAX_LISTED = 50
MAX_NAME = 120

_APPLIES: dict[str, tuple[ColumnType, ...]] = {
    "noise": ("integer", "float"),
    "rounding": ("float",),
    "category_swap": ("category",),
    "missing": ("integer", "float", "category", "other"),
    "permutation": ("integer", "float", "category", "other"),
}
_WANTED = {
    "noise": "numeric column",
    "rounding": "column of decimal numbers",
    "category_swap": "column of text, categories or booleans",
}


class Perturbed(NamedTuple):
    """The columns in which values changed, native to the frame, and what there is to say.

    Where no value changed there are none, and `note` says why.
    """

    columns: dict[str, Any]
    note: str


def check(perturbations: Sequence[Perturbation], frame: Frame) -> None:
    """Refuse perturbations that cannot be meant.

    Raises:
        EvaluationInputError: None at all, two of one id, a column that the inputs do not have, or
            decimals that are no whole number.
    """
    if not perturbations:
        raise EvaluationInputError(
            "No perturbation is given.", "Name at least one, or leave perturbations=None."
        )
    ids = [p.id for p in perturbations]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        raise EvaluationInputError(
            f"Two perturbations have the id '{twice[0]}'.", "Give each an id of its own."
        )
    known = set(frame.names)
    for perturbation in perturbations:
        unknown = [c for c in perturbation.columns or () if c not in known]
        if unknown:
            raise EvaluationInputError(
                f"Perturbation '{perturbation.id}' names the column '{unknown[0]:.{MAX_NAME}}', "
                "which X does not have.",
                f"X has the columns {listed(frame.names)}.",
            )


def candidates(perturbation: Perturbation, frame: Frame) -> tuple[str, ...]:
    """The columns that the perturbation may change: those named, else all that it applies to.

    A named column counts as a category whatever it holds, so that coded categories can be swapped.
    """
    if perturbation.kind == "category_swap" and perturbation.columns is not None:
        return perturbation.columns
    named = frame.names if perturbation.columns is None else perturbation.columns
    return tuple(c for c in named if frame.type_of(c) in _APPLIES[perturbation.kind])


def perturb(
    frame: Frame, perturbation: Perturbation, columns: Sequence[str], seed: int
) -> Perturbed:
    """Change these columns of the inputs.

    Noise is normal with `amount` standard deviations of the column (ddof 0, over the rows of
    `frame`); integer columns stay integers, so noise is rounded there and kept in the type's range.
    `missing` takes away, and `category_swap` exchanges, the rounded share `amount` of the values of
    each column, one at least; a swapped value is drawn from the column's other values by their
    frequency. Missing values stay missing.

    Args:
        frame: The inputs; not changed.
        perturbation: What to do.
        columns: From `candidates`.
        seed: With the perturbation's id and the column's name, the seed of the draws.

    Returns:
        The columns that changed.
    """
    left_out = [c for c in perturbation.columns or () if c not in columns]
    wanted = _WANTED.get(perturbation.kind, "column")
    notes = [f"not applied to {listed(left_out)}: no {wanted}"] if left_out else []
    if not columns:
        return Perturbed({}, "; ".join(notes) or f"X has no {wanted}")
    found = {
        name: _changed(frame, perturbation, name, generator(seed, perturbation.id, name))
        for name in columns
    }
    changed = {name: column for name, column in found.items() if column is not None}
    same = [name for name in columns if name not in changed]
    if same:
        notes.append(f"no value changed in {listed(same)}")
    if len(changed) > MAX_LISTED:
        notes.append(f"{len(changed)} columns, the first {MAX_LISTED} of which are named")
    return Perturbed(changed, "; ".join(notes))


def generator(seed: int, *names: str) -> np.random.Generator:
    """A random generator of its own for each list of names."""
    import numpy as np

    text = "\0".join((str(seed), *names)).encode("utf-8", "replace")
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text).digest()))


def listed(names: Iterable[str]) -> str:
    """Names for a person: quoted, the first ones only.

    >>> listed(["a", "b"])
    "'a', 'b'"
    """
    every = list(names)
    shown = ", ".join(f"'{name[:MAX_NAME]}'" for name in every[:10])
    return shown + (f" and {len(every) - 10} more" if len(every) > 10 else "")


def _changed(
    frame: Frame, perturbation: Perturbation, name: str, rng: np.random.Generator
) -> Any | None:
    """The changed column; None where no value changed."""
    amount = perturbation.amount or 0.0
    if perturbation.kind in ("noise", "rounding"):
        values = frame.numbers(name)
        if perturbation.kind == "noise":
            whole = frame.type_of(name) == "integer"
            new = _noisy(values, amount, rng, whole=whole)
        else:
            new = _rounded(values, int(amount))
        column = frame.renumbered(name, new)
        return column if _differ(values, new) else None
    codes = _codes(frame.objects(name))
    order = _order(perturbation.kind, codes, amount, rng)
    after = _codes_after(codes, order)
    return None if (after == codes).all() else frame.gathered(name, order)


def _noisy(values: Floats, amount: float, rng: np.random.Generator, *, whole: bool) -> Floats:
    import numpy as np

    finite = np.isfinite(values)
    # Drawn for every row: a missing value elsewhere in the column changes no other row's draw.
    noise = rng.standard_normal(len(values))
    if not finite.any():
        return values
    # Scaled first, so that the squares of huge numbers do not overflow.
    scale = float(np.abs(values[finite]).max()) or 1.0
    deviation = float(np.std(values[finite] / scale)) * scale
    with np.errstate(over="ignore"):
        noise = noise * amount * deviation
        new = values + (np.round(noise) if whole else noise)
    return np.where(np.isfinite(new), new, values)


def _rounded(values: Floats, decimals: int) -> Floats:
    import numpy as np

    # More digits than a double has; rounding would overflow on the way.
    if decimals > 15:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        new = np.round(values, decimals)
    return np.where(np.isfinite(new), new, values)


def _differ(values: Floats, new: Floats) -> bool:
    import numpy as np

    return not np.array_equal(values, new, equal_nan=True)


def _codes(values: Array) -> Array:
    """The values as numbers in the order of their first row (n,); -1 where missing."""
    import pandas as pd

    try:
        codes, _ = pd.factorize(values, sort=False)
    except TypeError:  # lists and dicts cannot be compared by hash
        codes, _ = pd.factorize(pd.Series(values).map(repr, na_action="ignore").to_numpy())
    return codes


def _codes_after(codes: Array, order: Array) -> Array:
    import numpy as np

    return np.where(order == MISSING, MISSING, codes[order])


def _order(kind: str, codes: Array, amount: float, rng: np.random.Generator) -> Array:
    """The row that each row's value comes from (n,)."""
    import numpy as np

    order = np.arange(len(codes))
    present = (codes != MISSING).nonzero()[0]
    if kind == "permutation":
        return rng.permutation(len(codes))
    count = max(round(amount * len(present)), 1) if amount and len(present) else 0
    drawn = rng.choice(present, size=count, replace=False)
    order[drawn] = MISSING if kind == "missing" else _donors(codes, present, drawn, rng)
    return order


def _donors(codes: Array, present: Array, drawn: Array, rng: np.random.Generator) -> Array:
    """For each drawn row, a row with another value, each of these as likely as the others."""
    import numpy as np

    ranked = present[np.argsort(codes[present], kind="stable")]
    sizes = np.bincount(codes[present])
    if len(sizes) < 2:
        return drawn
    own = codes[drawn]
    # Rows of one value stand side by side: a draw that skips them is a draw among the others.
    at = rng.integers(0, len(present) - sizes[own])
    begins = (np.cumsum(sizes) - sizes)[own]
    return ranked[np.where(at < begins, at, at + sizes[own])]
