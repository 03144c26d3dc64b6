"""`mlflow.models.evaluate` feeds the report, and is itself exactly as without the plugin."""

import json
import os
import subprocess
import sys
import textwrap

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.data.evaluation_dataset import EvaluationDataset
from mlflow.models.evaluation import base
from mlflow.models.evaluation.evaluators.shap import ShapEvaluator
from sklearn.linear_model import LinearRegression, LogisticRegression

from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.ledger.log import Ledger
from aims_mlflow.monitors.tables import EvaluationTable
from aims_mlflow.plugins import evaluated, evaluator

pytestmark = pytest.mark.usefixtures("blank_store")

NO_SHAP = {"log_model_explainability": False}
EVERY_WAY = [None, "default", "classifier", ["default"], ["aims", "default"]]
DECLARED = """
id: credit
name: Credit
sensitive_features: [{name: sex}, {name: age, bins: [40]}]
thresholds: [{id: min-accuracy, metric: accuracy, min: 0.5, min_rows: 10}]
"""


@pytest.fixture
def frame() -> pd.DataFrame:
    rows = np.random.default_rng(0).normal(size=(120, 2))
    data = pd.DataFrame(rows, columns=["income", "debt"])
    data["age"] = np.arange(120) % 60 + 18
    data["label"] = (data.income - data.debt + rows[::-1, 0] > 0).astype(int)
    return data


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """What reached the spool, in a governed process whose hook is tested elsewhere."""
    monkeypatch.chdir(tmp_path)
    for name in ("AIMS_SYSTEM", "AIMS_PROFILE", "AIMS_DISABLE", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    systems = tmp_path / "governance" / "systems"
    systems.mkdir(parents=True)
    (systems / "credit.yaml").write_text(DECLARED, "utf-8")
    monkeypatch.setenv("AIMS_SYSTEM", "credit")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    # The experiment that a test chose stays chosen, in a variable and in the environment.
    monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", None)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    monkeypatch.setattr(evaluated, "install", lambda: True)
    found: list[tuple[str, dict]] = []
    watch = evaluated.watch
    monkeypatch.setattr(watch, "evaluated", lambda uri, run_id, body: found.append((run_id, body)))
    monkeypatch.setattr(watch, "gap", lambda uri, run_id, why: found.append((run_id, {"gap": why})))
    monkeypatch.setattr(watch, "_warned", set())
    yield found
    mlflow.set_tracking_uri(None)


def table(recorded) -> EvaluationTable:
    ((_, body),) = recorded
    return EvaluationTable.model_validate(body)


def saved(model, folder) -> str:
    mlflow.sklearn.save_model(model, folder, serialization_format="cloudpickle")
    return str(folder)


def config(evaluators):
    if isinstance(evaluators, list):
        return {name: NO_SHAP if name == "default" else {} for name in evaluators}
    return NO_SHAP


@pytest.mark.parametrize("evaluators", EVERY_WAY, ids=str)
def test_however_it_is_called_it_predicts_once_and_feeds_the_report(
    recorded, frame, evaluators, monkeypatch
):
    calls = []

    def model(data):
        calls.append(len(data))
        return (data["income"] > data["debt"]).astype(int).to_numpy()

    def evaluate():
        return mlflow.models.evaluate(
            model,
            frame,
            targets="label",
            model_type="classifier",
            evaluators=evaluators,
            evaluator_config=config(evaluators),
        )

    with mlflow.start_run() as run:
        with_plugin = evaluate()
    assert calls == [120]
    assert [run_id for run_id, _ in recorded] == [run.info.run_id]
    monkeypatch.setattr(evaluator, "_governed", lambda: False)
    with mlflow.start_run():
        without = evaluate()
    assert with_plugin.metrics == without.metrics
    assert sorted(with_plugin.artifacts) == sorted(without.artifacts)
    assert len(recorded) == 1
    right = with_plugin.metrics["true_positives"] + with_plugin.metrics["true_negatives"]
    assert sum(n for t, p, n in table(recorded).overall.counts if t == p) == right


def test_probabilities_declared_groups_and_the_name_of_the_dataset_are_taken(
    recorded, frame, tmp_path
):
    fitted = LogisticRegression().fit(frame[["income", "debt", "age"]], frame.label)
    data = mlflow.data.from_pandas(frame, targets="label", name="test-2026-10")
    result = mlflow.models.evaluate(
        saved(fitted, tmp_path / "model"),
        data,
        model_type="classifier",
        evaluators="default",
        evaluator_config=NO_SHAP,
    )
    found = table(recorded)
    assert (found.dataset, found.task, found.n, found.positive_label) == (
        "test-2026-10",
        "binary",
        120,
        "1",
    )
    assert found.overall.exact["roc_auc"] == pytest.approx(result.metrics["roc_auc"], abs=1e-12)
    assert found.overall.exact["log_loss"] == pytest.approx(result.metrics["log_loss"], abs=1e-12)
    assert [t.features for t in found.tables] == [("age",)]
    assert found.absent_features == ("sex",)


def test_a_run_of_its_own_is_used_where_none_is_open(recorded, frame):
    static = frame.assign(guess=frame.label)
    mlflow.models.evaluate(
        data=static, targets="label", predictions="guess", model_type="classifier"
    )
    ((run_id, _),) = recorded
    assert mlflow.get_run(run_id).data.metrics["accuracy_score"] == 1
    assert table(recorded).tables[0].features == ("age",)


def test_a_static_regression_is_scored_as_mlflow_does(recorded, frame):
    static = frame.assign(guess=frame.debt + 0.25)
    result = mlflow.models.evaluate(
        data=static.drop(columns="label"),
        targets="debt",
        predictions="guess",
        model_type="regressor",
        evaluators="default",
    )
    found = table(recorded)
    assert found.task == "regression"
    assert found.overall.sums.abs_error / found.n == pytest.approx(
        result.metrics["mean_absolute_error"], abs=1e-12
    )


def test_a_regression_of_whole_numbers_stays_one(recorded, frame, tmp_path):
    fitted = LinearRegression().fit(frame[["income"]], frame.age)
    mlflow.models.evaluate(
        saved(fitted, tmp_path / "model"),
        frame[["income", "age"]],
        targets="age",
        model_type="regressor",
        evaluator_config=NO_SHAP,
    )
    assert table(recorded).task == "regression"


@pytest.mark.parametrize("classes", [3, 2])
def test_the_classes_that_are_listed_count_as_classes(recorded, frame, classes):
    names = np.array(["low", "mid", "high"])
    static = frame[["income"]].assign(band=names[frame.age % classes], guess="low")
    mlflow.models.evaluate(
        data=static,
        targets="band",
        predictions="guess",
        model_type="classifier",
        evaluators="default",
        evaluator_config={**NO_SHAP, "label_list": ["high", "low", "mid"]},
    )
    assert table(recorded).task == "multiclass"


def test_mlflows_positive_label_is_taken_where_none_is_declared(recorded, frame):
    static = frame[["income"]].assign(y=frame.label.map({0: "bad", 1: "good"}), guess="bad")
    mlflow.models.evaluate(
        data=static,
        targets="y",
        predictions="guess",
        model_type="classifier",
        evaluators="default",
        evaluator_config={**NO_SHAP, "pos_label": "bad"},
    )
    assert table(recorded).positive_label == "bad"


def test_sensitive_features_are_named_in_the_config_or_given_beside_the_data(recorded, frame):
    static = frame.assign(guess=0, region=np.where(frame.age > 40, "north", "south"))
    sex = pd.DataFrame({"sex": np.where(frame.income > 0, "F", "M")})
    for given in (["region"], "region", sex):
        mlflow.models.evaluate(
            data=static,
            targets="label",
            predictions="guess",
            model_type="classifier",
            evaluators="default",
            evaluator_config={**NO_SHAP, "aims": {"sensitive_features": given}},
        )
    singles = [
        {t["features"][0] for t in body["tables"] if len(t["features"]) == 1}
        for _, body in recorded
    ]
    assert singles == [{"age", "region"}, {"age", "region"}, {"age", "sex"}]


def test_arrays_have_the_names_that_mlflow_gives_their_columns(recorded):
    x = np.tile([[0.0, 1.0], [1.0, 0.0]], (20, 1))
    mlflow.models.evaluate(
        lambda data: (data["f0"] > 0).astype(int).to_numpy(),
        x,
        targets=np.tile([0, 1], 20),
        feature_names=["f0", "f1"],
        model_type="classifier",
        evaluators="default",
        evaluator_config={**NO_SHAP, "aims": {"sensitive_features": ["f1"]}},
    )
    assert table(recorded).tables[0].features == ("f1",)


def test_bad_input_is_a_problem_on_the_report_and_mlflow_goes_on(recorded, frame, capsys):
    result = mlflow.models.evaluate(
        data=frame.assign(guess=0),
        targets="label",
        predictions="guess",
        model_type="classifier",
        evaluators="default",
        evaluator_config={**NO_SHAP, "aims": {"sensitive_features": ["sexx"]}},
    )
    assert result.metrics["example_count"] == 120
    ((_, body),) = recorded
    assert body["schema_version"] == "aims.evaluation_problem/1"
    assert "sexx" in body["problem"]
    error = capsys.readouterr().err
    assert error.count("aims:") == 1
    assert "income" in error


def test_a_defect_of_ours_is_a_gap_and_mlflow_goes_on(recorded, frame, capsys, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("row 7 was 4711")

    monkeypatch.setattr("aims_mlflow.monitors.tables.aggregate", broken)
    result = mlflow.models.evaluate(
        data=frame.assign(guess=0),
        targets="label",
        predictions="guess",
        model_type="classifier",
        evaluators="default",
    )
    assert result.metrics["example_count"] == 120
    ((_, body),) = recorded
    assert "RuntimeError" in body["gap"]
    assert "4711" not in body["gap"]
    assert capsys.readouterr().err.count("aims:") == 1


def test_named_alone_it_predicts_itself_as_mlflow_would(recorded, frame, tmp_path):
    fitted = LogisticRegression().fit(frame[["income", "debt"]], frame.label)
    result = mlflow.models.evaluate(
        saved(fitted, tmp_path / "model"),
        frame[["income", "debt", "label"]],
        targets="label",
        model_type="classifier",
        evaluators="aims",
    )
    assert (result.metrics, result.artifacts) == ({}, {})
    assert 0 < table(recorded).overall.exact["roc_auc"] <= 1


def test_the_evaluation_belongs_to_the_run_it_was_made_for(recorded, frame):
    client = mlflow.MlflowClient()
    other = client.create_run("0").info.run_id
    data = EvaluationDataset(
        frame.assign(guess=0), targets="label", name="later", predictions="guess"
    )
    with mlflow.start_run():
        evaluator.AimsEvaluator().evaluate(
            model_type="classifier", dataset=data, run_id=other, evaluator_config={}
        )
    ((run_id, body),) = recorded
    assert (run_id, body["dataset"]) == (other, "later")


def test_shap_is_not_switched_on_and_its_failure_leaves_the_evaluation(
    recorded, frame, monkeypatch
):
    bundles = base.resolve_evaluators_and_configs(None, None, "classifier")
    assert [bundle.name for bundle in bundles] == ["classifier", "aims", "shap"]
    bundles = base.resolve_evaluators_and_configs(None, NO_SHAP, "classifier")
    assert [bundle.name for bundle in bundles] == ["classifier", "aims"]

    def fails(self, *args, **kwargs):
        raise ValueError("no SHAP for text")

    monkeypatch.setattr(ShapEvaluator, "_evaluate", fails)
    with pytest.raises(ValueError, match="no SHAP for text"):
        mlflow.models.evaluate(
            data=frame.assign(guess=0),
            targets="label",
            predictions="guess",
            model_type="classifier",
        )
    assert table(recorded).n == 120


def test_what_cannot_be_evaluated_still_says_so(recorded, frame):
    with pytest.raises(mlflow.MlflowException, match="could not be evaluated"):
        mlflow.models.evaluate(
            data=frame.assign(guess="x"),
            targets="label",
            predictions="guess",
            model_type="classifier",
            evaluators=["shap"],
            evaluator_config={"shap": NO_SHAP},
        )


@pytest.mark.parametrize("model_type", ["text", "question-answering", "retriever", None, 7])
def test_other_kinds_of_models_are_left_alone(recorded, model_type):
    can = evaluator.AimsEvaluator.can_evaluate(model_type=model_type, evaluator_config={})
    assert can is False


def process(folder, code, **extra):
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    (folder / "evaluate.py").write_text(textwrap.dedent(code), "utf-8")
    return subprocess.run(
        [sys.executable, "evaluate.py"],
        cwd=folder,
        env={**keep, "AIMS_EXIT_TIMEOUT": "60", **extra},
        capture_output=True,
        text=True,
        timeout=200,
    )


SCRIPT = """
import json, sys
import mlflow, pandas as pd
data = pd.DataFrame({"age": range(20, 60), "y": [0, 1] * 20, "guess": [0, 1] * 20})
result = mlflow.models.evaluate(
    data=mlflow.data.from_pandas(data, targets="y", predictions="guess", name="holdout"),
    model_type="classifier", evaluators="default",
)
print(json.dumps(result.metrics, sort_keys=True, default=float))
print("shap" in sys.modules, "fairlearn" in sys.modules)
"""


def test_a_governed_script_that_only_evaluates_has_a_judged_report(tmp_path):
    systems = tmp_path / "governance" / "systems"
    systems.mkdir(parents=True)
    (systems / "credit.yaml").write_text(DECLARED, "utf-8")
    governed = process(tmp_path, SCRIPT, AIMS_SYSTEM="credit")
    assert governed.returncode == 0, governed.stderr
    with Ledger.open(f"sqlite:///{tmp_path / 'aims.db'}") as ledger:
        (report,) = [e.evidence.body for e in ledger.entries(kind=EvidenceKind.EVALUATION_REPORT)]
    assert report["verdict"] == "PASS"
    assert report["datasets"][0]["name"] == "holdout"
    assert report["datasets"][0]["digest"]
    disabled = process(tmp_path, SCRIPT, AIMS_DISABLE="1")
    assert disabled.stdout == governed.stdout
    assert json.loads(disabled.stdout.splitlines()[0])["example_count"] == 40


def test_merely_installed_nothing_is_recorded(tmp_path):
    done = process(tmp_path, SCRIPT)
    assert done.returncode == 0, done.stderr
    assert "aims" not in done.stderr
    assert not (tmp_path / ".aims").exists()
