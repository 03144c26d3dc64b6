"""A run with what belongs to it: a sweep is captured as a whole, or not yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aims_mlflow.capture import Captured, capture
from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.sweeps import SUFFIX, Sweep, find_sweep, is_sweep, outermost

if TYPE_CHECKING:
    from aims_mlflow.governance.profile import Profile
    from aims_mlflow.ledger.log import Ledger
    from aims_mlflow.tracking import Tracking
    from aims_mlflow.tracking.children import RunHead


@dataclass(frozen=True)
class Family:
    """What was captured: the run or the sweep around it, and the chosen candidates.

    `members` are all runs that this accounts for. `left_to` is the parent that still runs and
    whose capture will account for the run; nothing was captured then.
    """

    captured: tuple[Captured, ...] = ()
    members: frozenset[str] = frozenset()
    left_to: str | None = None


@dataclass(frozen=True)
class Capturing:
    """With what runs are captured; see `aims_mlflow.capture.capture`."""

    tracking: Tracking
    ledger: Ledger
    profile: Profile
    source: str
    actor: str

    def one(self, run_id: str, sweeps: dict[str, Sweep | None] | None = None) -> Captured:
        """One run, with its card."""
        return capture(
            run_id,
            tracking=self.tracking,
            ledger=self.ledger,
            profile=self.profile,
            source=self.source,
            actor=self.actor,
            sweeps=sweeps,
        )

    def family(self, run_id: str, *, gone: bool = False) -> Family:
        """The outermost sweep that the run belongs to; without one, the run itself.

        Args:
            run_id: The run.
            gone: Whether the process of a run that is still RUNNING is known to be gone. Such a
                run is captured only if it is the parent of a sweep.

        Raises:
            RunNotFoundError: The run does not exist or was deleted.
            TrackingError: MLflow does not answer; capture later.
            LedgerError: The ledger cannot be written; capture later.
        """
        head = self.tracking.children.head(run_id)
        parent = outermost(head, self.tracking, self.profile)
        if parent is None:
            skip = gone and not head.terminated and not is_sweep(head, self.tracking, self.profile)
            return Family() if skip else self.tree(run_id)
        if not parent.terminated and not gone:
            return Family(left_to=parent.run_id)
        found = self.tree(parent.run_id)
        if run_id in found.members:
            return found
        own = self.tree(run_id)
        return Family((*found.captured, *own.captured), found.members | own.members)

    def tree(self, run_id: str) -> Family:
        """The run; where it is the parent of a sweep, also the chosen candidates.

        A candidate that an earlier capture chose, and this one does not, is captured again: its
        card must no longer say that it was chosen.

        Raises:
            RunNotFoundError: The run does not exist or was deleted.
            TrackingError: MLflow does not answer; capture later.
            LedgerError: The ledger cannot be written; capture later.
        """
        sweep = find_sweep(self.tracking.children.head(run_id), self.tracking, self.profile)
        if sweep is None:
            return Family((self.one(run_id, {run_id: None}),), frozenset({run_id}))
        before = self._chosen_before(sweep.parent)
        captured = [self.one(run_id, {run_id: sweep})]
        for chosen in dict.fromkeys((*sweep.chosen, *before)):
            if chosen in sweep.members:
                captured += self._candidate(chosen, sweep)
        return Family(tuple(captured), sweep.members | {run_id})

    def _candidate(self, run_id: str, around: Sweep) -> tuple[Captured, ...]:
        inner = find_sweep(self.tracking.children.head(run_id), self.tracking, self.profile)
        known: dict[str, Sweep | None] = {run_id: inner, around.parent.run_id: around}
        captured: tuple[Captured, ...] = (self.one(run_id, known),)
        if inner is not None and run_id in around.chosen:
            for chosen in inner.chosen:
                captured += self._candidate(chosen, inner)
        return captured

    def _chosen_before(self, parent: RunHead) -> tuple[str, ...]:
        entries = self.ledger.entries(
            kind=EvidenceKind.RUN_RECORD, run_id=parent.run_id, current=True
        )
        bodies = [e.evidence.body or {} for e in entries if e.evidence.subject.id.endswith(SUFFIX)]
        return tuple(str(one["run_id"]) for body in bodies for one in body.get("chosen", ()))
