"""A private PostgreSQL for the tests, and ledgers in both databases."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from aims_mlflow.evidence import Draft, Evidence, EvidenceKind, Subject, SubjectType
from aims_mlflow.ledger.log import Ledger, Sealing

_PASSWORD = "correct-horse"
_START_SECONDS = 60


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def _unprivileged() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    return {"user": "nobody", "group": "nogroup", "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _initialise(binaries: Path, folder: Path) -> Path:
    password = folder / "password"
    password.write_text(_PASSWORD)
    if os.geteuid() == 0:
        for path in (folder, password):
            shutil.chown(path, "nobody", "nogroup")
    data = folder / "data"
    command = [
        *(str(binaries / "initdb"), "-D", str(data), "-U", "postgres"),
        *("-E", "UTF8", "--locale=C.UTF-8"),
        *("--auth=scram-sha-256", f"--pwfile={password}", "--no-sync"),
    ]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, **_unprivileged())
    return data


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of the maintenance database of a private PostgreSQL server."""
    binaries = _binaries()
    if binaries is None:
        reason = "no PostgreSQL server in /usr/lib/postgresql (apt-get install postgresql)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    # Not pytest's own temporary folder: another user must be able to enter it.
    folder = Path(tempfile.mkdtemp(prefix="aims-postgresql-"))
    data, port = _initialise(binaries, folder), _free_port()
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "fsync": "off",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [binaries / "postgres", "-D", data, *options],
            stdout=log,
            stderr=log,
            cwd=folder,
            **_unprivileged(),
        )
    try:
        url = f"postgresql://postgres:{_PASSWORD}@127.0.0.1:{port}/postgres"
        _wait(url, server)
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(30)
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a ledger that does not exist yet, in each database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'aims.db'}"
    server: str = request.getfixturevalue("postgres_url")
    name = f"aims_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return server.rpartition("/")[0] + f"/{name}"


@pytest.fixture
def ledger(ledger_uri: str) -> Iterator[Ledger]:
    """An open, empty ledger, in each database."""
    with Ledger.open(ledger_uri) as opened:
        yield opened


@pytest.fixture
def sealing() -> Callable[..., Sealing]:
    """Makes something to seal: `sealing("run-1", {"a": 1}, after=evidence, kind=...)`."""
    return _sealing


def _sealing(
    run_id: str = "run-1",
    body: dict[str, Any] | None = None,
    *,
    after: Evidence | None = None,
    kind: EvidenceKind = EvidenceKind.RUN_RECORD,
    system: str | None = "credit-scoring",
) -> Sealing:
    draft = Draft(
        kind=kind,
        system=system,
        subject=Subject(type=SubjectType.RUN, id=run_id, run_id=run_id),
        event_time=datetime(2026, 11, 23, 10, tzinfo=UTC),
        body={"run": run_id} if body is None else body,
    )
    return Sealing(
        draft=draft,
        version=after.version + 1 if after else 1,
        supersedes=after.id if after else None,
        artifacts=(),
        actor="ada",
        source="test",
        capture_time=datetime(2026, 11, 23, 11, tzinfo=UTC),
    )


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's SQLite store with nothing in it: making one takes seconds, copying it does not."""
    import mlflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def blank_store(empty_store: Path, tmp_path: Path) -> Path:
    """An empty `mlflow.db` in `tmp_path`, where MLflow looks for it by default."""
    copy = tmp_path / "mlflow.db"
    shutil.copy(empty_store, copy)
    with contextlib.closing(sqlite3.connect(copy)) as database, database:
        location = str(tmp_path / "mlruns" / "0")
        database.execute("UPDATE experiments SET artifact_location = ?", (location,))
    return copy
