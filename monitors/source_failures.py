"""Sources that fail: within a deadline, named for a person, and without a password."""

from __future__ import annotations

import re
from concurrent.futures import Future, wait
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from aims_mlflow.errors import SourceError
from aims_mlflow.governance.explain import did_you_mean
from aims_mlflow.monitors.source_values import without_values
from aims_mlflow.secrets import cleared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")
#: Characters of another library's message, and of a source, that are shown.
_SHOWN = 300
#: Columns that are listed where one is missing.
_LISTED = 12
_REFUSED = re.compile(
    r"password|authenti|credential|access ?denied|forbidden|unauthori[sz]ed|permission|"
    r"InvalidAccessKey|SignatureDoesNotMatch|InvalidToken|\b40[13]\b",
    re.IGNORECASE,
)
_UNREACHABLE = re.compile(
    r"resolve|translate host|getaddrinfo|name or service|refused|unreachable|timed? ?out|timeout|"
    r"cannot connect|can't connect|could not connect|connection (?:reset|closed|error|failed)|"
    r"server closed|disconnected|Max retries|ConnectError|EndpointConnection",
    re.IGNORECASE,
)


def shown(text: str, *secrets: str) -> str:
    """A text on one line of at most 300 characters, without `secrets` and what looks like one."""
    for secret in secrets:
        for form in {secret, unquote(secret)} - {""}:
            text = text.replace(form, "[redacted]")
    line = " ".join(cleared(text)[0].split())
    line = "".join(c for c in line if c.isprintable())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def said(error: BaseException, *secrets: str) -> str:
    """What a library raised: its class and message, without `secrets` and values of the data."""
    return shown(f"{type(error).__name__}: {without_values(str(error))}", *secrets)


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "row"), counted(2, "row")
    ('1 row', '2 rows')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def shown_url(url: str) -> str:
    """A URL to show: without user, password, query and fragment, which can hold signatures.

    >>> shown_url("https://ada:hunter22@example.org/loans.csv?sig=abc")
    'https://example.org/loans.csv'
    """
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return shown(url.partition("?")[0])
    return shown(f"{parts.scheme}://{host}{parts.path}")


def within(seconds: float, what: str, work: Callable[[Event], T]) -> T:
    """What `work` returns or raises, unless it takes longer than `seconds`.

    Work runs in a daemon thread: a library that waits for a silent host cannot be interrupted in
    any other way. Work that is given up finds its event set and is to stop at the next occasion.

    Raises:
        SourceError: It took longer.
    """
    given_up = Event()
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work(given_up))
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, name="aims-source", daemon=True).start()
    try:
        done = wait([future], timeout=seconds).done
    except BaseException:
        given_up.set()
        raise
    if not done:
        given_up.set()
        raise SourceError(
            f"{what} did not answer in full within {seconds:g} s.",
            "Check that the host answers, read less (a table's window, a smaller glob), or give "
            "the monitor a longer `timeout`.",
        )
    return future.result()


def refused(what: str, error: BaseException, *secrets: str) -> SourceError:
    """What a host or a database said no to, told apart by cause.

    Args:
        what: The source, as shown.
        error: What its library raised.
        secrets: Texts that the message must not hold.
    """
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        # fsspec finds no file wherever a host does not say 200.
        error = error.__cause__
    text, full = said(error, *secrets), f"{type(error).__name__}: {error}"
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status == 404:
        return nothing(what)
    if isinstance(error, PermissionError) or status in (401, 403) or _REFUSED.search(full):
        return SourceError(
            f"{what} refused the credentials: {text}",
            "Check user, password and rights where the runner gets them from; never write them "
            "into the profile.",
        )
    if isinstance(error, ConnectionError | TimeoutError) or _UNREACHABLE.search(full):
        return SourceError(
            f"{what} cannot be reached: {text}",
            "Check host, port and network of the machine that runs the monitor.",
        )
    return SourceError(f"{what} cannot be read: {text}", "Check the source in the declaration.")


def nothing(what: str) -> SourceError:
    """No file is there."""
    return SourceError(
        f"{what} matches no file.",
        "Check the path and its {date}, {hour}, {start} and {end}; a relative one starts at the "
        "folder above the profile.",
    )


def denied(what: str) -> SourceError:
    """A file or folder may not be read."""
    return SourceError(
        f"{what} may not be read: permission denied.",
        "Give the user that runs the monitor the right to read it.",
    )


def missing_column(
    names: Sequence[str], columns: Iterable[str], what: str, role: str = ""
) -> SourceError:
    """Columns that a source lacks, with the nearest that it has."""
    known = list(columns)
    lacking = ", ".join(f"'{shown(name)}'" for name in names)
    plural = "s" if len(names) > 1 else ""
    hints = dict.fromkeys(did_you_mean(name, known) for name in names)
    near = shown(" ".join(hint for hint in hints if hint))
    listed = ", ".join(shown(name) for name in known[:_LISTED])
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    has = f"It has {listed}{more}." if known else "It has no columns."
    return SourceError(
        f"{what} has no column{plural} {lacking}{f' ({role})' if role else ''}.",
        " ".join(filter(None, (near, has))),
    )
