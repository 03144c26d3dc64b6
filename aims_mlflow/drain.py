"""Turn spooled intents into evidence. Runs in the drainer thread and in `aims sync`.

An intent is a small JSON object: `what` (started, evaluated, ended, environment, gap), the MLflow
`uri` and the `run_id`, and what only the process that put it could know.
"""

from __future__ import annotations

import getpass
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aims_mlflow.capture import Captured, capture, record_gap
from aims_mlflow.environment import collect_environment
from aims_mlflow.errors import AimsError, LedgerConflictError, LedgerError, RunNotFoundError
from aims_mlflow.evidence import canonical_bytes, digest, normalise
from aims_mlflow.facts import TAG_ENDED_BY, TAG_EXCEPTION

if TYPE_CHECKING:
    from collections.abc import Callable

    from aims_mlflow.spool import Intent
    from aims_mlflow.workspace import Workspace

#: File that carries the environment lock from the training process to capture.
ENVIRONMENT_FILE = "environment.json"


@dataclass
class Progress:
    """What was done so far, for the one line at the end of a process.

    `waiting` maps a run to the reason why it could not be captured yet.
    """

    captured: dict[str, Captured] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)


class Drainer:
    """Processes intents one by one.

    Args:
        workspace: Settings, profile, MLflow, ledger.
        source: `hook` or `sync`, for the evidence.
        own: Whether the intents are of this very process: only then may this process's
            environment be recorded for a run that began.
    """

    def __init__(self, workspace: Workspace, *, source: str, own: bool) -> None:
        self.workspace = workspace
        self.progress = Progress()
        self._source = source
        self._own = own
        self._environment: bytes | None = None
        self._steps: dict[str, Callable[[Intent], None]] = {
            "started": self._started,
            "environment": self._known_environment,
            "evaluated": self._evaluated,
            "ended": self._ended,
            "gap": self._gap,
        }

    def process(self, intent: Intent) -> bool:
        """Do what the intent asks; False where it must be tried again later.

        Every reason for a second try is kept in `progress.waiting`; nothing is raised.
        """
        run_id = str(intent.get("run_id", ""))
        step = self._steps.get(str(intent.get("what")))
        if step is None:
            self.progress.gaps.append(f"an intent of an unknown kind was dropped: {intent!r:.200}")
            return True
        try:
            step(intent)
        except RunNotFoundError as error:
            return self._run_is_gone(run_id, intent, error)
        except AimsError as error:
            self.progress.waiting[run_id] = error.message
            return False
        except Exception as error:  # a defect of ours must show as a gap, never stop the drain
            self.progress.waiting[run_id] = f"unexpected {type(error).__name__}: {error}"
            return False
        self.progress.waiting.pop(run_id, None)
        return True

    def environment_intent(self) -> Intent | None:
        """The environment as an intent that outlives this process; None before it is known."""
        if self._environment is None:
            return None
        return {"what": "environment", "data": self._environment.decode()}

    def forget_environment(self) -> None:
        """Let the next intents be of another process."""
        self._environment = None

    def _started(self, intent: Intent) -> None:
        if self._environment is None and self._own:
            environment, _ = normalise(collect_environment())
            self._environment = canonical_bytes(environment)
        if self._environment is not None:
            tracking = self.workspace.tracking(intent["uri"])
            tracking.write_input(intent["run_id"], ENVIRONMENT_FILE, self._environment)

    def _known_environment(self, intent: Intent) -> None:
        self._environment = str(intent["data"]).encode()

    def _evaluated(self, intent: Intent) -> None:
        tracking = self.workspace.tracking(intent["uri"])
        data = canonical_bytes(intent["table"])
        tracking.write_input(intent["run_id"], f"evaluation-{digest(data)[:12]}.json", data)

    def _ended(self, intent: Intent) -> None:
        run_id = intent["run_id"]
        tracking = self.workspace.tracking(intent["uri"])
        known = {
            TAG_EXCEPTION: intent.get("exception"),
            TAG_ENDED_BY: intent.get("ended_by"),
        }
        tags = {key: str(value) for key, value in known.items() if value}
        if tags:
            tracking.tag(run_id, tags)
        self.workspace.refresh()
        done = capture(
            run_id,
            tracking=tracking,
            ledger=self.workspace.ledger(tracking),
            profile=self.workspace.profile,
            source=self._source,
            actor=actor(),
        )
        tracking.forget(run_id)
        self.progress.captured[run_id] = done

    def _gap(self, intent: Intent) -> None:
        self._seal_gap(intent, str(intent["reason"]))

    def _run_is_gone(self, run_id: str, intent: Intent, error: RunNotFoundError) -> bool:
        try:
            self._seal_gap(intent, f"the run was gone before it could be captured: {error.message}")
        except (LedgerError, LedgerConflictError) as failed:
            self.progress.waiting[run_id] = failed.message
            return False
        self.progress.waiting.pop(run_id, None)
        return True

    def _seal_gap(self, intent: Intent, reason: str) -> None:
        tracking = self.workspace.tracking(intent.get("uri"))
        record_gap(
            self.workspace.ledger(tracking),
            str(intent.get("run_id") or "no-run"),
            reason,
            system=intent.get("system"),
            actor=actor(),
            source=self._source,
        )
        self.progress.gaps.append(reason)


def actor() -> str:
    """The login that captures, for the evidence."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no login name in a bare container
        return "unknown"
