"""`aims card diff A B`: what changed between two runs or model versions, as a release note."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from aims_mlflow.cli.output import out, print_json, text, with_json
from aims_mlflow.errors import RunNotFoundError, UsageError
from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.model_card.diff import CardDiff, diff_cards, render_diff_markdown, render_text
from aims_mlflow.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aims_mlflow.evidence import Evidence
    from aims_mlflow.ledger.log import Ledger
    from aims_mlflow.tracking import Tracking

_RUN = re.compile(r"[0-9a-f]{8,32}")
_ALIAS = re.compile(r"models:/(?P<name>[^@]+)@(?P<alias>[^/@]+)")
_VERSION = re.compile(r"(?:models:/)?(?P<name>.+)/(?P<version>\d+)")
_FORMS = "a run id (8 characters or more of it), name/version, or models:/name@alias"
_STYLES = {"better": "green", "worse": "red"}


class _Named(NamedTuple):
    """What a person named: the card of one run, and the model version that it stands for."""

    card: Evidence
    version: tuple[str, str] | None


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "md"]),
    default="text",
    show_default=True,
    help="For a terminal, or as Markdown.",
)
@with_json
def diff(a: str, b: str, form: str, as_json: bool) -> None:
    """What changed from A to B: metrics, verdicts, groups, data, parameters, environment, texts.

    A and B are run ids (8 characters or more), NAME/VERSION, models:/NAME/VERSION or
    models:/NAME@ALIAS. What was sealed is compared; nothing is computed from MLflow again.
    """
    workspace = Workspace()
    tracking = workspace.tracking()
    ledger = workspace.ledger(tracking, create=False)
    found = _compared(ledger, find(a, ledger, tracking), find(b, ledger, tracking))
    if as_json:
        print_json(found.model_dump(mode="json"))
    elif form == "md":
        click.echo(render_diff_markdown(found), nl=False)
    else:
        _print(found)


def _compared(ledger: Ledger, before: _Named, after: _Named) -> CardDiff:
    def body(named: _Named, kind: EvidenceKind) -> Mapping[str, Any] | None:
        run_id = named.card.subject.id
        found = ledger.entries(kind=kind, run_id=run_id, current=True)
        return next((e.evidence.body for e in found if e.evidence.subject.id == run_id), None)

    report, lock = EvidenceKind.EVALUATION_REPORT, EvidenceKind.ENVIRONMENT_LOCK
    return diff_cards(
        before.card.body or {},
        after.card.body or {},
        body(before, report),
        body(after, report),
        before_lock=body(before, lock),
        after_lock=body(after, lock),
        names=(before.version, after.version),
    )


def _print(found: CardDiff) -> None:
    first, *lines = render_text(found).split("\n")
    out.print(text(first, "bold"), soft_wrap=True)
    for line in lines:
        heading = line and not line.startswith(" ")
        style = "bold" if heading else _STYLES.get(line.rpartition(": ")[2], "")
        out.print(text(line, style), soft_wrap=True)


def find(word: str, ledger: Ledger, tracking: Tracking) -> _Named:
    """The card that a person means.

    Raises:
        UsageError: It cannot be told which, or the run was not captured.
    """
    alias = _ALIAS.fullmatch(word)
    if alias:
        return _of_alias(alias["name"], alias["alias"], ledger, tracking)
    version = _VERSION.fullmatch(word)
    if version:
        return _of_version(version["name"], version["version"], ledger, tracking)
    if not _RUN.fullmatch(word):
        meant = f"models:/{word}" if "@" in word else _FORMS
        raise UsageError(f"'{word}' names no run and no model version.", f"Give {meant}.")
    return _Named(_of_run(word, ledger), None)


def _of_run(start: str, ledger: Ledger) -> Evidence:
    found = {
        e.evidence.subject.id: e.evidence
        for e in ledger.entries(kind=EvidenceKind.MODEL_CARD, current=True)
        if e.evidence.subject.id.startswith(start)
    }
    if len(found) > 1:
        ids = ", ".join(run_id[:12] for run_id in sorted(found)[:5])
        raise UsageError(f"'{start}' is the beginning of several runs: {ids}", "Give more of it.")
    if not found:
        raise UsageError(
            f"There is no model card of a run '{start}' in the ledger.",
            f"Capture it with: aims capture {start}; or list what there is: aims evidence list",
        )
    return next(iter(found.values()))


def _of_version(name: str, version: str, ledger: Ledger, tracking: Tracking) -> _Named:
    """By the cards that name the version; else, for one registered since, by MLflow."""
    for entry in ledger.entries(kind=EvidenceKind.MODEL_CARD, current=True, newest_first=True):
        if (name, version) in _versions(entry.evidence.body or {}):
            return _Named(entry.evidence, (name, version))
    try:
        run_id = tracking.registry.version(name, version).run_id
    except RunNotFoundError as error:
        raise UsageError(
            f"There is no version {version} of a registered model '{name}'.",
            f"Check the name; or give {_FORMS}.",
        ) from error
    return _registered(name, version, run_id, ledger)


def _of_alias(name: str, alias: str, ledger: Ledger, tracking: Tracking) -> _Named:
    """By MLflow alone: an alias moves, and what a card knows of it is of another day."""
    found = tracking.registry.aliased(name, alias)
    if found is None:
        raise UsageError(
            f"No version of a registered model '{name}' has the alias '{alias}'.",
            f"Set it in MLflow, or name the version: {name}/1",
        )
    return _registered(name, found.version, found.run_id, ledger)


def _registered(name: str, version: str, run_id: str | None, ledger: Ledger) -> _Named:
    if run_id is None:
        raise UsageError(
            f"{name}/{version} was registered without a run, so it has no card.",
            "Register the model of a run: mlflow.register_model('models:/<model id>', ...)",
        )
    return _Named(_of_run(run_id, ledger), (name, version))


def _versions(card: Mapping[str, Any]) -> set[tuple[str, str]]:
    rows = [
        row
        for section in card.get("sections") or ()
        for statement in section["statements"]
        if statement["field"] == "version" and isinstance(statement.get("value"), list)
        for row in statement["value"]
    ]
    return {(row.get("name"), str(row.get("version"))) for row in rows}
