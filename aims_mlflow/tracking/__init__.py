"""The MLflow port: read a run as facts, write files and tags. Nothing else here knows MLflow."""

from aims_mlflow.tracking.store import Tracking
from aims_mlflow.tracking.translation import is_terminated, moment

__all__ = ["Tracking", "is_terminated", "moment"]
