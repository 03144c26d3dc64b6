"""`aims init`, `check` and `publish`: the governance profile."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import click

from aims_mlflow.cli.output import err, out, print_json, text, with_json
from aims_mlflow.drain import actor
from aims_mlflow.errors import AimsError, ProfileError, UsageError
from aims_mlflow.governance.find import FOLDER, find_profile
from aims_mlflow.governance.init import scaffold
from aims_mlflow.governance.loader import load_profile
from aims_mlflow.governance.words import SLUG
from aims_mlflow.publish import publish as publish_profile
from aims_mlflow.scope import TAG_SYSTEM
from aims_mlflow.settings import Settings
from aims_mlflow.tracking import Tracking
from aims_mlflow.workspace import Workspace

#: What no tool can measure and every auditor asks for; the rest waits in the file as comments.
_QUESTIONS = {
    "owner": "Who answers for it (a person's name)",
    "intended_use": "What it is meant to be used for",
    "human_oversight": "How people oversee it",
}
#: Runs that are looked at to prefill experiments and metrics.
_RECENT_RUNS = 50


@click.command()
@click.option("--system", "system_id", help="Id of the AI system, such as credit-scoring.")
@click.option("--name", help="Its name for people.")
@click.option("--no-input", is_flag=True, help="Ask nothing; leave questions as comments.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Project folder that gets governance/.",
)
@with_json
def init(
    system_id: str | None, name: str | None, no_input: bool, folder: Path, as_json: bool
) -> None:
    """Write governance/ to start from: only what cannot be measured is asked.

    Experiments and metrics are taken from the last runs in MLflow. Existing files are never
    changed.
    """
    ask = not no_input and not as_json and sys.stdin.isatty()
    experiments, metrics, named = _recent()
    system_id = system_id or _default_id(named, experiments, ask)
    name = name or _asked("Name for people", system_id.replace("-", " ").capitalize(), ask)
    answers = {key: value for key, label in _QUESTIONS.items() if (value := _asked(label, "", ask))}
    written = scaffold(
        folder,
        system_id=system_id,
        name=name,
        answers=answers,
        experiments=experiments,
        sensitive=(),
        metrics=metrics,
    )
    if as_json:
        print_json({"written": [str(p) for p in written]})
        return
    for path in written:
        out.print(text(f"written {path}", "green"))
    if not written:
        out.print("Nothing to write: all files are there already.")
    out.print(text("Next: fill in the comments, then aims check"))


def _recent() -> tuple[list[str], list[str], list[str]]:
    """Experiments, metric keys and system tags of the last runs; empty where MLflow is silent."""
    experiments: Counter[str] = Counter()
    metrics: Counter[str] = Counter()
    named: Counter[str] = Counter()
    try:
        tracking = Tracking()
        for number, run in enumerate(tracking.runs()):
            if number >= _RECENT_RUNS:
                break
            experiments[tracking.experiment_name(run.info.experiment_id)] += 1
            metrics.update(run.data.metrics)
            named.update([run.data.tags[TAG_SYSTEM]] if TAG_SYSTEM in run.data.tags else [])
    except AimsError as error:
        err.print(text(f"MLflow was not asked for recent runs: {error.message}", "yellow"))
    return [e for e, _ in experiments.most_common(5)], sorted(metrics), list(named)


def _default_id(named: list[str], experiments: list[str], ask: bool) -> str:
    guess = next(iter(named or experiments), Path.cwd().name)
    slug = re.sub(r"[^a-z0-9]+", "-", guess.lower()).strip("-") or "my-system"
    chosen = _asked("Id of the AI system", slug[:64].strip("-"), ask)
    if not re.fullmatch(SLUG, chosen):
        raise UsageError(
            f"'{chosen}' is not an id: lower-case letters, digits and single hyphens.",
            "For example: credit-scoring",
        )
    return chosen


def _asked(label: str, default: str, ask: bool) -> str:
    if not ask:
        return default
    return str(click.prompt(label, default=default, show_default=bool(default))).strip()


@click.command()
@with_json
def check(as_json: bool) -> None:
    """Check the profile: every problem at once, with file and line. Exit 2 if there is one."""
    folder = find_profile()
    if folder is None:
        raise UsageError(
            f"There is no {FOLDER}/ folder from here upwards.", "Make one with: aims init"
        )
    profile = load_profile(folder)
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "systems": sorted(profile.systems),
                "problems": [vars(p) for p in profile.problems],
                "warnings": [vars(p) for p in profile.warnings],
            }
        )
        sys.exit(ProfileError.exit_code if profile.problems else 0)
    for warning in profile.warnings:
        out.print(text(f"note {warning}", "yellow"))
    profile.require_valid()
    thresholds = sum(len(s.thresholds) for s in profile.systems.values())
    out.print(f"[green]OK[/] {len(profile.systems)} AI systems, {thresholds} thresholds")


@click.command()
@with_json
def publish(as_json: bool) -> None:
    """Record the profile in the ledger; nothing is added where nothing changed.

    Exit 2 when the profile has a problem: all of them are listed.
    """
    workspace = Workspace(Settings.load())
    if workspace.folder is None:
        raise UsageError(
            f"There is no {FOLDER}/ folder from here upwards.", "Make one with: aims init"
        )
    workspace.profile.require_valid()
    entries = publish_profile(workspace.profile, workspace.ledger(), actor=actor())
    if as_json:
        print_json({"published": [e.evidence.model_dump(mode="json") for e in entries]})
        return
    for entry in entries:
        item = entry.evidence
        about = item.system or item.subject.id
        out.print(text(f"recorded {item.kind.value} of {about}, version {item.version}", "green"))
    if not entries:
        out.print("Nothing changed since the last publication.")
