"""Nothing of governance in here: run it with AIMS_SYSTEM=wine-quality."""

import mlflow
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

mlflow.sklearn.autolog()
x_train, x_test, y_train, y_test = train_test_split(
    *load_wine(return_X_y=True, as_frame=True), random_state=0
)
model = RandomForestClassifier(n_estimators=50, random_state=0).fit(x_train, y_train)
print("accuracy", model.score(x_test, y_test))
