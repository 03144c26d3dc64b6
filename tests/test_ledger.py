"""What a user of the ledger may rely on, in both databases."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st

from aims_mlflow.errors import LedgerConflictError, LedgerError, NormalisationError, UsageError
from aims_mlflow.evidence import Evidence, EvidenceKind, canonical_bytes
from aims_mlflow.ledger import database
from aims_mlflow.ledger.log import BATCH, Ledger, Sealing
from aims_mlflow.ledger.merkle import EMPTY_ROOT, leaf_hash, verify_inclusion
from aims_mlflow.ledger.records import decode_body
from aims_mlflow.ledger.schema import REVISIONS, VERSION_TABLE, metadata
from aims_mlflow.ledger.verify import verify

Make = Callable[..., Sealing]


def _versions(ledger: Ledger, make: Make, count: int, run_id: str = "run-1") -> list[Evidence]:
    """So many versions of one fact, one batch each."""
    found: list[Evidence] = []
    for number in range(count):
        after = found[-1] if found else None
        (entry,) = ledger.append([make(run_id, {"n": number}, after=after)])
        found.append(entry.evidence)
    return found


def test_an_empty_ledger_has_the_empty_root(ledger: Ledger) -> None:
    assert ledger.head().checkpoint == f"0:{EMPTY_ROOT.hex()}"
    assert list(ledger.entries()) == []
    assert ledger.captured_runs() == set()
    assert verify(ledger).problems == ()


def test_what_is_sealed_is_read_back_whole(ledger_uri: str, sealing: Make) -> None:
    body = {"text": "é 🙂 \u202eabc \0", "big": 1e20, "small": 5e-324, "list": [1, None, True]}
    with Ledger.open(ledger_uri) as ledger:
        written = ledger.append([sealing("run-1", body), sealing("run\0two", system=None)])
    with Ledger.open(ledger_uri) as ledger:
        assert tuple(ledger.entries()) == written
        assert written[0].evidence.body == body
        assert [entry.seq for entry in written] == [0, 1]
        assert [e.seq for e in ledger.entries(run_id="run\0two")] == [1]
        assert verify(ledger).problems == ()


def test_appending_again_changes_nothing(ledger: Ledger, sealing: Make) -> None:
    items = [sealing("run-1"), sealing("run-2")]
    assert len(ledger.append(items)) == 2
    head = ledger.head()
    assert ledger.append(items) == ()
    assert ledger.append([*items, sealing("run-3"), sealing("run-3")])[0].seq == head.size
    assert ledger.head().size == 3


def test_versions_follow_one_another_in_one_batch(ledger: Ledger, sealing: Make) -> None:
    first, second = _versions(ledger, sealing, 2)
    third = sealing("run-1", {"n": 0}, after=second)
    (entry,) = ledger.append([third])
    assert (entry.evidence.version, entry.evidence.supersedes) == (3, second.id)
    assert entry.evidence.content_digest == first.content_digest
    assert entry.evidence.id != first.id
    assert verify(ledger).problems == ()


def test_a_version_on_top_of_an_old_one_is_refused_whole(ledger: Ledger, sealing: Make) -> None:
    first, _ = _versions(ledger, sealing, 2)
    stale = sealing("run-1", {"n": "stale"}, after=first)
    with pytest.raises(LedgerConflictError) as caught:
        ledger.append([sealing("run-2"), stale])
    assert "version 2" in caught.value.message
    assert "run-1" in caught.value.message
    assert ledger.head().size == 2
    with pytest.raises(LedgerConflictError):
        ledger.append([sealing("run-1", {"n": "first again"})])


def test_what_is_not_canonical_json_is_refused(ledger: Ledger, sealing: Make) -> None:
    with pytest.raises(NormalisationError):
        ledger.append([sealing("run-1", {"loss": float("nan")})])
    assert ledger.head().size == 0


def test_latest_is_the_newest_version_of_each_lineage(ledger: Ledger, sealing: Make) -> None:
    versions = _versions(ledger, sealing, 3)
    ledger.append([sealing("run-2")])
    lineages = [versions[0].lineage, "run_record|run|nobody|nobody"]
    assert ledger.latest(lineages) == {lineages[0]: versions[-1]}
    assert ledger.latest([]) == {}


def test_entries_can_be_chosen(ledger: Ledger, sealing: Make) -> None:
    _versions(ledger, sealing, 2)
    card = sealing("run-1", kind=EvidenceKind.MODEL_CARD, system="churn")
    ledger.append([card, sealing("run-2", system=None)])

    def seqs(**chosen: Any) -> list[int]:
        return [entry.seq for entry in ledger.entries(**chosen)]

    assert seqs() == [0, 1, 2, 3]
    assert seqs(newest_first=True, limit=2) == [3, 2]
    assert seqs(current=True) == [1, 2, 3]
    assert seqs(current=True, newest_first=True) == [3, 2, 1]
    assert seqs(kind=EvidenceKind.MODEL_CARD) == [2]
    assert seqs(system="credit-scoring") == [0, 1]
    assert seqs(run_id="run-2") == [3]
    assert seqs(after=1, limit=1) == [2]
    assert seqs(limit=0) == []
    assert ledger.captured_runs() == {"run-1", "run-2"}


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_long_log_streams_and_stays_as_it_was_at_the_start(
    ledger: Ledger, sealing: Make, newest_first: bool
) -> None:
    size = 2 * BATCH + 1
    first = ledger.append([sealing(f"run-{n}") for n in range(size)])[0].evidence
    stream = ledger.entries(current=True, newest_first=newest_first)
    seen = [next(stream).seq]
    ledger.append([sealing("run-0", {"n": "newer"}, after=first), sealing("late")])
    seen += [entry.seq for entry in stream]
    assert seen == sorted(range(size), reverse=newest_first)


def test_a_prefix_finds_the_entry(ledger: Ledger, sealing: Make) -> None:
    entry, _ = ledger.append([sealing("run-1"), sealing("run-2")])
    assert ledger.get(entry.evidence.id) == entry
    assert ledger.get(entry.evidence.id[:8].upper()) == entry


@pytest.mark.parametrize("prefix", ["", "abcde", "not hex", "%%%%%%", "f" * 65])
def test_what_is_no_prefix_is_refused(ledger: Ledger, prefix: str) -> None:
    with pytest.raises(UsageError, match="no evidence id"):
        ledger.get(prefix)


def test_unknown_and_ambiguous_prefixes_name_what_there_is(
    ledger: Ledger, sealing: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="no evidence whose id begins with 'abcdef'"):
        ledger.get("abcdef")
    ids = [f"abcdef{n:058d}" for n in (1, 2)]
    given_ids = iter(ids)
    monkeypatch.setattr("aims_mlflow.ledger.sealing.evidence_id", lambda *_: next(given_ids))
    ledger.append([sealing("run-1"), sealing("run-2")])
    with pytest.raises(UsageError, match=r"abcdef\d{8} \(run_record\), abcdef\d{8}"):
        ledger.get("abcdef")


@pytest.mark.parametrize("size", [1, 2, 7, 12])
def test_every_entry_can_be_proven_with_its_header_alone(
    ledger: Ledger, sealing: Make, size: int
) -> None:
    entries = ledger.append([sealing(f"run-{n}") for n in range(size)])
    root = bytes.fromhex(ledger.head().root)
    for entry in entries:
        path = [bytes.fromhex(node) for node in ledger.inclusion_proof(entry.seq)]
        leaf = leaf_hash(entry.evidence.header_bytes())
        assert verify_inclusion(leaf, entry.seq, size, path, root)
    with pytest.raises(UsageError, match=f"no entry {size}"):
        ledger.inclusion_proof(size)


def test_threads_share_a_ledger(ledger: Ledger, sealing: Make) -> None:
    def append(number: int) -> int:
        return ledger.append([sealing(f"run-{number}"), sealing("same for all")])[0].seq

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(24)))
    assert [entry.seq for entry in ledger.entries()] == list(range(25))
    assert verify(ledger).problems == ()


def test_a_forked_child_and_its_parent_share_a_ledger(ledger: Ledger, sealing: Make) -> None:
    ledger.append([sealing("before")])
    child = os.fork()
    if child == 0:
        status = 1
        try:
            ledger.append([sealing("child")])
            status = 0
        finally:
            os._exit(status)
    ledger.append([sealing("parent")])
    assert os.waitpid(child, 0)[1] == 0
    assert ledger.captured_runs() == {"before", "child", "parent"}
    assert verify(ledger).problems == ()


def test_opening_says_nothing_and_leaves_logging_alone(
    ledger_uri: str, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers, level = list(logging.root.handlers), logging.root.level
    for _ in range(2):
        Ledger.open(ledger_uri).close()
    assert (list(logging.root.handlers), logging.root.level) == (handlers, level)
    assert not logging.getLogger("aims_mlflow").disabled
    assert capfd.readouterr() == ("", "")


def test_the_migrations_make_the_tables_that_the_queries_use(ledger: Ledger) -> None:
    with ledger.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def test_every_migration_is_known() -> None:
    config = Config()
    folder = Path(database.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    found = ScriptDirectory.from_config(config).walk_revisions()
    assert tuple(script.revision for script in found)[::-1] == REVISIONS


def test_importing_the_migration_environment_migrates_nothing() -> None:
    import_module("aims_mlflow.ledger.migrations.env")


def test_a_ledger_shares_a_database(tmp_path: Path, sealing: Make) -> None:
    file = tmp_path / "theirs.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE alembic_version (version_num TEXT)")
        other.execute("INSERT INTO alembic_version VALUES ('theirs')")
    with Ledger.open(f"sqlite:///{file}") as ledger:
        ledger.append([sealing()])
        assert verify(ledger).problems == ()
    with sqlite3.connect(file) as other:
        assert other.execute("SELECT * FROM alembic_version").fetchall() == [("theirs",)]


def test_sqlite_makes_its_folder_and_keeps_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sealing: Make
) -> None:
    monkeypatch.chdir(tmp_path)
    with Ledger.open("sqlite:///a%b/new folder/aims.db") as ledger:
        monkeypatch.chdir("/")
        ledger.append([sealing()])
    assert (tmp_path / "a%b" / "new folder" / "aims.db").is_file()


@pytest.mark.parametrize(
    "uri",
    [
        *("", "aims.db", "mysql://u:hunter2@h/db", "postgresql+asyncpg://u:hunter2@h/db"),
        *("sqlite://", "sqlite:///:memory:", "sqlite:///file:aims.db?uri=true"),
    ],
)
def test_a_url_of_something_else_is_refused_without_repeating_a_password(uri: str) -> None:
    with pytest.raises(LedgerError) as caught:
        Ledger.open(uri)
    assert "sqlite:///path" in caught.value.fix
    assert "hunter2" not in caught.value.diagnostics()


def test_without_a_driver_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        database, "find_spec", lambda name: None if name.startswith("psycopg") else find_spec(name)
    )
    with pytest.raises(LedgerError) as caught:
        Ledger.open("postgresql://user@127.0.0.1/db")
    assert "pip install 'aims-mlflow[postgresql]'" in caught.value.fix


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values))
def test_a_body_read_from_its_bytes_has_the_same_bytes(body: dict[str, Any]) -> None:
    data = canonical_bytes(body)
    assert canonical_bytes(decode_body(data)) == data
