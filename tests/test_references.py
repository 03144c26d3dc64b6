"""Reference statistics: saved by training processes, found again by monitors, naming no row."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from aims_mlflow.errors import SourceError, UsageError
from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.governance.monitoring import Monitor
from aims_mlflow.governance.system import AISystem
from aims_mlflow.ledger.log import Ledger
from aims_mlflow.monitors.reference_summary import reference_summary
from aims_mlflow.monitors.summaries import DataSummary
from aims_mlflow.references import find_reference, is_saved
from aims_mlflow.tracking import Tracking

pytestmark = pytest.mark.usefixtures("blank_store")

DECLARED = """
id: loans
name: Loans
mlflow: {experiments: [loans], registered_models: [loans], production_alias: champion}
"""
RULE = "reference: {dataset: applications, target: default, min_count: 20}\n"
PREAMBLE = """
import os
import mlflow, numpy as np, pandas as pd, polars as pl
import aims_mlflow
mlflow.set_experiment("loans")
rng = np.random.default_rng(0)
n = 400
frame = pd.DataFrame({
    "age": rng.integers(18, 90, n),
    "income": rng.lognormal(10, 1, n),
    "purpose": rng.choice(["car", "house"], n),
    "default": rng.integers(0, 2, n),
})
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    systems = tmp_path / "governance" / "systems"
    systems.mkdir(parents=True)
    (systems / "loans.yaml").write_text(DECLARED, "utf-8")
    return tmp_path


def environment(**extra: str) -> dict[str, str]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    return {**keep, "AIMS_EXIT_TIMEOUT": "60", **extra}


def started(project: Path, code: str, **extra: str) -> subprocess.Popen[str]:
    (project / "train.py").write_text(PREAMBLE + textwrap.dedent(code), "utf-8")
    return subprocess.Popen(
        [sys.executable, "train.py"],
        cwd=project,
        env=environment(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def trained(project: Path, code: str, **extra: str) -> str:
    """What a script that ends well says on standard error."""
    process = started(project, code, **extra)
    _out, told = process.communicate(timeout=200)
    assert process.returncode == 0, told
    return told


def aims(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aims_mlflow", *arguments],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
    )


def tracking(project: Path) -> Tracking:
    return Tracking(f"sqlite:///{project / 'mlflow.db'}")


def runs(project: Path) -> list[str]:
    return [run.info.run_id for run in tracking(project).runs()]


def saved(project: Path, run_id: str | None = None) -> dict[str, DataSummary]:
    """The references of a run, of the only one unless named, by their file."""
    if run_id is None:
        (run_id,) = runs(project)
    store = tracking(project)
    return {
        path: DataSummary.model_validate_json(store.read(run_id, path))
        for path in store.files(run_id, "aims/reference")
    }


def sealed(project: Path) -> list[str]:
    with Ledger.open(f"sqlite:///{project / 'aims.db'}") as ledger:
        return [entry.evidence.id for entry in ledger.entries()]


def gaps(project: Path) -> list[str]:
    with Ledger.open(f"sqlite:///{project / 'aims.db'}") as ledger:
        entries = ledger.entries(kind=EvidenceKind.GAP, current=True)
        return [str(entry.evidence.body) for entry in entries]


def values(summary: DataSummary, name: str) -> dict:
    column = summary.column(name)
    assert column is not None
    return dict(column.values or ())


def test_a_training_script_saves_counts_with_its_run_and_its_evidence_stays_the_same(project):
    told = trained(
        project,
        """
        with mlflow.start_run():
            returned = aims_mlflow.log_reference(frame, target="default")
        print(returned.digest())
        """,
    )
    assert "gap" not in told
    ((path, summary),) = saved(project).items()
    assert path == "aims/reference/reference.json"
    assert summary.n == 400
    assert summary.roles == {"target": "default"}
    assert summary.suppressed_below == 10
    assert sum(values(summary, "purpose").values()) == 400
    before = sealed(project)
    assert len(before) > 3
    assert aims(project, "sync").returncode == 0
    assert sealed(project) == before


def test_governed_functions_threads_and_resumed_runs_keep_their_own_reference(project):
    trained(
        project,
        """
        import threading

        @aims_mlflow.govern("loans")
        def without_a_run():
            aims_mlflow.log_reference(frame[:100])

        @aims_mlflow.govern("loans")
        def in_a_thread():
            with mlflow.start_run(run_name="threaded"):
                worker = threading.Thread(target=aims_mlflow.log_reference, args=(frame[:200],))
                worker.start()
                worker.join()

        without_a_run()
        in_a_thread()
        with mlflow.start_run(run_name="resumed") as run:
            pass
        with mlflow.start_run(run_id=run.info.run_id):
            aims_mlflow.log_reference(frame[:300])
        """,
    )
    store = tracking(project)
    found = {
        run.info.run_name: [s.n for s in saved(project, run.info.run_id).values()]
        for run in store.runs()
    }
    assert found == {"without_a_run": [100], "threaded": [200], "resumed": [300]}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("frame, target='defualt'", "has no column 'defualt'. Name some of: default"),
        ("[1, 2, 3]", "cannot be made of a list"),
        ("None", "cannot be made of a NoneType"),
        ("frame, name='../../escape'", "cannot save under the name"),
        ("frame, name='automatic'", "cannot save under the name"),
        ("frame, min_count=0", "min_count is 0"),
        ("frame, columns='age'", "columns is no list of names"),
        ("'nowhere.parquet'", "nowhere.parquet"),
        ("'broken.parquet'", "broken.parquet"),
    ],
)
def test_bad_input_is_a_line_and_a_gap_and_training_goes_on(project, call, told):
    (project / "broken.parquet").write_bytes(b"PAR1 no more")
    said = trained(
        project,
        f"""
        with mlflow.start_run():
            assert aims_mlflow.log_reference({call}) is None
            mlflow.log_metric("accuracy", 0.9)
        """,
    )
    assert told in said
    assert saved(project) == {}
    assert len(gaps(project)) == 1
    assert "Traceback" not in said


