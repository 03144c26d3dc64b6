"""Train on the rentals of 2011, and write down what the model predicts for 2012.

    AIMS_DATA_DIR=folder/with/bike_sharing_hour.csv.gz python train.py

The profile names the training data as the reference of its monitors, so that nothing about
monitoring stands in this script.
"""

import os
from pathlib import Path

import mlflow
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

import aims_mlflow

INPUTS = ["hour", "temp", "humidity", "windspeed", "weathersit", "workingday"]


def load() -> pd.DataFrame:
    folder = Path(os.environ.get("AIMS_DATA_DIR", "."))
    found = sorted(folder.glob("bike_sharing_hour.csv*"))
    if not found:
        raise SystemExit(f"bike_sharing_hour.csv is not in {folder}: set AIMS_DATA_DIR.")
    data = pd.read_csv(found[0]).rename(columns={"count": "rentals"})
    hours = pd.to_timedelta(data["hour"], unit="h")
    data["time"] = (pd.to_datetime(data["dateday"], dayfirst=True) + hours).dt.tz_localize("UTC")
    return data


@aims_mlflow.govern("bike-demand")
def train(past: pd.DataFrame) -> HistGradientBoostingRegressor:
    with mlflow.start_run(run_name="boosting-2011"):
        rows = past[[*INPUTS, "rentals"]]
        dataset = mlflow.data.from_pandas(rows, name="bikes-2011", targets="rentals")
        mlflow.log_input(dataset, context="training")
        held_out = past.index % 4 == 0
        model = HistGradientBoostingRegressor(random_state=0)
        model.fit(past.loc[~held_out, INPUTS], past.loc[~held_out, "rentals"])
        mlflow.sklearn.log_model(
            model,
            name="bike-demand",
            registered_model_name="bike-demand",
            serialization_format="cloudpickle",
            pip_requirements=["scikit-learn", "pandas"],
        )
        rest = past[held_out]
        aims_mlflow.log_evaluation(
            rest["rentals"], model.predict(rest[INPUTS]), features=rest, dataset="bikes-2011"
        )
    mlflow.MlflowClient().set_registered_model_alias("bike-demand", "champion", "1")
    return model


def main() -> None:
    data = load()
    mlflow.set_experiment("bike-demand")
    model = train(data[data["year"] == 0])
    served = data[data["year"] == 1].copy()
    served["prediction"] = model.predict(served[INPUTS])
    # What was served is known at once, the truth later: two files, joined by `instant`.
    served[["instant", "time", *INPUTS, "prediction"]].to_parquet("predictions.parquet")
    served[["instant", "rentals"]].to_parquet("rentals.parquet")


if __name__ == "__main__":
    main()
