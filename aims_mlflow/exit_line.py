"""The one line that a governed process says at its end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from aims_mlflow.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aims_mlflow.drain import Drainer, Progress
    from aims_mlflow.spool import Intent, Spool


def exit_settings() -> tuple[float, bool]:
    """Seconds to wait and whether to be quiet; a variable that cannot be used counts as unset."""
    settings, _ = Settings.lenient()
    return settings.exit_timeout, settings.quiet


def exit_line(drainer: Drainer | None, waiting: Sequence[Intent], spool: Spool) -> str:
    """What was captured, what waits and why, where to look; empty when there is nothing to say."""
    progress = drainer.progress if drainer else None
    parts = []
    if progress and progress.captured:
        parts.append(_captured(progress))
    runs = {
        str(i.get("run_id"))
        for i in waiting
        if i.get("what") in {"ended", "evaluated", "gap", "reference", "run"}
    }
    if runs:
        reasons = [r for run, r in (progress.waiting if progress else {}).items() if run in runs]
        why = f" ({reasons[0]})" if reasons else ""
        parts.append(f"{_count(len(runs), 'run')} not captured yet{why}, run: aims sync")
    if progress and progress.left:
        parts.append(f"{_count(len(progress.left), 'run')} left to the capture of their sweep")
    if progress and progress.gaps:
        parts.append(f"{_count(len(progress.gaps), 'gap')}: {progress.gaps[0]}")
    if spool.degraded:
        parts.append(f"spool not writable ({spool.degraded})")
    if spool.dropped:
        parts.append(f"{_count(spool.dropped, 'event')} lost, run: aims sync")
    return "; ".join([*parts, *(drainer.workspace.faults if drainer else ())])


def _captured(progress: Progress) -> str:
    done = list(progress.captured.values())
    systems = sorted({c.system or "no declared system" for c in done})
    named = ", ".join(systems[:3]) + (", ..." if len(systems) > 3 else "")
    verdicts = Counter(c.verdict.value for c in done)
    shown = ", ".join(f"{verdicts[v]} {v}" for v in ("FAIL", "INSUFFICIENT", "PASS") if verdicts[v])
    documents = sum(len(c.documents) for c in done)
    run = _count(len(done), "run")
    swept = sum(c.candidates for c in done)
    run += f" (and {_count(swept, 'candidate')} of a sweep by digest)" if swept else ""
    return f"captured {run} of {named}, {_count(documents, 'document')}, {shown}; see: aims status"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
