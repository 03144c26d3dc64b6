"""`aims demo`."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import click
from rich.table import Table

from aims_mlflow.catalogue.loader import STANDARD
from aims_mlflow.cli.output import STYLES, err, out, print_json, text, with_json
from aims_mlflow.demo.build import DATASETS, Demo, build, reports
from aims_mlflow.evidence import Evidence, EvidenceKind
from aims_mlflow.readings import Verdict


@click.command()
@click.option("--dataset", type=click.Choice(DATASETS), default="diabetes", show_default=True)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
)
@with_json
def demo(dataset: str, folder: Path, as_json: bool) -> None:
    """Train two real models and leave their cards, reports and sealed evidence in demo/.

    Offline with scikit-learn's diabetes data; `--dataset adult` needs UCI Adult in AIMS_DATA_DIR or
    the network. Exit 1 if the result does not verify, 2 if training failed.
    """
    began = time.monotonic()
    with err.status("demo") as spinner:

        def step(what: str) -> None:
            spinner.update(what)
            if not as_json:
                err.print(text(f"[{time.monotonic() - began:5.1f} s] {what}", "dim"))

        result = build(folder, dataset, step)
    if as_json:
        print_json(
            {
                "folder": str(result.folder),
                "verified": result.verification.ok,
                "checkpoint": result.verification.checkpoint,
                "evidence": [
                    {"id": e.id, "kind": e.kind, "run": e.subject.run_id, "controls": c}
                    for e in result.evidence
                    for c in (result.controls[e.id],)
                ],
            }
        )
    else:
        _show(result)
    if not result.verification.ok:
        sys.exit(1)


def _show(result: Demo) -> None:
    _print_thresholds(reports(result))
    _print_monitors(result)
    _print_documents(result)
    verified = result.verification
    if verified.ok:
        out.print(
            f"[green]Ledger verified[/]: {verified.size} entries, {verified.artifacts} artifacts"
        )
    else:
        out.print(text(f"FAILED {verified.problems[0].message}", "bold red"))
    _print_next(result)


def _print_thresholds(found: list[Evidence]) -> None:
    table = Table(title="Two candidates against the declared thresholds", title_justify="left")
    table.add_column("threshold")
    table.add_column("limit", justify="right")
    for report in found:
        table.add_column(text(report.subject.name or report.subject.id), justify="right")
    judged = [{j["threshold"]: j for j in (r.body or {})["judgements"]} for r in found]
    for name, first in judged[0].items():
        cells = [text(name), text(first["limit"])]
        for of_run in judged:
            verdict = Verdict(of_run[name]["verdict"])
            value = of_run[name]["value"]
            number = f"{value:.4g} " if value is not None else ""
            cells.append(text(f"{number}{verdict.value}", STYLES[verdict]))
        table.add_row(*cells)
    out.print(table)
    for report in found:
        for judgement in (report.body or {})["judgements"]:
            if judgement["verdict"] != Verdict.PASS:
                line = f"{report.subject.name}, {judgement['threshold']}: {judgement['reason']}"
                out.print(text(f"  {line}", STYLES[Verdict(judgement["verdict"])]))
    out.print()


def _print_monitors(result: Demo) -> None:
    for report in result.executions:
        line = f"Monitor {report.monitor} ({report.kind}): {report.verdict.value}"
        out.print(text(line, STYLES[report.verdict]))
        for judgement in report.judgements:
            if judgement.verdict is not Verdict.PASS:
                told = f"  {judgement.threshold}: {judgement.reason}"
                out.print(text(told, STYLES[judgement.verdict]))
    if result.executions:
        out.print()


def _print_documents(result: Demo) -> None:
    table = Table(title=f"Evidence and the {STANDARD} controls it serves", title_justify="left")
    table.add_column("kind")
    table.add_column("items", justify="right")
    table.add_column("controls of Annex A", overflow="fold")
    for kind in EvidenceKind:
        items = [e for e in result.evidence if e.kind is kind]
        if items:
            served = {c.rpartition(" ")[2] for e in items for c in result.controls[e.id]}
            table.add_row(
                kind.value, str(len(items)), ", ".join(sorted(served, key=_by_number)) or "none"
            )
    out.print(table)


def _by_number(control: str) -> list[int]:
    return [int(part) for part in control.split(".")[1:]]


def _print_next(result: Demo) -> None:
    installed = Path(sys.executable).with_name("aims")
    aims = "aims" if shutil.which("aims") else os.path.relpath(installed, result.folder)
    cards = [e for e in result.evidence if e.kind is EvidenceKind.MODEL_CARD]
    newest = max(cards, key=lambda e: e.event_time).subject.id[:8] if cards else "RUN_ID"
    out.print("\nWhat to type next:")
    out.print(text(f"  cd {result.folder}"))
    out.print(text(f"  {aims} status", "bold"))
    out.print(text(f"  {aims} card {newest} --format html --output card.html", "bold"))
    if result.dataset == "diabetes":
        versions = "diabetes-progression/1 diabetes-progression/2"
        out.print(text(f"  {aims} card diff {versions}", "bold"))
    if any(report.verdict is Verdict.FAIL for report in result.executions):
        out.print(text(f"  {aims} incident list", "bold"))
    out.print(text(f"  {aims} verify", "bold"))
