"""`aims status`, `evidence` and `soa`: what is there, and what is missing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table
from rich.text import Text

from aims_mlflow.catalogue.loader import load_catalogue
from aims_mlflow.cli.output import STYLES, ago, err, out, print_json, text, with_json
from aims_mlflow.errors import TrackingError
from aims_mlflow.evidence import EvidenceKind, isoformat
from aims_mlflow.findings import OVERVIEW_KINDS, Overview, Rank, overview
from aims_mlflow.mapper import map_evidence
from aims_mlflow.readings import Verdict
from aims_mlflow.soa import statement
from aims_mlflow.spool import fallback_folder, waiting
from aims_mlflow.sync import Coverage, coverage
from aims_mlflow.workspace import Workspace

if TYPE_CHECKING:
    from aims_mlflow.ledger.log import Entry

_PLAIN: dict[str, Any] = {
    "title_justify": "left",
    "box": box.SIMPLE_HEAD,
    "padding": (0, 1, 0, 0),
    "pad_edge": False,
}
_SHORT = {Verdict.INSUFFICIENT: "INSUFF."}
_RANK_STYLES = {
    Rank.ERROR: "bold red",
    Rank.FAIL: "bold red",
    Rank.GAP: "magenta",
    Rank.INSUFFICIENT: "yellow",
    Rank.MISSING: "cyan",
    Rank.NOTE: "dim",
}
_HEADS = {
    EvidenceKind.SYSTEM_INVENTORY_ENTRY: "sys",
    EvidenceKind.THRESHOLD_CONFIG: "thr",
    EvidenceKind.RUN_RECORD: "run",
    EvidenceKind.MODEL_CARD: "card",
    EvidenceKind.EVALUATION_REPORT: "eval",
    EvidenceKind.DATASET_RECORD: "data",
    EvidenceKind.PROVENANCE_RECORD: "prov",
    EvidenceKind.ENVIRONMENT_LOCK: "env",
}


@click.command()
@with_json
def status(as_json: bool) -> None:
    """Exceptions first, each with the line to add; then systems and their evidence."""
    workspace = Workspace()
    tracking = workspace.tracking()
    ledger = workspace.ledger(tracking, create=bool(workspace.profile.systems))
    state: Coverage | None = None
    unreachable = ""
    try:
        state = coverage(workspace, tracking, ledger)
    except TrackingError as error:
        unreachable = error.message
    shown = overview(
        workspace.profile,
        (e.evidence for e in ledger.entries(current=True)),
        waiting=[*waiting(workspace.spool_dir), *waiting(fallback_folder())],
        missing_runs=(*state.missing, *state.late) if state else (),
        stale_runs=state.stale if state else (),
        unclaimed_runs=len(state.unclaimed) if state else 0,
    )
    head = ledger.head()
    if as_json:
        print_json(
            {
                **shown.model_dump(mode="json"),
                "coverage": state.model_dump(mode="json") if state else None,
                "mlflow_error": unreachable or None,
                "checkpoint": head.checkpoint,
            }
        )
        return
    _print_findings(shown)
    _print_systems(shown)
    if state:
        out.print(_coverage_line(state))
    else:
        err.print(text(f"MLflow does not answer, runs were not compared: {unreachable}", "red"))
    line = f"Ledger: {head.size} entries, checkpoint {head.checkpoint}"
    out.print(text(line, "dim"), soft_wrap=True)


def _coverage_line(state: Coverage) -> str:
    ended = state.runs - len(state.running) - len(state.stale)
    line = f"Coverage: {len(state.recorded)} of {ended} ended runs in MLflow have evidence"
    return line + (f", {len(state.unclaimed)} belong to no system" if state.unclaimed else "")


def _print_findings(shown: Overview) -> None:
    if not shown.findings:
        out.print("Nothing to look at.", style="green")
        return
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in shown.findings:
        style = _RANK_STYLES[finding.rank]
        system = f"{finding.system}: " if finding.system else ""
        line = text(f"{system}{finding.message}")
        if finding.where:
            line.append(f"  {finding.where}", "dim")
        if finding.fix:
            line.append("\n→ ", "dim").append_text(text(finding.fix, "dim"))
        table.add_row(text(finding.rank.value.upper(), style), line)
    out.print(table)
    out.print()


def _print_systems(shown: Overview) -> None:
    now = datetime.now(UTC)
    table = Table(title="AI systems and their evidence", **_PLAIN)
    table.add_column("system", min_width=20)
    for kind in OVERVIEW_KINDS:
        table.add_column(_HEADS[kind], justify="right", no_wrap=True)
    table.add_column("verdicts", no_wrap=True)
    for row in shown.systems:
        newest = max((c.newest for c in row.cells.values() if c.newest), default=None)
        system = text(row.id or "(no system)", "bold" if row.declared else "bold red")
        system.append(f"\n{text(row.owner or 'no owner').plain}", "dim" if row.owner else "cyan")
        system.append(f", {ago(newest, now)} ago" if newest else ", never captured", "dim")
        counts = (row.cells[kind].count for kind in OVERVIEW_KINDS)
        table.add_row(
            system, *(text(n, "" if n else "cyan") for n in counts), _verdicts(row.verdicts)
        )
    out.print(table)


def _verdicts(counts: dict[Verdict, int]) -> Text:
    lines = [
        text(f"{counts[verdict]} {_SHORT.get(verdict, verdict.value)}", STYLES[verdict])
        for verdict in (Verdict.FAIL, Verdict.INSUFFICIENT, Verdict.PASS)
        if counts.get(verdict)
    ]
    return Text("\n").join(lines)


@click.group()
def evidence() -> None:
    """List and show sealed evidence."""


@evidence.command("list")
@click.option("--kind", type=click.Choice([k.value for k in EvidenceKind]), help="One kind only.")
@click.option("--system", "system_id", help="One AI system only.")
@click.option("--run", "run_id", help="One run only (its whole id).")
@click.option("--all-versions", is_flag=True, help="Also what was superseded.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@with_json
def list_evidence(
    kind: str | None,
    system_id: str | None,
    run_id: str | None,
    all_versions: bool,
    limit: int,
    as_json: bool,
) -> None:
    """The newest evidence first."""
    ledger = Workspace().ledger(create=False)
    entries = list(
        ledger.entries(
            kind=EvidenceKind(kind) if kind else None,
            system=system_id,
            run_id=run_id,
            current=not all_versions,
            limit=limit,
            newest_first=True,
        )
    )
    if as_json:
        print_json([_summary(entry) for entry in entries])
        return
    table = Table(**_PLAIN)
    for head in ("seq", "id", "kind", "system", "about", "ver", "happened"):
        table.add_column(head, no_wrap=head not in {"system", "about"})
    for entry in entries:
        item = entry.evidence
        table.add_row(
            str(entry.seq),
            item.id[:12],
            item.kind.value,
            text(item.system or ""),
            text(item.subject.name or item.subject.id),
            str(item.version),
            isoformat(item.event_time)[:16].replace("T", " "),
        )
    out.print(table)


def _summary(entry: Entry) -> dict[str, object]:
    return {"seq": entry.seq, **entry.evidence.model_dump(mode="json")}


@evidence.command("show")
@click.argument("evidence_id")
@with_json
def show_evidence(evidence_id: str, as_json: bool) -> None:
    """One item by its id or the beginning of it: digests, clocks, controls, body."""
    ledger = Workspace().ledger(create=False)
    entry = ledger.get(evidence_id)
    mapping = map_evidence(entry.evidence)
    if as_json:
        print_json(
            {
                **_summary(entry),
                "body": entry.evidence.body,
                "controls": [link.model_dump(mode="json") for link in mapping.links],
                "refused": [refusal.model_dump(mode="json") for refusal in mapping.refusals],
                "inclusion_proof": list(ledger.inclusion_proof(entry.seq)),
                "head": ledger.head().checkpoint,
            }
        )
        return
    item = entry.evidence
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in (
        ("id", item.id),
        ("kind", f"{item.kind.value}, version {item.version}"),
        ("system", item.system or "none"),
        ("about", f"{item.subject.type.value} {item.subject.id} {item.subject.name or ''}"),
        ("happened", isoformat(item.event_time)),
        ("captured", f"{isoformat(item.capture_time)} by {item.actor}, {item.source}"),
        ("received", isoformat(item.receipt_time)),
        ("supersedes", item.supersedes or "nothing"),
        ("content", item.content_digest),
    ):
        table.add_row(text(name, "dim"), text(value))
    out.print(table)
    for artifact in item.artifacts:
        out.print(text(f"artifact {artifact.path}  {artifact.sha256}  {artifact.size} bytes"))
    for link in mapping.links:
        out.print(text(f"serves {link.control} ({link.aspect}): {link.reason}", "green"))
    for refusal in mapping.refusals:
        about = f"{refusal.control}: " if refusal.control else ""
        out.print(text(f"refused {about}{refusal.reason}", "yellow"))
    for change in item.normalised:
        out.print(text(f"normalised {change.at}: {change.change}", "yellow"))


_STATE_STYLES = {"operating": "green", "designed": "cyan", "stale": "yellow", "none": "dim"}


@click.command()
@with_json
def soa(as_json: bool) -> None:
    """The 38 controls of Annex A: decision, evidence, state.

    States: none, designed (design evidence only), operating (design and fresh operation
    evidence), stale (operation evidence too old).
    """
    workspace = Workspace()
    current = (e.evidence for e in workspace.ledger(create=False).entries(current=True))
    rows = statement(load_catalogue(), workspace.profile, current, now=datetime.now(UTC))
    if as_json:
        print_json(rows.model_dump(mode="json"))
        return
    table = Table(
        title="Statement of Applicability, ISO/IEC 42001:2023 Annex A", expand=True, **_PLAIN
    )
    table.add_column("control", ratio=3)
    table.add_column("decision", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("evidence", no_wrap=True)
    table.add_column("what is missing", ratio=4)
    for row in rows.rows:
        control = text(row.control, "bold").append(f" {row.title}", "not bold")
        counts = "\n".join(f"{n} {what}" for what, n in row.counts.items() if n)
        table.add_row(
            control,
            row.decision.value,
            text(row.state.value, _STATE_STYLES[row.state]),
            counts,
            text(row.missing.replace("_", " "), "dim"),
        )
    out.print(table)
