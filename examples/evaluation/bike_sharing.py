"""Gradient boosting on UCI Bike Sharing: trained on 2011, evaluated on 2012."""

import mlflow
from data import bike_sharing
from sklearn.ensemble import HistGradientBoostingRegressor

import aims_mlflow


@aims_mlflow.govern("bike-demand")
def train() -> None:
    x, y = bike_sharing()
    past = x["year"] == 0
    inputs = x.drop(columns="year")
    with mlflow.start_run(run_name="boosting-2011"):
        for rows, name, context in (
            (past, "bikes-2011", "training"),
            (~past, "bikes-2012", "evaluation"),
        ):
            data = mlflow.data.from_pandas(inputs[rows].join(y[rows]), name=name, targets="rentals")
            mlflow.log_input(data, context=context)
        model = HistGradientBoostingRegressor(random_state=0).fit(inputs[past], y[past])
        mlflow.log_params({"estimator": type(model).__name__, "max_iter": model.max_iter})
        mlflow.sklearn.log_model(
            model,
            name="bike-demand",
            input_example=inputs.head(2),
            serialization_format="cloudpickle",
            pip_requirements=["scikit-learn", "pandas"],
        )
        aims_mlflow.log_evaluation(
            y[~past],
            model.predict(inputs[~past]),
            features=x[~past],
            dataset="bikes-2012",
        )
        aims_mlflow.evaluate_robustness(model, inputs[~past], y[~past], dataset="bikes-2012")


if __name__ == "__main__":
    mlflow.set_experiment("bike-demand")
    train()
