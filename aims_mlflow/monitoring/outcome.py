"""What looking at the windows that are due came to."""

from __future__ import annotations

from typing import Literal

from aims_mlflow.evidence import Frozen
from aims_mlflow.incidents import IncidentChange
from aims_mlflow.monitored import Window
from aims_mlflow.notifications import Delivery
from aims_mlflow.readings import Judgement, Verdict


class Result(Frozen):
    """What became of one window.

    `judged`: its report is sealed. `later`: this attempt failed, another follows. `failed`: it
    was given up and recorded as a gap. `missed`: it and the windows before it, `windows` in all,
    were recorded as one gap without being looked at. `lost`: another runner has it.

    `judgements` are those that do not PASS. `incidents` and `deliveries` are what happened to
    incidents, and the notifications of it that were sent or failed.
    """

    system: str
    monitor: str
    window: Window
    outcome: Literal["judged", "later", "failed", "missed", "lost"]
    verdict: Verdict | None = None
    run_id: str | None = None
    problem: str = ""
    windows: int = 1
    judgements: tuple[Judgement, ...] = ()
    incidents: tuple[IncidentChange, ...] = ()
    deliveries: tuple[Delivery, ...] = ()


class Outcome(Frozen):
    """What one `run_due` did. `problems` are of no window: a faulty profile or monitor.

    `deliveries` are notifications of earlier executions that were sent, or failed, only now.
    """

    results: tuple[Result, ...] = ()
    problems: tuple[str, ...] = ()
    deliveries: tuple[Delivery, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 where a limit is breached, else 2 where something could not be judged, else 0.

        A breach comes first, as FAIL comes before INSUFFICIENT: it is what people must act on.
        """
        if any(result.verdict is Verdict.FAIL for result in self.results):
            return 1
        unjudged = any(
            result.verdict is Verdict.INSUFFICIENT
            or result.outcome in ("later", "failed", "missed")
            for result in self.results
        )
        return 2 if unjudged or self.problems else 0
