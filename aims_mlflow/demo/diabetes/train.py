"""Train two candidates that predict how diabetes progresses, and let MLflow govern itself.

Everything about governance in this script is the decorator and `log_evaluation`.
"""

import mlflow
import pandas as pd
from sklearn.base import RegressorMixin
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import aims_mlflow

# Efron et al., "Least Angle Regression", 2004: 442 patients, ten measurements at the start, disease
# progression one year later. Ships with scikit-learn.
SOURCE = "https://www4.stat.ncsu.edu/~boos/var.select/diabetes.html"


def load() -> tuple[pd.DataFrame, pd.Series]:
    features, target = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    features["sex"] = features["sex"].map({1.0: "1", 2.0: "2"})  # the source does not name them
    return features, target.rename("progression")


@aims_mlflow.govern("diabetes-progression")
def train(name: str, model: RegressorMixin) -> None:
    features, target = load()
    x_train, x_test, y_train, y_test = train_test_split(
        features, target, test_size=0.35, random_state=42
    )
    with mlflow.start_run(run_name=name):
        for data, part, context in (
            (x_train.join(y_train), "diabetes-train", "training"),
            (x_test.join(y_test), "diabetes-test", "evaluation"),
        ):
            dataset = mlflow.data.from_pandas(data, source=SOURCE, name=part, targets="progression")
            mlflow.log_input(dataset, context=context)
        mlflow.log_params({"estimator": type(model[-1]).__name__, **model[-1].get_params()})
        model.fit(x_train, y_train)
        predicted = model.predict(x_test)
        mlflow.log_metric("test_rows", len(x_test))
        mlflow.sklearn.log_model(
            model,
            name="model",
            input_example=x_train.head(2),
            pip_requirements=["scikit-learn", "pandas"],
        )
        aims_mlflow.log_evaluation(
            y_test,
            predicted,
            sensitive_features=x_test[["sex", "age"]],
            dataset="diabetes-test",
        )


if __name__ == "__main__":
    mlflow.set_experiment("diabetes")
    train(
        "gradient-boosting",
        make_pipeline(
            StandardScaler(),
            GradientBoostingRegressor(n_estimators=60, max_depth=2, random_state=0),
        ),
    )
    train("ridge", make_pipeline(StandardScaler(), Ridge(alpha=1.0)))
