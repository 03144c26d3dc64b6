"""A real standalone Spark cluster on this machine: one master, two workers, one executor each."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

_WORKERS = 2
_START_SECONDS = 120


def need_spark() -> Path:
    """The installed Spark; the test is skipped where there is none, but not in CI."""
    reason = ""
    try:
        import pyspark
    except ImportError:
        reason = "pyspark is not installed: pip install 'aims-mlflow[spark]'"
    if not reason and shutil.which("java") is None:
        reason = "there is no Java: apt-get install openjdk-17-jre-headless"
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    return Path(pyspark.__file__).parent


@contextlib.contextmanager
def spark_cluster() -> Iterator[str]:
    """The URL of a master at which two workers are registered."""
    home = need_spark()
    folder = Path(tempfile.mkdtemp(prefix="aims-spark-"))
    port, page = _free_port(), _free_port()
    started: list[subprocess.Popen[bytes]] = []
    try:
        with (folder / "log").open("wb") as log:
            started.append(
                _start(home, folder, log, "master.Master", "--port", port, "--webui-port", page)
            )
            # A worker that finds no master tries again only after seconds.
            _wait(page, 0, started, folder)
            for number in range(_WORKERS):
                place = folder / f"worker-{number}"
                options = ("--cores", 1, "--memory", "1g", "--port", 0, "--webui-port", 0)
                url = f"spark://127.0.0.1:{port}"
                started.append(
                    _start(home, folder, log, "worker.Worker", *options, "-d", place, url)
                )
            _wait(page, _WORKERS, started, folder)
        yield f"spark://127.0.0.1:{port}"
    finally:
        for process in reversed(started):
            _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _start(
    home: Path, folder: Path, log: object, role: str, *options: object
) -> subprocess.Popen[bytes]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith("SPARK_")}
    return subprocess.Popen(
        [
            *(home / "bin" / "spark-class", f"org.apache.spark.deploy.{role}"),
            *("--host", "127.0.0.1", *map(str, options)),
        ],
        env={
            **keep,
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_NO_DAEMONIZE": "1",
            "SPARK_DAEMON_MEMORY": "512m",
            "PYSPARK_PYTHON": sys.executable,
        },
        cwd=folder,
        stdout=log,  # type: ignore[arg-type]
        stderr=log,  # type: ignore[arg-type]
        # The script starts Java: both are ended through their group.
        start_new_session=True,
    )


def _wait(page: int, workers: int, started: list[subprocess.Popen[bytes]], folder: Path) -> None:
    """Until the master's own page says that so many workers are alive."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(OSError, ValueError):
            with urllib.request.urlopen(f"http://127.0.0.1:{page}/json/", timeout=5) as answer:
                alive = json.load(answer)["aliveworkers"]
            if alive >= workers:
                return
        if any(process.poll() is not None for process in started) or time.monotonic() > deadline:
            pytest.fail(f"Spark did not start: {(folder / 'log').read_text()[-3000:]}")
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
            return
