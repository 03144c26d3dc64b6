"""Find the governance profile. Standard library only: this runs inside every training process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from aims_mlflow.errors import Problem, ProfileError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The folder that people keep in git, and the variable that names it from elsewhere.
FOLDER = "governance"
VARIABLE = "AIMS_PROFILE"


def find_profile(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The governance folder in force, or None where there is none.

    `AIMS_PROFILE` names the folder itself or the folder that holds it. Without it, the nearest
    `governance` folder from `start` (by default the working directory) upwards is taken, provided
    that it holds `aims.yaml` or `systems/`: other projects have folders of this name too.

    Raises:
        ProfileError: `AIMS_PROFILE` names a path that is no governance profile.
    """
    named = environ.get(VARIABLE, "").strip()
    if named:
        return _named(named)
    try:
        here = (start or Path.cwd()).resolve()
    except FileNotFoundError:  # the working directory itself was deleted
        return None
    return next((d / FOLDER for d in (here, *here.parents) if _is_profile(d / FOLDER)), None)


def _named(value: str) -> Path:
    path = Path(os.path.expandvars(value)).expanduser()
    for candidate in (path, path / FOLDER):
        if _is_profile(candidate):
            return candidate.resolve()
    fault = "holds neither aims.yaml nor systems/" if _exists(path) else "does not exist"
    raise ProfileError(
        [
            Problem(
                value,
                0,
                f"{VARIABLE} names this path, which {fault}.",
                "Name the governance folder or its parent, or create one with `aims init`.",
            )
        ]
    )


def _is_profile(folder: Path) -> bool:
    return _exists(folder / "aims.yaml") or _exists(folder / "systems")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a folder that this user may not enter, or no path at all
        return False
