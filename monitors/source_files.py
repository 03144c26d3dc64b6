"""Which files a path, a glob, a folder or a URL means, and of what format they are."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from aims_mlflow.errors import SourceError
from aims_mlflow.monitors.source_failures import (
    counted,
    denied,
    nothing,
    refused,
    said,
    shown,
    shown_url,
    within,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event
    from typing import Any

Format = Literal["parquet", "csv", "tsv", "json"]
_FORMATS: dict[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
#: Compressions that formats of rows may have around them.
COMPRESSIONS = (".gz", ".zst")
_KNOWN = (
    "Known are .parquet, .pq, .csv, .tsv, .json, .jsonl and .ndjson, the texts also with .gz or "
    ".zst after it."
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(?:://|::)")
_BLOCK = 4 << 20


class File(NamedTuple):
    """A file of a source: where it is, and the name that people know it by."""

    path: Path
    name: str


def scheme(text: str) -> str | None:
    """The scheme of a URL, in lower case; None for a path."""
    match = _SCHEME.match(text)
    return match[1].lower() if match else None


def format_of(name: str) -> Format | None:
    """The format that the name of a file says; None if it says none."""
    path = Path(name.lower())
    if path.suffix in COMPRESSIONS:
        inner = _FORMATS.get(Path(path.stem).suffix)
        return None if inner == "parquet" else inner
    return _FORMATS.get(path.suffix)


def one_format(files: Sequence[File], what: str, notes: list[str]) -> tuple[list[File], Format]:
    """The files of the one format that there is.

    Raises:
        SourceError: No file has a known extension, two formats are mixed, or a file is empty.
    """
    known = [(file, form) for file in files if (form := format_of(file.name))]
    if not known:
        example = f" ({shown(files[0].name)})" if files else ""
        raise SourceError(f"{what} has no file of a known format{example}.", _KNOWN)
    first, form = known[0]
    other = next((file for file, its in known if its != form), None)
    if other is not None:
        raise SourceError(
            f"{what} mixes formats: {shown(first.name)} and {shown(other.name)}.",
            "Narrow the glob to one of them.",
        )
    if len(known) < len(files):
        others = counted(len(files) - len(known), "file")
        notes.append(f"passed over {others} of no known format")
    for file, _ in known:
        if _size(file) == 0:
            raise SourceError(
                f"{shown(file.name)} is empty.",
                "Write it again, or take it out of what the source matches.",
            )
    return [file for file, _ in known], form


def _size(file: File) -> int:
    try:
        return file.path.stat().st_size
    except PermissionError:
        raise denied(shown(file.name)) from None
    except OSError as error:
        raise SourceError(
            f"{shown(file.name)} cannot be read: {said(error)}", "Is it still being written?"
        ) from None


def local(text: str, base: Path, what: str) -> list[File]:
    """The files of a path, a folder (and what is below it) or a glob (`**` too), by name.

    What exists under exactly this name is meant, whatever characters it holds.

    Raises:
        SourceError: Nothing matches, or it may not be read.
    """
    try:
        path = base / Path(text).expanduser()
        if path.is_dir():
            files = _below(path, text)
        elif path.exists():
            files = [File(path, text)]
        else:
            files = _matching(str(Path(text).expanduser()), base)
        for file in files:
            if not os.access(file.path, os.R_OK):
                raise denied(shown(file.name))
    except PermissionError:
        raise denied(what) from None
    except (OSError, ValueError, RuntimeError) as error:
        raise SourceError(f"{what} is no path: {said(error)}", "Check the source.") from None
    if not files:
        raise nothing(what)
    return files


def _matching(pattern: str, base: Path) -> list[File]:
    _enter(pattern, base)
    files = []
    # Path.glob takes no absolute pattern.
    for name in sorted(glob.glob(pattern, root_dir=base, recursive=True)):  # noqa: PTH207
        path = base / name
        files += _below(path, name) if path.is_dir() else [File(path, name)]
    return list(dict.fromkeys(files))


def _enter(pattern: str, base: Path) -> None:
    """Raise PermissionError where `glob` would silently find nothing."""
    folder = base
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        folder = folder / part
    if folder.is_dir():
        os.scandir(folder).close()


def _below(folder: Path, name: str) -> list[File]:
    """Files under a folder; what begins with a dot or an underscore is not data."""
    os.scandir(folder).close()
    return [
        File(path, str(Path(name) / path.relative_to(folder)))
        for path in sorted(folder.rglob("*"))
        if not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
        and path.is_file()
    ]


def fetched(url: str, folder: Path, seconds: float) -> list[File]:
    """Copy the files of an fsspec URL (a glob or a folder too) to a local folder.

    Raises:
        SourceError: The driver is missing, nothing matches, credentials are refused, the host is
            not reached or does not answer within `seconds`.
    """
    what = shown_url(url)

    def work(given_up: Event) -> list[File]:
        return _copied(url, folder, given_up)

    try:
        files = within(seconds, what, work)
    except SourceError:
        raise
    except ImportError as error:
        raise _no_driver(scheme(url) or "", error) from None
    except Exception as error:
        # No cause: the library's own text may hold the signed URL.
        raise refused(what, error, url, *_query(url)) from None
    if not files:
        raise nothing(what)
    return files


def _copied(url: str, folder: Path, given_up: Event) -> list[File]:
    from fsspec.core import url_to_fs

    system, path = url_to_fs(url)
    # A file system is kept by fsspec, with the listings that it saw at the last window.
    system.invalidate_cache()
    files = []
    for number, found in enumerate(_listed(system, path)):
        name = found.partition("?")[0]
        suffixes = "".join(Path(name).suffixes[-2:])
        suffix = suffixes if format_of(f"x{suffixes}") else Path(name).suffix
        target = folder / f"{number:06}{suffix}"
        with system.open(found, "rb") as remote, target.open("wb") as copy:
            while block := remote.read(_BLOCK):
                if given_up.is_set():
                    return []
                copy.write(block)
        files.append(File(target, shown_url(name) if "://" in name else name))
    return files


def _listed(system: Any, path: str) -> list[str]:
    if "http" in str(system.protocol):
        # A query is no glob, and most hosts list nothing.
        return [path]
    if glob.has_magic(path) and not system.exists(path):
        found = system.glob(path)
    elif system.isdir(path):
        found = system.find(path)
    elif system.exists(path):
        return [path]
    else:
        return []
    hidden = re.compile(r"/[._][^/]*$")
    return sorted(
        name for name in map(str, found) if system.isfile(name) and not hidden.search(name)
    )


def _no_driver(protocol: str, error: ImportError) -> SourceError:
    """The pip package that brings the protocol, in fsspec's own words."""
    from fsspec.registry import known_implementations

    hint = known_implementations.get(protocol, {}).get("err", "")
    return SourceError(
        f"'{shown(protocol)}:' cannot be read here: {said(error)}",
        hint or "Install the fsspec driver of this protocol.",
    )


def _query(url: str) -> list[str]:
    """What a URL may hide: its query, and what is before the host."""
    before, _, query = url.partition("?")
    user = before.partition("://")[2].rpartition("@")[0]
    return [part for part in (query, user, user.partition(":")[2]) if len(part) > 2]
