"""What a person can do about an error of a database driver or of the operating system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from aims_mlflow.errors import LedgerError

if TYPE_CHECKING:
    from sqlalchemy import URL

_NO_SPACE = "Free some space and try again. What was acknowledged is kept, this was not written."
_NO_ACCESS = "Let this user write to the folder, or set AIMS_LEDGER_URI to another place."
_LOCKED = "Another process held it for more than 30 seconds. Try again."
_NO_SQLITE = "The file is there and is no SQLite database. Set AIMS_LEDGER_URI to another file."
_DAMAGED = "Restore the file from a backup, then run `aims verify`."
_NO_CONNECTION = "Check the server, the database and the credentials in AIMS_LEDGER_URI."
_UNEXPECTED = "Run `aims verify` to see whether the ledger is sound."

#: What drivers and operating systems say, in lower case, and the advice for it.
_ADVICE = (
    ("not a database", _NO_SQLITE),
    ("disk is full", _NO_SPACE),
    ("disk i/o error", _NO_SPACE),
    ("no space left", _NO_SPACE),
    ("file too large", _NO_SPACE),
    ("could not extend file", _NO_SPACE),
    ("readonly database", _NO_ACCESS),
    ("read-only", _NO_ACCESS),
    ("unable to open", _NO_ACCESS),
    ("permission denied", _NO_ACCESS),
    ("not a directory", _NO_ACCESS),
    ("file exists", _NO_ACCESS),
    ("no such file", _NO_ACCESS),
    ("is locked", _LOCKED),
    ("lock timeout", _LOCKED),
    ("could not be acquired", _LOCKED),
    ("malformed", _DAMAGED),
)


def ledger_error(error: Exception, url: URL, what: str, action: str) -> LedgerError:
    """The error to raise instead of a driver's or the operating system's.

    Args:
        error: What was raised.
        url: The database; its passwords are blotted out of the message.
        what: What could not be used, as in "The ledger sqlite:////data/aims.db".
        action: What could not be done: "opened", "read", "written".
    """
    cause = _without_passwords(_cause(error), url)
    lower = cause.lower()
    advice = next((fix for sign, fix in _ADVICE if sign in lower), None)
    if advice is None:
        connection = isinstance(error, OperationalError) and url.get_backend_name() != "sqlite"
        advice = _NO_CONNECTION if connection else _UNEXPECTED
    return LedgerError(f"{what} could not be {action}: {cause}", advice)


def _cause(error: Exception) -> str:
    """The driver's own words, first line: SQLAlchemy's text would add statement and data."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, OSError) and original.strerror:
        return f"{original.strerror}: {original.filename}"
    lines = str(original).strip().splitlines()
    return lines[0] if lines else type(original).__name__


def _without_passwords(message: str, url: URL) -> str:
    secrets = [url.password, url.query.get("password")]
    for secret in secrets:
        if isinstance(secret, str) and secret:
            message = message.replace(secret, "***")
    return message
