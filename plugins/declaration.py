"""The declaration that applies to a run while it is open, in the process that trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aims_mlflow.errors import AimsError

if TYPE_CHECKING:
    from aims_mlflow.governance.system import AISystem


def declared_system(system_id: str | None, experiment_id: str | None) -> AISystem | None:
    """The declaration of a system; None where there is none or it is broken.

    Args:
        system_id: The system named in the code, the environment or the run's tag. Without it, the
            system that claims the experiment.
        experiment_id: The MLflow experiment of the run.
    """
    from aims_mlflow.governance.find import find_profile
    from aims_mlflow.governance.loader import load_profile

    try:
        folder = find_profile()
    except AimsError:
        return None
    profile = load_profile(folder)
    if system_id is None and experiment_id is not None and profile.systems:
        import mlflow

        name = mlflow.get_experiment(experiment_id).name
        system_id = profile.claimant(name, ())
    return profile.system(system_id) if system_id else None
