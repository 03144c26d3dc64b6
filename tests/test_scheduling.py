"""The embedded scheduler as a process, and the recipes for other schedulers."""

import ast
import configparser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
import yaml
from cronsim import CronSim

from aims_mlflow.cli import main
from aims_mlflow.errors import LedgerError, UsageError
from aims_mlflow.monitoring.outcome import Outcome
from aims_mlflow.monitoring.scheduling import schedule
from aims_mlflow.settings import Settings
from aims_mlflow.workspace import Workspace

RECIPES = Path(__file__).parent.parent / "examples" / "scheduling"
NOW = datetime(2026, 1, 1, tzinfo=UTC)

SCHEDULER = """
import json, sys, time
from datetime import timedelta
from pathlib import Path
from aims_mlflow.monitoring.outcome import Outcome
from aims_mlflow.monitoring.scheduling import schedule
from aims_mlflow.workspace import Workspace

looks = 0

def look(workspace, *, stop):
    global looks
    looks += 1
    print("look", looks, sorted(workspace.profile.systems), flush=True)
    if looks == 3:
        for _ in range(200):
            time.sleep(0.05)
            if stop():
                break
        if "stubborn" in sys.argv:
            print("asked to stop", flush=True)
            time.sleep(60)
        print("the monitor at work ended, stop", stop(), flush=True)
    return Outcome()

schedule(
    Workspace(start=Path(sys.argv[1])), timedelta(seconds=1), report=lambda _: None, look=look
)
print("ended", flush=True)
"""


def declare(folder: Path, system: str) -> None:
    systems = folder / "governance" / "systems"
    systems.mkdir(parents=True, exist_ok=True)
    (systems / f"{system}.yaml").write_text(f"id: {system}\nname: {system}\n", "utf-8")


def start(tmp_path: Path, *more: str) -> subprocess.Popen[str]:
    (tmp_path / "scheduler.py").write_text(SCHEDULER, "utf-8")
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    return subprocess.Popen(
        [sys.executable, "scheduler.py", str(tmp_path), *more],
        cwd=tmp_path,
        env=keep,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_looks_again_and_again_reads_the_profile_again_and_ends_after_the_monitor_at_work(
    tmp_path: Path,
):
    declare(tmp_path, "first")
    process = start(tmp_path)
    assert process.stdout
    assert process.stdout.readline() == "look 1 ['first']\n"
    declare(tmp_path, "second")
    lines = [process.stdout.readline()]
    while not lines[-1].startswith("look 3"):
        assert lines[-1], process.communicate()
        lines.append(process.stdout.readline())
    assert lines[-1] == "look 3 ['first', 'second']\n"
    process.send_signal(signal.SIGTERM)
    rest, errors = process.communicate(timeout=60)
    assert rest == "the monitor at work ended, stop True\nended\n", errors
    assert errors == ""
    assert process.returncode == 0


def test_a_second_signal_ends_it_at_once(tmp_path: Path):
    process = start(tmp_path, "stubborn")
    assert process.stdout
    for line in process.stdout:
        if line.startswith("look 3"):
            time.sleep(2.5)  # two looks are swallowed, and nothing is said of it
            process.send_signal(signal.SIGTERM)
        if line == "asked to stop\n":
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert "maximum number of running instances" not in errors


def test_a_look_that_fails_is_reported_and_the_next_one_comes(tmp_path: Path):
    heard: list[Outcome] = []

    def look(_workspace: Workspace, *, stop) -> Outcome:
        if len(heard) < 2:
            raise LedgerError("the database is away", "look at it")
        os.kill(os.getpid(), signal.SIGTERM)
        return Outcome()

    schedule(Workspace(Settings(), tmp_path), timedelta(seconds=1), report=heard.append, look=look)
    assert [outcome.problems for outcome in heard[:2]] == [
        ("the database is away\nlook at it",)
    ] * 2


def test_too_often_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="too often"):
        schedule(Workspace(Settings(), tmp_path), timedelta(0), report=lambda _: None)


# Recipes ------------------------------------------------------------------------------------


def parsed(command: list[str]) -> click.Context:
    """The deepest command that click finds for the words; errors where it refuses them."""
    assert Path(command[0]).name == "aims"
    context = main.make_context("aims", command[1:])
    found: click.Command = main
    while isinstance(found, click.Group):
        words = [*context._protected_args, *context.args]
        name, inner, rest = found.resolve_command(context, words)
        assert inner is not None
        found = inner
        context = found.make_context(name, list(rest), parent=context)
    return context


def is_run_due(command: str | list[str]) -> bool:
    words = shlex.split(command) if isinstance(command, str) else command
    return parsed(words).command_path == "aims monitor run-due"


