"""What a flow works with: settings, the profile in force, MLflow, the ledger; opened when used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from aims_mlflow.errors import LedgerError, ProfileError
from aims_mlflow.evidence import digest
from aims_mlflow.governance.find import find_profile
from aims_mlflow.governance.loader import load_profile
from aims_mlflow.ledger.log import Ledger
from aims_mlflow.settings import Settings, anchored, ledger_uri
from aims_mlflow.tracking import Tracking

if TYPE_CHECKING:
    from aims_mlflow.governance.profile import Profile


class Workspace:
    """Everything that belongs to one place of work; nothing is opened before it is asked for.

    Args:
        settings: The environment; read now when None.
        start: Where the search for `governance/` begins; the working directory when None.

    Raises:
        ProfileError: `AIMS_PROFILE` names something that does not exist.
        UsageError: A setting cannot be used.
    """

    def __init__(self, settings: Settings | None = None, start: Path | None = None) -> None:
        self._open(settings or Settings.load(), find_profile(start), start or Path.cwd())

    @classmethod
    def lenient(cls, start: Path) -> Workspace:
        """For a training process: what cannot be used counts as absent, and is named in `faults`.

        Args:
            start: The working directory when the process was first governed; a script may change
                it before its runs are captured.
        """
        settings, fault = Settings.lenient()
        faults = [fault] if fault else []
        try:
            folder = find_profile(start)
        except ProfileError as error:
            folder, faults = None, [*faults, str(error.problems[0])]
        workspace = cls.__new__(cls)
        workspace._open(settings, folder, start)
        workspace._faults = faults
        return workspace

    def _open(self, settings: Settings, folder: Path | None, start: Path) -> None:
        self.settings = settings
        self.folder = folder
        #: The project folder: the parent of `governance/`, else where the search began.
        self.base = folder.parent if folder else start.absolute()
        self._faults: list[str] = []
        self._profile: Profile | None = None
        self._seen: str | None = None
        self._tracking: dict[str | None, Tracking] = {}
        self._ledgers: dict[str, Ledger] = {}

    @property
    def faults(self) -> list[str]:
        """What is wrong with the settings and the profile, for a person to read in one line."""
        count = len(self.profile.problems)
        if not count:
            return self._faults
        noun = "problem" if count == 1 else "problems"
        return [*self._faults, f"{count} {noun} in the governance profile, run: aims check"]

    @property
    def spool_dir(self) -> Path:
        """Where intents wait."""
        return self.settings.spool_dir or self.base / ".aims" / "spool"

    @property
    def profile(self) -> Profile:
        """The profile in force; read again when one of its files changed."""
        if self._profile is None:
            self.refresh()
            assert self._profile is not None
        return self._profile

    def refresh(self) -> None:
        """Notice changes of the governance files, as a long-lived process must."""
        seen = self._fingerprint()
        if self._profile is None or seen != self._seen:
            self._profile, self._seen = load_profile(self.folder), seen

    def tracking(self, uri: str | None = None) -> Tracking:
        """MLflow at `uri`; else where the variable, the profile or MLflow's defaults say."""
        if uri is None and "MLFLOW_TRACKING_URI" not in os.environ:
            declared = self.profile.organization.tracking_uri
            uri = anchored(declared, self.base) if declared else None
        if uri not in self._tracking:
            self._tracking[uri] = Tracking(uri)
        return self._tracking[uri]

    def ledger_uri(self, tracking: Tracking | None = None) -> str:
        """The ledger's URL, without opening it."""
        tracking = tracking or self.tracking()
        declared = self.profile.organization.ledger_uri
        return ledger_uri(self.settings, declared, tracking.uri, self.base)

    def ledger(self, tracking: Tracking | None = None, *, create: bool = True) -> Ledger:
        """The ledger that belongs to this MLflow store.

        Args:
            tracking: The store; where MLflow is set to when None.
            create: Make a missing ledger; without it, a missing one is an error.

        Raises:
            LedgerError: It cannot be opened; says why.
        """
        uri = self.ledger_uri(tracking)
        if not create and uri.startswith("sqlite:///") and not Path(uri[10:]).exists():
            raise LedgerError(
                f"There is no ledger at {uri[10:]} yet.",
                "Go to the project's folder, set AIMS_LEDGER_URI, or begin with: aims publish",
            )
        if uri not in self._ledgers:
            self._ledgers[uri] = Ledger.open(uri)
        return self._ledgers[uri]

    def close(self) -> None:
        """Close what was opened."""
        for ledger in self._ledgers.values():
            ledger.close()
        self._ledgers.clear()

    def _fingerprint(self) -> str:
        if self.folder is None:
            return ""
        parts = []
        for path in sorted((*self.folder.rglob("*.y*ml"), *self.folder.rglob("*.card.md"))):
            try:
                stat = path.stat()
            except OSError:
                continue
            parts.append(f"{path}|{stat.st_mtime_ns}|{stat.st_size}")
        return digest("\n".join(parts).encode())
