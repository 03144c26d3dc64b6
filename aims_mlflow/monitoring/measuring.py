"""Measure: open what a monitor watches, count it, score it and hold it against the thresholds.

Only reads, and never raises for data: what cannot be read or measured becomes a problem of the
result, which withholds a PASS, and everything else goes on.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import AimsError
from aims_mlflow.governance.monitoring import duration
from aims_mlflow.monitored import ObservedData
from aims_mlflow.readings import Verdict
from aims_mlflow.references import find_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from aims_mlflow.governance.monitoring import Engine, Monitor
    from aims_mlflow.governance.system import AISystem
    from aims_mlflow.governance.thresholds import Threshold
    from aims_mlflow.monitored import ColumnComparison, MonitorReading, Window
    from aims_mlflow.monitors.labels import LabelJoin
    from aims_mlflow.monitors.sources import Opened
    from aims_mlflow.monitors.summaries import DataSummary
    from aims_mlflow.monitors.tables import EvaluationTable
    from aims_mlflow.readings import Judgement, Scores
    from aims_mlflow.references import FoundReference
    from aims_mlflow.tracking import Tracking

#: Rows of the reference up to which Evidently itself decides about drift.
EVIDENTLY_ROWS = 1000
#: References that MLflow holds, and no source.
_OF_MLFLOW = ("runs:/", "models:/")


@dataclass(frozen=True)
class Task:
    """One monitor on one window, with everything that it needs to measure.

    `current`, `reference` and `labels` take the place of what the monitor declares: a source as
    text, or a frame.
    """

    system: AISystem
    monitor: Monitor
    window: Window
    tracking: Tracking
    base: Path
    now: datetime
    current: Any = None
    reference: Any = None
    labels: Any = None
    engine: Engine | None = None
    master: str | None = None

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """The thresholds that this monitor judges."""
        return tuple(t for t in self.system.thresholds if self.monitor.judges(t))

    @property
    def given(self) -> tuple[str, ...]:
        """The declared sources that something else was given in place of."""
        roles = ("current", "reference", "labels")
        return tuple(
            role
            for role in roles
            if getattr(self, role) is not None and getattr(self.monitor, role) is not None
        )

    @property
    def day(self) -> Any:
        """The day on which thresholds must be valid: that of the window's end."""
        return self.window.end.date()


