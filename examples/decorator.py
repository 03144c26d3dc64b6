"""One decorator and one call: a binary classifier with a protected attribute."""

import mlflow
import numpy as np
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import aims_mlflow


@aims_mlflow.govern("loan-approval")
def train(c: float = 1.0) -> None:
    x, y = make_classification(n_samples=2000, n_informative=5, random_state=0)
    sex = np.where(np.random.default_rng(0).random(len(y)) < 0.4, "female", "male")
    x_train, x_test, y_train, y_test, _, sex_test = train_test_split(x, y, sex, random_state=0)
    with mlflow.start_run(run_name=f"logistic-{c:g}"):
        mlflow.log_param("C", c)
        model = LogisticRegression(C=c).fit(x_train, y_train)
        aims_mlflow.log_evaluation(
            y_test,
            model.predict(x_test),
            y_score=model.predict_proba(x_test)[:, 1],
            sensitive_features={"sex": sex_test},
            dataset="loans-test",
        )


if __name__ == "__main__":
    train()
