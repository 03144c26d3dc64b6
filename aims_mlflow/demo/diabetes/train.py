"""Train two candidates that predict how diabetes progresses, and let MLflow govern itself.

Everything about governance in this script is the decorator, `log_evaluation` and
`evaluate_robustness`.
"""

import mlflow
import pandas as pd
from sklearn.datasets import load_diabetes
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
    return features, target.rename("progression")


@aims_mlflow.govern("diabetes-progression")
def train(name: str, hidden: list[str], alpha: float = 1.0) -> pd.DataFrame:
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
        mlflow.log_params({"alpha": alpha, "hidden": ", ".join(hidden) or "nothing"})
        model = make_pipeline(StandardScaler(), Ridge(alpha=alpha))
        model.fit(x_train.drop(columns=hidden), y_train)
        mlflow.sklearn.log_model(
            model,
            name="diabetes-progression",
            registered_model_name="diabetes-progression",
            input_example=x_train.drop(columns=hidden).head(2),
            pip_requirements=["scikit-learn", "pandas"],
        )
        protected = pd.DataFrame(
            {"sex": x_test["sex"].map({1.0: "code 1", 2.0: "code 2"}), "age": x_test["age"]}
        )
        aims_mlflow.log_evaluation(
            y_test,
            model.predict(x_test.drop(columns=hidden)),
            sensitive_features=protected,
            features=x_test,
            dataset="diabetes-test",
        )
        aims_mlflow.evaluate_robustness(
            model, x_test.drop(columns=hidden), y_test, dataset="diabetes-test"
        )
    served: pd.DataFrame = x_test.join(y_test)
    return served.assign(forecast=model.predict(x_test.drop(columns=hidden)))


if __name__ == "__main__":
    mlflow.set_experiment("diabetes")
    # Hiding the protected attribute is the fix that everybody tries first.
    served = train("ridge-blind-to-sex", hidden=["sex"])
    # The first version goes into production; the card of the second says what changed since.
    mlflow.MlflowClient().set_registered_model_alias("diabetes-progression", "champion", "1")
    train("ridge", hidden=[])
    # What the monitors look at: the clinic now sees its older patients only.
    served[served["age"] >= 50].to_parquet("patients.parquet")