@dataclass
class Measured:
    """What was measured; filled step by step, so that a failure keeps what was there before it.

    `unread` are problems of sources that may be gone the next time.
    """

    readings: tuple[MonitorReading, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    data: list[ObservedData] = field(default_factory=list)
    comparisons: tuple[ColumnComparison, ...] = ()
    scores: tuple[Scores, ...] = ()
    model_version: str | None = None
    problems: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    evidently: bytes | None = None


@dataclass(frozen=True)
class _Observed:
    """An opened source; its summary is made when a monitor needs one."""

    opened: Opened | None
    summary: DataSummary | None = None


def measure(task: Task) -> Measured:
    """Everything that the monitor says about its window."""
    found = Measured()
    with ExitStack() as stack:
        steps: dict[str, Callable[[Task, Measured, ExitStack], None]] = {
            "drift": _drift,
            "quality": _quality,
            "bias": _production,
            "performance": _production,
            "operation": _operation,
            "custom": _custom,
        }
        try:
            steps[task.monitor.kind](task, found, stack)
        except AimsError as error:
            found.problems.append(error.diagnostics().replace("\n", " "))
        except BaseException as error:
            # Engines and plugins raise whatever they like; Polars' panics are no Exception.
            if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
                raise
            # What they say may hold values of rows; their type holds none.
            found.problems.append(
                f"the data could not be measured: {type(error).__name__} in the engine "
                f"'{task.engine or task.monitor.engine}'; try another engine"
            )
    if found.problems and not found.judgements:
        _judge(task, found)
    return found


def _judge(task: Task, found: Measured, production: dict[str, float] | None = None) -> None:
    from aims_mlflow.monitors.judge_readings import judge_readings

    found.judgements, notes = judge_readings(
        task.thresholds,
        found.readings,
        day=task.day,
        problems=found.problems,
        production=production or {},
    )
    found.notes += notes


# --- the kinds ------------------------------------------------------------------------------------


def _drift(task: Task, found: Measured, stack: ExitStack) -> None:
    from aims_mlflow.monitors.drift import drift
    from aims_mlflow.monitors.summarise import count_in_bins

    reference, known = _reference(task, found, stack)
    if reference.summary is None:
        _judge(task, found)
        return
    current = _current(task, found, stack, like=reference.summary)
    if current is None or current.summary is None or current.opened is None:
        _judge(task, found)
        return
    rows = recount = None
    if reference.opened is not None:
        frames = (reference.opened.frame, current.opened.frame)
        if reference.summary.n <= EVIDENTLY_ROWS:
            rows = frames

        def recount(column: str, edges: Sequence[float]) -> tuple[Sequence[int], Sequence[int]]:
            before, after = (count_in_bins(frame, column, edges) for frame in frames)
            return before, after

    found.readings, found.comparisons = drift(
        reference.summary, current.summary, task.monitor, rows=rows, recount=recount
    )
    if known is not None and known.other_version:
        found.readings = tuple(map(_of_other_version, found.readings))
    _judge(task, found)
    _evidently(task, found, reference, current)


def _quality(task: Task, found: Measured, stack: ExitStack) -> None:
    from aims_mlflow.monitors.quality import quality

    reference, _known = _reference(task, found, stack, needed=False)
    wanted = {threshold.metric for threshold in task.thresholds}
    current = _current(
        task, found, stack, like=reference.summary, duplicates="duplicate_share" in wanted
    )
    if current is not None and current.summary is not None:
        found.readings = quality(
            current.summary, reference.summary, task.monitor, task.window, task.now
        )
    _judge(task, found)


def _operation(task: Task, found: Measured, stack: ExitStack) -> None:
    import narwhals as nw

    from aims_mlflow.monitors.operation import operation

    monitor = task.monitor
    columns = [name for name in (monitor.latency, monitor.error, monitor.timestamp) if name]
    reference = _Observed(None)
    named = _given(task.reference, monitor.reference) is not None
    if named or any(threshold.max_change is not None for threshold in task.thresholds):
        reference, _known = _reference(task, found, stack, needed=False, columns=columns)
    else:
        # Training data hold no requests: that they are missing would be told for nothing.
        found.model_version = find_reference(task.tracking, task.system, monitor).production
    opened = _open(task, found, stack, "current", _given(task.current, monitor.current))
    if opened is not None:
        known = nw.from_native(opened.frame).lazy().collect_schema().names()
        current = _observed(task, found, "current", opened, like=reference.summary, columns=columns)
        if current.summary is not None:
            found.readings = operation(current.summary, reference.summary, monitor, known)
    _judge(task, found)


def _production(task: Task, found: Measured, stack: ExitStack) -> None:
    from aims_mlflow.monitors.fairlearn_check import disagreements
    from aims_mlflow.monitors.judge_production import in_force, judge_production
    from aims_mlflow.monitors.performance import MIN_GROUP_SIZE, score
    from aims_mlflow.monitors.production import production_readings

    known = find_reference(task.tracking, task.system, task.monitor)
    found.model_version = known.production
    found.notes += known.notes
    tables: tuple[EvaluationTable, ...] = ()
    baseline = _baseline(known)
    predicted = None
    try:
        table, predicted = _table(task, found, stack)
        tables = (table,)
    except AimsError as error:
        found.problems.append(error.diagnostics().replace("\n", " "))
    sizes: dict[frozenset[str], int] = {}
    for threshold in task.thresholds:
        features = frozenset(threshold.features)
        if features:
            sizes[features] = max(sizes.get(features, 0), threshold.min_group_size)
    found.scores = tuple(score(table, sizes=sizes) for table in tables)
    found.readings = tuple(
        reading
        for table, scores in zip(tables, found.scores, strict=True)
        for reading in production_readings(scores, table, baseline=baseline, n_total=predicted)
        if _concerns(task.monitor, reading)
    )
    for table in tables:
        denied, said = disagreements(table, found.readings, sizes, MIN_GROUP_SIZE)
        found.problems += denied
        found.notes += [said] if said else []
    found.judgements = judge_production(
        task.thresholds, tables, day=task.day, baseline=baseline, problems=found.problems
    )
    found.notes += [
        f"threshold '{threshold.id}' is not in force on {task.day}"
        for threshold in task.thresholds
        if not in_force(threshold, task.day)
    ]


def _custom(task: Task, found: Measured, stack: ExitStack) -> None:
    import narwhals as nw

    from aims_mlflow.monitors.custom import MonitorContext, load, measure_custom

    monitor = load(str(task.monitor.use))
    current = _open(task, found, stack, "current", task.current or task.monitor.current)
    reference = None
    declared = task.reference or task.monitor.reference
    if declared is not None and not _of_mlflow(declared):
        reference = _open(task, found, stack, "reference", declared)
    context = MonitorContext(
        system=task.system.id,
        window=task.window,
        options=task.monitor.options,
        current=None if current is None else nw.from_native(current.frame).lazy(),
        reference=None if reference is None else nw.from_native(reference.frame).lazy(),
    )
    found.readings = tuple(measure_custom(str(task.monitor.use), monitor, context))
    _judge(task, found)


# --- the data -------------------------------------------------------------------------------------


def _of_mlflow(source: Any) -> bool:
    return isinstance(source, str) and source.startswith(_OF_MLFLOW)


def _open(
    task: Task, found: Measured, stack: ExitStack, role: Any, source: Any, *, windowed: bool = True
) -> Opened | None:
    """Open a source; what fails is a problem. Its data are noted without rows."""
    from aims_mlflow.monitors.sources import open_source

    if source is None:
        found.problems.append(
            f"the monitor '{task.monitor.name}' names no '{role}' data; "
            f"add `{role}:` to its declaration, or give --{role}"
        )
        return None
    monitor = task.monitor
    try:
        opened = open_source(
            source,
            engine=task.engine or monitor.engine,
            window=task.window,
            timestamp=monitor.timestamp if windowed else None,
            timezone=monitor.timezone,
            base=task.base,
            master=task.master,
            timeout=duration(monitor.timeout).total_seconds(),
            now=task.now,
        )
    except AimsError as error:
        said = f"{role}: {error.diagnostics()}".replace("\n", " ")
        found.problems.append(said)
        found.unread.append(said)
        return None
    stack.enter_context(opened)
    found.problems += [f"{role}: {problem}" for problem in opened.problems]
    return opened


def _observed(
    task: Task,
    found: Measured,
    role: Any,
    opened: Opened,
    *,
    like: DataSummary | None = None,
    columns: Collection[str] | None = None,
    duplicates: bool = False,
) -> _Observed:
    from aims_mlflow.monitors.summarise import summarise

    monitor = task.monitor
    wanted = columns if columns is not None else _columns(monitor)
    named = {"target": monitor.target, "prediction": monitor.prediction, "score": monitor.score}
    roles: Any = {key: name for key, name in named.items() if name}
    try:
        summary = summarise(
            opened.frame,
            like=like,
            columns=_present(monitor, opened, wanted),
            expect=monitor.expect,
            duplicates=duplicates,
            roles=roles,
        )
    except AimsError:
        raise
    except Exception as error:  # a lazy frame meets a damaged file only now
        raise opened.explain(error) from error
    found.data.append(
        ObservedData(
            role=role,
            uri=opened.uri,
            engine=opened.engine,
            rows=summary.n,
            columns=len(summary.columns),
            summary_sha256=summary.digest(),
            scans=summary.scans,
            notes=(*opened.notes, *summary.notes),
        )
    )
    return _Observed(opened, summary)


def _columns(monitor: Monitor) -> set[str] | None:
    """The columns that a monitor names, whether or not the data have them; None for all."""
    if not monitor.columns:
        return None
    roles = (monitor.target, monitor.prediction, monitor.score, monitor.timestamp)
    return {*monitor.columns, *monitor.expect, *filter(None, roles)}


def _present(monitor: Monitor, opened: Opened, wanted: Collection[str] | None) -> list[str] | None:
    """The columns to count, of those that the data have; None for all of them.

    What is absent is told by who asks for it: drift and quality name it.
    """
    import narwhals as nw

    if wanted is None and not monitor.exclude and not monitor.key:
        return None
    names = nw.from_native(opened.frame).lazy().collect_schema().names()
    chosen = [n for n in names if (n not in monitor.key if wanted is None else n in wanted)]
    return [name for name in chosen if name not in monitor.exclude]


def _current(task: Task, found: Measured, stack: ExitStack, **how: Any) -> _Observed | None:
    opened = _open(task, found, stack, "current", _given(task.current, task.monitor.current))
    return None if opened is None else _observed(task, found, "current", opened, **how)


def _given(called: Any, declared: Any) -> Any:
    return declared if called is None else called


def _reference(
    task: Task,
    found: Measured,
    stack: ExitStack,
    *,
    needed: bool = True,
    columns: Collection[str] | None = None,
) -> tuple[_Observed, FoundReference | None]:
    """The reference: a source that is named, else what was saved with a run."""
    source = _given(task.reference, task.monitor.reference)
    if source is not None and not _of_mlflow(source):
        opened = _open(task, found, stack, "reference", source, windowed=False)
        if opened is None:
            return _Observed(None), None
        return _observed(task, found, "reference", opened, columns=columns), None
    monitor = task.monitor.model_copy(update={"reference": source})
    known = find_reference(task.tracking, task.system, monitor)
    found.model_version = known.production
    found.notes += known.notes
    if known.summary is None:
        (found.problems if needed else found.notes).append(f"reference: {known.reason}")
        return _Observed(None), known
    found.data.append(
        ObservedData(
            role="reference",
            uri=f"runs:/{known.run_id}",
            engine=known.summary.engine,
            rows=known.summary.n,
            columns=len(known.summary.columns),
            summary_sha256=known.summary.digest(),
            model=known.model_version or known.run_id,
            notes=known.summary.notes,
        )
    )
    return _Observed(None, known.summary), known


def _of_other_version(reading: MonitorReading) -> MonitorReading:
    if reading.metric != "prediction_drift":
        return reading
    reason = "the reference is of another model version than the one in production"
    return reading.model_copy(update={"value": None, "drifted": None, "reason": reason})


# --- production: predictions and labels -----------------------------------------------------------


def _table(task: Task, found: Measured, stack: ExitStack) -> tuple[EvaluationTable, int | None]:
    """The evaluation of the window, counted, and the predictions where labels come later."""
    from aims_mlflow.errors import MonitorError
    from aims_mlflow.monitors.counted import count_evaluation

    monitor = task.monitor
    opened = _open(task, found, stack, "current", _given(task.current, monitor.current))
    if opened is None:
        raise MonitorError("there is nothing to evaluate.", "See the problem above.")
    frame, join = opened.frame, None
    source = _given(task.labels, monitor.labels)
    if source is not None:
        frame, join = _labelled(task, found, stack, frame, source)
    table = count_evaluation(
        frame,
        target=str(monitor.target),
        prediction=str(monitor.prediction),
        score=monitor.score,
        declared=task.system.sensitive_features,
        slices=task.system.slices,
        positive_label=task.system.positive_label,
    )
    found.data.append(
        ObservedData(
            role="current",
            uri=opened.uri,
            engine=opened.engine,
            rows=table.n if join is None else join.predictions,
            notes=(*opened.notes, *table.notes),
        )
    )
    return table, None if join is None else join.predictions


def _labelled(
    task: Task, found: Measured, stack: ExitStack, frame: Any, source: Any
) -> tuple[Any, LabelJoin]:
    from aims_mlflow.errors import MonitorError
    from aims_mlflow.monitors.labels import join_labels

    labels = _open(task, found, stack, "labels", source, windowed=False)
    if labels is None:
        raise MonitorError("there are no labels to evaluate with.", "See the problem above.")
    joined, join = join_labels(
        frame, labels.frame, task.monitor.key, target=str(task.monitor.target)
    )
    found.data.append(
        ObservedData(
            role="labels",
            uri=labels.uri,
            engine=labels.engine,
            rows=join.labelled + join.unmatched_labels,
            notes=(*labels.notes, *_joined(join)),
        )
    )
    return joined, join


def _joined(join: LabelJoin) -> Iterator[str]:
    yield (
        f"{join.labelled:,} of {join.predictions:,} predictions have a label "
        f"({join.coverage:.1%}); {join.unmatched_labels:,} labels belong to none of them"
    )
    yield from join.notes


def _baseline(known: FoundReference) -> Scores | None:
    """The evaluation of the version in production, when it was made."""
    from aims_mlflow.monitors.performance import score

    return score(known.tables[0]) if known.tables else None


def _concerns(monitor: Monitor, reading: MonitorReading) -> bool:
    return (reading.feature is not None) == (monitor.kind == "bias")


def _evidently(task: Task, found: Measured, reference: _Observed, current: _Observed) -> None:
    from aims_mlflow.monitors.evidently_columns import columns_to_show
    from aims_mlflow.monitors.evidently_report import evidently_html

    wanted = task.monitor.evidently_report
    breached = any(judgement.verdict is Verdict.FAIL for judgement in found.judgements)
    if wanted == "never" or (wanted == "breach" and not breached):
        return
    if reference.opened is None or current.opened is None:
        found.notes.append("no Evidently report: the reference is saved statistics, without rows")
        return
    if reference.summary is None or current.summary is None:
        return
    columns, left_out = columns_to_show(reference.summary, current.summary, task.monitor)
    made = evidently_html(
        reference.opened.frame,
        current.opened.frame,
        columns=columns,
        target=task.monitor.target,
        prediction=task.monitor.prediction,
    )
    found.evidently = made.html
    found.notes += [made.note, *left_out]
