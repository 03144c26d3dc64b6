"""What `mlflow.genai.evaluate` left on a run: its traces' assessments, counted by scorer.

Only values are counted. Questions, answers, rationales and error messages stay in MLflow: the
traces are asked for without their spans.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import TrackingError
from aims_mlflow.facts import GenAIFacts, ScorerFacts
from aims_mlflow.tracking.translation import translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient
    from mlflow.entities import Run, Trace

#: The run tag by which MLflow says what a run is for, and its values for an evaluation: the second
#: is that of a pytest session of MLflow's, in which evaluations keep the tag as it is.
RUN_TYPE = "mlflow.runType"
EVALUATIONS = frozenset({"genai_evaluate", "test"})
#: Traces that are read of one run at most, and in one page.
MAX_TRACES = 10_000
PAGE = 500
#: Scorers of one run, distinct values of one scorer and characters of one value that are kept.
MAX_SCORERS = 200
MAX_VALUES = 50
MAX_VALUE = 100
#: The largest size of a number that is kept; NaN and greater ones are counted as errors.
MAX_NUMBER = 1e100
#: What a longer or rarer text is counted under; lists and dicts are under their type.
OTHER = "(other text)"
#: Who assessed, where an evaluation is not the one that did: feedback names it in its metadata.
_SOURCE_RUN = "mlflow.assessment.sourceRunId"


def genai_facts(client: MlflowClient, run: Run, notes: list[str]) -> GenAIFacts | None:
    """The assessments of a run of `mlflow.genai.evaluate`, counted; None for any other run.

    Counted is the feedback of this evaluation and what people said of its traces. Feedback that
    another evaluation gave to the same traces, and feedback that was corrected, is not.

    Args:
        client: The store that holds the run.
        run: The run. Nothing is asked unless its tags say that it is such an evaluation.
        notes: Receives what was left out and why.
    """
    run_type = run.data.tags.get(RUN_TYPE)
    if run_type not in EVALUATIONS:
        return None
    tallies: dict[tuple[str, str], _Tally] = {}
    traces = failed = unnamed = 0
    try:
        for trace in _traces(client, run):
            if traces == MAX_TRACES:
                notes.append(f"only the newest {MAX_TRACES} traces of the run were read")
                break
            traces += 1
            failed += str(trace.info.state) == "ERROR"
            for key, feedback in _feedback(trace, run.info.run_id):
                if key in tallies or len(tallies) < MAX_SCORERS:
                    tallies.setdefault(key, _Tally()).add(feedback)
                else:
                    unnamed += 1
    except TrackingError as error:
        notes.append(f"traces could not be read: {error}")
        return None
    if not traces and run_type != "genai_evaluate":
        return None
    if unnamed:
        notes.append(f"only {MAX_SCORERS} scorers are kept; {unnamed} assessments are left out")
    scorers = (tally.facts(*key) for key, tally in sorted(_settled(tallies).items()))
    return GenAIFacts(traces=traces, failed=failed, scorers=tuple(scorers))


@dataclass
class _Tally:
    """The assessments of one scorer, one by one."""

    sources: set[str] = field(default_factory=set)
    values: Counter[str] = field(default_factory=Counter)
    numbers: list[float] = field(default_factory=list)
    errors: int = 0

    def add(self, feedback: Any) -> None:
        self.sources.add(str(feedback.source.source_id or ""))
        value = feedback.feedback.value
        if feedback.feedback.error is not None or value is None:
            self.errors += 1
        elif isinstance(value, bool):
            self.values[str(value)] += 1
        elif isinstance(value, int | float):
            # NaN compares false, and the sum of squares stays a number.
            if abs(value) <= MAX_NUMBER:
                self.numbers.append(float(value))
            else:
                self.errors += 1
        elif isinstance(value, str):
            self.values[value if len(value) <= MAX_VALUE else OTHER] += 1
        else:
            self.values[f"({type(value).__name__})"] += 1

    def facts(self, name: str, source_type: str) -> ScorerFacts:
        # The most frequent values, and among equals the first by text: the same for every reading.
        ranked = sorted(self.values.items(), key=lambda item: (-item[1], item[0]))
        kept = dict(sorted(ranked[:MAX_VALUES]))
        if rest := sum(count for _, count in ranked[MAX_VALUES:]):
            kept[OTHER] = kept.get(OTHER, 0) + rest
        return ScorerFacts(
            name=name,
            source_type=source_type,
            sources=tuple(sorted(source for source in self.sources if source)[:MAX_VALUES]),
            n=self.values.total() + len(self.numbers),
            errors=self.errors,
            values=kept,
            numbers=self._moments() if self.numbers else None,
        )

    def _moments(self) -> tuple[int, float, float]:
        # fsum is exact: the order in which pages arrive must not change the digest.
        squares = math.fsum(number * number for number in self.numbers)
        return len(self.numbers), math.fsum(self.numbers), squares


def _traces(client: MlflowClient, run: Run) -> Iterator[Trace]:
    token: str | None = None
    while True:
        with translated(f"traces of run {run.info.run_id}"):
            page = client.search_traces(
                locations=[run.info.experiment_id],
                run_id=run.info.run_id,
                max_results=PAGE,
                page_token=token,
                include_spans=False,
            )
        yield from page
        token = page.token
        if not token:
            return


def _feedback(trace: Trace, run_id: str) -> Iterator[tuple[tuple[str, str], Any]]:
    """The feedback that counts, each under its scorer's name and type of source."""
    given = [a for a in trace.info.assessments if getattr(a, "feedback", None) is not None]
    known = {a.assessment_id: a for a in given if a.assessment_id}
    for feedback in given:
        first = _corrected(feedback, known)
        owner = (first.metadata or {}).get(_SOURCE_RUN, run_id)
        if feedback.valid is not False and owner == run_id:
            yield (str(first.name), str(first.source.source_type)), feedback


def _corrected(feedback: Any, known: dict[str, Any]) -> Any:
    """The assessment that a correction, or a chain of them, replaces; else the feedback itself."""
    seen: set[str] = set()
    while feedback.overrides in known and feedback.overrides not in seen:
        seen.add(feedback.overrides)
        feedback = known[feedback.overrides]
    return feedback


def _settled(tallies: dict[tuple[str, str], _Tally]) -> dict[tuple[str, str], _Tally]:
    """Failures given to the judge that failed: MLflow records each as if code had judged."""
    for key, tally in list(tallies.items()):
        name, source_type = key
        if source_type != "CODE" or tally.values or tally.numbers:
            continue
        judges = [k for k in tallies if k[0] == name and k[1] not in ("CODE", "HUMAN")]
        if len(judges) == 1:
            tallies[judges[0]].errors += tally.errors
            del tallies[key]
    return tallies
