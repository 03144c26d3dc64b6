"""The environment lock: packages, interpreter, platform, hardware and code of this process."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

#: Seconds after which git is given up: a lock without a commit is better than a stuck drainer.
_GIT_TIMEOUT = 5
#: Container runtimes and schedulers that tell the image in a variable of this name.
_IMAGE_VARIABLES = ("AIMS_IMAGE_DIGEST", "IMAGE_DIGEST", "CONTAINER_IMAGE")


def collect_environment() -> dict[str, Any]:
    """What this process runs on. About 100 ms; never called on the training thread.

    Returns:
        `packages` (name to version, sorted), `python`, `platform`, `hardware` (cpu_count,
        memory_bytes, accelerators seen by an already imported torch), `image` and `git`
        (commit, branch, dirty; None outside a repository).
    """
    return {
        "schema_version": "aims.environment/1",
        "packages": _packages(),
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
        },
        "platform": {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
        },
        "hardware": _hardware(),
        "image": next((os.environ[v] for v in _IMAGE_VARIABLES if os.environ.get(v)), None),
        "git": _git(),
    }


def _packages() -> dict[str, str]:
    found: dict[str, str] = {}
    for distribution in distributions():
        name, version = _name_and_version(distribution)
        if name:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return dict(sorted(found.items()))


def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    """From the folder's name, which is `name-version.dist-info` by its specification.

    Parsing the metadata of some hundred packages takes a second, and names and versions are all
    that is asked of it.
    """
    folder = getattr(getattr(distribution, "_path", None), "name", "")
    stem, _, suffix = folder.rpartition(".")
    if suffix == "dist-info" and stem.count("-") == 1:
        name, _, version = stem.partition("-")
        return name, version
    return distribution.metadata["Name"] or "", distribution.version


def _hardware() -> dict[str, Any]:
    return {
        "cpu_count": os.cpu_count(),
        "memory_bytes": _memory(),
        "accelerators": _accelerators(),
    }


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def _accelerators() -> list[str]:
    """Names of the GPUs, asked of a torch that the training script itself imported."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_available():
        return []
    return [str(cuda.get_device_name(index)) for index in range(cuda.device_count())]


def _git() -> dict[str, Any] | None:
    commit = _ask_git("rev-parse", "HEAD")
    if commit is None:
        return None
    status = _ask_git("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": commit,
        "branch": _ask_git("rev-parse", "--abbrev-ref", "HEAD"),
        "dirty": bool(status) if status is not None else None,
    }


def _ask_git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(_code_folder()), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _code_folder() -> Path:
    """The folder of the script that runs; the working directory in a notebook or a shell."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(script).resolve().parent if script else Path.cwd()
