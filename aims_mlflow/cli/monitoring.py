"""`aims monitor run|run-due|schedule|list`: judge systems in production, now or by schedule."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

import click

from aims_mlflow.cli.monitor_output import (
    print_execution,
    print_outcome,
    print_statuses,
    shown_execution,
    shown_outcome,
)
from aims_mlflow.cli.monitor_request import Request
from aims_mlflow.cli.output import err, print_json, text, with_json
from aims_mlflow.errors import AimsError, ProfileError
from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.governance.monitoring import Engine, MonitorKind
from aims_mlflow.monitors.threshold_changes import unpublished_thresholds
from aims_mlflow.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from aims_mlflow.monitoring.outcome import Outcome

_CODES = (
    "Exit codes: 0 every threshold passes, or nothing is due; 1 a threshold is breached; 2 "
    "something could not be judged (and nothing is breached), or bad input."
)


@click.group(epilog=_CODES)
def monitor() -> None:
    """Judge AI systems in production against their own thresholds.

    Monitors are declared in governance/systems/SYSTEM.yaml, each with its schedule. `run-due` is
    what cron calls; `run` is for a person, or for a workflow that knows the data itself.
    """


@monitor.command(epilog=_CODES)
@click.argument("system", metavar="SYSTEM")
@click.option("--monitor", "name", metavar="ID", help="Only this declared monitor.")
@click.option(
    "--kind",
    type=click.Choice(get_args(MonitorKind)),
    help="Only declared monitors of this kind; where none is, one is made of the options.",
)
@click.option("--current", metavar="X", help="The data to judge: path, glob, URL, sql:, delta:.")
@click.option("--reference", metavar="X", help="The data to compare with.")
@click.option("--labels", metavar="X", help="The true values, where they come separately.")
@click.option("--key", multiple=True, metavar="COLUMN", help="Joins labels with predictions.")
@click.option("--target", metavar="COLUMN", help="The true value, for a monitor made of options.")
@click.option("--prediction", metavar="COLUMN", help="The predicted value, likewise.")
@click.option("--timestamp", metavar="COLUMN", help="When a row happened: keeps the window's rows.")
@click.option("--start", metavar="TIME", help="Begin of the window, included; ISO 8601.")
@click.option("--end", metavar="TIME", help="End of the window, not included; ISO 8601.")
@click.option("--engine", type=click.Choice(get_args(Engine)), help="What counts the data.")
@click.option("--master", metavar="URL", help="Spark master, with --engine spark.")
@with_json
def run(as_json: bool, **given: Any) -> None:
    """Judge SYSTEM now: its latest complete window, or the one from --start to --end.

    Runs the monitors that the system declares. With --current and --kind no declaration is
    needed: aims monitor run credit-scoring --kind drift --current new.parquet. Without a window,
    data that are named so count as those of the last 24 hours.
    """
    with _orderly_end():
        code = _judged_now(as_json, given)
    sys.exit(code)


def _judged_now(as_json: bool, given: dict[str, Any]) -> int:
    from aims_mlflow.monitoring.asking import judge_now
    from aims_mlflow.monitors.source_folders import remove_stale

    remove_stale()
    workspace = Workspace()
    request = Request.of(workspace, now=datetime.now(UTC), **given)
    shown: list[dict[str, Any]] = []
    codes: set[int] = set()
    for each, window in request.windows():
        try:
            execution = judge_now(workspace, request.system, each, window, **request.options())
        except AimsError as error:  # the other monitors are judged all the same
            codes.add(error.exit_code)
            shown.append({"monitor": each.name, "error": error.message, "fix": error.fix})
            err.print(text(f"{each.name}: {error.message} {error.fix}", "red"), soft_wrap=True)
            continue
        codes.add(execution.exit_code)
        shown.append(shown_execution(execution))
        if not as_json:
            print_execution(execution)
    code = next((code for code in (1, 2) if code in codes), 0)
    unpublished = _unpublished(workspace, request.system)
    if as_json:
        print_json({"executions": shown, "unpublished": unpublished, "exit_code": code})
    elif unpublished:
        line = f"Thresholds are not published: {unpublished}. Record them with: aims publish"
        err.print(text(line, "yellow"), soft_wrap=True)
    return code


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Turn SIGTERM into SystemExit, so that no rows of sources stay on the disk.

    A second one ends the process at once. Signals arrive in the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        # After a signal the second one is to end the process: other threads may still be at work.
        if signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGTERM, before)


def _unpublished(workspace: Workspace, system_id: str) -> str:
    """How the thresholds in force differ from those that were published last."""
    system = workspace.profile.system(system_id)
    if system is None:
        return ""
    ledger = workspace.ledger()
    kinds = (EvidenceKind.SYSTEM_INVENTORY_ENTRY, EvidenceKind.THRESHOLD_CONFIG)
    found = [ledger.entries(kind=kind, system=system_id, current=True) for kind in kinds]
    return unpublished_thresholds(system, [e.evidence for entries in found for e in entries])


@monitor.command("run-due", epilog=_CODES)
@click.option("--system", "systems", multiple=True, metavar="ID", help="Only this AI system.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Monitors that are run at the same time.",
)
@with_json
def run_due(systems: tuple[str, ...], workers: int, as_json: bool) -> None:
    """Judge every window that is due by the declared schedules, each of them once.

    May be called as often and from as many places as you like: a lease in the ledger's database
    gives each window to one runner, and takes it back from one that was killed.
    """
    from aims_mlflow.monitoring.runner import run_due as judge_due

    with _orderly_end():
        outcome = judge_due(Workspace(), systems=systems or None, workers=workers)
    if as_json:
        print_json(shown_outcome(outcome))
    else:
        print_outcome(outcome)
        if not outcome.results and not outcome.problems:
            err.print("Nothing is due. `aims monitor list` says what is, and when.")
    sys.exit(outcome.exit_code)


@monitor.command(
    epilog="Exit codes: 0 ended by SIGTERM or SIGINT; 2 it could not begin (bad input, no ledger)."
)
@click.option(
    "--every",
    type=click.FloatRange(min=1),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How often to look at what is due.",
)
@with_json
def schedule(every: float, as_json: bool) -> None:
    """Stay, and judge what is due every minute: `run-due` without cron.

    Reads the profile again before each look. SIGTERM ends it after the monitor at work. With
    --json, one line for each look that did something.
    """
    from aims_mlflow.monitoring.scheduling import schedule as stay

    def report(outcome: Outcome) -> None:
        if outcome.results or outcome.problems or outcome.deliveries:
            (_json_line if as_json else print_outcome)(outcome)

    workspace = Workspace()
    workspace.ledger()
    err.print(text(f"Looking every {every:g} s at what is due; end with Ctrl-C or SIGTERM."))
    stay(workspace, timedelta(seconds=every), report=report)


def _json_line(outcome: Outcome) -> None:
    import json

    from aims_mlflow.evidence import normalise

    click.echo(json.dumps(normalise(shown_outcome(outcome))[0], ensure_ascii=False))


@monitor.command(
    "list", epilog="Exit codes: 0; 2 the profile has problems, or the ledger cannot be read."
)
@click.argument("system", required=False)
@with_json
def show(system: str | None, as_json: bool) -> None:
    """Declared monitors: their last window, its verdict, the next one, and who is at work."""
    from aims_mlflow.monitoring.declared import monitor_statuses

    workspace = Workspace()
    now = datetime.now(UTC)
    found = monitor_statuses(workspace, None if system is None else [system], now=now)
    problems = workspace.profile.problems
    if as_json:
        monitors = [each.model_dump(mode="json") for each in found]
        print_json({"monitors": monitors, "problems": [vars(p) for p in problems]})
    elif found:
        print_statuses(found, now)
    elif not problems:
        err.print("No monitor is declared. Add `monitors:` to governance/systems/<id>.yaml.")
    if problems:
        if not as_json:
            err.print(text("The governance profile has problems; monitors may be missing:", "red"))
            for problem in problems:
                err.print(text(str(problem), "red"), soft_wrap=True)
        sys.exit(ProfileError.exit_code)
