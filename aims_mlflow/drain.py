"""Turn spooled intents into evidence. Runs in the drainer thread and in `aims sync`.

An intent is a small JSON object: `what` (started, evaluated, ended, registered, ...), the MLflow
`uri` and the `run_id`, and what only the process that put it could know.

A run that ends while its parent is open in the same process waits for the end of the parent: only
then can be told whether it is one candidate of a sweep.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aims_mlflow.environment import collect_environment
from aims_mlflow.errors import AimsError, LedgerError, TrackingError
from aims_mlflow.evidence import canonical_bytes, digest, normalise
from aims_mlflow.facts import TAG_ENDED_BY, TAG_EXCEPTION
from aims_mlflow.families import Capturing, Family
from aims_mlflow.nesting import Nesting
from aims_mlflow.recording import record_gap
from aims_mlflow.redaction import redact_body
from aims_mlflow.references import is_reference, save_reference
from aims_mlflow.secrets import cleared

if TYPE_CHECKING:
    from collections.abc import Collection, MutableMapping

    from aims_mlflow.capture import Captured
    from aims_mlflow.spool import Intent
    from aims_mlflow.tracking import Tracking
    from aims_mlflow.workspace import Workspace

#: Counts a data set that the training process still holds; None where that is not wanted any more.
Promise = Callable[[], dict[str, Any] | None]
#: File that carries the environment lock from the training process to capture.
ENVIRONMENT_FILE = "environment.json"


@dataclass
class Progress:
    """What was done so far, for the one line at the end of a process.

    `waiting` maps a run to the reason why it could not be captured yet; `left` maps a run to the
    parent that runs elsewhere and whose capture will account for it.
    """

    captured: dict[str, Captured] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


class Drainer:
    """Processes intents one by one.

    Args:
        workspace: Settings, profile, MLflow, ledger.
        source: `hook` or `sync`, for the evidence.
        own: Whether the intents are of this very process: only then may this process's
            environment be recorded for a run that began.
        promised: What counts the data sets that the intents of this very process announce.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        source: str,
        own: bool,
        promised: MutableMapping[str, Promise] | None = None,
    ) -> None:
        self.workspace = workspace
        self.progress = Progress()
        self._source = source
        self._own = own
        self._promised = {} if promised is None else promised
        # Runs of processes that are gone, which the capture of a sweep has told of already: each
        # of them would have the whole sweep captured again.
        self._accounted: set[str] = set()
        self._held: set[str] = set()
        self._unfinished: dict[str, Intent] = {}
        self._environment: bytes | None = None
        self._nesting = Nesting()
        self._steps: dict[str, Callable[[Intent], None]] = {
            "started": self._started,
            "resumed": self._resumed,
            "registered": self._registered,
            "environment": self._known_environment,
            "evaluated": self._evaluated,
            "reference": self._reference,
            "ended": self._ended,
            "run": self._run,
            "gap": self._gap,
        }

    def process(self, intent: Intent) -> bool:
        """Do what the intent asks; False where it must be tried again later.

        Every reason for a second try is kept in `progress.waiting`; nothing is raised.
        """
        run_id = str(intent.get("run_id", ""))
        if run_id in self._held:
            # An evaluation that could not be written yet must be there when the run is captured.
            self._held |= {intent["parent"]} if intent.get("parent") else set()
            return False
        step = self._steps.get(str(intent.get("what")))
        if step is None:
            self.progress.gaps.append(f"an intent of an unknown kind was dropped: {intent!r:.200}")
            return True
        try:
            step(intent)
        except AimsError as error:
            if isinstance(error, TrackingError) and self._is_gone(intent):
                return self._run_is_gone(run_id, intent, error)
            return self._hold(run_id, error.message)
        except Exception as error:  # a defect of ours must show as a gap, never stop the drain
            return self._hold(run_id, f"unexpected {type(error).__name__}: {error}")
        self.progress.waiting.pop(run_id, None)
        return True

    def begin(self) -> None:
        """Begin another round: what was held back is tried again."""
        self._held.clear()

    def capture_unfinished(self, recorded: Collection[str] = ()) -> None:
        """Capture again the runs that got an evaluation after they had been captured.

        Args:
            recorded: Runs that others captured, where that is known.
        """
        for run_id, intent in list(self._unfinished.items()):
            if run_id in self.progress.captured or run_id in recorded:
                self.process({**intent, "what": "ended"})

    def released(self) -> list[Intent]:
        """Ends of runs that waited for their parent and are to be processed now."""
        return self._nesting.released()

    def waiting_children(self) -> list[Intent]:
        """Ends of runs that wait for the end of their parent."""
        return self._nesting.waiting()

    def settle(self) -> None:
        """Nobody will end the open runs any more: their children need not wait for them."""
        for orphaned in self._nesting.orphans():
            self.process(orphaned)

    def _hold(self, run_id: str, reason: str) -> bool:
        # A parent is judged with its children: it waits for what a child still lacks.
        self._held |= {run_id, *self._nesting.ancestors(run_id)}
        self.progress.waiting[run_id] = reason
        return False

    def _is_gone(self, intent: Intent) -> bool:
        run_id, uri = intent.get("run_id"), intent.get("uri")
        return bool(run_id and uri) and self.workspace.tracking(uri).is_gone(str(run_id))

    def environment_intent(self) -> Intent | None:
        """The environment as an intent that outlives this process; None before it is known."""
        if self._environment is None:
            return None
        return {"what": "environment", "data": self._environment.decode()}

    def forget_environment(self) -> None:
        """Let the next intents be of another process."""
        self._environment = None

    def forget_runs(self) -> None:
        """Let the next intents be of another process, whose runs wait for none of this one's."""
        self._nesting = Nesting()

    def _started(self, intent: Intent) -> None:
        run_id = intent["run_id"]
        self._nesting.begun(run_id, intent.get("parent"))
        if intent.get("environment_of"):  # its tag names the run that has the environment
            return
        if self._environment is None and self._own:
            environment, _ = normalise(collect_environment())
            self._environment = canonical_bytes(environment)
        if self._environment is not None:
            tracking = self.workspace.tracking(intent["uri"])
            tracking.write_input(run_id, ENVIRONMENT_FILE, self._environment)

    def _resumed(self, intent: Intent) -> None:
        self._nesting.begun(intent["run_id"], None)

    def _known_environment(self, intent: Intent) -> None:
        self._environment = str(intent["data"]).encode()

    def _evaluated(self, intent: Intent) -> None:
        tracking = self.workspace.tracking(intent["uri"])
        if is_reference(intent["table"]):
            save_reference(tracking, intent["run_id"], intent["table"])
            return
        table = redact_body(intent["table"])
        data = canonical_bytes(table)
        version = str(table.get("schema_version"))
        what = "robustness" if version.startswith("aims.robustness/") else "evaluation"
        tracking.write_input(intent["run_id"], f"{what}-{digest(data)[:12]}.json", data)
        self._unfinished[intent["run_id"]] = {"uri": intent["uri"], "run_id": intent["run_id"]}

    def _reference(self, intent: Intent) -> None:
        """Make the statistics of a data set that the run logged, and save them with it."""
        if "table" not in intent and "lost" not in intent:
            # Remembered in the intent: a second try has neither the data nor needs them.
            self._keep_promise(intent)
        if intent.get("table"):
            self._evaluated(intent)
        elif intent.get("lost"):
            self._seal_gap(intent, intent["lost"])

    def _keep_promise(self, intent: Intent) -> None:
        what = f"the reference statistics of the dataset '{intent['dataset']}' were not made"
        advice = "Call aims_mlflow.log_reference(frame) in the training script."
        promise = self._promised.pop(str(intent["promise"]), None)
        if promise is None:
            intent["lost"] = f"{what}: the process ended before they were counted. {advice}"
            return
        try:
            intent["table"] = promise()
        except AimsError as error:
            intent["lost"] = f"{what}: {cleared(error.message)[0]} {advice}"
        except Exception as error:  # the text of an error may hold a value of the data
            intent["lost"] = f"{what}: {type(error).__name__}. {advice}"

    def _ended(self, intent: Intent) -> None:
        run_id = intent["run_id"]
        tracking = self.workspace.tracking(intent["uri"])
        self._tag(tracking, intent)
        parent = self._awaited(tracking, intent)
        if parent is not None:
            self._nesting.wait(parent, intent)
            tracking.forget(run_id)
        elif run_id in self._accounted and run_id not in self._unfinished:
            self._done(tracking, Family(members=frozenset({run_id})), run_id)
        else:
            self._done(tracking, self._captured(tracking, intent), run_id)
        self._nesting.ended(run_id)

    def _tag(self, tracking: Tracking, intent: Intent) -> None:
        """Write to the run what only its process knew; once, however often its end is tried."""
        known = {TAG_EXCEPTION: "exception", TAG_ENDED_BY: "ended_by"}
        tags = {key: str(intent[name]) for key, name in known.items() if intent.get(name)}
        if tags:
            tracking.tag(intent["run_id"], tags)
            for name in known.values():
                intent.pop(name, None)

    def _awaited(self, tracking: Tracking, intent: Intent) -> str | None:
        """The parent whose end must come first; None where none is open in the process."""
        if intent.get("alone") or intent.get("gone"):
            return None
        parent: str | None = intent.get("parent")
        if parent is None and self._nesting.others_open(intent["run_id"]):
            # Some clients name the parent only after they created the run.
            parent = tracking.children.head(intent["run_id"]).parent
            return parent if self._nesting.is_open(parent) else None
        return parent

    def _captured(self, tracking: Tracking, intent: Intent) -> Family:
        self.workspace.refresh()
        capturing = self._capturing(tracking)
        if intent.get("alone"):
            return capturing.tree(intent["run_id"])
        return capturing.family(intent["run_id"], gone=bool(intent.get("gone")))

    def _done(self, tracking: Tracking, family: Family, run_id: str) -> None:
        self.progress.captured |= {one.run_id: one for one in family.captured}
        members = {run_id, *family.members}
        if family.left_to is not None:
            members.update(self._nesting.drop(run_id))
            self.progress.left |= dict.fromkeys(members, family.left_to)
        elif not self._own:
            self._accounted |= family.members
        for member in members:
            tracking.forget(member)
            self._unfinished.pop(member, None)
        self._nesting.release(run_id, members)

    def _registered(self, intent: Intent) -> None:
        """Capture the run of a new model version, unless its end is still to come."""
        run_id = intent["run_id"]
        tracking = self.workspace.tracking(intent["uri"])
        if self._nesting.waits(run_id) or not tracking.children.head(run_id).terminated:
            return
        self.workspace.refresh()
        capturing = self._capturing(tracking)
        captured = {one.run_id: one for one in capturing.family(run_id).captured}
        if run_id not in captured:
            captured[run_id] = capturing.one(run_id)
        self.progress.captured |= captured

    def _capturing(self, tracking: Tracking) -> Capturing:
        return Capturing(
            tracking=tracking,
            ledger=self.workspace.ledger(tracking),
            profile=self.workspace.profile,
            source=self._source,
            actor=actor(),
        )

    def _gap(self, intent: Intent) -> None:
        self._seal_gap(intent, str(intent["reason"]))

    def _run(self, intent: Intent) -> None:
        """Make the run of a governed function that started none, and capture it."""
        tracking = self.workspace.tracking(intent["uri"])
        # Remembered in the intent: a second try goes on with the run of the first.
        if "run_id" not in intent:
            intent["run_id"] = tracking.create_run(
                name=intent["name"], started=intent["started"], tags=intent["tags"]
            )
        self._started(intent)
        for table in intent["tables"]:
            self._evaluated({**intent, "table": table})
        tracking.end_run(intent["run_id"], intent["status"], intent["ended"])
        self._ended(intent)

    def _run_is_gone(self, run_id: str, intent: Intent, error: AimsError) -> bool:
        try:
            ledger = self.workspace.ledger(self.workspace.tracking(intent["uri"]))
            if run_id not in ledger.captured_runs():
                reason = f"the run was gone before it could be captured: {error.message}"
                self._seal_gap(intent, reason)
        except LedgerError as failed:
            return self._hold(run_id, failed.message)
        self._nesting.release(run_id)
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
