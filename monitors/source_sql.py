"""Sources that are a table or a query of a database."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aims_mlflow.errors import SourceError
from aims_mlflow.monitors.source_failures import denied, shown

if TYPE_CHECKING:
    from sqlalchemy import URL

_FORM = re.compile(r"sql:(?P<variable>[^?]*)\?(?P<what>table|query)=(?P<value>.*)", re.DOTALL)
_SQLITE = re.compile(r"(?P<url>sqlite:///[^?]*)\?(?P<what>table|query)=(?P<value>.*)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MEANT = (
    "Write sql:NAME?table=schema.table or sql:NAME?query=SELECT ..., where NAME is an environment "
    "variable that holds the URL of the database; SQLite files also as sqlite:///path?table=name."
)
_DATABASES = ("postgresql", "mysql", "mariadb", "oracle", "mssql", "snowflake", "redshift")


@dataclass(frozen=True)
class Asked:
    """A table or a query of a database. `url` has a password; `shown` has none."""

    url: URL
    table: str | None
    query: str | None
    shown: str


def parsed(text: str, base: Path) -> Asked | None:
    """What a text asks of a database; None where it is another kind of source.

    Raises:
        SourceError: It speaks of a database, but not as it should.
    """
    if text.partition("+")[0].partition(":")[0].lower() in _DATABASES:
        raise SourceError("A source holds the URL of a database, and with it credentials.", _MEANT)
    if not text.startswith(("sql:", "sqlite:")):
        return None
    match = _FORM.fullmatch(text) or _SQLITE.fullmatch(text)
    if match is None or not match["value"].strip():
        raise SourceError(f"'{shown(text.partition('?')[0])}' is no source of a database.", _MEANT)
    parts = match.groupdict()
    url = _url(parts.get("variable"), parts.get("url"), base)
    table = parts["value"].strip() if parts["what"] == "table" else None
    query = parts["value"].strip() if parts["what"] == "query" else None
    return Asked(url, table, query, shown(text))


def _url(variable: str | None, plain: str | None, base: Path) -> URL:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if plain is None:
        if variable is None or not _NAME.fullmatch(variable):
            raise SourceError("A source names no environment variable after 'sql:'.", _MEANT)
        plain = os.environ.get(variable, "").strip()
        if not plain:
            raise SourceError(
                f"The environment variable {variable} is not set.",
                "Set it to the URL of the database where the runner is started.",
            )
    where = f"The environment variable {variable}" if variable else "The source"
    try:
        url = make_url(plain)
    except ArgumentError:
        raise SourceError(
            f"{where} holds no URL of a database.", "Such as postgresql://user:…@host/name."
        ) from None
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, base)
    # SQLAlchemy 2.0 would look for psycopg2.
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _sqlite(url: URL, base: Path) -> URL:
    """SQLite makes a file that is not there; a source must be."""
    path = base / Path(url.database or "").expanduser()
    try:
        with path.open("rb") as opened:
            opened.read(1)
    except PermissionError:
        raise denied(shown(str(url.database))) from None
    except (OSError, ValueError):
        raise SourceError(
            f"There is no SQLite file {shown(str(url.database))}.",
            "sqlite:///name is relative to the profile's folder, sqlite:////name is absolute.",
        ) from None
    return url.set(database=str(path.resolve()))
