"""How `aims monitor` tells people and machines what it did."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from aims_mlflow.cli.output import STYLES, ago, err, out, safe, text
from aims_mlflow.ledger.windows import WindowState
from aims_mlflow.readings import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from aims_mlflow.incidents import IncidentChange
    from aims_mlflow.ledger.windows import WindowRow
    from aims_mlflow.monitored import Window
    from aims_mlflow.monitoring.declared import MonitorStatus
    from aims_mlflow.monitoring.execution import Execution
    from aims_mlflow.monitoring.outcome import Outcome, Result
    from aims_mlflow.notifications import Delivery
    from aims_mlflow.readings import Judgement

#: What a line shows of a text that may be long.
_MAX_TEXT = 300
#: Lines of `run-due` for the thresholds of one window that did not pass.
_MAX_LINES = 10


def shown_execution(execution: Execution) -> dict[str, Any]:
    """An execution for `--json`."""
    report = execution.report
    return {
        "system": execution.system,
        "monitor": execution.monitor,
        "window": execution.window.model_dump(mode="json"),
        "verdict": execution.verdict.value,
        "exit_code": execution.exit_code,
        "run_id": execution.run_id,
        "evidence_id": execution.evidence_id,
        "problem": execution.problem,
        "incidents": _shown_changes(execution.incidents),
        "notifications": _shown_deliveries(execution.deliveries),
        "report": report.model_dump(mode="json") if report else None,
    }


def shown_outcome(outcome: Outcome) -> dict[str, Any]:
    """An outcome for `--json`."""
    kept = {"incidents", "deliveries"}
    return {
        "results": [
            {
                **each.model_dump(mode="json", exclude=kept),
                "incidents": _shown_changes(each.incidents),
                "notifications": _shown_deliveries(each.deliveries),
            }
            for each in outcome.results
        ],
        "problems": list(outcome.problems),
        "notifications": _shown_deliveries(outcome.deliveries),
        "exit_code": outcome.exit_code,
    }


def _shown_changes(changes: Iterable[IncidentChange]) -> list[dict[str, Any]]:
    return [
        {
            "id": change.incident.id,
            "what": change.what,
            "state": change.incident.state.value,
            "severity": change.incident.severity.value,
            "text": change.incident.event.text,
            "version": change.version,
            "evidence_id": change.evidence_id,
        }
        for change in changes
    ]


def _shown_deliveries(deliveries: Iterable[Delivery]) -> list[dict[str, Any]]:
    return [each.model_dump(mode="json") for each in deliveries]


def print_execution(execution: Execution) -> None:
    """One line for the verdict, each threshold, each incident and what could not be done."""
    where = f" (run {execution.run_id[:8]})" if execution.run_id else ""
    _print_verdict(
        execution.verdict.value,
        execution.verdict,
        f"{execution.monitor} of {execution.system}, {_span(execution.window)}{where}",
    )
    report = execution.report
    for judgement in report.judgements if report else ():
        _print_verdict(f"  {judgement.verdict.value}", judgement.verdict, _judged(judgement))
    found = report.problems if report else ()
    # What an execution says besides its report failed after the sealing.
    later = execution.problem.removeprefix("; ".join(found)).removeprefix("; ")
    for problem in (*found, *filter(None, [later])):
        err.print(text(f"  {problem[:_MAX_TEXT]}", "red"), soft_wrap=True)
    for note in report.notes if report else ():
        out.print(text(f"  note: {note[:_MAX_TEXT]}", "dim"), soft_wrap=True)
    _print_changes(execution.incidents)
    print_failed(execution.deliveries)


def print_outcome(outcome: Outcome) -> None:
    """Each window with what did not pass and its incidents, then what concerns no window."""
    for result in outcome.results:
        shown = result.verdict.value if result.verdict else result.outcome.upper()
        _print_verdict(shown, result.verdict or Verdict.INSUFFICIENT, _handled(result))
        for judgement in result.judgements[:_MAX_LINES]:
            _print_verdict(f"  {judgement.verdict.value}", judgement.verdict, _judged(judgement))
        if len(result.judgements) > _MAX_LINES:
            more = len(result.judgements) - _MAX_LINES
            out.print(text(f"  and {more} more thresholds that did not pass", "dim"))
        _print_changes(result.incidents)
        print_failed(result.deliveries)
    print_failed(outcome.deliveries)
    for problem in outcome.problems:
        err.print(text(problem[:_MAX_TEXT], "red"), soft_wrap=True)


def print_failed(deliveries: Iterable[Delivery]) -> None:
    """One line on standard error for each notification that did not arrive."""
    for each in deliveries:
        if not each.sent:
            why = each.problem or "it was interrupted"
            line = f"  nobody was told through '{each.channel}' of {each.incident} {each.what}: "
            err.print(text(f"{line}{why[:_MAX_TEXT]}; aims incident notify", "red"), soft_wrap=True)


def _print_changes(changes: Iterable[IncidentChange]) -> None:
    for change in changes:
        said = change.incident.event.text[:_MAX_TEXT]
        bad = change.what not in ("recovered", "closed", "eased")
        line = f"  incident {change.incident.id} {change.what}: {said}"
        out.print(text(line, "bold" if bad else ""), soft_wrap=True)


def print_statuses(found: Sequence[MonitorStatus], now: datetime) -> None:
    """A table on a terminal; in a log, a line for each monitor."""
    if not out.is_terminal:
        for each in found:
            cells = (each.system, each.monitor, each.kind, *_cells(each, now))
            out.print(text(", ".join(cell for cell in cells if cell)), soft_wrap=True)
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for head in ("system", "monitor", "kind", "last window", "next due", "at work"):
        table.add_column(head, overflow="fold")
    for each in found:
        last, coming, going = _cells(each, now)
        shown = (text(last, _style(each.last)), text(coming), text(going, "yellow"))
        table.add_row(text(each.system), text(each.monitor), text(each.kind), *shown)
    out.print(table)


def _print_verdict(shown: str, verdict: Verdict, line: str) -> None:
    style = STYLES[verdict]
    out.print(f"[{style}]{safe(shown):<14}[/] {safe(line)}", soft_wrap=True)


def _judged(judgement: Judgement) -> str:
    of = "/".join(filter(None, (judgement.metric, judgement.column, judgement.feature)))
    value = "not measured" if judgement.value is None else f"{judgement.value:.6g}"
    reason = f": {judgement.reason[:_MAX_TEXT]}" if judgement.reason else ""
    return f"{judgement.threshold}: {of} {value}, limit {judgement.limit}{reason}"


def _handled(result: Result) -> str:
    line = f"{result.monitor} of {result.system}, {_span(result.window)}"
    if result.run_id:
        line += f" (run {result.run_id[:8]})"
    return f"{line}: {result.problem[:_MAX_TEXT]}" if result.problem else line


def _cells(each: MonitorStatus, now: datetime) -> tuple[str, str, str]:
    last = "no window yet"
    if each.last is not None:
        state = each.last.verdict or each.last.state.value.upper()
        last = f"{state} {_minute(each.last.window.end)} ({ago(each.last.window.end, now)} ago)"
    coming = f"next {_minute(each.next_due)}" if each.next_due else "never due again"
    return last, coming, "; ".join(_going(row, now) for row in each.going)


def _going(row: WindowRow, now: datetime) -> str:
    window = _minute(row.window.end)
    if row.state is WindowState.CLAIMED and not row.is_open(now):
        return f"{window} with {row.holder}"
    problem = f": {row.problem[:_MAX_TEXT]}" if row.problem else ""
    return f"{window} waits for attempt {row.attempts + 1}{problem}"


def _style(row: WindowRow | None) -> str:
    if row is None:
        return "cyan"
    known = {verdict.value: style for verdict, style in STYLES.items()}
    return known.get(row.verdict or "", "yellow")


def _span(window: Window) -> str:
    return f"{_minute(window.start)} to {_minute(window.end)}"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}Z"