def test_every_recipe_is_tested_and_told():
    names = {path.name for path in RECIPES.iterdir()}
    told = (RECIPES.parent.parent / "docs" / "scheduling.md").read_text("utf-8")
    source = Path(__file__).read_text("utf-8")
    for name in names:
        assert f"`{name}`" in told, name
        assert f'"{name}"' in source, name


def test_crontab():
    lines = (RECIPES / "crontab").read_text("utf-8").splitlines()
    jobs = [line for line in lines if line and not re.match(r"#|\w+=", line)]
    assert len(jobs) == 1
    *fields, command = jobs[0].split(maxsplit=5)
    assert next(CronSim(" ".join(fields), NOW)) == NOW + timedelta(minutes=5)
    assert is_run_due(command)


@pytest.mark.parametrize("name", ["aims-monitor.service", "aims-monitor-scheduler.service"])
def test_systemd_services(name: str):
    unit = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes="#")
    unit.optionxform = str
    unit.read(RECIPES / name)
    context = parsed(shlex.split(unit["Service"]["ExecStart"]))
    wanted = {"aims-monitor.service": "run-due", "aims-monitor-scheduler.service": "schedule"}
    assert context.command_path == f"aims monitor {wanted[name]}"


def test_systemd_itself_takes_the_units(tmp_path: Path):
    analyse = shutil.which("systemd-analyze")
    if analyse is None:
        pytest.skip("no systemd-analyze here: apt-get install systemd")
    units = ("aims-monitor.service", "aims-monitor.timer", "aims-monitor-scheduler.service")
    for name in units:
        content = (RECIPES / name).read_text("utf-8")
        there = content.replace("/srv/credit-scoring/.venv/bin/aims", "/bin/true")
        (tmp_path / name).write_text(there, "utf-8")
    done = subprocess.run(
        [analyse, "verify", *(str(tmp_path / name) for name in units)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_airflow_dag():
    tree = ast.parse((RECIPES / "airflow_dag.py").read_text("utf-8"))
    compile(tree, "airflow_dag.py", "exec")
    keywords = {
        keyword.arg: keyword.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if isinstance(keyword.value, ast.Constant)
    }
    assert is_run_due(keywords["bash_command"])
    assert next(CronSim(keywords["schedule"], NOW)) == NOW + timedelta(minutes=15)
    assert (keywords["catchup"], keywords["max_active_runs"]) == (False, 1)


def test_kubernetes_cronjob():
    job = yaml.safe_load((RECIPES / "kubernetes-cronjob.yaml").read_text("utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    next(CronSim(job["spec"]["schedule"], NOW))
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert is_run_due(container["command"])
    assert pod["restartPolicy"] == "Never"


def test_github_actions():
    # YAML 1.1 reads the key `on` as true.
    flow = yaml.safe_load((RECIPES / "github-actions.yml").read_text("utf-8"))
    (event,) = flow[True]["schedule"]
    next(CronSim(event["cron"], NOW))
    commands = [step["run"] for step in flow["jobs"]["run-due"]["steps"] if "run" in step]
    assert is_run_due(commands[-1])
    (requirement,) = shlex.split(commands[0])[2:]
    assert requirement == "aims-mlflow[postgresql]"


def test_databricks_job():
    job = json.loads((RECIPES / "databricks-job.json").read_text("utf-8"))
    (task,) = job["tasks"]
    wheel = task["python_wheel_task"]
    assert is_run_due([wheel["entry_point"], *wheel["parameters"]])
    (cluster,) = job["job_clusters"]
    assert task["job_cluster_key"] == cluster["job_cluster_key"]
    seconds, *cron = job["schedule"]["quartz_cron_expression"].replace("?", "*").split()
    assert seconds == "0"
    assert next(CronSim(" ".join(cron), NOW)) == NOW + timedelta(minutes=15)


def test_the_entry_point_of_the_package_is_the_one_that_databricks_calls():
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="aims")
    job = json.loads((RECIPES / "databricks-job.json").read_text("utf-8"))
    assert script.dist is not None
    assert script.dist.name == job["tasks"][0]["python_wheel_task"]["package_name"]
    assert script.load() is main


def test_commands_in_the_page_are_commands():
    page = (RECIPES.parent.parent / "docs" / "scheduling.md").read_text("utf-8")
    blocks = "\n".join(re.findall(r"^```text\n(.*?)^```", page, re.S | re.M)).replace("\\\n", " ")
    commands = [line for line in blocks.splitlines() if line.startswith("aims ")]
    assert len(commands) == 5
    for command in commands:
        parsed(shlex.split(command, comments=True))
