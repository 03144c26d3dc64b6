"""What a person must look at: exceptions first, each with what to do, and the overview of systems.

Findings are computed from the ledger, the profile and MLflow each time; nothing is stored.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aims_mlflow.evidence import Evidence, EvidenceKind, Frozen, SubjectType, UtcDatetime
from aims_mlflow.governance.finding import Finding, Rank
from aims_mlflow.governance.thresholds import Severity
from aims_mlflow.monitors.monitor_findings import monitoring_findings
from aims_mlflow.monitors.monitor_reports import is_report, newest_reports
from aims_mlflow.notifications import failures
from aims_mlflow.readings import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aims_mlflow.governance.profile import Profile

__all__ = ["Cell", "Finding", "Overview", "Rank", "SystemRow", "overview"]

#: The kinds that a governed run and a published profile leave, in the order of the overview.
OVERVIEW_KINDS = (
    EvidenceKind.SYSTEM_INVENTORY_ENTRY,
    EvidenceKind.THRESHOLD_CONFIG,
    EvidenceKind.RUN_RECORD,
    EvidenceKind.MODEL_CARD,
    EvidenceKind.EVALUATION_REPORT,
    EvidenceKind.DATASET_RECORD,
    EvidenceKind.PROVENANCE_RECORD,
    EvidenceKind.ENVIRONMENT_LOCK,
)
_OF_RUNS = OVERVIEW_KINDS[3:]
#: How many missing card fields are listed one by one.
_FIELDS_SHOWN = 5
_SEVERITIES = list(Severity)


class Cell(Frozen):
    """One kind of evidence of one system: how many current items, and when the newest happened."""

    count: int
    newest: UtcDatetime | None


class SystemRow(Frozen):
    """One system in the overview; `id` is None for the runs that no system claims."""

    id: str | None
    name: str
    owner: str | None
    declared: bool
    cells: dict[EvidenceKind, Cell]
    verdicts: dict[Verdict, int]


class Overview(Frozen):
    """The systems, and everything to look at, most urgent first."""

    systems: tuple[SystemRow, ...]
    findings: tuple[Finding, ...]


def overview(
    profile: Profile,
    evidence: Iterable[Evidence],
    *,
    waiting: Iterable[dict[str, Any]] = (),
    missing_runs: Iterable[str] = (),
    stale_runs: Iterable[str] = (),
    unclaimed_runs: int = 0,
    now: datetime | None = None,
) -> Overview:
    """The state of governance, from current evidence (bodies included) and MLflow's coverage.

    Args:
        profile: The profile in force.
        evidence: The newest version of everything in the ledger.
        waiting: Intents in the spool.
        missing_runs: Ended runs of a declared system without evidence.
        stale_runs: Runs that never ended.
        unclaimed_runs: Ended runs without evidence that no system claims.
        now: The time against which monitors and notifications are late; now when None.
    """
    current = list(evidence)
    moment = now or datetime.now(UTC)
    by_system: dict[str | None, list[Evidence]] = defaultdict(list)
    for item in current:
        by_system[item.system].append(item)
    found = [
        *_profile_findings(profile),
        *_coverage_findings(waiting, missing_runs, stale_runs, unclaimed_runs),
    ]
    for system_id, items in by_system.items():
        found += _system_findings(profile, system_id, items)
        found += monitoring_findings(profile, system_id, items, moment)
        found += _unsent(system_id, items, moment)
    ids = [*profile.systems, *sorted(s for s in by_system if s and s not in profile.systems)]
    found += [f for i in ids if not by_system.get(i) for f in _silent(i)]
    rows = [_row(profile, i, by_system.get(i, [])) for i in ids]
    strays = [e for e in by_system.get(None, []) if e.subject.run_id]
    if strays:
        rows.append(_row(profile, None, strays))
    order = list(Rank)
    found.sort(key=lambda f: (order.index(f.rank), -_weight(f.severity), f.system or ""))
    return Overview(systems=tuple(rows), findings=tuple(found))


def _weight(severity: Severity | None) -> int:
    return -1 if severity is None else _SEVERITIES.index(severity)


def _profile_findings(profile: Profile) -> Iterator[Finding]:
    for problem in profile.problems:
        yield _of_file(Rank.ERROR, "profile", problem)
    for problem in profile.warnings:
        yield _of_file(Rank.NOTE, "profile", problem)


def _of_file(rank: Rank, rule: str, problem: Any) -> Finding:
    where = f"{problem.file}:{problem.line}" if problem.line else problem.file
    return Finding(
        rank=rank, rule=rule, system=None, message=problem.message, fix=problem.fix, where=where
    )


def _coverage_findings(
    waiting: Iterable[dict[str, Any]], missing: Iterable[str], stale: Iterable[str], unclaimed: int
) -> Iterator[Finding]:
    runs = sorted({str(i["run_id"]) for i in waiting if i.get("run_id")})
    if runs:
        yield _run_finding(Rank.GAP, "waiting", "captured later, still in the spool", runs)
    lost = sorted(set(missing) - set(runs))
    if lost:
        yield _run_finding(Rank.GAP, "not-captured", "ended without evidence", lost)
    for run_id in stale:
        yield Finding(
            rank=Rank.GAP,
            rule="stale-run",
            system=None,
            message=f"run {run_id} is RUNNING for more than a day: its process was probably killed",
            fix=f"If it is dead: mlflow runs delete --run-id {run_id}, or end it; then aims sync",
        )
    if unclaimed:
        yield Finding(
            rank=Rank.NOTE,
            rule="unclaimed-runs",
            system=None,
            message=f"{unclaimed} ended runs in MLflow belong to no declared AI system",
            fix="Claim their experiment (mlflow: {experiments: [...]}) or run: aims sync --all",
        )


def _run_finding(rank: Rank, rule: str, what: str, runs: list[str]) -> Finding:
    shown = ", ".join(runs[:3]) + (f" and {len(runs) - 3} more" if len(runs) > 3 else "")
    noun = "run is" if len(runs) == 1 else "runs are"
    return Finding(
        rank=rank,
        rule=rule,
        system=None,
        message=f"{len(runs)} {noun} {what}: {shown}".replace("are ended", "ended").replace(
            "is ended", "ended"
        ),
        fix="aims sync",
    )


def _silent(system_id: str) -> Iterator[Finding]:
    yield Finding(
        rank=Rank.GAP,
        rule="no-evidence",
        system=system_id,
        message="declared, and nothing in the ledger yet",
        fix=f'aims publish; then decorate the training: @aims_mlflow.govern("{system_id}")',
    )


def _system_findings(
    profile: Profile, system_id: str | None, items: list[Evidence]
) -> Iterator[Finding]:
    if system_id is None:
        yield from _strays(items)
    elif system_id not in profile.systems:
        yield _unknown(profile, system_id)
    for item in items:
        if item.kind is EvidenceKind.GAP:
            reason = (item.body or {}).get("reason", "")
            yield Finding(
                rank=Rank.GAP,
                rule="gap",
                system=system_id,
                message=reason
                if item.subject.type is SubjectType.SYSTEM
                else f"run {item.subject.id}: {reason}",
                evidence_id=item.id,
            )
        elif item.kind is EvidenceKind.EVALUATION_REPORT and not is_report(item):
            yield from _verdicts(system_id, item)
    if system_id is not None:
        yield from _undeclared(profile, system_id, items)


def _strays(items: list[Evidence]) -> Iterator[Finding]:
    names: dict[str, int] = defaultdict(int)
    for item in items:
        if item.kind is EvidenceKind.RUN_RECORD and item.subject.id == item.subject.run_id:
            names[str((item.body or {})["run"]["experiment_name"])] += 1
    for name, count in sorted(names.items()):
        yield Finding(
            rank=Rank.MISSING,
            rule="unclaimed-evidence",
            system=None,
            message=f"{count} captured runs of experiment '{name}' belong to no AI system",
            fix=f"Add to a file in governance/systems/: mlflow: {{experiments: [{name!r}]}}",
        )


def _unknown(profile: Profile, system_id: str) -> Finding:
    near = profile.nearest(system_id)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    return Finding(
        rank=Rank.ERROR,
        rule="unknown-system",
        system=system_id,
        message=f"runs name the AI system '{system_id}', which nobody declared",
        fix=f"{meant}Correct the name in the code, or add governance/systems/{system_id}.yaml",
    )


def _verdicts(system_id: str | None, item: Evidence) -> Iterator[Finding]:
    ranks = {Verdict.FAIL: Rank.FAIL, Verdict.INSUFFICIENT: Rank.INSUFFICIENT}
    for judgement in (item.body or {}).get("judgements", ()):
        rank = ranks.get(Verdict(judgement["verdict"]))
        if rank is not None:
            run = item.subject.name or item.subject.id
            yield Finding(
                rank=rank,
                rule=str(judgement["threshold"]),
                system=system_id,
                message=f"{run}: {judgement['threshold']}: {judgement['reason']}",
                fix=f"aims card {item.subject.id}" if rank is Rank.FAIL else "",
                evidence_id=item.id,
            )


def _unsent(system_id: str | None, items: list[Evidence], now: datetime) -> Iterator[Finding]:
    for lost in failures(items, now=now):
        yield Finding(
            rank=Rank.ERROR,
            rule="notification",
            system=system_id,
            message=f"nobody was told through '{lost.channel}' of "
            f"{lost.incident or 'a test'} {lost.what}: {lost.problem or 'it was interrupted'}",
            fix="Mend the channel, then run: aims incident notify"
            + ("" if lost.incident else f" --test {lost.channel}"),
        )


def _undeclared(profile: Profile, system_id: str, items: list[Evidence]) -> Iterator[Finding]:
    """Card fields that a person must fill, as the newest card of the system lists them."""
    cards = [e for e in items if e.kind is EvidenceKind.MODEL_CARD]
    system = profile.system(system_id)
    if not cards or system is None:
        return
    newest = max(cards, key=lambda e: e.event_time)
    statements = [s for part in (newest.body or {})["sections"] for s in part["statements"]]
    fields = [s for s in statements if s["required"] and s["status"] == "missing"]
    for statement in fields[:_FIELDS_SHOWN]:
        yield Finding(
            rank=Rank.MISSING,
            rule=f"card.{statement['field']}",
            system=system_id,
            message=f"{statement['title']} is missing on the model card",
            fix=statement["fix"],
            evidence_id=newest.id,
        )
    if len(fields) > _FIELDS_SHOWN:
        yield Finding(
            rank=Rank.MISSING,
            rule="card",
            system=system_id,
            message=f"{len(fields) - _FIELDS_SHOWN} more required fields of the card are missing",
            fix=f"aims card {newest.subject.id}",
            evidence_id=newest.id,
        )


def _row(profile: Profile, system_id: str | None, items: list[Evidence]) -> SystemRow:
    declared = profile.system(system_id) if system_id else None
    cells = {}
    for kind in OVERVIEW_KINDS:
        times = [e.event_time for e in items if e.kind is kind]
        cells[kind] = Cell(count=len(times), newest=max(times, default=None))
    verdicts: dict[Verdict, int] = defaultdict(int)
    for item in items:
        judged = item.kind is EvidenceKind.EVALUATION_REPORT and not is_report(item)
        if judged and item.body:
            verdicts[Verdict(item.body["verdict"])] += 1
    for report in newest_reports(items, declared).values():
        verdicts[Verdict((report.body or {})["verdict"])] += 1
    return SystemRow(
        id=system_id,
        name=declared.name if declared else (system_id or "no declared system"),
        owner=declared.owner.name if declared and declared.owner else None,
        declared=declared is not None,
        cells=cells,
        verdicts=dict(verdicts),
    )
