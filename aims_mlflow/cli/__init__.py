"""The command line, `aims`. Commands are loaded when they are called: `aims --help` stays quick."""

from __future__ import annotations

import os
from importlib import import_module

import click

from aims_mlflow import __version__

#: Command to module, in the order of the help.
_COMMANDS = {
    "init": "profile",
    "check": "profile",
    "publish": "profile",
    "status": "reading",
    "card": "cards",
    "evidence": "reading",
    "soa": "reading",
    "monitor": "monitoring",
    "incident": "incidents",
    "capture": "capturing",
    "sync": "capturing",
    "verify": "verifying",
    "demo": "demonstration",
}
_HELP = {
    "init": "Write a governance/ folder to start from.",
    "check": "Check the governance profile, every problem at once.",
    "publish": "Record the profile in the ledger.",
    "status": "Exceptions first, then systems and their evidence.",
    "card": "Show the model card of a run, or what changed between two.",
    "evidence": "List and show sealed evidence.",
    "soa": "The Statement of Applicability: 38 controls with their evidence.",
    "monitor": "Judge systems in production against their thresholds.",
    "incident": "List, show, note and close incidents; test notifications.",
    "capture": "Capture runs now.",
    "sync": "Capture what no hook saw, and find gaps.",
    "verify": "Recompute the ledger and every artifact digest.",
    "demo": "Train two real models and leave their evidence in demo/.",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(import_module(f"aims_mlflow.cli.{module}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_HELP.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], _COMMANDS, n=1)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean '{near[0]}'?", ctx) from error


@click.group(
    cls=_Lazy,
    epilog="Exit codes: 0 all well; 1 something is wrong with what was looked at (a failed "
    "verification, a breach); 2 it could not be looked at (bad input, no answer).",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="aims")
def main() -> None:
    """Evidence of AI governance from MLflow runs, for ISO/IEC 42001.

    Works on the governance/ folder found from the working directory upwards (or AIMS_PROFILE), on
    MLflow's tracking store (MLFLOW_TRACKING_URI) and on the ledger beside it (AIMS_LEDGER_URI).
    """
    # A person waits here: MLflow's own seven retries would take minutes to say that it is down.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
