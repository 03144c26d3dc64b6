"""From the verdicts of one monitor on one threshold to what an incident says of them. Pure.

The order is that of the windows, not of the executions: a window that is caught up late takes its
place among the others, and says the same as if it had been judged in time.
"""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.monitored import Window
from aims_mlflow.monitors.incident_records import Observation, Watched
from aims_mlflow.readings import Judgement, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from aims_mlflow.evidence import Evidence

#: Windows of breaches that an incident remembers, so that none is counted twice.
COUNTED = 50
#: Characters of a reason that an incident repeats; the sealed report has all of it.
_REASON = 500


class Judged(NamedTuple):
    """The verdict of one window: `judgement` is the one that decided it."""

    judgement: Judgement
    observation: Observation

    @property
    def end(self) -> datetime:
        """The end of the window, which tells it from the others."""
        return self.observation.window.end

    @property
    def verdict(self) -> Verdict:
        """PASS or FAIL."""
        return self.judgement.verdict

    @property
    def required(self) -> int:
        """The breaches in a row that open an incident, as declared when it was judged."""
        return int(self.judgement.declared.get("breaches") or 1)


def histories(reports: Iterable[Evidence]) -> dict[str, list[Judged]]:
    """What one monitor decided on each threshold, by the time of the windows.

    INSUFFICIENT decides nothing. Of a window that was judged again, the last decision counts.

    Args:
        reports: Sealed monitoring reports of the monitor with their bodies, newest first.
    """
    found: dict[str, dict[datetime, Judged]] = defaultdict(dict)
    for item in reports:
        for judged in _decided(item):
            found[judged.judgement.threshold].setdefault(judged.end, judged)
    return {name: [of[end] for end in sorted(of)] for name, of in found.items()}


class Episode(NamedTuple):
    """What the verdicts of a monitor come to: `new` are the breaches not counted before.

    `last` is the breach of the newest window that has one.
    """

    watched: Watched
    new: tuple[Judged, ...]
    passes: int
    last: Judged | None


def episode(history: Sequence[Judged], before: Watched | None) -> Episode | None:
    """Fold the verdicts of one monitor on one threshold.

    A row of breaches as long as declared makes the threshold fail; one PASS makes it recover.
    Once there was such a row, every later breach is counted.

    Args:
        history: PASS or FAIL of each window that was decided, oldest window first.
        before: What the incident already says of this monitor.

    Returns:
        None where there was no such row. `passes` counts the newest windows that passed in a row.
    """
    start, failing = _rows(history)
    earlier = before.since if before else None
    starts = [moment for moment in (start, earlier) if moment is not None]
    if not starts or not history:
        return None
    if before is not None and before.failing:
        failing = history[-1].verdict is Verdict.FAIL
    since = min(starts)
    new = tuple(
        each
        for each in history
        if each.verdict is Verdict.FAIL and each.end >= since and not _counted(each, before)
    )
    counted = sorted({*(before.counted if before else ()), *(each.end for each in new)})
    seen = max([history[-1].end, *([before.seen] if before else [])])
    watched = Watched(since=since, seen=seen, failing=failing, counted=tuple(counted[-COUNTED:]))
    breaches = (each for each in reversed(history) if each.verdict is Verdict.FAIL)
    return Episode(watched, new, _passes(history), next(breaches, None))


def _rows(history: Sequence[Judged]) -> tuple[datetime | None, bool]:
    """Where the first row that was long enough began, and whether the newest one is."""
    start: datetime | None = None
    row: list[Judged] = []
    failing = False
    for each in history:
        if each.verdict is Verdict.PASS:
            row, failing = [], False
            continue
        row.append(each)
        if len(row) >= each.required:
            failing = True
            start = start or row[0].end
    return start, failing


def _counted(each: Judged, before: Watched | None) -> bool:
    if before is None or not before.counted:
        return False
    # Beyond what is remembered nobody can tell: rather not counted than counted twice.
    forgotten = len(before.counted) >= COUNTED and each.end < before.counted[0]
    return forgotten or each.end in before.counted


def _passes(history: Sequence[Judged]) -> int:
    passed = takewhile(lambda each: each.verdict is Verdict.PASS, reversed(history))
    return sum(1 for _ in passed)


def _decided(item: Evidence) -> Iterator[Judged]:
    """One PASS or FAIL for each threshold of a sealed report; of several, the worst."""
    body: dict[str, Any] = item.body or {}
    by_threshold: dict[str, list[Judgement]] = defaultdict(list)
    for each in body["judgements"]:
        judgement = Judgement.model_validate(each)
        by_threshold[judgement.threshold].append(judgement)
    for judgements in by_threshold.values():
        worst = Verdict.worst(judgement.verdict for judgement in judgements)
        # Data that somebody picked by hand prove no recovery.
        picked = worst is Verdict.PASS and body.get("given")
        if worst is not Verdict.INSUFFICIENT and not picked:
            decisive = next(each for each in judgements if each.verdict is worst)
            yield Judged(decisive, _observation(item, body, decisive))


def _observation(item: Evidence, body: dict[str, Any], judgement: Judgement) -> Observation:
    value = judgement.value
    return Observation(
        monitor=body["monitor"],
        window=Window.model_validate(body["window"]),
        value=value if value is not None and math.isfinite(value) else None,
        limit=judgement.limit,
        reason=judgement.reason[:_REASON],
        n=judgement.n,
        run_id=item.subject.run_id,
        evidence_id=item.id,
        model_version=body.get("model_version"),
    )
