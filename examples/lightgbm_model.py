"""LightGBM with its own flavor: signature, parameters, data and dependencies on the card."""

import lightgbm
import mlflow
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import aims_mlflow


@aims_mlflow.govern("digit-reader")
def train() -> None:
    x, y = load_digits(return_X_y=True, as_frame=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=0)
    with mlflow.start_run(run_name="lightgbm"):
        data = mlflow.data.from_pandas(x_train.join(y_train), name="digits-train", targets="target")
        mlflow.log_input(data, context="training")
        model = lightgbm.LGBMClassifier(n_estimators=30, verbose=-1).fit(x_train, y_train)
        mlflow.log_params(model.get_params())
        mlflow.lightgbm.log_model(
            model,
            name="model",
            input_example=x_train.head(2),
            pip_requirements=[f"lightgbm=={lightgbm.__version__}"],
        )
        aims_mlflow.log_evaluation(y_test, model.predict(x_test), dataset="digits-test")


if __name__ == "__main__":
    train()
