"""Who declared what, and when: the line's last commit, as git knows it.

Git is asked when a card is written and never before: loading a profile stays quick.
"""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.evidence import Frozen, UtcDatetime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Seconds after which a card goes on without authors.
TIMEOUT = 5
NOT_COMMITTED = "not committed"
WITHOUT_GIT = "kept without git"
CUT = "the shallow clone does not hold who wrote it: the line is in its oldest commit already"
_MAX_NAME = 200
_UNCOMMITTED = "0" * 40
#: Hooks, filters and prompts of a repository have no business in a capture.
_ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
_BLAME = ("-c", "core.fsmonitor=false", "blame", "--porcelain", "--no-textconv")


class Authorship(Frozen):
    """Who declared something, as git knows it: the commit that last touched the line.

    `commit` is None for what is not committed, or kept without git; `note` then says which.
    """

    author: str | None = None
    time: UtcDatetime | None = None
    commit: str | None = None
    note: str = ""


class Line(NamedTuple):
    """One line of a file: who last touched it, and whether anything but a comment is on it."""

    authorship: Authorship
    is_said: bool


class Blame(NamedTuple):
    """The lines of a file in order; without any, `note` says why git knows none."""

    lines: tuple[Line, ...] = ()
    note: str = ""

    def of(self, first: int, last: int | None = None) -> Authorship:
        """Who last touched lines `first` to `last` (from 1, both included; None: to the end).

        One uncommitted line makes all of them uncommitted. Blank lines and comments at the end
        belong to nobody's statement.
        """
        if self.note:
            return Authorship(note=self.note)
        found = list(self.lines[max(first, 1) - 1 : last])
        while len(found) > 1 and not found[-1].is_said:
            found.pop()
        authors = [line.authorship for line in found]
        loose = next((a for a in authors if a.note == NOT_COMMITTED), None)
        if loose or not authors:
            return loose or Authorship(note=NOT_COMMITTED)
        oldest = datetime.min.replace(tzinfo=UTC)
        return max(authors, key=lambda author: author.time or oldest)


#: The answer for each file, with what it was in force for.
_answers: dict[str, tuple[tuple[Any, ...], Blame]] = {}


def blame(file: Path) -> Blame:
    """Who last touched each line of `file`; asked of git once for each state of the file.

    Never raises: where git is absent, refuses, or takes longer than 5 seconds, `note` says so.
    """
    state = _state(file)
    known = _answers.get(str(file))
    if known is None or known[0] != state:
        known = _answers[str(file)] = (state, _ask(file))
    return known[1]


def _state(file: Path) -> tuple[Any, ...]:
    """What an answer depends on: the file, and the log of commits, which a commit lengthens."""
    stats = []
    logs = (folder / ".git" / "logs" / "HEAD" for folder in file.absolute().parents)
    for path in (file, *logs):
        try:
            stat = path.stat()
        except OSError:
            continue
        stats.append((str(path), stat.st_mtime_ns, stat.st_size))
    return tuple(stats)


def _ask(file: Path) -> Blame:
    try:
        answer = _git(file, *_BLAME, "--", file.name)
        if answer.returncode:
            return Blame(note=_refusal(answer.stderr.decode("utf-8", "replace")))
        lines = tuple(_lines(answer.stdout.decode("utf-8", "replace")))
        if any(line.authorship.note == CUT for line in lines) and not _is_shallow(file):
            # Git marks the first commit of all in the same way, and that one was written here.
            lines = tuple(_lines(answer.stdout.decode("utf-8", "replace"), cut=False))
    except FileNotFoundError:
        return Blame(note=WITHOUT_GIT)
    except subprocess.TimeoutExpired:
        return Blame(note=f"git did not answer within {TIMEOUT} s")
    except OSError as error:
        return Blame(note=f"git cannot be run: {error.strerror}")
    return Blame(lines)


def _git(file: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", "-C", str(file.parent), *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=TIMEOUT,
        check=False,
        env=os.environ | _ENVIRONMENT,
    )


def _is_shallow(file: Path) -> bool:
    return _git(file, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true"


def _refusal(message: str) -> str:
    if "not a git repository" in message:
        return WITHOUT_GIT
    if "no such path" in message or "no such ref" in message:
        return NOT_COMMITTED
    first = next(iter(message.strip().splitlines()), "no reason given")
    return f"git does not tell: {first[:_MAX_NAME]}"


def _lines(porcelain: str, *, cut: bool = True) -> Iterator[Line]:
    """The lines in `git blame --porcelain`, which tells of each commit once, where it first is."""
    commits: dict[str, dict[str, str]] = {}
    commit = ""
    for text in porcelain.split("\n"):
        if text.startswith("\t"):
            said = text.strip()
            yield Line(
                _authorship(commit, commits[commit], cut), bool(said) and not said.startswith("#")
            )
            commit = ""
        elif not commit and text:
            commit = text.split(" ")[0]
            commits.setdefault(commit, {})
        elif text:
            key, _, value = text.partition(" ")
            commits[commit][key] = value


def _authorship(commit: str, told: dict[str, str], cut: bool) -> Authorship:
    if commit.startswith(_UNCOMMITTED):
        return Authorship(note=NOT_COMMITTED)
    if cut and "boundary" in told:
        return Authorship(commit=commit, note=CUT)
    return Authorship(
        author=told.get("author", "")[:_MAX_NAME] or None,
        time=_moment(told.get("author-time", "")),
        commit=commit,
    )


def _moment(seconds: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):  # a commit may bear any number
        return None
