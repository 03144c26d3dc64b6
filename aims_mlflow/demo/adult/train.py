"""Train two candidates on UCI Adult (census income, 1994), governed by one decorator.

Reads adult.csv or adult.csv.gz from AIMS_DATA_DIR, else downloads it from OpenML.
"""

import os
from pathlib import Path

import mlflow
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import aims_mlflow

SOURCE = "https://archive.ics.uci.edu/dataset/2/adult"
PROTECTED = ["sex", "race"]


def load() -> tuple[pd.DataFrame, pd.Series]:
    folder = os.environ.get("AIMS_DATA_DIR")
    found = sorted(Path(folder).glob("adult.csv*")) if folder else []
    if found:
        data = pd.read_csv(found[0], skipinitialspace=True)
    else:
        from sklearn.datasets import fetch_openml

        try:
            data = fetch_openml("adult", version=2, as_frame=True).frame
        except OSError as error:
            raise SystemExit(
                f"UCI Adult could not be downloaded ({error}). "
                "Set AIMS_DATA_DIR to a folder that holds adult.csv.gz."
            ) from error
        data = data.rename(columns={"class": "Salary"})
    label = data.pop("Salary").astype(str).str.strip(" .")
    texts = data.select_dtypes(exclude="number").columns
    data[texts] = data[texts].astype(str)
    return data, (label == ">50K").astype(int).rename("income_over_50k")


@aims_mlflow.govern("census-income")
def train(name: str, model: ClassifierMixin, hidden: list[str]) -> None:
    features, target = load()
    x_train, x_test, y_train, y_test = train_test_split(
        features, target, test_size=0.35, random_state=42, stratify=target
    )
    with mlflow.start_run(run_name=name):
        for data, part, context in (
            (x_train.join(y_train), "adult-train", "training"),
            (x_test.join(y_test), "adult-test", "evaluation"),
        ):
            dataset = mlflow.data.from_pandas(
                data, source=SOURCE, name=part, targets="income_over_50k"
            )
            mlflow.log_input(dataset, context=context)
        mlflow.log_params({"estimator": type(model[-1]).__name__, "hidden": ", ".join(hidden)})
        model.fit(x_train.drop(columns=hidden), y_train)
        score = model.predict_proba(x_test.drop(columns=hidden))[:, 1]
        mlflow.sklearn.log_model(
            model,
            name="census-income",
            input_example=x_train.drop(columns=hidden).head(2),
            serialization_format="cloudpickle",
            pip_requirements=["scikit-learn", "pandas"],
        )
        aims_mlflow.log_evaluation(
            y_test,
            (score >= 0.5).astype(int),
            y_score=score,
            sensitive_features=x_test[PROTECTED],
            dataset="adult-test",
        )


def boosted() -> ClassifierMixin:
    encoder = make_column_transformer(
        (
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
            make_column_selector(dtype_exclude="number"),
        ),
        remainder="passthrough",
    )
    return make_pipeline(encoder, HistGradientBoostingClassifier(random_state=0))


def linear() -> ClassifierMixin:
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
        (StandardScaler(), make_column_selector(dtype_include="number")),
    )
    return make_pipeline(encoder, LogisticRegression(max_iter=1000))


if __name__ == "__main__":
    mlflow.set_experiment("census-income")
    train("gradient-boosting", boosted(), hidden=[])
    train("linear-without-sex-and-race", linear(), hidden=[*PROTECTED, "relationship"])
