"""What goes wrong with a ledger: hands in the database, crashes, full disks, other versions."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from aims_mlflow.errors import LedgerError, LedgerSchemaError, UsageError
from aims_mlflow.evidence import Evidence, canonical_bytes
from aims_mlflow.ledger import failures
from aims_mlflow.ledger import sealing as sealing_module
from aims_mlflow.ledger.log import Ledger, Sealing
from aims_mlflow.ledger.merkle import CompactRange, leaf_hash
from aims_mlflow.ledger.verify import Finding, VerifyReport, verify

Make = Callable[..., Sealing]
SIZE = 6

#: Appends to the ledger argv[1] as the process argv[2] until argv[3] batches are written, and
#: prints each number that the ledger acknowledged.
WRITER = """
import sys
from datetime import UTC, datetime
from aims_mlflow.evidence import Draft, EvidenceKind, Subject, SubjectType
from aims_mlflow.ledger.log import Ledger, Sealing

def sealing(name):
    now = datetime.now(UTC)
    draft = Draft(
        kind=EvidenceKind.RUN_RECORD, system=None, event_time=now, body={"run": name},
        subject=Subject(type=SubjectType.RUN, id=name, run_id=name),
    )
    return Sealing(draft=draft, version=1, supersedes=None, artifacts=(), actor="ada",
                   source="test", capture_time=now)

uri, process, batches = sys.argv[1], sys.argv[2], int(sys.argv[3])
ledger = Ledger.open(uri)
for number in range(batches):
    names = [f"{process}-{number}-{part}" for part in range(3)]
    ledger.append([sealing(name) for name in names])
    print(*names, flush=True)
