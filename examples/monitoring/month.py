"""A month of daily monitoring: the model of 2011 meets the January of 2012.

    python month.py

In production a scheduler calls `aims monitor run-due` every day. Here every day of a month that is
long past is run after the other, through the function that the command calls.
"""

import getpass
import os
from datetime import UTC, datetime, timedelta

from aims_mlflow.monitored import Window
from aims_mlflow.monitoring.execution import run_monitor
from aims_mlflow.workspace import Workspace

DAYS = int(os.environ.get("DAYS", "31"))


def main() -> None:
    workspace = Workspace()
    system = workspace.profile.systems["bike-demand"]
    first = datetime(2012, 1, 8, tzinfo=UTC)
    for day in range(DAYS):
        end = first + timedelta(days=day)
        for monitor in system.monitors:
            window = Window(start=end - timedelta(days=7), end=end)
            done = run_monitor(workspace, system.id, monitor, window, actor=getpass.getuser())
            print(f"{end:%Y-%m-%d}  {monitor.name:15} {done.verdict:13} {done.problem}")


if __name__ == "__main__":
    main()
