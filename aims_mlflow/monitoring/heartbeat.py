"""Keeping a lease alive while its window is worked on."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from aims_mlflow.errors import LeaseLostError, LedgerError
from aims_mlflow.governance.monitoring import duration

if TYPE_CHECKING:
    from types import TracebackType

    from aims_mlflow.governance.monitoring import Monitor
    from aims_mlflow.ledger.windows import Claim, WindowClaims

#: Time for reading MLflow, writing documents and sealing, besides the measuring itself.
_AROUND = timedelta(minutes=30)


class Heartbeat:
    """Renews a lease from a thread of its own, at a third of its length, until left.

    It falls silent after twice the monitor's time-out and half an hour: a runner that hangs must
    not keep the window from the others. A lost lease is not told here: sealing finds it out.
    """

    def __init__(self, claims: WindowClaims, claim: Claim, monitor: Monitor) -> None:
        self._claims = claims
        self._claim = claim
        limit = 2 * duration(monitor.timeout) + _AROUND
        self._deadline = time.monotonic() + limit.total_seconds()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="aims-lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._left.set()
        self._thread.join()

    def _beat(self) -> None:
        pause = self._claim.lease.total_seconds() / 3
        while not self._left.wait(pause) and time.monotonic() < self._deadline:
            try:
                self._claims.renew(self._claim, now=datetime.now(UTC))
            except LeaseLostError:
                return
            except LedgerError:
                # The database is busy or away: the next beat tries again, while the lease lasts.
                continue
