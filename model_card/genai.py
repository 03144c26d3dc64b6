"""What scorers said of a generative AI's answers, as pass rates and means with intervals."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from aims_mlflow.model_card.evaluation import GenAIEvaluation, ScorerResult
from aims_mlflow.readings import LEVEL, Interval

if TYPE_CHECKING:
    from aims_mlflow.facts import GenAIFacts, ScorerFacts

#: Values that are a pass, whatever their case: True and the words of MLflow's judges.
PASS = frozenset({"true", "yes", "pass", "passed", "correct"})
#: Values that are a verdict and no pass. A judge that answers `unknown` proved nothing.
NO_PASS = frozenset({"false", "no", "fail", "failed", "incorrect", "unknown"})
#: How a source of an assessment reads on the report.
JUDGES = {"CODE": "code", "LLM_JUDGE": "language model", "HUMAN": "person"}
_SHOWN_SOURCES = 5
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


def evaluate_genai(facts: GenAIFacts) -> GenAIEvaluation:
    """The report's part on generative AI: one result for each scorer, by its name.

    A scorer all of whose values are verdicts (`PASS` and `NO_PASS`) has a pass rate with a Wilson
    interval. One all of whose values are numbers has a mean with a normal interval. Any other has
    the counts of its values and neither: what is a pass among them, nobody said. Assessments that
    failed are in neither and counted as `errors`.
    """
    return GenAIEvaluation(
        traces=facts.traces,
        failed=facts.failed,
        scorers=tuple(_result(scorer) for scorer in facts.scorers),
    )


def scorer_values(
    evaluation: GenAIEvaluation,
) -> dict[str, tuple[float | None, float | None, int, int]]:
    """Pass rate, mean, number of assessments and of answers without one, for `judge`.

    Where several sources assessed under one name (people correcting a judge), the lowest pass rate
    counts, and there is no mean: which source is right, nobody said.
    """
    found: dict[str, tuple[float | None, float | None, int, int]] = {}
    for name in dict.fromkeys(result.scorer for result in evaluation.scorers):
        rows = [result for result in evaluation.scorers if result.scorer == name]
        rates = [row.pass_rate for row in rows if row.pass_rate is not None]
        complete = len(rates) == len([row for row in rows if row.n])
        assessed = max(row.n for row in rows)
        missing = max(evaluation.traces - assessed, sum(row.errors for row in rows))
        found[name] = (
            min(rates) if rates and complete else None,
            rows[0].mean if len(rows) == 1 else None,
            min((row.n for row in rows if row.n), default=0),
            missing,
        )
    return found


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's score interval of a share at `LEVEL`.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference,
    Journal of the American Statistical Association 22 (1927), 209-212.

    >>> [round(bound, 4) for bound in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    share, spread = successes / n, _Z * _Z / n
    centre = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    # Exactly 0 and 1 where the formula misses them by a rounding.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def _result(scorer: ScorerFacts) -> ScorerResult:
    result = ScorerResult(
        scorer=scorer.name,
        judged_by=_judged_by(scorer),
        n=scorer.n,
        errors=scorer.errors,
        values=dict(scorer.values),
    )
    words = {value.strip().lower() for value in scorer.values}
    if scorer.n == 0 or (words and scorer.numbers is not None):
        return result
    if scorer.numbers is not None:
        return result.model_copy(update=_mean(*scorer.numbers))
    if not words <= PASS | NO_PASS:
        return result
    passed = sum(n for value, n in scorer.values.items() if value.strip().lower() in PASS)
    low, high = wilson(passed, scorer.n)
    return result.model_copy(
        update={
            "passed": passed,
            "pass_rate": passed / scorer.n,
            "interval": Interval(low=low, high=high, method="Wilson"),
        }
    )


def _mean(n: int, total: float, squares: float) -> dict[str, float | Interval | None]:
    """The mean and its normal interval from the sums; no interval of a single number."""
    mean = total / n
    variance = max(0.0, squares - n * mean * mean) / (n - 1) if n > 1 else math.nan
    if not math.isfinite(variance):
        return {"mean": mean}
    half = _Z * math.sqrt(variance / n)
    method = "normal approximation"
    return {"mean": mean, "interval": Interval(low=mean - half, high=mean + half, method=method)}


def _judged_by(scorer: ScorerFacts) -> str:
    judge = JUDGES.get(scorer.source_type, "source not stated")
    named = [source for source in scorer.sources if source not in ("", "default", scorer.name)]
    shown = ", ".join(named[:_SHOWN_SOURCES])
    if len(named) > _SHOWN_SOURCES:
        shown += f" and {len(named) - _SHOWN_SOURCES} more"
    return f"{judge}: {shown}" if shown else judge
