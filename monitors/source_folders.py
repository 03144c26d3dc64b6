"""Temporary folders with rows of sources, which outlive neither their use nor their process."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from contextlib import ExitStack

_PREFIX = "aims-source-"


def private_folder(held: ExitStack) -> Path:
    """A folder that only this user can read, locked and removed with everything that is held.

    The lock ends with the process, however that ends, and tells `remove_stale` that the folder is
    in use. It works across containers too, where process ids do not.
    """
    while True:
        # What was given up by time can still write while the folder is removed.
        made = tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
        if _kept(Path(made.name), held):
            return Path(held.enter_context(made))
        made.cleanup()


def _kept(folder: Path, held: ExitStack) -> bool:
    """Lock a new folder; False where `remove_stale` of another process came first."""
    if fcntl is None:
        return True
    try:
        lock = _locked(folder)
    except FileNotFoundError:
        return False
    except OSError:
        # A file system without locks: `remove_stale` gets none there either, and removes nothing.
        return True
    if lock is not None:
        held.callback(os.close, lock)
    return lock is not None and folder.exists()


def remove_stale() -> int:
    """Remove the folders of processes of this user that ended without doing so; their number."""
    if fcntl is None:
        return 0
    removed = 0
    with suppress(OSError):
        for folder in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")):
            # Another process may remove the same one, or the file system know no locks.
            with suppress(OSError):
                removed += _removed(folder)
    return removed


def _removed(folder: Path) -> bool:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        return False
    lock = _locked(folder)
    if lock is None:
        return False
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
    return not folder.exists()


def _locked(folder: Path) -> int | None:
    """A locked descriptor of a folder; None where a living process has locked it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor
