"""The decorator: what a person sees of it, on every kind of function."""

import asyncio
import inspect
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import aims_mlflow
from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.ledger.log import Ledger
from aims_mlflow.scope import Scope, current_system, entered

pytestmark = pytest.mark.usefixtures("blank_store")


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    """A store and a spool of the test's own; the hook itself is tested in processes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setattr("aims_mlflow.api.governing._begin", lambda: "open")
    monkeypatch.delenv("AIMS_SYSTEM", raising=False)


def test_a_plain_function_keeps_signature_result_and_exception():
    @aims_mlflow.govern("credit")
    def train(depth: int, *, rate: float = 0.1) -> str:
        """Doc."""
        if depth < 0:
            raise ValueError("negative depth")
        return f"{current_system()}-{depth}"

    assert train(3) == "credit-3"
    assert str(inspect.signature(train)) == "(depth: int, *, rate: float = 0.1) -> str"
    assert (train.__name__, train.__doc__) == ("train", "Doc.")
    with pytest.raises(ValueError, match="negative depth"):
        train(-1)
    assert current_system() is None


def test_an_async_function_stays_one_and_tasks_do_not_mix():
    @aims_mlflow.govern("a")
    async def first():
        await asyncio.sleep(0.01)
        return current_system()

    @aims_mlflow.govern("b")
    async def second():
        await asyncio.sleep(0.005)
        return current_system()

    async def both():
        return await asyncio.gather(first(), second(), first())

    assert inspect.iscoroutinefunction(first)
    assert asyncio.run(both()) == ["a", "b", "a"]


def test_a_generator_is_governed_only_while_its_own_code_runs():
    @aims_mlflow.govern("steps")
    def epochs():
        received = yield current_system()
        try:
            yield received
        except KeyError:
            yield "caught"
        return "done"

    steps = epochs()
    assert next(steps) == "steps"
    assert current_system() is None
    assert steps.send("sent") == "sent"
    assert steps.throw(KeyError("x")) == "caught"
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert stop.value.value == "done"


def test_closing_a_generator_closes_the_inner_one():
    seen = []

    @aims_mlflow.govern("steps")
    def epochs():
        try:
            yield 1
        finally:
            seen.append(current_system())

    steps = epochs()
    next(steps)
    steps.close()
    assert seen == ["steps"]


def test_an_async_generator_is_governed_too():
    @aims_mlflow.govern("stream")
    async def epochs():
        for number in range(3):
            yield (number, current_system())

    async def collect():
        found = []
        async for item in epochs():
            assert current_system() is None
            found.append(item)
        return found

    assert asyncio.run(collect()) == [(0, "stream"), (1, "stream"), (2, "stream")]


def test_a_thread_begun_in_the_function_belongs_to_its_system():
    import threading

    seen = []

    @aims_mlflow.govern("threads")
    def train():
        thread = threading.Thread(target=lambda: seen.append(current_system()))
        thread.start()
        thread.join()

    train()
    assert seen == ["threads"]


def test_the_code_goes_before_the_environment(monkeypatch):
    monkeypatch.setenv("AIMS_SYSTEM", "from-environment")
    assert current_system() == "from-environment"
    with entered(Scope("from-code")):
        assert current_system() == "from-code"
    with entered(Scope(None)):
        assert current_system() == "from-environment"


def test_a_wrong_argument_is_said_at_once():
    with pytest.raises(TypeError, match="id of an AI system"):
        aims_mlflow.govern(3)


def _run(folder: Path, code: str, **extra: str) -> subprocess.CompletedProcess[str]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    (folder / "train.py").write_text(textwrap.dedent(code), "utf-8")
    return subprocess.run(
        [sys.executable, "train.py"],
        cwd=folder,
        env={**keep, "AIMS_EXIT_TIMEOUT": "60", **extra},
        capture_output=True,
        text=True,
        timeout=200,
    )


def _runs(folder: Path) -> list[dict]:
    with Ledger.open(f"sqlite:///{folder / 'aims.db'}") as ledger:
        return [e.evidence.body["run"] for e in ledger.entries(kind=EvidenceKind.RUN_RECORD)]


def test_a_function_without_runs_gets_one_that_lasts_as_long(tmp_path):
    done = _run(
        tmp_path,
        """
        import mlflow, time, aims_mlflow
        @aims_mlflow.govern("no-runs")
        def fit():
            time.sleep(0.3)
        fit()
        """,
    )
    assert "captured 1 run of no-runs" in done.stderr
    (run,) = _runs(tmp_path)
    assert (run["run_name"], run["status"], run["system"]) == ("fit", "FINISHED", "no-runs")
    assert run["started"] < run["ended"]


def test_a_governed_function_never_waits_for_a_server_that_is_down(tmp_path):
    began = time.monotonic()
    done = _run(
        tmp_path,
        """
        import time, aims_mlflow
        @aims_mlflow.govern("offline")
        def fit():
            aims_mlflow.log_evaluation([0, 1], [0, 1])
            return "trained"
        before = time.monotonic()
        print(fit(), time.monotonic() - before < 20)
        """,
        MLFLOW_TRACKING_URI="http://127.0.0.1:9",
        AIMS_EXIT_TIMEOUT="2",
    )
    assert done.stdout.split() == ["trained", "True"], done.stderr
    assert "not captured yet" in done.stderr
    assert time.monotonic() - began < 120  # MLflow's own retries take minutes


def test_an_evaluation_from_a_thread_goes_to_the_run_of_the_function(tmp_path):
    done = _run(
        tmp_path,
        """
        import mlflow, aims_mlflow
        from concurrent.futures import ThreadPoolExecutor
        @aims_mlflow.govern("threads")
        def train():
            with mlflow.start_run(run_name="main"):
                with ThreadPoolExecutor(2) as pool:
                    for name in ("a", "b"):
                        pool.submit(
                            aims_mlflow.log_evaluation, [0, 1] * 20, [0, 1] * 20, dataset=name
                        ).result()
        train()
        """,
    )
    assert "captured 1 run of threads" in done.stderr, done.stderr
    with Ledger.open(f"sqlite:///{tmp_path / 'aims.db'}") as ledger:
        (report,) = ledger.entries(kind=EvidenceKind.EVALUATION_REPORT, current=True)
    assert {s["dataset"] for s in report.evidence.body["scores"]} == {"a", "b"}


def test_a_script_that_changes_its_directory_keeps_its_profile(tmp_path):
    systems = tmp_path / "governance" / "systems"
    systems.mkdir(parents=True)
    (systems / "x.yaml").write_text("id: x\nname: X\nmlflow: {experiments: [exp]}\n", "utf-8")
    done = _run(
        tmp_path,
        """
        import mlflow, os
        mlflow.set_experiment("exp")
        with mlflow.start_run():
            pass
        os.chdir("/")
        """,
        MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path / 'mlflow.db'}",
    )
    assert "captured 1 run of x" in done.stderr


def test_what_is_wrong_with_the_settings_is_said_and_the_profile_stays(tmp_path):
    systems = tmp_path / "governance" / "systems"
    systems.mkdir(parents=True)
    (systems / "x.yaml").write_text("id: x\nname: X\nmlflow: {experiments: [exp]}\n", "utf-8")
    (systems / "y.yaml").write_text("id: Y!\n", "utf-8")
    done = _run(
        tmp_path,
        "import mlflow\nmlflow.set_experiment('exp')\nwith mlflow.start_run():\n    pass",
        AIMS_EXIT_TIMEOUT="soon",
    )
    assert "captured 1 run of x" in done.stderr
    assert "AIMS_EXIT_TIMEOUT='soon'" in done.stderr
    assert "in the governance profile, run: aims check" in done.stderr


def test_functions_with_runs_of_their_own_get_no_other(tmp_path):
    done = _run(
        tmp_path,
        """
        import mlflow, aims_mlflow
        @aims_mlflow.govern("own")
        def several():
            for name in "ab":
                with mlflow.start_run(run_name=name):
                    pass
        several()
        with mlflow.start_run(run_name="outer"):
            aims_mlflow.govern("own")(lambda: None)()
        print(sorted(r.info.run_name for r in mlflow.MlflowClient().search_runs(["0"])))
        """,
    )
    assert done.stdout.strip() == "['a', 'b', 'outer']", done.stderr


def test_an_evaluation_without_a_run_gets_the_run_of_the_function(tmp_path):
    done = _run(
        tmp_path,
        """
        import mlflow, aims_mlflow
        @aims_mlflow.govern("lazy")
        def evaluate():
            aims_mlflow.log_evaluation([0, 1, 1, 0], [0, 1, 0, 0])
            raise OSError("disk")
        try:
            evaluate()
        except OSError as error:
            print("passed through:", error, mlflow.active_run())
        """,
    )
    assert done.stdout == "passed through: disk None\n", done.stderr
    (run,) = _runs(tmp_path)
    assert (run["status"], run["exception"]) == ("FAILED", "OSError")
    with Ledger.open(f"sqlite:///{tmp_path / 'aims.db'}") as ledger:
        (report,) = ledger.entries(kind=EvidenceKind.EVALUATION_REPORT, current=True)
    assert report.evidence.body["scores"][0]["n"] == 4


def test_bad_evaluations_are_one_line_each_and_training_goes_on(tmp_path):
    done = _run(
        tmp_path,
        """
        import mlflow, aims_mlflow
        aims_mlflow.log_evaluation([0, 1], [0, 1])
        with aims_mlflow.system("bad"), mlflow.start_run():
            aims_mlflow.log_evaluation([0, 1, 1], [0, 1])
            aims_mlflow.log_evaluation([0, None, 1], [0, 1, 1])
            aims_mlflow.log_evaluation(["a", "b", "c"], [0.5, 1.2, 3.3], task="regression")
            aims_mlflow.log_evaluation([], [])
        print("trained")
        """,
    )
    assert done.returncode == 0
    assert done.stdout == "trained\n"
    lines = [line for line in done.stderr.splitlines() if line.startswith("aims: ")]
    assert "no active MLflow run" in lines[0]
    assert len(lines) == 6, lines
    assert "1 gap" in lines[-1]
    assert "Traceback" not in done.stderr


def test_strict_mode_raises(tmp_path):
    done = _run(
        tmp_path,
        """
        import mlflow, aims_mlflow
        with aims_mlflow.system("bad"), mlflow.start_run():
            aims_mlflow.log_evaluation([0, 1, 1], [0, 1])
        """,
        AIMS_STRICT="1",
    )
    assert done.returncode == 1
    assert "EvaluationInputError" in done.stderr
