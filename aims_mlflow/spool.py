"""The spool: intents that survive the process that had them.

One segment file for each process, opened with O_APPEND; one frame is one `os.write`. What was put
is on the kernel's side and survives SIGKILL, `os._exit` and an exception (not a power cut: `aims
sync` finds such runs in MLflow). A lock file beside the segment tells the living from the dead.

    frame = magic "AIM1" | length, 4 bytes big-endian | CRC-32 of the payload, 4 bytes | payload

Delivery is at least once: capture is idempotent, so a frame that is read twice changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import struct
import tempfile
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from aims_mlflow.errors import SpoolError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = b"AIM1"
_HEAD = struct.Struct(">4sII")
#: Intents that memory may hold when no folder at all can be written.
_MEMORY_LIMIT = 10_000

Intent = dict[str, Any]


class Spool:
    """The writing side: one per process, safe in threads and after a fork.

    Args:
        folder: Where segments go; made when first needed. If it cannot be written, a folder in
            the temporary directory takes its place, then bounded memory; `degraded` says so.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.degraded = ""
        self.dropped = 0
        self._mutex = threading.Lock()
        self._pid = -1
        self._fd = -1
        self._segment: Path | None = None
        self._lock: FileLock | None = None
        self._memory: list[Intent] = []
        self._read = 0

    def put(self, intent: Intent) -> None:
        """Append one intent. Never raises for the disk's sake: see `degraded` and `dropped`."""
        frame = encode(intent)
        with self._mutex:
            if self._pid != os.getpid():
                self._open()
            if self._fd >= 0:
                try:
                    written = os.write(self._fd, frame)
                except OSError as error:
                    self._degrade(f"{self._segment}: {error.strerror}")
                else:
                    if written == len(frame):
                        return
                    self._degrade(f"{self._segment}: no space left")
            if len(self._memory) < _MEMORY_LIMIT:
                self._memory.append(intent)
            else:
                self.dropped += 1

    def take(self) -> list[Intent]:
        """The intents put by this process since the last call, oldest first."""
        with self._mutex:
            taken, self._memory = self._memory, []
            if self._segment is not None and self._pid == os.getpid():
                with contextlib.suppress(OSError), self._segment.open("rb") as file:
                    file.seek(self._read)
                    data = file.read()
                    frames, used, _bad = decode(data)
                    self._read += used
                    taken = frames + taken
            return taken

    def forget(self) -> None:
        """Empty the segment if everything in it was taken: all of it has been dealt with."""
        with self._mutex:
            if self._fd < 0 or self._pid != os.getpid():
                return
            with contextlib.suppress(OSError):
                if os.fstat(self._fd).st_size == self._read:
                    os.ftruncate(self._fd, 0)
                    self._read = 0

    def close(self, keep: list[Intent]) -> None:
        """End this process's segment: drop it when `keep` is empty, else leave only `keep`."""
        with self._mutex:
            segment, lock = self._segment, self._lock
            mine = self._pid == os.getpid()
            self._segment, self._lock, self._pid = None, None, -1
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            if segment is None or not mine:
                return
            with contextlib.suppress(OSError):
                if keep:
                    _replace(segment, keep)
                else:
                    segment.unlink(missing_ok=True)
            _release(lock, remove=not keep)

    def _open(self) -> None:
        """Open a segment for this process: in a forked child, never the parent's."""
        self._pid, self._fd, self._read = os.getpid(), -1, 0
        self._segment, self._lock = None, None
        for folder in (self.folder, fallback_folder()):
            try:
                self._open_in(folder)
            except OSError as error:
                self._degrade(f"{folder}: {error.strerror}")
            else:
                return

    def _open_in(self, folder: Path) -> None:
        prepare(folder)
        if not _is_ours(folder):
            raise PermissionError(errno.EPERM, "belongs to another user", str(folder))
        segment = folder / f"{self._pid}-{time.time_ns()}.seg"
        # Locked before it exists: a reader must never find a segment whose owner lives unlocked.
        lock = FileLock(f"{segment}.lock", is_singleton=False)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise OSError(f"{segment} is locked by another process") from error
        self._fd = os.open(segment, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        self._segment, self._lock = segment, lock

    def _degrade(self, why: str) -> None:
        self.degraded = self.degraded or why


def fallback_folder() -> Path:
    """Where intents go when the spool folder cannot be written; `aims sync` reads it too."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"aims-spool-{user}"


def _is_ours(folder: Path) -> bool:
    """Whether nobody else put files here: the temporary directory is everyone's."""
    if folder != fallback_folder() or not hasattr(os, "getuid"):
        return True
    return folder.stat().st_uid == os.getuid()


def prepare(folder: Path) -> None:
    """Make the spool folder, private to its owner and ignored by git."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.parent.name == ".aims":
        ignore = folder.parent / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", "utf-8")


def encode(intent: Intent) -> bytes:
    """One frame.

    >>> decode(encode({"run_id": "a"}))[0]
    [{'run_id': 'a'}]
    """
    payload = json.dumps(intent, separators=(",", ":"), default=str).encode("utf-8", "replace")
    return _HEAD.pack(_MAGIC, len(payload), zlib.crc32(payload)) + payload


def decode(data: bytes) -> tuple[list[Intent], int, int]:
    """All whole, sound frames in `data`, skipping what is damaged.

    Returns:
        The intents, the bytes used (a torn tail is not), and the number of damaged stretches.
    """
    intents: list[Intent] = []
    bad = at = 0
    while at + _HEAD.size <= len(data):
        magic, length, crc = _HEAD.unpack_from(data, at)
        payload = data[at + _HEAD.size : at + _HEAD.size + length]
        if magic == _MAGIC and len(payload) == length and zlib.crc32(payload) == crc:
            with contextlib.suppress(ValueError):
                intents.append(json.loads(payload))
            at += _HEAD.size + length
            continue
        following = data.find(_MAGIC, at + 1)
        if following < 0:
            # Nothing sound follows: a frame still being written, or a torn tail.
            return intents, at, bad + (magic != _MAGIC)
        bad += 1
        at = following
    return intents, at, bad


class Abandoned:
    """A dead process's segment, held by this process until `done`."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path = path
        self._lock = lock
        data = path.read_bytes()
        self.intents, used, self.damaged = decode(data)
        self.torn = len(data) - used

    def done(self, keep: list[Intent]) -> None:
        """Remove the segment, or leave only the intents that still wait.

        Damaged segments are kept aside in `quarantine/` for a person to look at.
        """
        if self.damaged or self.torn:
            aside = self.path.parent / "quarantine"
            aside.mkdir(exist_ok=True)
            (aside / self.path.name).write_bytes(self.path.read_bytes())
        if keep:
            _replace(self.path, keep)
        else:
            self.path.unlink(missing_ok=True)
        _release(self._lock, remove=not keep)


def abandoned(folder: Path) -> Iterator[Abandoned]:
    """Segments whose process ended, oldest first; each is locked while the caller works on it.

    Raises:
        SpoolError: The folder exists and cannot be read.
    """
    for path in _segments(folder):
        lock = FileLock(f"{path}.lock", is_singleton=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        except OSError as error:
            raise SpoolError(
                f"{path}: {error.strerror}", "Check the folder's permissions."
            ) from error
        if not path.exists():  # another drainer was faster
            _release(lock, remove=True)
            continue
        segment = Abandoned(path, lock)
        try:
            yield segment
        finally:
            lock.release()


def waiting(folder: Path) -> list[Intent]:
    """The intents of all segments, read without a lock: for display only."""
    found: list[Intent] = []
    for path in _segments(folder):
        with contextlib.suppress(OSError):
            found += decode(path.read_bytes())[0]
    return found


def _segments(folder: Path) -> list[Path]:
    try:
        if not folder.is_dir() or not _is_ours(folder):
            return []
        return sorted(folder.glob("*.seg"), key=lambda p: p.name.partition("-")[2])
    except OSError as error:
        raise SpoolError(
            f"{folder}: {error.strerror}", "Check the folder's permissions."
        ) from error


def _replace(segment: Path, keep: list[Intent]) -> None:
    fresh = segment.with_suffix(".new")
    fresh.write_bytes(b"".join(encode(intent) for intent in keep))
    fresh.replace(segment)


def _release(lock: FileLock | None, *, remove: bool) -> None:
    if lock is None:
        return
    if remove:
        with contextlib.suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()