"""


@pytest.fixture
def filled(ledger: Ledger, sealing: Make) -> Ledger:
    """Six entries; the last one supersedes the first."""
    entries = ledger.append([sealing(f"run-{n}") for n in range(SIZE - 1)])
    ledger.append([sealing("run-0", {"n": "newer"}, after=entries[0].evidence)])
    assert verify(ledger).problems == ()
    return ledger


def _tamper(ledger: Ledger, *statements: str, **values: Any) -> None:
    """Change the database as its owner could: without the triggers."""
    with ledger.database.writing() as connection:
        sqlite = connection.dialect.name == "sqlite"
        for action in ("update", "delete"):
            suffix = "" if sqlite else " ON aims_entries"
            connection.execute(text(f"DROP TRIGGER IF EXISTS aims_entries_no_{action}{suffix}"))
        for statement in statements:
            query = text(statement)
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(query, used)


def _first(ledger: Ledger, checkpoint: str | None = None) -> Finding:
    return verify(ledger, checkpoint).problems[0]


def _evidence(ledger: Ledger, seq: int) -> Evidence:
    return next(ledger.entries(after=seq - 1)).evidence


def _rewrite_head(ledger: Ledger) -> None:
    """Make the head fit whatever the table holds now, as a careful forger would."""
    tree = CompactRange()
    with ledger.database.reading() as connection:
        for header in connection.scalars(text("SELECT header FROM aims_entries ORDER BY seq")):
            tree.append(leaf_hash(header))
    _tamper(
        ledger,
        "UPDATE aims_head SET size = :size, root = :root, peaks = :peaks",
        size=tree.size,
        root=tree.root().hex(),
        peaks=tree.to_bytes(),
    )


@pytest.mark.parametrize(
    "statement", ["UPDATE aims_entries SET system = 'x' WHERE seq = 0", "DELETE FROM aims_entries"]
)
def test_the_database_itself_refuses_changes(filled: Ledger, statement: str) -> None:
    with (
        pytest.raises(LedgerError, match="append-only") as caught,
        filled.database.writing() as connection,
    ):
        connection.execute(text(statement))
    assert isinstance(caught.value.__cause__, DBAPIError)
    assert verify(filled).problems == ()


def test_an_edited_header_is_named(filled: Ledger) -> None:
    forged = _evidence(filled, 2).model_copy(update={"actor": "mallory"}).header_bytes()
    _tamper(filled, "UPDATE aims_entries SET header = :header WHERE seq = 2", header=forged)
    first = _first(filled)
    assert (first.seq, first.message) == (2, "its header is not what was hashed into the tree")


def test_an_edited_header_with_its_leaf_changes_the_root(filled: Ledger) -> None:
    forged = _evidence(filled, 2).model_copy(update={"actor": "mallory"}).header_bytes()
    _tamper(
        filled,
        "UPDATE aims_entries SET header = :header, leaf = :leaf WHERE seq = 2",
        header=forged,
        leaf=leaf_hash(forged),
    )
    (only,) = verify(filled).problems
    assert "the root over the entries" in only.message


def test_an_edited_header_with_leaf_and_head_needs_a_checkpoint(filled: Ledger) -> None:
    held = filled.head().checkpoint
    forged = _evidence(filled, 2).model_copy(update={"actor": "mallory"}).header_bytes()
    _tamper(
        filled,
        "UPDATE aims_entries SET header = :header, leaf = :leaf WHERE seq = 2",
        header=forged,
        leaf=leaf_hash(forged),
    )
    _rewrite_head(filled)
    assert verify(filled).problems == ()
    assert "the checkpoint says" in _first(filled, held).message


@pytest.mark.parametrize(
    "update",
    [{"supersedes": "0" * 64}, {"content_digest": "0" * 64}, {"version": 7}, {"id": "0" * 64}],
)
def test_a_forged_link_is_named_even_under_a_rewritten_head(
    filled: Ledger, update: dict[str, Any]
) -> None:
    forged = _evidence(filled, 5).model_copy(update=update).header_bytes()
    _tamper(
        filled,
        "UPDATE aims_entries SET header = :header, leaf = :leaf WHERE seq = 5",
        header=forged,
        leaf=leaf_hash(forged),
    )
    _rewrite_head(filled)
    assert _first(filled).seq == 5


@pytest.mark.parametrize("header", [b"not json", b"{}", b"\xff"])
def test_a_header_that_is_no_evidence_is_named(filled: Ledger, header: bytes) -> None:
    _tamper(filled, "UPDATE aims_entries SET header = :header WHERE seq = 2", header=header)
    report = verify(filled)
    assert [p.seq for p in report.problems][:2] == [2, 2]
    with pytest.raises(LedgerError, match="Entry 2 of the ledger cannot be read"):
        list(filled.entries())


def test_an_edited_body_is_named(filled: Ledger) -> None:
    forged = canonical_bytes({"run": "better"})
    _tamper(filled, "UPDATE aims_entries SET body = :body WHERE seq = 3", body=forged)
    (only,) = verify(filled).problems
    assert (only.seq, only.message) == (3, "its body is not the one that was sealed")


def test_a_removed_body_is_named(filled: Ledger) -> None:
    _tamper(filled, "UPDATE aims_entries SET body = NULL WHERE seq = 3")
    assert _first(filled).message == "its body is missing"
    assert _evidence(filled, 3).body is None


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("system", "churn"), ("kind", "gap"), ("run_id", None), ("version", 9)),
        *(("subject_id", "x"), ("event_time", "2020-01-01T00:00:00.000000Z")),
    ],
)
def test_an_edited_column_is_named(filled: Ledger, column: str, value: object) -> None:
    _tamper(filled, f"UPDATE aims_entries SET {column} = :value WHERE seq = 4", value=value)
    first = _first(filled)
    assert first.seq == 4
    assert f"the column {column} says {value!r}" in first.message


def test_an_edited_leaf_is_named(filled: Ledger) -> None:
    _tamper(filled, "UPDATE aims_entries SET leaf = :leaf WHERE seq = 4", leaf=bytes(32))
    assert _first(filled).seq == 4
    with pytest.raises(LedgerError, match="not under the root"):
        filled.inclusion_proof(1)


def test_swapped_entries_change_the_root(filled: Ledger) -> None:
    _tamper(
        filled,
        "UPDATE aims_entries SET seq = -1 WHERE seq = 1",
        "UPDATE aims_entries SET seq = 1 WHERE seq = 2",
        "UPDATE aims_entries SET seq = 2 WHERE seq = -1",
    )
    assert "the root over the entries" in _first(filled).message


def test_a_version_before_the_one_that_it_supersedes_is_named(filled: Ledger) -> None:
    _tamper(
        filled,
        "UPDATE aims_entries SET seq = -1 WHERE seq = 0",
        "UPDATE aims_entries SET seq = 0 WHERE seq = 5",
        "UPDATE aims_entries SET seq = 5 WHERE seq = -1",
    )
    _rewrite_head(filled)
    first = _first(filled)
    assert (first.seq, first.message) == (
        0,
        "the version before it stands later in the log, as entry 5",
    )


@pytest.mark.parametrize(
    ("condition", "missing"),
    [("seq = 2", "entry 2"), ("seq IN (2, 3)", "entries 2 to 3"), ("seq = 0", "entry 0")],
)
def test_a_hole_is_named(filled: Ledger, condition: str, missing: str) -> None:
    _tamper(filled, f"DELETE FROM aims_entries WHERE {condition}")
    assert _first(filled).message == f"missing from the log: {missing}"
    with pytest.raises(LedgerError):
        filled.inclusion_proof(1)


def test_a_cut_tail_does_not_fit_the_head(filled: Ledger, sealing: Make) -> None:
    _tamper(filled, "DELETE FROM aims_entries WHERE seq >= 4")
    assert _first(filled).message == "the head counts 6 entries, the log holds 4"
    with pytest.raises(LedgerError, match="does not fit"):
        filled.append([sealing("later")])


def test_a_cut_tail_with_a_rewritten_head_shows_only_against_a_checkpoint(filled: Ledger) -> None:
    held = filled.head().checkpoint
    _tamper(filled, "DELETE FROM aims_entries WHERE seq >= 4")
    _rewrite_head(filled)
    assert verify(filled).problems == ()
    (only,) = verify(filled, held).problems
    assert only.message == "the checkpoint counts 6 entries, the log holds 4"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("DELETE FROM aims_head", "the head of the ledger is gone"),
        ("UPDATE aims_head SET root = 'x'", "the head says x"),
        ("UPDATE aims_head SET peaks = :peaks", "the subtree hashes in the head"),
    ],
)
def test_a_changed_head_is_found_and_nothing_is_appended_to_it(
    filled: Ledger, sealing: Make, change: str, message: str
) -> None:
    _tamper(filled, change, peaks=b"x")
    assert message in _first(filled).message
    with pytest.raises(LedgerError, match="head of the ledger"):
        filled.append([sealing("later")])


def test_older_checkpoints_hold_while_the_log_grows(ledger: Ledger, sealing: Make) -> None:
    held = [ledger.head().checkpoint]
    for number in range(SIZE):
        ledger.append([sealing(f"run-{number}")])
        held.append(ledger.head().checkpoint)
    assert all(verify(ledger, checkpoint).problems == () for checkpoint in held)
    assert "the checkpoint says" in _first(ledger, f"0:{'0' * 64}").message


@pytest.mark.parametrize("checkpoint", ["", "6", "6:", f"-1:{'0' * 64}", f"6:{'g' * 64}", "x:y"])
def test_what_is_no_checkpoint_is_refused(ledger: Ledger, checkpoint: str) -> None:
    with pytest.raises(UsageError, match="is no checkpoint"):
        verify(ledger, checkpoint)


def test_progress_reaches_the_end(filled: Ledger) -> None:
    steps: list[tuple[int, int]] = []
    verify(filled, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (SIZE, SIZE)


def test_a_clock_that_was_set_back_is_a_note(
    filled: Ledger, sealing: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Earlier(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) - timedelta(days=1)

    monkeypatch.setattr(sealing_module, "datetime", Earlier)
    filled.append([sealing("later")])
    report = verify(filled)
    assert report.problems == ()
    assert [note.seq for note in report.notes] == [SIZE]
    assert "clock was set back" in report.notes[0].message


def _start(uri: str, name: str, batches: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, uri, name, str(batches)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )


def _sound(ledger: Ledger) -> VerifyReport:
    report = verify(ledger)
    assert report.problems == ()
    assert report.size == ledger.head().size
    return report


def test_eight_processes_append_at_once(ledger_uri: str) -> None:
    writers = [_start(ledger_uri, f"p{number}", 6) for number in range(8)]
    answers = [writer.communicate(timeout=240) for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 8, answers
    names = {name for out, _ in answers for name in out.split()}
    with Ledger.open(ledger_uri) as ledger:
        assert ledger.captured_runs() == names
        assert [entry.seq for entry in ledger.entries()] == list(range(8 * 6 * 3))
        _sound(ledger)


@pytest.mark.parametrize("batches", [1, 4, 9])
def test_a_killed_writer_loses_nothing_that_was_acknowledged(ledger_uri: str, batches: int) -> None:
    writer = _start(ledger_uri, "killed", 100_000)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline().split() for _ in range(batches)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += [line.split() for line in writer.communicate(timeout=60)[0].splitlines()]
    with Ledger.open(ledger_uri) as ledger:
        names = {name for line in acknowledged for name in line}
        assert names <= ledger.captured_runs()
        # The last batch may have been committed before it was acknowledged, never in part.
        assert _sound(ledger).size in {len(names), len(names) + 3}


@contextlib.contextmanager
def _not_root() -> Iterator[None]:
    """Root may write anywhere: act as a user who may not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="aims-ledger-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_read_only_folder_is_named(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    with _not_root(), pytest.raises(LedgerError) as caught:
        Ledger.open(f"sqlite:///{open_folder / 'aims.db'}")
    assert str(open_folder) in caught.value.message
    assert "write to the folder" in caught.value.fix
    assert list(open_folder.iterdir()) == []


def test_a_folder_that_became_read_only_is_named(open_folder: Path, sealing: Make) -> None:
    ledger = Ledger.open(f"sqlite:///{open_folder / 'aims.db'}")
    ledger.append([sealing("before")])
    (open_folder / "aims.db").chmod(0o444)
    open_folder.chmod(0o555)
    with _not_root(), pytest.raises(LedgerError) as caught:
        ledger.append([sealing("after")])
    assert "write to the folder" in caught.value.fix
    open_folder.chmod(0o755)
    assert _sound(ledger).size == 1


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("Buy milk. " * 200)
    with pytest.raises(LedgerError) as caught:
        Ledger.open(f"sqlite:///{file}")
    assert "notes.txt" in caught.value.message
    assert "no SQLite database" in caught.value.fix
    assert file.read_text() == "Buy milk. " * 200


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=re.escape(str(tmp_path))):
        Ledger.open(f"sqlite:///{tmp_path}")


def _fill_until_it_fails(ledger: Ledger, make: Make) -> tuple[int, LedgerError]:
    filling = os.urandom(20_000).hex()
    for number in range(1000):
        try:
            ledger.append([make(f"run-{number}", {"filling": filling})])
        except LedgerError as error:
            return number, error
    raise AssertionError("the disk never filled")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte; only root can make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_loses_nothing_and_says_so(tiny_disk: Path, sealing: Make) -> None:
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(bytes(400_000))
    ledger = Ledger.open(f"sqlite:///{tiny_disk / 'aims.db'}")
    written, error = _fill_until_it_fails(ledger, sealing)
    assert "Free some space" in error.fix
    ballast.unlink()
    assert _sound(ledger).size == written
    ledger.append([sealing("after")])
    assert _sound(ledger).size == written + 1


