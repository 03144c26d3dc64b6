"""`capture`: one run, now."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aims_mlflow.capture import Captured


def capture(run_id: str) -> Captured:
    """Capture one run now and wait for it: documents on the run, evidence in the ledger.

    For the parent of a sweep, also its chosen candidates.

    Args:
        run_id: The MLflow run, in the store that MLflow is set to.

    Raises:
        RunNotFoundError: The run does not exist.
        TrackingError: MLflow does not answer.
        LedgerError: The ledger cannot be written.
    """
    import mlflow

    from aims_mlflow.drain import actor
    from aims_mlflow.families import Capturing
    from aims_mlflow.workspace import Workspace

    workspace = Workspace()
    try:
        tracking = workspace.tracking(mlflow.get_tracking_uri())
        capturing = Capturing(
            tracking=tracking,
            ledger=workspace.ledger(tracking),
            profile=workspace.profile,
            source="capture",
            actor=actor(),
        )
        return next(one for one in capturing.tree(run_id).captured if one.run_id == run_id)
    finally:
        workspace.close()