def test_bad_input_raises_where_that_is_wanted_and_without_a_run_it_is_told(project):
    said = trained(
        project,
        """
        from aims_mlflow.errors import UsageError
        aims_mlflow.log_reference(frame)
        os.environ["AIMS_STRICT"] = "1"
        with mlflow.start_run():
            try:
                aims_mlflow.log_reference(frame, target="x")
            except UsageError as error:
                print("raised", error.message)
            else:
                raise SystemExit(3)
        """,
    )
    assert "no active MLflow run" in said


def test_a_process_killed_after_the_call_leaves_the_reference_to_sync(project):
    process = started(
        project,
        """
        import time
        mlflow.start_run()
        aims_mlflow.log_reference(frame)
        print("saved", flush=True)
        time.sleep(600)
        """,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "saved\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert aims(project, "sync").returncode == 0
    (summary,) = saved(project).values()
    assert summary.n == 400


@pytest.mark.parametrize(
    "dataset",
    [
        "mlflow.data.from_pandas(frame, name='applications', targets='default')",
        "mlflow.data.from_polars(pl.from_pandas(frame), name='applications')",
    ],
)
def test_a_logged_dataset_becomes_the_reference_as_it_was_when_it_was_logged(project, dataset):
    (project / "governance/systems/loans.yaml").write_text(DECLARED + RULE, "utf-8")
    trained(
        project,
        f"""
        dataset = {dataset}
        with mlflow.start_run():
            mlflow.log_input(dataset, context="training")
            mlflow.log_input(mlflow.data.from_pandas(frame[:9], name="other"))
            if isinstance(dataset.df, pd.DataFrame):
                dataset.df["purpose"] = "mutated"
                dataset.df.loc[:, "default"] = 7
            else:
                dataset.df[0, "age"] = 4711
                dataset.df.drop_in_place("age")
        """,
    )
    ((path, summary),) = saved(project).items()
    assert path == "aims/reference/automatic.json"
    assert (summary.n, summary.suppressed_below) == (400, 20)
    assert summary.roles["target"] == "default"
    assert set(values(summary, "purpose")) == {"car", "house"}
    assert summary.column("age") is not None
    assert any("applications" in note for note in summary.notes)


def test_autologging_makes_the_reference_of_arrays_and_keeps_what_training_changes(project):
    rule = "reference: {dataset: dataset, min_count: 5}\n"
    (project / "governance/systems/loans.yaml").write_text(DECLARED + rule, "utf-8")
    trained(
        project,
        """
        from sklearn.linear_model import LogisticRegression
        mlflow.sklearn.autolog(log_models=False)
        frame = pd.concat([frame] * 25)
        x, y = frame[["age", "income"]].to_numpy(), frame["default"].to_numpy(copy=True)
        with mlflow.start_run():
            LogisticRegression().fit(x, y)
            x[:] = -1e9
            y[:] = 7
        """,
    )
    (summary,) = saved(project).values()
    assert [column.name for column in summary.columns] == ["0", "1", "target"]
    assert summary.roles == {"target": "target"}
    assert set(values(summary, "target")) == {0, 1}
    age = summary.column("0")
    assert age is not None
    assert 18 <= float(age.mean or 0) <= 90


def test_what_a_person_saves_goes_before_the_logged_dataset(project):
    (project / "governance/systems/loans.yaml").write_text(DECLARED + RULE, "utf-8")
    trained(
        project,
        """
        with mlflow.start_run():
            mlflow.log_input(mlflow.data.from_pandas(frame, name="applications"))
            aims_mlflow.log_reference(frame[:123])
        """,
    )
    assert {path: s.n for path, s in saved(project).items()} == {
        "aims/reference/reference.json": 123
    }


def test_a_dataset_that_cannot_be_counted_is_a_gap_that_says_what_to_do(project):
    rule = "reference: {dataset: applications, target: nowhere}\n"
    (project / "governance/systems/loans.yaml").write_text(DECLARED + rule, "utf-8")
    trained(
        project,
        """
        with mlflow.start_run():
            mlflow.log_input(mlflow.data.from_pandas(frame, name="applications"))
        """,
    )
    assert saved(project) == {}
    (gap,) = gaps(project)
    assert "applications" in gap
    assert "has no column 'nowhere'" in gap


def test_data_that_is_too_large_to_be_copied_is_left_to_the_person(project):
    (project / "governance/systems/loans.yaml").write_text(DECLARED + RULE, "utf-8")
    trained(
        project,
        """
        from aims_mlflow.plugins import datasets
        datasets.MAX_COPIED = 1000
        with mlflow.start_run():
            mlflow.log_input(mlflow.data.from_numpy(np.ones((500, 3)), name="applications"))
        """,
    )
    assert saved(project) == {}
    (gap,) = gaps(project)
    assert "log_reference" in gap


def test_a_process_killed_before_it_counted_its_dataset_leaves_a_gap(project):
    (project / "governance/systems/loans.yaml").write_text(DECLARED + RULE, "utf-8")
    process = started(
        project,
        """
        import time
        from aims_mlflow import watch
        watch._QUIET = watch._MAX_WAIT = 600.0
        mlflow.start_run()
        mlflow.log_input(mlflow.data.from_pandas(frame, name="applications"))
        print("logged", flush=True)
        time.sleep(600)
        """,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "logged\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    aims(project, "sync")
    assert saved(project) == {}
    assert any("ended before they were counted" in gap for gap in gaps(project))


def test_a_broken_counter_never_stops_the_logging_of_a_dataset(project):
    (project / "governance/systems/loans.yaml").write_text(DECLARED + RULE, "utf-8")
    trained(
        project,
        """
        from aims_mlflow.plugins import datasets
        def broken(dataset):
            raise RuntimeError("row of Ada Lovelace")
        datasets._rows = broken
        with mlflow.start_run() as run:
            mlflow.log_input(mlflow.data.from_pandas(frame, name="applications"))
        assert len(mlflow.get_run(run.info.run_id).inputs.dataset_inputs) == 1
        """,
    )
    assert "Lovelace" not in str(gaps(project))


HOSTILE = {
    "email": [f"person{i}@example.org" for i in range(300)],
    "diagnosis": ["common"] * 280 + [f"very rare disease {i // 4}" for i in range(20)],
    "note": ["<script>alert(1)</script>"] * 300,
    "salary": [*np.linspace(1000, 2000, 299), 987654321.125],
    "visits": [1] * 297 + [4711] * 3,
    "api_key": ["hunter2-hunter2"] * 300,
    "text": ["word " * 200] * 150 + ["ghp_" + "a1B2" * 10] * 150,
}
UNSAYABLE = (
    "example.org", "very rare", "987654321", "4711", "hunter2", "word word", "ghp_a1B2",
)  # fmt: skip


@pytest.mark.parametrize("library", ["pandas", "polars", "lazy", "arrow", "categorical", "enum"])
def test_nothing_that_names_a_person_is_saved(library):
    frame = pd.DataFrame(HOSTILE)
    native = {
        "pandas": lambda: frame,
        "polars": lambda: pl.DataFrame(HOSTILE),
        "lazy": lambda: pl.LazyFrame(HOSTILE),
        "arrow": lambda: pa.table(HOSTILE),
        "categorical": lambda: frame.astype({"diagnosis": "category", "email": "category"}),
        "enum": lambda: pl.DataFrame(HOSTILE).with_columns(
            pl.col("diagnosis").cast(pl.Enum(sorted(set(HOSTILE["diagnosis"])))),
        ),
    }[library]()
    text = reference_summary(native, roles={"target": "diagnosis"}).model_dump_json()
    assert [word for word in UNSAYABLE if word in text] == []
    assert "common" in text


def test_the_counts_add_up_and_survive_the_way_through_a_file():
    frame = pl.DataFrame({"a": [0.5, float("nan"), None] * 50, "b": [True, False, None] * 50})
    summary = reference_summary(frame, roles={"prediction": "b"}, columns=["a"], min_count=3)
    assert [column.name for column in summary.columns] == ["a", "b"]
    again = DataSummary.model_validate_json(summary.model_dump_json())
    assert again.digest() == summary.digest()
    assert [(c.n, c.missing) for c in again.columns] == [(150, 100), (150, 50)]


def test_statistics_too_large_to_read_back_are_refused(monkeypatch):
    monkeypatch.setattr("aims_mlflow.monitors.reference_summary.MAX_BYTES", 1000)
    with pytest.raises(UsageError, match="columns take"):
        reference_summary(pl.DataFrame({f"c{i}": list(range(100)) for i in range(20)}))


def test_what_an_engine_says_of_a_value_is_neither_told_nor_sealed():
    broken = pl.LazyFrame({"a": ["Ada Lovelace"] * 30}).with_columns(pl.col("a").cast(pl.Int64))
    with pytest.raises(SourceError) as caught:
        reference_summary(broken)
    assert "Lovelace" not in caught.value.message
    assert "Lovelace" not in caught.value.diagnostics()
    assert "column 'a'" in caught.value.diagnostics()


def test_columns_that_cannot_be_told_apart_are_refused():
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(SourceError, match="columns"):
        reference_summary(twice)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracking:
    """A store of this process, whose runs no hook captures."""
    monkeypatch.setenv("AIMS_DISABLE", "1")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    yield Tracking(uri)
    mlflow.set_tracking_uri(None)


SYSTEM = AISystem.model_validate(
    {
        "id": "loans",
        "name": "Loans",
        "mlflow": {"registered_models": ["loans"], "production_alias": "champion"},
    }
)


def found(store: Tracking, reference: str | None = None, system: AISystem = SYSTEM):
    declared = {"kind": "drift", "schedule": "0 6 * * *", "reference": reference}
    return find_reference(store, system, Monitor.model_validate(declared))


def version(store: Tracking, *references: tuple[str, object], alias: str | None = None) -> str:
    """A registered version whose run has these files; its run's id."""
    client = mlflow.MlflowClient(store.uri)
    run_id = client.create_run("0").info.run_id
    files = {
        f"aims/reference/{name}.json": data
        if isinstance(data, bytes)
        else data.model_dump_json().encode()
        for name, data in references
    }
    if files:
        store.write(run_id, files)
    try:
        client.create_registered_model("loans")
    except mlflow.MlflowException:
        assert client.get_registered_model("loans")
    made = client.create_model_version("loans", f"runs:/{run_id}/model", run_id)
    if alias:
        client.set_registered_model_alias("loans", alias, made.version)
    return run_id


def summary(rows: int = 60) -> DataSummary:
    return reference_summary(pl.DataFrame({"age": [20, 30, 40] * (rows // 3)}))


def test_the_reference_of_the_version_in_production_is_found_with_its_evaluations(store):
    from aims_mlflow.monitors.tables import aggregate

    version(store, ("reference", summary(30)))
    run_id = version(store, ("reference", summary()), alias="champion")
    table = aggregate([0, 1] * 20, [0, 1] * 20, dataset="test")
    store.write_input(run_id, "evaluation-1.json", table.model_dump_json().encode())
    store.write_input(run_id, "environment.json", b"{}")
    one = found(store)
    assert one.summary is not None
    assert one.summary.n == 60
    assert (one.run_id, one.model_version, one.other_version) == (run_id, "loans/2", False)
    assert one.uri == f"runs:/{run_id}/aims/reference/reference.json"
    assert [t.dataset for t in one.tables] == ["test"]
    assert one.reason == ""
    of_source = found(store, "data/*.parquet")
    assert (of_source.summary, of_source.tables) == (None, one.tables)
    assert of_source.production == "loans/2"


def test_evaluations_are_found_where_no_statistics_were_saved(store):
    from aims_mlflow.monitors.tables import aggregate

    run_id = version(store, alias="champion")
    table = aggregate([0, 1] * 20, [0, 1] * 20, dataset="test")
    store.write_input(run_id, "evaluation-1.json", table.model_dump_json().encode())
    one = found(store)
    assert (one.summary, one.model_version) == (None, "loans/1")
    assert [t.dataset for t in one.tables] == ["test"]
    assert "log_reference" in one.reason


def test_a_reference_can_be_named_by_run_version_and_alias(store):
    old = version(store, ("reference", summary(30)))
    version(store, ("reference", summary()), alias="champion")
    for reference in (f"runs:/{old}", "models:/loans/1", f"runs:/{old}/reference"):
        one = found(store, reference)
        assert one.summary is not None
        assert (one.summary.n, one.model_version, one.other_version) == (30, "loans/1", True)
        assert one.production == "loans/2"
        assert "not of loans/2" in " ".join(one.notes)
    current = found(store, "models:/loans@champion")
    assert (current.model_version, current.other_version, current.notes) == ("loans/2", False, ())


def test_which_of_several_references_of_a_run_is_taken(store):
    run_id = version(store, ("reference", summary(30)), ("automatic", summary()), alias="champion")
    assert found(store).summary.n == 30
    assert found(store, f"runs:/{run_id}/automatic").summary.n == 60
    assert "none named 'x'" in found(store, f"runs:/{run_id}/x").reason
    version(store, ("winter", summary(30)), ("automatic", summary()), alias="champion")
    assert found(store).summary.n == 30
    version(store, ("winter", summary(30)), ("summer", summary()), alias="champion")
    several = found(store)
    assert several.summary is None
    assert "summer, winter" in several.reason


DAMAGED = {
    "torn": lambda good: good[: len(good) // 2],
    "text": lambda good: b"\xff\xfe no JSON",
    "empty": lambda good: b"",
    "other": lambda good: good.replace(b"aims.data_summary/1", b"aims.data_summary/9"),
    "negative": lambda good: good.replace(b'"n":60', b'"n":-60'),
    "counts": lambda good: good.replace(b",20]", b",2000]"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_reference_is_told_and_never_used(store, damage):
    data = DAMAGED[damage](summary().model_dump_json().encode())
    version(store, ("reference", data), alias="champion")
    one = found(store)
    assert one.summary is None
    assert "cannot be used" in one.reason
    assert "log_reference" in one.reason


def test_a_reference_of_too_few_rows_to_name_any_says_so(store):
    version(store, ("reference", summary(6)), alias="champion")
    one = found(store)
    assert one.summary is None
    assert "10 rows have in common" in one.reason


def test_what_is_missing_is_told_with_what_to_do(store):
    assert "alias 'champion'" in found(store).reason
    bare = AISystem(id="loans", name="Loans")
    assert "production_alias" in found(store, system=bare).reason
    run_id = version(store, alias="champion")
    assert "no reference statistics" in found(store).reason
    assert "log_reference" in found(store).reason
    assert found(store).run_id == run_id
    assert "does not exist" in found(store, "models:/loans/99").reason.replace(
        "not found", "does not exist"
    )
    assert "'shadow'" in found(store, "models:/loans@shadow").reason
    assert "nobody" in found(store, "models:/nobody@champion").reason
    assert "runs:/<run id>" in found(store, "models:/loans").reason
    assert found(store, "runs:/" + "0" * 32).summary is None
    unknown = found(store, f"runs:/{version(store, ('reference', summary()))}", bare)
    assert unknown.summary is not None
    assert unknown.other_version is False
    assert "unknown" in unknown.notes[0]


def test_an_mlflow_that_does_not_answer_is_a_reason(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    nobody = Tracking("http://ada:hunter2@127.0.0.1:1")
    for reference in (None, "runs:/" + "0" * 32, "models:/loans/1"):
        one = found(nobody, reference)
        assert one.summary is None
        assert "try again" in one.reason
        assert "hunter2" not in one.reason


def test_a_source_is_no_saved_reference():
    assert is_saved(None)
    assert is_saved("runs:/1")
    assert not is_saved("data/*.parquet")


def test_what_a_damaged_evaluation_holds_is_a_note(store):
    run_id = version(store, ("reference", summary()), alias="champion")
    store.write_input(run_id, "evaluation-1.json", b"[]")
    store.write_input(run_id, "evaluation-2.json", json.dumps({"problem": "no rows"}).encode())
    one = found(store)
    assert one.summary is not None
    assert one.tables == ()
    assert one.notes
