"""Verify: recompute the ledger and hold every artifact in MLflow against its sealed digest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from aims_mlflow.errors import TrackingError
from aims_mlflow.evidence import Evidence, Frozen, digest
from aims_mlflow.ledger.verify import Finding as LedgerFinding
from aims_mlflow.ledger.verify import verify as verify_ledger

if TYPE_CHECKING:
    from aims_mlflow.ledger.log import Ledger
    from aims_mlflow.tracking import Tracking

Progress = Callable[[str, int, int], None]

#: What a green result does not prove, said with every result.
NOT_PROVEN = (
    "This shows that nothing sealed was altered. It does not show that every run was captured "
    "(aims status), nor that the ledger was not cut short since a checkpoint that you do not hold."
)


class Verification(Frozen):
    """The outcome: how much was checked, and everything that is wrong, the first thing first.

    `elsewhere` counts the artifacts that were not checked, by the MLflow store that holds them;
    `unreachable` says why no artifact could be checked at all.
    """

    size: int
    root: str
    checkpoint: str
    artifacts: int
    elsewhere: dict[str, int]
    unreachable: str
    problems: tuple[LedgerFinding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(
    ledger: Ledger,
    tracking: Tracking | None,
    *,
    checkpoint: str | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Recompute every leaf, digest and link, then the artifacts' digests.

    Args:
        ledger: The ledger.
        tracking: Where the artifacts are; None leaves them out.
        checkpoint: `SIZE:ROOT` kept elsewhere; shows truncation and a rewritten log.
        progress: Called with what is checked, how many are done and how many there are.

    Raises:
        UsageError: The checkpoint is not of the form SIZE:ROOT.
        LedgerError: The ledger cannot be read.
    """

    def advance(done: int, total: int) -> None:
        if progress is not None:
            progress("ledger entries", done, total)

    report = verify_ledger(ledger, checkpoint, advance)
    problems = list(report.problems)
    checked = 0
    elsewhere: Counter[str] = Counter()
    unreachable = _unreachable(tracking)
    # A ledger that is not sound may not even be readable as evidence: its own problems come first.
    if tracking is not None and not unreachable and not problems:
        for entry in ledger.entries():
            evidence = entry.evidence
            if not evidence.artifacts:
                continue
            if evidence.store not in (None, tracking.uri_shown) and _is_elsewhere(
                evidence, tracking
            ):
                elsewhere[str(evidence.store)] += len(evidence.artifacts)
                continue
            problems += _artifacts(entry.seq, evidence, tracking)
            checked += len(evidence.artifacts)
            if progress is not None:
                progress("artifacts", entry.seq + 1, report.size)
    return Verification(
        size=report.size,
        root=report.root,
        checkpoint=f"{report.size}:{report.root}",
        artifacts=checked,
        elsewhere=dict(elsewhere),
        unreachable=unreachable,
        problems=tuple(problems),
    )


def _unreachable(tracking: Tracking | None) -> str:
    """Why MLflow does not answer; asked once, not for every artifact."""
    if tracking is None:
        return ""
    try:
        tracking.probe()
    except TrackingError as error:
        return error.message
    return ""


def _is_elsewhere(evidence: Evidence, tracking: Tracking) -> bool:
    """Whether a run that was captured from another store is unknown to this one."""
    return tracking.is_gone(evidence.subject.run_id or evidence.subject.id)


def _artifacts(seq: int, evidence: Evidence, tracking: Tracking) -> list[LedgerFinding]:
    found = []
    run_id = evidence.subject.run_id or evidence.subject.id
    for artifact in evidence.artifacts:
        try:
            data = tracking.read(run_id, artifact.path)
        except FileNotFoundError:
            fault = "is missing"
        except TrackingError as error:
            fault = f"cannot be read: {error.message}"
        else:
            if digest(data) == artifact.sha256:
                continue
            fault = (
                f"was changed: its SHA-256 is {digest(data)[:12]}..., "
                f"sealed was {artifact.sha256[:12]}..."
            )
        message = f"artifact {artifact.path} of run {run_id} {fault}"
        found.append(LedgerFinding(seq=seq, entry_id=evidence.id, message=message))
    return found
