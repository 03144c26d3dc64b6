"""Who declared what, and when: real git repositories, and places where git knows nothing."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aims_mlflow.governance import authorship
from aims_mlflow.governance.authorship import CUT, NOT_COMMITTED, WITHOUT_GIT, blame
from aims_mlflow.governance.loader import load_profile

SYSTEM = """\
id: credit
name: Credit
intended_use: >
  Rank
  applications.

# Decided by the board.
owner: {name: Ada}
card:
  limitations: Few.
"""


def git(folder: Path, *arguments: str, name: str = "Ada", day: int = 1) -> str:
    moment = f"2026-11-{day:02}T10:00:00 +0000"
    identity = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", name), ("EMAIL", "x@example.org"), ("DATE", moment))
    }
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull},
    )
    return done.stdout.strip()


def commit(folder: Path, *, name: str, day: int) -> str:
    git(folder, "add", "-A", name=name, day=day)
    git(folder, "commit", "-q", "-m", "a change", name=name, day=day)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "governance" / "systems").mkdir(parents=True)
    git(folder, "init", "-q")
    return folder


def declared(folder: Path, text: str = SYSTEM, name: str = "credit.yaml") -> Path:
    path = folder / "governance" / "systems" / name
    path.write_text(text, "utf-8")
    return path


def test_each_key_names_who_committed_it_last(repository):
    declared(repository)
    first = commit(repository, name="Ada Osei", day=1)
    declared(repository, SYSTEM.replace("  Rank\n", "  Order\n").replace("Ada}", "Bo}"))
    second = commit(repository, name="Bo Berg", day=2)
    profile = load_profile(repository / "governance")
    name = profile.authorship("credit", "name")
    assert (name.author, name.commit, name.note) == ("Ada Osei", first, "")
    assert name.time == datetime(2026, 11, 1, 10, tzinfo=UTC)
    for key in ("owner", "intended_use"):
        found = profile.authorship("credit", key)
        assert (found.author, found.commit) == ("Bo Berg", second), key
    assert profile.authorship("credit", "card", "limitations").author == "Ada Osei"


def test_a_comment_below_a_value_belongs_to_nobodys_statement(repository):
    declared(repository)
    commit(repository, name="Ada", day=1)
    declared(repository, SYSTEM.replace("Decided by the board", "Decided"))
    commit(repository, name="Bo", day=2)
    assert load_profile(repository / "governance").authorship("credit", "intended_use").author == (
        "Ada"
    )


def test_a_changed_line_is_not_committed_and_then_is(repository):
    declared(repository)
    commit(repository, name="Ada", day=1)
    declared(repository, SYSTEM.replace("Few.", "None."))
    profile = load_profile(repository / "governance")
    loose = profile.authorship("credit", "card", "limitations")
    assert (loose.author, loose.commit, loose.note) == (None, None, NOT_COMMITTED)
    assert profile.authorship("credit", "name").author == "Ada"
    commit(repository, name="Bo", day=2)
    assert profile.authorship("credit", "card", "limitations").author == "Bo"


def test_an_untracked_file_and_a_repository_without_commits_are_not_committed(repository):
    path = declared(repository)
    assert blame(path).of(1).note == NOT_COMMITTED
    commit(repository, name="Ada", day=1)
    other = declared(repository, name="other.yaml")
    assert blame(other).of(1).note == NOT_COMMITTED


def test_a_shallow_clone_does_not_name_the_wrong_author(repository, tmp_path):
    declared(repository)
    commit(repository, name="Ada", day=1)
    declared(repository, SYSTEM.replace("Few.", "None."))
    commit(repository, name="Bo", day=2)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", str(clone))
    found = load_profile(clone / "governance").authorship("credit", "name")
    assert (found.author, found.time, found.note) == (None, None, CUT)
    assert found.commit == git(clone, "rev-parse", "HEAD")


def test_without_git_the_note_says_so(tmp_path, monkeypatch):
    path = tmp_path / "x.yaml"
    path.write_text("id: x\n")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert blame(path).of(1) == authorship.Authorship(note=WITHOUT_GIT)
    path.write_text("id: xy\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert blame(path).of(1) == authorship.Authorship(note=WITHOUT_GIT)


def test_a_git_that_hangs_or_refuses_is_a_note(tmp_path, monkeypatch):
    path = tmp_path / "x.yaml"
    path.write_text("id: x\n")
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(authorship, "TIMEOUT", 0.2)
    assert "did not answer" in blame(path).of(1).note
    program.write_text("#!/bin/sh\necho 'fatal: detected dubious ownership' >&2\nexit 128\n")
    monkeypatch.setattr(authorship, "TIMEOUT", 20)
    path.write_text("id: xyz\n")
    assert blame(path).of(1).note == "git does not tell: fatal: detected dubious ownership"


def test_git_is_asked_once_for_a_file_and_not_when_a_profile_is_loaded(repository, monkeypatch):
    declared(repository)
    commit(repository, name="Ada", day=1)
    asked = []
    real = subprocess.run

    def counting(command, **options):
        asked.append(command)
        return real(command, **options)

    monkeypatch.setattr(authorship.subprocess, "run", counting)
    profile = load_profile(repository / "governance")
    assert not asked
    for key in ("name", "owner", "intended_use"):
        profile.authorship("credit", key)
    assert sum("blame" in command for command in asked) == 1


def test_what_is_not_declared_has_no_author(repository):
    declared(repository)
    profile = load_profile(repository / "governance")
    assert profile.authorship("credit", "risk_tier") is None
    assert profile.authorship("churn", "name") is None
    assert load_profile(None).authorship("credit", "name") is None


def test_written_sections_and_fields_of_the_card_text_have_authors(repository):
    declared(repository)
    text = "Hello.\n\n## Recommendations\n\nAsk.\n\n## History\n\nOld.\n"
    declared(repository, text, "credit.card.md")
    commit(repository, name="Ada", day=1)
    declared(repository, text.replace("Old.", "New."), "credit.card.md")
    commit(repository, name="Bo", day=2)
    profile = load_profile(repository / "governance")
    assert profile.authorship("credit", "card", "recommendations").author == "Ada"
    notes, history = profile.written("credit")
    assert (notes.title, notes.authorship.author) == ("Notes", "Ada")
    assert (history.title, history.authorship.author) == ("History", "Bo")
    assert history.source == "governance/systems/credit.card.md:7"
