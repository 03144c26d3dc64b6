"""One error tree. Code catches the type; a person reads `diagnostics()`.

Every error says what happened, where (file and line for what a person wrote) and what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong in a file that a person wrote.

    `line` counts from 1; 0 means the file as a whole.
    """

    file: str
    line: int
    message: str
    fix: str = ""

    def __str__(self) -> str:
        """`file:line: message. fix`, the form that editors make clickable."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.message}" + (f" {self.fix}" if self.fix else "")


class AimsError(Exception):
    """Base of every error that this package raises on purpose.

    Args:
        message: What happened, and where.
        fix: What the reader can do about it.
    """

    #: Exit code of the command line when this error ends a command.
    exit_code = 2

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def diagnostics(self) -> str:
        """The text for a person: what happened, then what to do."""
        return f"{self.message}\n{self.fix}" if self.fix else self.message


class ProfileError(AimsError):
    """The governance profile cannot be used as it stands; carries every problem at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        count = len(self.problems)
        super().__init__(
            f"{count} problem{'s' if count != 1 else ''} in the governance profile",
            "Correct the lines above and run `aims check` again.",
        )

    def diagnostics(self) -> str:
        """Every problem on a line of its own, then the count and the advice."""
        return "\n".join([*map(str, self.problems), "", super().diagnostics()])


class UsageError(AimsError):
    """A call or a command that cannot mean anything: an unknown id, a missing argument."""


class EvaluationInputError(AimsError):
    """What was given to `log_evaluation` cannot be evaluated."""


class SourceError(AimsError):
    """Data that a monitor should read cannot be read: path, format, credentials, time-out."""


class MonitorError(AimsError):
    """A monitor cannot run as it is declared or called."""


class LeaseLostError(AimsError):
    """Another runner took over the window that this one was working on."""


class NormalisationError(AimsError):
    """A value has no place in evidence, even after normalisation."""


class TrackingError(AimsError):
    """MLflow did not answer or refused; trying again later may work."""


class RunNotFoundError(TrackingError):
    """The run does not exist in this MLflow store, or was deleted for good."""


class SpoolError(AimsError):
    """The spool directory cannot be written or read."""


class LedgerError(AimsError):
    """The ledger database cannot be used: path, permission, disk or connection."""


class LedgerSchemaError(LedgerError):
    """The ledger was written by a newer version of this package."""


class LedgerConflictError(LedgerError):
    """Another process sealed the same version first; reading again shows it."""
