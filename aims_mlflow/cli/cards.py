"""`aims card RUN` and `aims card diff A B`: sealed documents, and what changed between two."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aims_mlflow.cli.output import err, text, with_json
from aims_mlflow.errors import UsageError
from aims_mlflow.evidence import Evidence, EvidenceKind
from aims_mlflow.workspace import Workspace

if TYPE_CHECKING:
    from aims_mlflow.ledger.log import Ledger

#: How the file of each sealed format ends; PDF is made of the HTML.
_ENDINGS = {"md": ".md", "html": ".html", "json": ".json", "cyclonedx": ".cdx.json", "pdf": ".html"}
_DEFAULT = "show"
_HELP = {
    "show": "A card as it was sealed; the word may be left out: aims card RUN.",
    "diff": "What changed between two runs or model versions.",
}


class _Cards(click.Group):
    """A group of which `show` is meant where no command is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_HELP)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != "diff":
            return super().get_command(ctx, cmd_name)
        command: click.Command = import_module("aims_mlflow.cli.card_diff").diff
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_HELP.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*_HELP, *ctx.help_option_names):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Cards, subcommand_metavar="RUN [OPTIONS] | COMMAND [ARGS]...")
def card() -> None:
    """Show the newest model card of RUN (a run id or the beginning of one), or compare two."""


@card.command(_DEFAULT)
@click.argument("run_id", metavar="RUN")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_ENDINGS)),
    default="md",
    show_default=True,
    help="Which of the sealed documents; pdf is made from the sealed HTML.",
)
@click.option("--output", type=click.Path(dir_okay=False, writable=True), help="Write to a file.")
@click.option("--report", is_flag=True, help="The evaluation report instead of the card.")
@with_json
def show(run_id: str, form: str, output: str | None, report: bool, as_json: bool) -> None:
    """Show the newest model card of RUN, as it was sealed.

    RUN is a run id or the beginning of one, NAME/VERSION of a registered model, or
    models:/NAME@ALIAS.
    """
    kind = EvidenceKind.EVALUATION_REPORT if report else EvidenceKind.MODEL_CARD
    form = "json" if as_json else form
    if form == "pdf" and output is None and sys.stdout.isatty():
        raise UsageError("A PDF is not for a terminal.", "Name a file: --output card.pdf")
    workspace = Workspace()
    tracking = workspace.tracking()
    ledger = workspace.ledger(tracking, create=False)
    if "/" in run_id or "@" in run_id:
        from aims_mlflow.cli.card_diff import find

        run_id = find(run_id, ledger, tracking).card.subject.id
    evidence = newest_of_run(ledger, kind, run_id)
    path = _path(evidence, form)
    data = tracking.read(evidence.subject.id, path)
    if form == "pdf":
        from aims_mlflow.model_card.formats.pdf import render_pdf

        data = render_pdf(data)
    if output:
        _write(Path(output), data)
        err.print(text(f"{path} written to {output}" + (" as PDF" if form == "pdf" else "")))
    else:
        click.echo(data, nl=False)


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{path} cannot be written: {reason}", "Name another file.") from error


def newest_of_run(ledger: Ledger, kind: EvidenceKind, run_id: str) -> Evidence:
    """The newest evidence of a kind about the run whose id begins with `run_id`.

    Raises:
        UsageError: There is none, or several runs begin so.
    """
    found = [
        e.evidence
        for e in ledger.entries(kind=kind, current=True)
        if e.evidence.subject.id.startswith(run_id)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(e.subject.id[:12] for e in found[:5])
        raise UsageError(f"'{run_id}' is the beginning of several runs: {ids}", "Give more of it.")
    raise UsageError(
        f"There is no {kind.value.replace('_', ' ')} of a run '{run_id}' in the ledger.",
        f"Capture it with: aims capture {run_id}; or list what there is: aims evidence list",
    )


def _path(evidence: Evidence, form: str) -> str:
    """The sealed file of a format."""
    found = [a.path for a in evidence.artifacts if a.path.endswith(_ENDINGS[form])]
    if form == "json":
        found = [path for path in found if not path.endswith(_ENDINGS["cyclonedx"])]
    if found:
        return found[0]
    if form == "cyclonedx" and evidence.kind is EvidenceKind.EVALUATION_REPORT:
        raise UsageError(
            "CycloneDX describes a model, so the report has no file of its own in this format.",
            "The card's file has the report's metrics: leave out --report.",
        )
    raise UsageError(
        f"Version {evidence.version} of this document was sealed without the format '{form}'.",
        "It is written with the next version of the card; what was sealed is never changed.",
    )
