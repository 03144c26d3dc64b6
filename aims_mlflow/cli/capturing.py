"""`aims capture` and `aims sync`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from aims_mlflow.cli.output import STYLES, err, out, print_json, progress, safe, text, with_json
from aims_mlflow.drain import actor
from aims_mlflow.errors import RunNotFoundError
from aims_mlflow.families import Capturing
from aims_mlflow.sync import sync as reconcile
from aims_mlflow.workspace import Workspace

if TYPE_CHECKING:
    from aims_mlflow.capture import Captured

#: Letters of a run's name that a line shows.
_MAX_NAME = 80


@click.command()
@click.argument("run_id", nargs=-1, required=True)
@with_json
def capture(run_id: tuple[str, ...], as_json: bool) -> None:
    """Capture RUN_ID... now: documents on the run, evidence in the ledger.

    For the parent of a sweep, also its chosen candidates. Capturing again changes nothing; after a
    change of the profile or of the run it adds a new version. Exit 2 where a run does not exist.
    """
    workspace = Workspace()
    tracking = workspace.tracking()
    capturing = Capturing(
        tracking=tracking,
        ledger=workspace.ledger(tracking),
        profile=workspace.profile,
        source="capture",
        actor=actor(),
    )
    done: list[Captured] = []
    absent: list[str] = []
    for each in run_id:
        try:
            done += capturing.tree(each).captured
        except RunNotFoundError as error:
            absent.append(error.message)
    if as_json:
        print_json({"captured": [c.model_dump(mode="json") for c in done], "not_found": absent})
    else:
        for each_done in done:
            _say(each_done)
        for message in absent:
            err.print(text(message, "red"))
    if absent:
        sys.exit(2)


@click.command()
@click.option("--all", "unclaimed", is_flag=True, help="Also runs that no AI system claims.")
@with_json
def sync(unclaimed: bool, as_json: bool) -> None:
    """Capture what no hook saw: killed processes, older runs, clients without this package.

    Exit 0 when everything that could be captured is, 2 when something still waits.
    """
    workspace = Workspace()
    with progress("runs", quiet=as_json) as advance:
        total = 0

        def step(left: int, _run_id: str) -> None:
            nonlocal total
            total = max(total, left)
            advance(total - left, total)

        report = reconcile(workspace, unclaimed=unclaimed, advance=step)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        for each in report.captured:
            _say(each)
        out.print(
            f"{report.runs} runs in MLflow; {report.recorded} had evidence, "
            f"{len(report.captured)} captured now"
        )
        if report.unclaimed:
            out.print(
                f"{len(report.unclaimed)} belong to no AI system: declare one, or aims sync --all",
                style="yellow",
            )
        for run in report.stale:
            out.print(text(f"run {run} never ended; its process was probably killed", "yellow"))
        for gap in report.gaps:
            out.print(text(f"gap: {gap}", "yellow"))
        for run, reason in report.waiting.items():
            err.print(text(f"run {run} still waits: {reason}", "red"))
    if report.waiting:
        sys.exit(2)


def _say(done: Captured) -> None:
    style = STYLES[done.verdict]
    what = f"{len(done.sealed)} new, {done.unchanged} unchanged" if done.sealed else "unchanged"
    system = done.system or "no declared system"
    out.print(
        f"[{style}]{done.verdict.value:<12}[/] {safe(done.run_name[:_MAX_NAME])} "
        f"({done.run_id[:8]}) "
        f"of {safe(system)}: {what}"
    )
    for note in done.notes:
        out.print(text(f"  note: {note}", "yellow"))
