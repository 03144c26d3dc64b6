"""What all commands share: console, `--json`, progress, errors as text and exit code."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from aims_mlflow.errors import AimsError, ProfileError
from aims_mlflow.evidence import normalise
from aims_mlflow.readings import Verdict

_F = TypeVar("_F", bound=Callable[..., Any])

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

STYLES = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.INSUFFICIENT: "yellow",
}


def with_json(function: _F) -> _F:
    """Add `--json` and turn our errors into text (or JSON) and exit code 2."""

    @click.option("--json", "as_json", is_flag=True, help="A stable answer for machines.")
    @functools.wraps(function)
    def command(*args: Any, as_json: bool, **kwargs: Any) -> Any:
        try:
            return function(*args, as_json=as_json, **kwargs)
        except AimsError as error:
            fail(error, as_json=as_json)

    return command  # type: ignore[return-value]


def fail(error: AimsError, *, as_json: bool) -> None:
    """Say what happened and what to do, and exit."""
    if as_json:
        problems = [vars(p) for p in error.problems] if isinstance(error, ProfileError) else []
        print_json({"error": error.message, "fix": error.fix, "problems": problems})
    else:
        err.print(Text(error.diagnostics()), style="red")
    sys.exit(error.exit_code)


def print_json(data: Any) -> None:
    """Write JSON to standard output: UTF-8, two spaces, keys as given."""
    clean, _ = normalise(data)
    click.echo(json.dumps(clean, indent=2, ensure_ascii=False))


def text(value: object, style: str = "") -> Text:
    """Any string as text that no markup and no control character can escape from."""
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in str(value))
    return Text(shown, style=style)


def safe(value: object) -> str:
    """Like `text`, for strings that are put inside rich markup."""
    return escape(text(value).plain)


@contextmanager
def progress(label: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, a line now and then in a log, nothing with `--json`.

    Yields:
        A function of (done, total).
    """
    if quiet or not err.is_terminal:
        yield _in_a_log(label, quiet)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _in_a_log(label: str, quiet: bool) -> Callable[[int, int], None]:
    said = -1

    def advance(done: int, total: int) -> None:
        nonlocal said
        tenth = done * 10 // total if total else 10
        if not quiet and total >= 100 and tenth > said:
            said = tenth
            err.print(f"{label}: {done} of {total}")

    return advance


def ago(moment: Any, now: Any) -> str:
    """How long ago, in the largest unit that says it: `3 h`, `12 d`."""
    seconds = max(int((now - moment).total_seconds()), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