def test_a_new_ledger_on_a_full_disk_says_so(tiny_disk: Path) -> None:
    with contextlib.suppress(OSError), (tiny_disk / "ballast").open("wb") as ballast:
        while True:
            ballast.write(bytes(4096))
            ballast.flush()
    with pytest.raises(LedgerError) as caught:
        Ledger.open(f"sqlite:///{tiny_disk / 'aims.db'}")
    assert "Free some space" in caught.value.fix


def test_a_file_size_limit_loses_nothing_and_says_so(tmp_path: Path, sealing: Make) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'aims.db'}")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        written, error = _fill_until_it_fails(ledger, sealing)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "Free some space" in error.fix
    assert _sound(ledger).size == written
    ledger.append([sealing("after")])
    assert _sound(ledger).size == written + 1


def test_a_newer_schema_is_left_alone(ledger_uri: str, sealing: Make) -> None:
    with Ledger.open(ledger_uri) as ledger:
        ledger.append([sealing()])
        _tamper(ledger, "UPDATE aims_alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerSchemaError, match="written by a newer aims-mlflow") as caught:
        Ledger.open(ledger_uri)
    assert "upgrade" in caught.value.fix.lower()


@pytest.mark.parametrize("database", ["no_such_database", "postgres"])
def test_a_server_that_refuses_never_costs_the_password(postgres_url: str, database: str) -> None:
    server = postgres_url.rpartition("/")[0]
    uri = f"{server}/{database}"
    if database == "postgres":
        uri = re.sub(r":[^:@]+@", ":hunter2@", uri)
    with pytest.raises(LedgerError) as caught:
        Ledger.open(uri)
    password = re.findall(r":([^:@]+)@", uri)[0]
    assert password not in caught.value.diagnostics()
    assert "credentials in AIMS_LEDGER_URI" in caught.value.fix
    assert "***" in caught.value.message


def test_a_server_that_is_down_is_an_error_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        uri = f"postgresql://ada:hunter2@127.0.0.1:{port}/aims?application_name=aims"
        with pytest.raises(LedgerError) as caught:
            Ledger.open(uri)
    assert "hunter2" not in caught.value.diagnostics()
    assert f"127.0.0.1:{port}/aims could not be" in caught.value.message


def test_a_password_in_a_drivers_words_is_blotted_out(ledger: Ledger) -> None:
    url = ledger.database.url.set(password="hunter2", query={"password": "s3cret"})
    error = failures.ledger_error(Exception("hunter2 or s3cret is wrong"), url, "It", "opened")
    assert error.message == "It could not be opened: *** or *** is wrong"


def test_a_writer_that_waits_too_long_says_that_another_holds_the_ledger(
    ledger_uri: str, sealing: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aims_mlflow.ledger.database.LOCK_TIMEOUT", 1)
    with (
        Ledger.open(ledger_uri) as ledger,
        Ledger.open(ledger_uri) as other,
        other.database.writing() as connection,
    ):
        connection.execute(text("SELECT 1"))
        with pytest.raises(LedgerError, match="could not be written") as caught:
            ledger.append([sealing()])
    assert "Another process held it" in caught.value.fix


def test_receipt_times_are_utc_and_now(ledger: Ledger, sealing: Make) -> None:
    before = datetime.now(UTC)
    (entry,) = ledger.append([sealing()])
    assert before <= entry.evidence.receipt_time <= datetime.now(UTC)
