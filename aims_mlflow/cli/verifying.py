"""`aims verify`."""

from __future__ import annotations

import sys

import click

from aims_mlflow.cli.output import out, print_json, progress, text, with_json
from aims_mlflow.verification import NOT_PROVEN, Verification
from aims_mlflow.verification import verify as verify_all
from aims_mlflow.workspace import Workspace

#: Problems that are listed; the first is the one that matters.
_SHOWN = 20


@click.command()
@click.option("--checkpoint", metavar="SIZE:ROOT", help="A checkpoint that you kept elsewhere.")
@click.option("--ledger-only", is_flag=True, help="Leave the artifacts in MLflow out.")
@with_json
def verify(checkpoint: str | None, ledger_only: bool, as_json: bool) -> None:
    """Recompute every entry of the ledger and the digest of every artifact.

    Exit 0 when all is as it was sealed, 1 when something is not (the first thing named first), 2
    when it could not be checked.
    """
    workspace = Workspace()
    tracking = workspace.tracking()
    ledger = workspace.ledger(tracking, create=False)
    with progress("verifying", quiet=as_json) as advance:
        result = verify_all(
            ledger,
            None if ledger_only else tracking,
            checkpoint=checkpoint,
            progress=lambda _what, done, total: advance(done, total),
        )
    if as_json:
        print_json({**result.model_dump(mode="json"), "ok": result.ok, "not_proven": NOT_PROVEN})
    else:
        _show(result)
    if not result.ok:
        sys.exit(1)
    if result.unreachable or not result.size:
        sys.exit(2)


def _show(result: Verification) -> None:
    for problem in result.problems[:_SHOWN]:
        where = f"entry {problem.seq}: " if problem.seq is not None else ""
        out.print(text(f"FAILED {where}{problem.message}", "bold red"), soft_wrap=True)
    if len(result.problems) > _SHOWN:
        out.print(f"and {len(result.problems) - _SHOWN} more")
    if result.ok and result.size:
        out.print(f"[green]OK[/] {result.size} entries, {result.artifacts} artifacts")
        out.print(text(f"Checkpoint {result.checkpoint}"), soft_wrap=True)
        out.print(text(NOT_PROVEN, "dim"))
    elif result.ok:
        out.print(text("The ledger is empty: nothing was checked.", "yellow"))
    for store, count in result.elsewhere.items():
        out.print(text(f"Not checked: {count} artifacts in {store}", "yellow"), soft_wrap=True)
    if result.unreachable:
        out.print(text(f"No artifact was checked: {result.unreachable}", "red"), soft_wrap=True)
