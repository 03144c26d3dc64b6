"""Judge what is measured beside the evaluations: robustness, and scorers of generative AI."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aims_mlflow.monitors.intervals import WILSON, wilson
from aims_mlflow.monitors.verdicts import held, judgement, near, nothing_to_judge, too_few
from aims_mlflow.readings import Interval, Judgement, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aims_mlflow.governance.system import Perturbation
    from aims_mlflow.governance.thresholds import Threshold
    from aims_mlflow.readings import Fall, PerturbationResult, Robustness

#: What a scorer said: the share that passed, the mean of its numbers, how many answers it assessed,
#: and on how many it failed itself.
ScorerSummary = tuple[float | None, float | None, int, int]


def judge_scorer(
    threshold: Threshold, name: str, scorers: Mapping[str, ScorerSummary]
) -> Judgement:
    """A scorer's pass rate or mean score.

    Args:
        threshold: It names the scorer.
        name: The scorer.
        scorers: By name, what each scorer of the run said.
    """
    if name not in scorers:
        reason = (
            f"no scorer '{name}' assessed this run{near(name, scorers)}; "
            "add it to mlflow.genai.evaluate(..., scorers=[...])"
        )
        return judgement(threshold, threshold.dataset, Verdict.INSUFFICIENT, reason)
    pass_rate, mean, n, errors = scorers[name]
    value = pass_rate if threshold.metric == "pass_rate" else mean
    interval = None
    if value is None or not math.isfinite(value):
        what = "passes or fails nothing" if threshold.metric == "pass_rate" else "gives no numbers"
        verdict, reason = Verdict.INSUFFICIENT, f"the scorer '{name}' {what}"
        value = None
    elif n < threshold.min_rows:
        verdict, reason = Verdict.INSUFFICIENT, too_few(threshold, n, "assessments")
    else:
        if threshold.metric == "pass_rate":
            low, high = wilson(round(value * n), n)
            interval = Interval(low=low, high=high, method=WILSON)
        verdict, reason = held(threshold, value, interval)
        if errors and verdict is Verdict.PASS:
            # The answers that broke the scorer may be the very ones that would not pass.
            verdict, reason = Verdict.INSUFFICIENT, f"{reason}; but the scorer failed on {errors}"
    return judgement(threshold, threshold.dataset, verdict, reason, value=value, n=n)


def judge_robustness(
    threshold: Threshold,
    name: str,
    found: Sequence[Robustness],
    problems: Sequence[str],
    declared: Perturbation | None = None,
) -> Iterator[Judgement]:
    """A metric under a perturbation, or its fall, for each robustness evaluation of the dataset.

    Args:
        threshold: It names the perturbation.
        name: The perturbation.
        found: The robustness evaluations of the run.
        problems: The robustness evaluations that were refused or cannot be read.
        declared: The perturbation as the system declares it now.
    """
    chosen = [one for one in found if threshold.dataset in (None, one.dataset)]
    for one in chosen:
        yield _judge_fall(threshold, name, one, declared)
    if not chosen or (problems and threshold.dataset is None):
        call = "aims_mlflow.evaluate_robustness(model, X, y{})"
        reason = nothing_to_judge(
            threshold, "robustness evaluation", [one.dataset for one in found], problems, call
        )
        yield judgement(threshold, threshold.dataset, Verdict.INSUFFICIENT, reason)


def _judge_fall(
    threshold: Threshold, name: str, found: Robustness, declared: Perturbation | None
) -> Judgement:
    result = next((result for result in found.results if result.id == name), None)
    if result is None:
        among = _among(one.id for one in found.results)
        reason = f"the robustness evaluation of '{found.dataset}' has no perturbation '{name}'"
        return _unproven(threshold, found, f"{reason}{among}")
    if declared is not None and (result.kind, result.amount) != (declared.kind, declared.amount):
        reason = (
            f"'{name}' was tried on '{found.dataset}' as {_tried(result)}, and is declared as "
            f"{_tried(declared)}: evaluate the robustness again"
        )
        return _unproven(threshold, found, reason)
    fall = next((fall for fall in result.falls if fall.metric == threshold.metric), None)
    note = f": {result.note}" if result.note else ""
    if fall is None:
        among = _among(f.metric for f in result.falls)
        reason = f"{threshold.metric} was not measured under '{name}'{among}{note}"
        return _unproven(threshold, found, reason)
    falls = threshold.max_fall is not None
    value = fall.fall if falls else fall.perturbed
    if value is None or not math.isfinite(value):
        undefined = f"{threshold.metric} is undefined under '{name}'{note}"
        return _unproven(threshold, found, fall.reason or undefined)
    if found.n < threshold.min_rows:
        return _unproven(threshold, found, too_few(threshold, found.n, "rows"), value)
    verdict, reason = held(threshold, value, fall.interval if falls else None)
    reason += f": {_measured(fall)}{_sampled(found)}"
    return judgement(threshold, found.dataset, verdict, reason, value=value, n=found.n)


def _unproven(
    threshold: Threshold, found: Robustness, reason: str, value: float | None = None
) -> Judgement:
    insufficient = Verdict.INSUFFICIENT
    return judgement(threshold, found.dataset, insufficient, reason, value=value, n=found.n)


def _tried(perturbation: Perturbation | PerturbationResult) -> str:
    amount = perturbation.amount
    return perturbation.kind if amount is None else f"{perturbation.kind} {amount:.12g}"


def _among(names: Iterable[str]) -> str:
    known = ", ".join(f"'{name}'" for name in names)
    return f", only {known}" if known else ""


def _measured(fall: Fall) -> str:
    clean = "undefined" if fall.clean is None else f"{fall.clean:.3g}"
    changed = "undefined" if fall.perturbed is None else f"{fall.perturbed:.3g}"
    return f"{fall.metric} {clean} as it is, {changed} perturbed"


def _sampled(found: Robustness) -> str:
    if found.n >= found.n_total:
        return ""
    return f", on {found.n} of {found.n_total} rows"
