"""The Spark session of this process, and how data comes into it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import SourceError
from aims_mlflow.monitors.source_failures import refused, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    import polars as pl

    from aims_mlflow.monitors.source_parquet import Scanned

_LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_CONNECT_SECONDS = 10
_lock = Lock()
_users = 0
_own: Any = None


def session(master: str | None, held: ExitStack) -> Any:
    """The session of this process, until the last who holds it lets go.

    A session that the process already has (a notebook, a Databricks job) is used as it is, and
    never stopped.

    Args:
        master: `local[*]`, `spark://host:port`, `yarn`, `k8s://...`; by default the environment
            variable SPARK_MASTER, else `local[*]`.
        held: Gives the session back when it closes.

    Raises:
        SourceError: pyspark or Java is missing, the master is not reached, or this process holds
            a session of another master.
    """
    global _own, _users
    wanted = master or os.environ.get("SPARK_MASTER") or "local[*]"
    with _lock:
        if _own is None:
            active = _installed().getActiveSession()
            if active is not None:
                return active
            _own = _started(wanted)
        elif _own.sparkContext.master != wanted:
            raise SourceError(
                f"This process holds a Spark session of {shown(_own.sparkContext.master)}, not of "
                f"{shown(wanted)}.",
                "Use one master in a process.",
            )
        _users += 1
        started = _own
    held.callback(_release)
    return started


def _release() -> None:
    global _own, _users
    with _lock:
        _users -= 1
        if _users == 0:
            _own.stop()
            _own = None


def _installed() -> Any:
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise SourceError(
            "The engine spark is not installed.", "Run: pip install 'aims-mlflow[spark]'"
        ) from None
    home = os.environ.get("JAVA_HOME")
    if not (shutil.which("java") or (home and (Path(home) / "bin" / "java").exists())):
        raise SourceError(
            "Spark needs Java, and there is none.",
            "Install a Java runtime (17 or newer) and set JAVA_HOME, or use the engine polars.",
        )
    return SparkSession


def _started(master: str) -> Any:
    builder = _installed().builder
    import pyspark

    # Without it executors of a cluster started from the PyPI package do not find their classes.
    os.environ.setdefault("SPARK_HOME", str(Path(pyspark.__file__).parent))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.log.level": "ERROR",
    }
    if _on_this_machine(master):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        settings["spark.driver.host"] = settings["spark.driver.bindAddress"] = "127.0.0.1"
    _reachable(master)
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        return builder.master(master).appName("aims monitor").getOrCreate()
    except Exception as error:
        # py4j and pyspark raise errors of no common kind.
        raise refused(f"Spark at {shown(master)}", RuntimeError(_said(error))) from None


def _on_this_machine(master: str) -> bool:
    return master.startswith("local") or any(f"//{host}:" in master for host in _LOCAL_HOSTS)


def _reachable(master: str) -> None:
    """Spark itself asks an absent master for a minute, then ends the JVM."""
    if not master.startswith("spark://"):
        return
    hosts = master.removeprefix("spark://").split(",")
    last: OSError | None = None
    for host, _, port in (entry.rpartition(":") for entry in hosts):
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
            return
        except ValueError:
            raise SourceError(
                f"'{shown(master)}' is no Spark master.", "Write spark://host:port."
            ) from None
        except OSError as error:
            last = error
    raise SourceError(
        f"The Spark master {shown(master)} cannot be reached: {shown(str(last))}",
        "Check host, port and network of the machine that runs the monitor.",
    )


def _said(error: Exception) -> str:
    """What Spark said, without the stack of the JVM; py4j puts a line of its own before it."""
    lines = [line.strip(" :") for line in str(error).splitlines() if line.strip()]
    told = lines[1:2] if lines and lines[0].startswith("An error occurred while") else lines[:1]
    return told[0] if told else type(error).__name__


def read(spark: Any, paths: list[str], form: str, what: str) -> Any:
    """What Spark reads by itself: Parquet, CSV, JSON or Delta, wherever its workers reach.

    Raises:
        SourceError: It does not; the message is Spark's own first line.
    """
    reader = spark.read
    options = {"recursiveFileLookup": "true"} if form != "delta" else {}
    if form in ("csv", "tsv"):
        options |= {"header": "true", "inferSchema": "true", "sep": "\t" if form == "tsv" else ","}
    name = "csv" if form == "tsv" else form
    try:
        return reader.format(name).options(**options).load(paths if len(paths) > 1 else paths[0])
    except Exception as error:
        line = _said(error)
        if "DATA_SOURCE_NOT_FOUND" in line or "ClassNotFound" in line or "No FileSystem" in line:
            raise SourceError(
                f"{what} cannot be read: {shown(line)}",
                "Give Spark the package of this format or file system (spark.jars.packages in "
                "spark-defaults.conf, such as io.delta:delta-spark_2.13 or "
                "org.apache.hadoop:hadoop-aws), or use the engine polars.",
            ) from None
        raise refused(what, RuntimeError(line)) from None


def of_parquet(
    spark: Any, scanned: Scanned, notes: list[str], *, own: bool, folder: Callable[[], Path]
) -> Any:
    """Parquet files that this machine has.

    Args:
        spark: The session.
        scanned: The files; several schemas are brought together here first.
        notes: Get what was done.
        own: They are temporary files of ours, which workers elsewhere do not see; other paths
            must be the same on all machines.
        folder: Makes a temporary folder.
    """
    paths = scanned.paths
    if own or not paths:
        if not _on_this_machine(spark.sparkContext.master):
            return of_frame(spark, scanned.lazy, notes)
        if not paths:
            paths = (folder() / "together.parquet",)
            scanned.lazy.sink_parquet(paths[0])
            notes.append("files of several schemas became one temporary Parquet file for Spark")
    try:
        reader = spark.read.option("recursiveFileLookup", "true")
        return reader.parquet(*(_escaped(path) for path in paths))
    except Exception as error:
        # py4j and pyspark raise errors of no common kind.
        raise refused("Parquet", RuntimeError(_said(error))) from None


def _escaped(path: Path) -> str:
    # Hadoop reads a path as a glob; a backslash takes its characters as they are.
    literal = "".join(f"\\{c}" if c in "*?[]{}\\" else c for c in str(path.resolve()))
    return f"file://{literal}"


def of_frame(spark: Any, lazy: pl.LazyFrame, notes: list[str]) -> Any:
    """Rows of this machine, sent to Spark as Arrow."""
    import polars as pl

    notes.append("the rows were sent from this machine to Spark")
    table = lazy.collect(engine="streaming").to_arrow(compat_level=pl.CompatLevel.oldest())
    return spark.createDataFrame(table)
