"""What MLflow says, in our words: its errors, its times and its states."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlflow.entities import RunStatus
from mlflow.exceptions import MlflowException

from aims_mlflow.errors import RunNotFoundError, TrackingError

if TYPE_CHECKING:
    from collections.abc import Iterator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Letters of an error that a note keeps.
_MAX_SAID = 300
#: What MLflow answers where something does not exist.
_ABSENT = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}


def said(error: Exception) -> str:
    """The text of an error as it reads every time: without addresses in memory, and bounded."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", str(error))[:_MAX_SAID]


def is_terminated(status: str) -> bool:
    """Whether a run of this status has ended."""
    return bool(RunStatus.is_terminated(RunStatus.from_string(status)))


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn whatever MLflow and its stores raise into our two kinds of error."""
    try:
        yield
    except (TrackingError, FileNotFoundError):
        raise
    except MlflowException as error:
        if error.error_code in _ABSENT:
            raise RunNotFoundError(f"{what}: {error.message}") from error
        raise TrackingError(f"{what}: {error.message}", "MLflow may be down; try again.") from error
    except Exception as error:  # requests, botocore, OSError, ...: every store has its own
        raise TrackingError(f"{what}: {error}", "MLflow may be down; try again.") from error


def moment(milliseconds: int) -> datetime:
    """MLflow's milliseconds since 1970 as a time in UTC; what no calendar has is cut to its end.

    Clients have logged microseconds here, which is a time some fifty thousand years ahead.
    """
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC) if milliseconds > 0 else _EPOCH
