"""Build the demo: a folder with governance, an MLflow store and a ledger, from real training."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from aims_mlflow.drain import actor
from aims_mlflow.errors import UsageError
from aims_mlflow.evidence import Evidence, EvidenceKind, Frozen
from aims_mlflow.mapper import is_monitoring, map_evidence
from aims_mlflow.monitored import MonitoringReport
from aims_mlflow.monitoring.execution import run_monitor
from aims_mlflow.monitoring.windows import window_at
from aims_mlflow.publish import publish
from aims_mlflow.settings import Settings
from aims_mlflow.verification import Verification, verify
from aims_mlflow.workspace import Workspace

#: The data sets that the demo knows, by the folder of their script and declaration.
DATASETS = ("diabetes", "adult")
_MARKER = "aims-demo.txt"
_MARKER_TEXT = "Made by `aims demo`, which deletes and rebuilds this folder.\n"
_ORGANIZATION = "name: Demo organization\ntracking_uri: sqlite:///mlflow.db\n"

#: The demo is offline: MLflow's own usage statistics are switched off for it.
_QUIET = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}

Step = Callable[[str], None]


class Demo(Frozen):
    """What the demo left: evidence with its controls, monitors' reports, verification."""

    folder: Path
    dataset: str
    evidence: tuple[Evidence, ...]
    executions: tuple[MonitoringReport, ...]
    controls: dict[str, tuple[str, ...]]
    verification: Verification


def build(folder: Path, dataset: str, step: Step) -> Demo:
    """Delete and rebuild the demo.

    Args:
        folder: Where; must be absent, empty or an earlier demo.
        dataset: `diabetes` (offline) or `adult` (AIMS_DATA_DIR or network).
        step: Told what happens now.

    Raises:
        UsageError: The folder holds something else, or training failed.
    """
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    _clear(folder)
    step("writing governance/")
    _declare(folder, dataset)
    workspace = Workspace(Settings(), start=folder)
    tracking = workspace.tracking()
    ledger = workspace.ledger(tracking)
    step("publishing the profile")
    publish(workspace.profile, ledger, actor=actor())
    step("training two models (python train.py)")
    _train(folder)
    executed = tuple(_monitored(workspace, step))
    step("verifying")
    current = tuple(e.evidence for e in ledger.entries(current=True))
    result = Demo(
        folder=folder,
        dataset=dataset,
        evidence=current,
        executions=executed,
        controls={e.id: tuple(link.control for link in map_evidence(e).links) for e in current},
        verification=verify(ledger, tracking),
    )
    workspace.close()
    return result


def _monitored(workspace: Workspace, step: Step) -> Iterator[MonitoringReport]:
    """Execute every declared monitor on its latest window, as `aims monitor run` does."""
    for system in workspace.profile.systems.values():
        for monitor in system.monitors:
            step(f"monitoring {monitor.name}")
            window = window_at(monitor, datetime.now(UTC))
            done = run_monitor(workspace, system.id, monitor, window, actor=actor())
            if done.report is not None:
                yield done.report


def reports(demo: Demo) -> list[Evidence]:
    """The evaluation reports, in the order of training."""
    kind = EvidenceKind.EVALUATION_REPORT
    found = [e for e in demo.evidence if e.kind is kind and not is_monitoring(e.body)]
    return sorted(found, key=lambda e: e.event_time)


def _clear(folder: Path) -> None:
    if folder.exists():
        if any(folder.iterdir()) and not (folder / _MARKER).exists():
            raise UsageError(
                f"{folder} exists and is not a demo; nothing was deleted.",
                "Name another folder: aims demo --folder PATH",
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / _MARKER).write_text(_MARKER_TEXT, "utf-8")


def _declare(folder: Path, dataset: str) -> None:
    source = files("aims_mlflow.demo") / dataset
    systems = folder / "governance" / "systems"
    systems.mkdir(parents=True)
    declared = (source / "system.yaml").read_text("utf-8")
    name = declared.split("id: ", 1)[1].split("\n", 1)[0]
    (systems / f"{name}.yaml").write_text(declared, "utf-8")
    (folder / "governance" / "aims.yaml").write_text(_ORGANIZATION, "utf-8")
    (folder / "train.py").write_text((source / "train.py").read_text("utf-8"), "utf-8")


def _train(folder: Path) -> None:
    """Run the script as a user would; its own process, its own exit."""
    store = f"sqlite:///{(folder / 'mlflow.db').absolute()}"
    dropped = {"AIMS_SYSTEM", "AIMS_PROFILE", "AIMS_LEDGER_URI", "AIMS_SPOOL_DIR", "AIMS_DISABLE"}
    environment = {k: v for k, v in os.environ.items() if k not in dropped}
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=folder,
        env={**environment, **_QUIET, "MLFLOW_TRACKING_URI": store, "AIMS_EXIT_TIMEOUT": "60"},
        capture_output=True,
        text=True,
        check=False,
    )
    (folder / "train.log").write_text(done.stdout + done.stderr, "utf-8")
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise UsageError(
            f"train.py ended with exit code {done.returncode}:\n{tail}",
            f"The whole log is in {folder / 'train.log'}.",
        )
