"""Sweeps: a parent run with many candidates, of which the chosen ones get a card.

The others leave one row each in a single piece of evidence of the parent: their digest, which
binds what they logged. Which candidate is chosen is a rule of the profile, that a tag overrides.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import RunNotFoundError, TrackingError
from aims_mlflow.evidence import canonical_bytes, digest, normalise
from aims_mlflow.facts import SelectionFacts
from aims_mlflow.governance.system import SweepRule
from aims_mlflow.model_card.bounds import cut_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aims_mlflow.governance.profile import Profile
    from aims_mlflow.tracking import Tracking
    from aims_mlflow.tracking.children import Candidate, RunHead

#: Rows that the evidence of a sweep holds; beyond, their number and a digest over all of them.
MAX_ROWS = 10_000
#: A subject of its own beside the run record of the parent.
SUFFIX = "#sweep"
#: Without a declared rule, a parent with so many child runs is a sweep.
MIN_RUNS: int = SweepRule.model_fields["min_runs"].default
_BY_TAG = "the run tag aims.chosen"
_BY_REGISTRATION = "its registration as a model version"
_COLUMNS = ("run_id", "status", "value", "sha256")
_DIGEST = (
    "SHA-256 over the RFC 8785 bytes of parameters, last metrics, status, times, dataset digests "
    "and model ids, together with those of the runs below it"
)


@dataclass(frozen=True)
class Sweep:
    """A parent run, its candidates by start, and all runs below them.

    `nested` are the runs below each candidate, `chosen` maps a candidate to what chose it;
    `problem` says why registrations could not be looked at.
    """

    parent: RunHead
    rule: SweepRule | None
    candidates: tuple[Candidate, ...]
    nested: Mapping[str, tuple[Candidate, ...]]
    chosen: Mapping[str, str]
    problem: str = ""

    @cached_property
    def members(self) -> frozenset[str]:
        """Ids of all runs below the parent."""
        return frozenset(head.run_id for head in self._heads())

    @cached_property
    def ranks(self) -> dict[str, int]:
        """The place of each candidate by the metric of the rule, from 1."""
        return {one.head.run_id: place for place, one in enumerate(ranking(self), 1)}

    @property
    def finished(self) -> int:
        """Candidates that ended as FINISHED."""
        return sum(one.head.status == "FINISHED" for one in self.candidates)

    def fingerprint(self) -> str:
        """What `fingerprint` gives for the runs below the parent."""
        return fingerprint(self._heads())

    def note(self) -> str:
        """The sweep in one line, for the card of the parent."""
        cards = ", ".join(self.chosen) if self.chosen else "none of them"
        problem = f"; {self.problem}" if self.problem else ""
        return f"a sweep of {len(self.candidates):,} candidates; a full card has: {cards}{problem}"

    def _heads(self) -> Iterator[RunHead]:
        for one in self.candidates:
            yield one.head
            yield from (below.head for below in self.nested.get(one.head.run_id, ()))


def rule_for(parent: RunHead, tracking: Tracking, profile: Profile) -> SweepRule | None:
    """The declared rule of the system that the parent run belongs to; None without one."""
    named = parent.system or profile.claimant(tracking.experiment_name(parent.experiment_id))
    system = profile.system(named) if named else None
    return system.sweep if system else None


def needed(rule: SweepRule | None) -> int | None:
    """Child runs that make a sweep; None where the rule gives every candidate its card."""
    if rule is None:
        return MIN_RUNS
    return None if rule.chosen == "all" else rule.min_runs


def is_sweep(parent: RunHead, tracking: Tracking, profile: Profile) -> bool:
    """Whether a run has enough child runs; reads no more of them than that takes.

    Raises:
        TrackingError: MLflow does not answer.
    """
    least = needed(rule_for(parent, tracking, profile))
    return least is not None and tracking.children.reach(parent, least)


def find_sweep(parent: RunHead, tracking: Tracking, profile: Profile) -> Sweep | None:
    """The sweep whose parent is this run; None where it is the parent of none.

    Raises:
        TrackingError: MLflow does not answer.
    """
    rule = rule_for(parent, tracking, profile)
    least = needed(rule)
    if least is None or not tracking.children.reach(parent, least):
        return None
    candidates = tracking.children.candidates(parent, rule.metric if rule else None)
    below = _below(parent, candidates, tracking)
    versions, problem = _registered(candidates, tracking)
    return Sweep(
        parent=parent,
        rule=rule,
        candidates=tuple(candidates),
        nested=below,
        chosen=choose(candidates, rule, versions),
        problem=problem,
    )


def outermost(run: RunHead, tracking: Tracking, profile: Profile) -> RunHead | None:
    """The parent of the outermost sweep that the run is a candidate of, or lies below of.

    Raises:
        TrackingError: MLflow does not answer.
    """
    found: RunHead | None = None
    first, seen = run, {run.run_id}
    while run.parent is not None and run.parent not in seen:
        seen.add(run.parent)
        try:
            parent = tracking.children.head(run.parent)
        except RunNotFoundError:
            break
        if parent.experiment_id != run.experiment_id:
            break
        belongs = run is first or began_within(parent, first)
        if belongs and is_sweep(parent, tracking, profile):
            found = parent
        run = parent
    return found


def choose(
    candidates: Sequence[Candidate], rule: SweepRule | None, registered: Iterable[str] = ()
) -> dict[str, str]:
    """The candidates that get a full card, and what chose each.

    A tag overrides the rule. What was registered has its card besides, whatever was chosen.
    """
    versions = set(registered)
    chosen = {one.head.run_id: _BY_TAG for one in candidates if one.head.chosen}
    if not chosen and rule is not None and rule.chosen == "best":
        best = next(iter(_ranked(candidates, rule)), None)
        if best is not None:
            chosen[best.head.run_id] = f"the rule: best {rule.metric} ({rule.mode})"
    for one in candidates:
        if one.head.run_id in versions:
            chosen.setdefault(one.head.run_id, _BY_REGISTRATION)
    return chosen


def ranking(sweep: Sweep) -> list[Candidate]:
    """The finished candidates by the metric of the rule, the best first; none without one."""
    return _ranked(sweep.candidates, sweep.rule)


def selection(sweep: Sweep, run_id: str) -> SelectionFacts | None:
    """How the run was chosen; None for one that was not.

    For the parent it says, with an empty `chosen_by`, that none was.
    """
    chosen_by = sweep.chosen.get(run_id)
    if run_id == sweep.parent.run_id and not sweep.chosen:
        chosen_by = ""
    if chosen_by is None:
        return None
    values = {one.head.run_id: one.value for one in sweep.candidates}
    return SelectionFacts(
        parent_run_id=sweep.parent.run_id,
        parent_name=sweep.parent.name,
        candidates=len(sweep.candidates),
        finished=sweep.finished,
        chosen_by=chosen_by,
        metric=sweep.rule.metric if sweep.rule else None,
        mode=sweep.rule.mode if sweep.rule else None,
        value=values.get(run_id),
        rank=sweep.ranks.get(run_id),
    )


def sweep_record(sweep: Sweep, experiment_name: str, system_id: str | None) -> dict[str, Any]:
    """The evidence of the sweep: how many candidates, by which rule, and a row for each.

    `sha256` is taken over all rows, `members_sha256` is the `fingerprint` of all runs below the
    parent. Rows beyond `MAX_ROWS` are left out; their number is in `count`.
    """
    rows = [_row(sweep, one) for one in sweep.candidates]
    states = Counter(one.head.status for one in sweep.candidates)
    parent = sweep.parent
    return {
        "schema_version": "aims.sweep/1",
        "run": {
            "run_id": parent.run_id,
            "run_name": cut_text(parent.name),
            "experiment_id": parent.experiment_id,
            "experiment_name": cut_text(experiment_name),
            "status": parent.status,
            "system": system_id,
        },
        "rule": sweep.rule.model_dump(mode="json") if sweep.rule else None,
        "count": len(rows),
        "finished": states["FINISHED"],
        "failed": states["FAILED"] + states["KILLED"],
        "nested": len(sweep.members) - len(rows),
        "chosen": [
            {"run_id": run_id, "chosen_by": why, "rank": sweep.ranks.get(run_id)}
            for run_id, why in sweep.chosen.items()
        ],
        "digest": _DIGEST,
        "columns": list(_COLUMNS),
        "candidates": rows[:MAX_ROWS],
        "sha256": digest(canonical_bytes(normalise(rows)[0])),
        "members_sha256": sweep.fingerprint(),
    }


def fingerprint(heads: Iterable[RunHead]) -> str:
    """SHA-256 over which runs there are, how and when each ended, and which a person chose.

    Where it differs from the one that was sealed, the sweep must be captured again.
    """
    known = sorted([one.run_id, one.status, one.ended or 0, one.chosen] for one in heads)
    return digest(canonical_bytes(normalise(known)[0]))


def below(parent: RunHead, children: Mapping[str, Sequence[RunHead]]) -> dict[str, list[RunHead]]:
    """The runs below each child of `parent`.

    A run further down counts where it began while the parent was open.

    Args:
        parent: The parent run.
        children: The child runs of each run, all of one experiment.
    """
    found = {}
    for child in children.get(parent.run_id, ()):
        found[child.run_id] = _descendants(parent, child, children)
    return found


def _descendants(
    parent: RunHead, child: RunHead, children: Mapping[str, Sequence[RunHead]]
) -> list[RunHead]:
    found: list[RunHead] = []
    seen = {parent.run_id, child.run_id}
    queue = [child]
    while queue:
        for run in children.get(queue.pop().run_id, ()):
            if run.run_id not in seen and began_within(parent, run):
                seen.add(run.run_id)
                found.append(run)
                queue.append(run)
    return found


def began_within(parent: RunHead, run: RunHead) -> bool:
    """Whether a run began while another was open."""
    return parent.started <= run.started and (parent.ended is None or run.started <= parent.ended)


def _below(
    parent: RunHead, candidates: Sequence[Candidate], tracking: Tracking
) -> dict[str, tuple[Candidate, ...]]:
    others = {one.head.run_id: one for one in tracking.children.nested(parent)}
    children: dict[str, list[RunHead]] = {parent.run_id: [one.head for one in candidates]}
    for one in others.values():
        children.setdefault(one.head.parent or "", []).append(one.head)
    return {
        run_id: tuple(others[head.run_id] for head in sorted(heads, key=lambda h: h.run_id))
        for run_id, heads in below(parent, children).items()
        if heads
    }


def _registered(candidates: Sequence[Candidate], tracking: Tracking) -> tuple[Iterable[str], str]:
    """Which candidates were registered; a registry that refuses keeps no sweep from its record."""
    try:
        return tracking.children.registered([one.head.run_id for one in candidates]), ""
    except TrackingError as error:
        return (), f"registered versions could not be read: {error.message}"


def _ranked(candidates: Iterable[Candidate], rule: SweepRule | None) -> list[Candidate]:
    if rule is None or rule.metric is None:
        return []
    sign = -1.0 if rule.mode == "max" else 1.0
    valued = [
        (sign * (one.value or 0.0), one)
        for one in candidates
        if one.head.status == "FINISHED" and _is_value(one.value)
    ]
    # The earlier one where two are equal: the order of the candidates decides.
    return [one for _value, one in sorted(valued, key=lambda pair: pair[0])]


def _is_value(value: float | None) -> bool:
    """Not infinite either, which MLflow keeps as the largest number in its databases."""
    return value is not None and abs(value) < sys.float_info.max


def _row(sweep: Sweep, one: Candidate) -> list[Any]:
    deeper = sweep.nested.get(one.head.run_id)
    sha256 = one.sha256
    if deeper:
        sha256 = digest(canonical_bytes([sha256, [[d.head.run_id, d.sha256] for d in deeper]]))
    return [one.head.run_id, one.head.status, one.value, sha256]
