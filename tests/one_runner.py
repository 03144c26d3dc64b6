"""One runner as a process of its own: `run_due` with a judge that needs no data.

    python one_runner.py FOLDER NOW [--lease SECONDS] [--hang] [--wait SECONDS]

Writes the outcome as JSON. With --hang it stops inside the first window, its lease not renewed.
"""

import argparse
import json
import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aims_mlflow.errors import TrackingError
from aims_mlflow.evidence import Draft, EvidenceKind, Subject, SubjectType, normalise
from aims_mlflow.ledger.records import Sealing
from aims_mlflow.monitored import MonitoringReport
from aims_mlflow.monitoring import heartbeat
from aims_mlflow.monitoring.execution import Execution
from aims_mlflow.monitoring.runner import run_due
from aims_mlflow.readings import Verdict
from aims_mlflow.settings import Settings
from aims_mlflow.workspace import Workspace


class Judge:
    """Seals a report with the verdict that the monitor's options declare, as run_monitor does."""

    def __init__(self, wait: float = 0, hang: bool = False):
        self.wait, self.hang = wait, hang

    def __call__(self, workspace, system_id, monitor, window, *, finish=None, actor, **_):
        if self.hang:
            print("hanging", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(self.wait)
        behaviour = monitor.options.get("test", "PASS")
        if behaviour == "unread":
            return Execution(system_id, monitor.name, window, problem="the bucket is gone")
        if behaviour == "away":
            raise TrackingError("MLflow does not answer", "Start it.")
        if behaviour == "raise":
            raise RuntimeError("a fault of sql://me:hunter2@db/x")
        report = MonitoringReport(
            system_id=system_id,
            monitor=monitor.name,
            kind=monitor.kind,
            window=window,
            verdict=Verdict(behaviour),
        )
        run_id = f"{os.getpid()}-{system_id}-{monitor.name}-{window.key}"
        workspace.ledger().append(
            [sealed(report, run_id, actor)],
            within=lambda c: finish(c, report.verdict, run_id) if finish else None,
        )
        return Execution(system_id, monitor.name, window, report, run_id)


def sealed(report: MonitoringReport, run_id: str, actor: str) -> Sealing:
    body, _ = normalise(report.body())
    draft = Draft(
        kind=EvidenceKind.DRIFT_REPORT,
        system=report.system_id,
        subject=Subject(type=SubjectType.SYSTEM, id=report.system_id, run_id=run_id),
        event_time=report.window.end,
        body=body,
    )
    return Sealing(
        draft=draft,
        version=1,
        supersedes=None,
        artifacts=(),
        actor=actor,
        source="test",
        capture_time=datetime.now(UTC),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("now", type=datetime.fromisoformat)
    parser.add_argument("--lease", type=float, default=300)
    parser.add_argument("--wait", type=float, default=0)
    parser.add_argument("--hang", action="store_true")
    given = parser.parse_args()
    if given.hang:
        heartbeat.Heartbeat._beat = lambda self: None
    outcome = run_due(
        Workspace(Settings.load(), given.folder),
        now=given.now,
        execute=Judge(given.wait, given.hang),
        lease=timedelta(seconds=given.lease),
    )
    json.dump(outcome.model_dump(mode="json"), sys.stdout)


if __name__ == "__main__":
    main()
