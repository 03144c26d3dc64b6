"""A custom PythonModel: rules in plain Python are governed like any other model."""

import mlflow
import pandas as pd
from mlflow.models import infer_signature
from mlflow.pyfunc import PythonModel

import aims_mlflow


class Triage(PythonModel):
    """Flags an order whose amount is above a limit."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def predict(self, context, model_input, params=None):
        return (model_input["amount"] > self.limit).astype(int)


@aims_mlflow.govern("order-triage")
def train(limit: float) -> None:
    orders = pd.DataFrame(
        {"amount": [float(n) for n in range(200)], "country": ["DE", "FR", "IT", "ES"] * 50}
    )
    wrong = (orders["amount"] > 120).astype(int)
    with mlflow.start_run(run_name="rules"):
        mlflow.log_input(mlflow.data.from_pandas(orders, name="orders"), context="evaluation")
        mlflow.log_param("limit", limit)
        model = Triage(limit)
        predicted = model.predict(None, orders)
        mlflow.pyfunc.log_model(
            name="model",
            python_model=model,
            signature=infer_signature(orders, predicted),
            pip_requirements=["pandas"],
        )
        aims_mlflow.log_evaluation(
            wrong, predicted, sensitive_features=orders[["country"]], dataset="orders"
        )


if __name__ == "__main__":
    train(limit=100.0)
