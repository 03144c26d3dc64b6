"""Three classes: Fisher's iris, evaluated by MLflow's own `mlflow.models.evaluate`."""

import mlflow
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import aims_mlflow


@aims_mlflow.govern("iris-species")
def train() -> None:
    frame = load_iris(as_frame=True).frame
    train_part, test_part = train_test_split(
        frame, test_size=0.4, random_state=0, stratify=frame["target"]
    )
    inputs = train_part.drop(columns="target")
    with mlflow.start_run(run_name="logistic-regression"):
        model = LogisticRegression(max_iter=500).fit(inputs, train_part["target"])
        logged = mlflow.sklearn.log_model(
            model,
            name="iris-species",
            signature=infer_signature(inputs, model.predict(inputs)),
            pip_requirements=["scikit-learn", "pandas"],
        )
        data = mlflow.data.from_pandas(test_part, name="iris-test", targets="target")
        mlflow.models.evaluate(logged.model_uri, data, model_type="classifier")


if __name__ == "__main__":
    mlflow.set_experiment("iris-species")
    train()
