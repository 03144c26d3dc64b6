"""Runs written with MlflowClient alone, as a scheduler or another tool would."""

import mlflow
import pandas as pd
from mlflow.entities import DatasetInput, InputTag

import aims_mlflow

client = mlflow.MlflowClient()
found = client.get_experiment_by_name("batch-scores")
experiment = found.experiment_id if found else client.create_experiment("batch-scores")

with aims_mlflow.system("batch-scores"):
    run = client.create_run(experiment, run_name="nightly")
    data = mlflow.data.from_pandas(pd.DataFrame({"score": [0.1, 0.7, 0.4]}), name="scores")
    tag = InputTag("mlflow.data.context", "evaluation")
    client.log_inputs(run.info.run_id, datasets=[DatasetInput(data._to_mlflow_entity(), [tag])])
    client.log_param(run.info.run_id, "window", "2026-11-23")
    client.log_metric(run.info.run_id, "mean_score", 0.4)
    client.set_terminated(run.info.run_id)
