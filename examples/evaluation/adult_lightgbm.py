"""A LightGBM classifier on UCI Adult: groups, slices, calibration, robustness."""

import lightgbm
import mlflow
from data import adult
from mlflow.models import infer_signature
from sklearn.model_selection import train_test_split

import aims_mlflow


@aims_mlflow.govern("census-income")
def train() -> None:
    x, y = adult()
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=0.35, random_state=42, stratify=y
    )
    with mlflow.start_run(run_name="lightgbm"):
        for part, name, context in (
            (x_train.join(y_train), "adult-train", "training"),
            (x_test.join(y_test), "adult-test", "evaluation"),
        ):
            data = mlflow.data.from_pandas(part, name=name, targets="income_over_50k")
            mlflow.log_input(data, context=context)
        texts = x_train.select_dtypes("category").columns
        model = lightgbm.LGBMClassifier(n_estimators=120, verbose=-1, random_state=0, n_jobs=1)
        model.fit(x_train, y_train)
        mlflow.log_params(model.get_params())
        mlflow.lightgbm.log_model(
            model,
            name="census-income",
            signature=infer_signature(x_train.astype(dict.fromkeys(texts, str)), y_train),
            registered_model_name="census-income",
            pip_requirements=[f"lightgbm=={lightgbm.__version__}"],
        )
        score = model.predict_proba(x_test)[:, 1]
        aims_mlflow.log_evaluation(
            y_test,
            (score >= 0.5).astype(int),
            y_score=score,
            sensitive_features=x_test[["sex", "race"]],
            features=x_test,
            dataset="adult-test",
        )
        aims_mlflow.evaluate_robustness(model, x_test, y_test, dataset="adult-test")


if __name__ == "__main__":
    mlflow.set_experiment("census-income")
    train()
