"""Evaluate how a model's metrics fall when its inputs are perturbed.

The model is only ever asked to predict; rows are bounded, and every draw is seeded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.monitors.caller import Caller, read_truth
from aims_mlflow.monitors.columns import check_lengths
from aims_mlflow.monitors.falls import Predicted, falls, largest
from aims_mlflow.monitors.formulas import performance_metrics
from aims_mlflow.monitors.frames import read_frame
from aims_mlflow.monitors.perturbations import (
    DEFAULTS,
    MAX_LISTED,
    MAX_NAME,
    MAX_PERMUTED,
    candidates,
    check,
    generator,
    listed,
    perturb,
)
from aims_mlflow.monitors.tables import UNNAMED, aggregate
from aims_mlflow.readings import LEVEL, PerturbationResult, Robustness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from aims_mlflow.governance.system import Perturbation
    from aims_mlflow.monitors.frames import Frame
    from aims_mlflow.readings import Fall

    Array = npt.NDArray[Any]

#: Metrics that are measured where the caller names none.
DEFAULT_METRICS = {
    "binary": ("accuracy", "f1"),
    "multiclass": ("accuracy", "f1_macro"),
    "multilabel": ("f1_macro", "subset_accuracy"),
    "regression": ("mae", "rmse", "r2"),
}
#: Metrics that need the model's scores.
SCORED = frozenset(
    {"roc_auc", "average_precision", "log_loss", "brier_score", "expected_calibration_error"}
)
#: Characters of a model's own error message that are shown.
_MAX_MESSAGE = 300


@dataclass(frozen=True)
class Request:
    """What to evaluate, and how.

    `metrics` replaces the default metrics of the task, `further` are measured besides these where
    they apply to it. `predict` takes the place of the model's own `predict` and `predict_proba`.
    `advance` is told (steps done, steps in all, what is done now), `failed` the perturbation and
    the error with which the model refused it.
    """

    perturbations: Sequence[Perturbation] = DEFAULTS
    metrics: Sequence[str] | None = None
    further: Sequence[str] = ()
    dataset: str | None = None
    task: str | None = None
    positive_label: str | int | bool | None = None
    max_rows: int = 10_000
    seed: int = 0
    predict: Callable[[Any], Any] | None = None
    advance: Callable[[int, int, str], None] | None = None
    failed: Callable[[str, str], None] | None = None


def evaluate(model: Any, inputs: Any, targets: Any, request: Request) -> Robustness:
    """The fall of each metric under each perturbation.

    Args:
        model: Has `predict`, or is called itself.
        inputs: Shape (n, p): pandas, Polars or NumPy; never changed.
        targets: True labels or values, shape (n,), or (n, labels) for a multilabel task.
        request: What to do.

    Raises:
        EvaluationInputError: The arguments cannot be evaluated, or the model fails on the inputs
            as they are. A failure on perturbed inputs is a note of its result.
    """
    if request.task == "ranking":
        raise EvaluationInputError(
            "A ranking cannot be evaluated under perturbations: rows of a query belong together.",
            "Evaluate it with log_evaluation.",
        )
    frame, truth = read_frame(inputs), read_truth(targets)
    check_lengths({"X": frame.n, "y": len(truth)})
    check(request.perturbations, frame)
    rows = _sampled(frame.n, request.max_rows, request.seed)
    sample = _Sample(frame.take(rows), truth[rows], Caller(model, request.predict), request)
    return Robustness(
        dataset=request.dataset or UNNAMED,
        task=sample.task,
        n=len(rows),
        n_total=frame.n,
        seed=request.seed,
        error_bound=sampling_error(len(rows), frame.n),
        results=tuple(sample.results()),
        notes=tuple(sample.notes(frame.n)),
    )


def sampling_error(n: int, n_total: int) -> float:
    """The largest error, at `LEVEL`, of a share of `n` rows drawn from `n_total` without return.

    Hoeffding-Serfling: R. Bardenet and O.-A. Maillard, "Concentration inequalities for sampling
    without replacement", Bernoulli 21 (2015), theorem 2.4, for both sides. 0 for all rows.

    >>> round(sampling_error(10_000, 1_000_000), 4), sampling_error(50, 50)
    (0.0135, 0.0)
    """
    left = min(1 - (n - 1) / n_total, (1 - n / n_total) * (1 + 1 / n))
    return math.sqrt(left * math.log(2 / (1 - LEVEL)) / (2 * n))


class _Sample:
    """The rows that are perturbed, and the model's answer to them as they are."""

    def __init__(self, frame: Frame, truth: Array, caller: Caller, request: Request) -> None:
        self._frame, self._truth, self._caller, self._request = frame, truth, caller, request
        self._task = request.task
        self._positive = request.positive_label
        self._steps = [(p, candidates(p, frame)) for p in request.perturbations]
        self._done = 0
        self._tell("the inputs as they are")
        self._clean = self._as_they_are()
        self.task = self._task = self._clean.table.task
        self._positive = self._clean.table.positive_label
        self._metrics = self._chosen()

    def results(self) -> Iterator[PerturbationResult]:
        for perturbation, columns in self._steps:
            if perturbation.kind == "permutation":
                yield from self._each(perturbation, columns)
            else:
                yield self._result(perturbation, columns)

    def notes(self, n_total: int) -> Iterator[str]:
        n, request = self._frame.n, self._request
        if n < n_total:
            yield (
                f"{n} of {n_total} rows, drawn without replacement with seed {request.seed}. At "
                f"{LEVEL:.0%}, a share of them differs from that of all rows by at most "
                f"{sampling_error(n, n_total):.4f}, and its fall by twice that "
                "(Hoeffding-Serfling)."
            )
        yield from self._clean.table.notes

    def _chosen(self) -> tuple[str, ...]:
        known = performance_metrics(self.task)
        default = DEFAULT_METRICS[self.task]
        if self.task == "binary" and self._caller.has_scores:
            default += ("roc_auc",)
        wanted = default if self._request.metrics is None else tuple(self._request.metrics)
        unknown = [name for name in wanted if name not in known]
        if unknown or not wanted:
            named = f"Metric '{unknown[0]!s:.80}' is none" if unknown else "No metric is named"
            raise EvaluationInputError(
                f"{named} of a {self.task} task.", f"Use some of: {', '.join(known)}."
            )
        further = (name for name in self._request.further if name in known)
        return tuple(dict.fromkeys((*wanted, *further)))

    def _as_they_are(self) -> Predicted:
        try:
            return self._predicted({})
        except EvaluationInputError:
            raise
        except Exception as error:
            raise EvaluationInputError(
                f"The model failed on the inputs as they are: {_told(error)}",
                "Pass the inputs that it was fitted on, or predict=a function that prepares them.",
            ) from error

    def _predicted(self, changed: Mapping[str, Any]) -> Predicted:
        request, scores = self._request, None
        asked = (*(request.metrics or ("roc_auc",)), *request.further)
        # A new frame for each question: a model may change its inputs in place.
        values = self._caller.predictions(self._frame.with_columns(changed))
        if SCORED.intersection(asked) and self._task in (None, "binary"):
            scores = self._caller.scores(self._frame.with_columns(changed))
        table = aggregate(
            self._truth,
            values,
            scores,
            dataset=request.dataset,
            task=self._task,
            positive_label=self._positive,
        )
        return Predicted(values, table)

    def _each(
        self, perturbation: Perturbation, columns: tuple[str, ...]
    ) -> Iterator[PerturbationResult]:
        """A permutation: the largest falls first, then every column by itself."""
        tried = _permuted(perturbation, columns)
        every = [self._result(perturbation, (column,)) for column in tried]
        changed = [result for result in every if result.columns]
        notes = ["each column by itself; of each metric, the largest fall"]
        if len(tried) < len(columns):
            left = len(columns) - len(tried)
            notes.append(f"the first {len(tried)} columns only, {left} were not permuted")
        unanswered = [result.columns[0] for result in changed if not result.falls]
        if unanswered:
            notes.append(f"no falls: the model had no answer for {listed(unanswered)}")
        notes += dict.fromkeys(r.note for r in every if r.note and not r.columns)
        yield PerturbationResult(
            id=perturbation.id,
            kind=perturbation.kind,
            amount=None,
            columns=tuple(result.columns[0] for result in changed),
            falls=largest([result.falls for result in changed]) if not unanswered else (),
            note="; ".join(notes),
        )
        for column, result in zip(tried, every, strict=True):
            yield result.model_copy(update={"id": f"{perturbation.id}/{column[:MAX_NAME]}"})

    def _result(self, perturbation: Perturbation, columns: tuple[str, ...]) -> PerturbationResult:
        request = self._request
        self._tell(perturbation.id)
        done = perturb(self._frame, perturbation, columns, request.seed)
        notes = [done.note] if done.note else []
        found: tuple[Fall, ...] = ()
        if done.columns:
            try:
                after = self._predicted(done.columns)
                found = falls(
                    self._truth, self._clean, after, self._metrics, request.seed, perturbation.id
                )
            except EvaluationInputError as error:
                notes.append(
                    f"the model's answer cannot be evaluated: {error.message:.{_MAX_MESSAGE}}"
                )
            except Exception as error:  # the model's own code may raise anything
                # Not its message, which may show rows of the data: it is for this process only.
                notes.append(f"the model has no answer to these inputs: {type(error).__name__}")
                if request.failed is not None:
                    request.failed(perturbation.id, _told(error))
        return PerturbationResult(
            id=perturbation.id,
            kind=perturbation.kind,
            amount=perturbation.amount,
            columns=tuple(name[:MAX_NAME] for name in list(done.columns)[:MAX_LISTED]),
            falls=found,
            note="; ".join(notes),
        )

    def _tell(self, what: str) -> None:
        if self._request.advance is not None:
            each = (
                len(_permuted(p, columns)) if p.kind == "permutation" else 1
                for p, columns in self._steps
            )
            self._request.advance(self._done, 1 + sum(each), what)
        self._done += 1


def _permuted(perturbation: Perturbation, columns: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that are shuffled, one after the other: all that are named, else the first."""
    return columns if perturbation.columns is not None else columns[:MAX_PERMUTED]


def _sampled(n_total: int, max_rows: int, seed: int) -> Array:
    import numpy as np

    if n_total <= max_rows:
        return np.arange(n_total)
    drawn = generator(seed, "rows").choice(n_total, size=max_rows, replace=False)
    return np.sort(drawn)


def _told(error: Exception) -> str:
    """The kind of error and the beginning of its message, on one line."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}..."
