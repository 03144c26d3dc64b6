"""A run's end is seen however it comes, in real processes with real MLflow stores."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.ledger.log import Ledger

pytestmark = pytest.mark.usefixtures("blank_store")

FIVE = {
    EvidenceKind.MODEL_CARD,
    EvidenceKind.EVALUATION_REPORT,
    EvidenceKind.DATASET_RECORD,
    EvidenceKind.ENVIRONMENT_LOCK,
    EvidenceKind.RUN_RECORD,
}
DECLARED = """
id: tumours
name: Tumours
mlflow: {experiments: [tumours]}
thresholds: [{id: min-accuracy, metric: accuracy, min: 0.5}]
"""
PREAMBLE = """
import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
x, y = load_iris(return_X_y=True, as_frame=True)
"""
AUTOLOG = PREAMBLE + "mlflow.sklearn.autolog()\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    systems = tmp_path / "governance" / "systems"
    systems.mkdir(parents=True)
    (systems / "tumours.yaml").write_text(DECLARED, "utf-8")
    return tmp_path


def environment(**extra: str) -> dict[str, str]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    return {**keep, "AIMS_EXIT_TIMEOUT": "60", **extra}


def run(project: Path, code: str, **extra: str) -> subprocess.CompletedProcess[str]:
    (project / "train.py").write_text(textwrap.dedent(code), "utf-8")
    return subprocess.run(
        [sys.executable, "train.py"],
        cwd=project,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=200,
    )


def sealed(project: Path, kind: EvidenceKind | None = None):
    with Ledger.open(f"sqlite:///{project / 'aims.db'}") as ledger:
        return [e.evidence for e in ledger.entries(kind=kind, current=True)]


def record(project: Path) -> dict:
    (one,) = sealed(project, EvidenceKind.RUN_RECORD)
    return one.body["run"]


def test_an_unchanged_autolog_script_leaves_the_five_documents(project):
    fit = "LogisticRegression(max_iter=500).fit(x, y)"
    done = run(project, AUTOLOG + fit, AIMS_SYSTEM="tumours")
    assert done.returncode == 0
    assert "aims: captured 1 run of tumours" in done.stderr
    found = sealed(project)
    assert {e.kind for e in found} >= FIVE
    assert {e.system for e in found} == {"tumours"}


def test_a_pure_client_script_leaves_the_same_documents(project):
    done = run(
        project,
        PREAMBLE
        + """
from mlflow.entities import DatasetInput, InputTag, Dataset
client = mlflow.MlflowClient()
run = client.create_run(client.create_experiment("tumours"))
data = mlflow.data.from_pandas(x, name="iris")._to_mlflow_entity()
tags = [InputTag("mlflow.data.context", "training")]
client.log_inputs(run.info.run_id, datasets=[DatasetInput(data, tags)])
client.log_metric(run.info.run_id, "loss", float("nan"))
client.set_terminated(run.info.run_id)
""",
    )
    assert done.returncode == 0, done.stderr
    assert {e.kind for e in sealed(project)} >= FIVE
    assert {e.system for e in sealed(project)} == {"tumours"}


def test_parent_and_nested_runs_are_captured_each(project):
    done = run(
        project,
        """
        import mlflow
        mlflow.set_experiment("tumours")
        with mlflow.start_run(run_name="parent"):
            with mlflow.start_run(run_name="child", nested=True):
                mlflow.log_metric("m", 1)
        """,
    )
    assert "captured 2 runs" in done.stderr
    names = {e.subject.name for e in sealed(project, EvidenceKind.MODEL_CARD)}
    assert names == {"parent", "child"}
    child = next(e for e in sealed(project, EvidenceKind.RUN_RECORD) if e.subject.name == "child")
    assert child.body["run"]["parent_run_id"]


def test_an_exception_inside_with_is_in_the_run_record_and_passes_through(project):
    done = run(
        project,
        """
        import mlflow
        with mlflow.start_run():
            raise ZeroDivisionError("secret value 4711")
        """,
        AIMS_SYSTEM="tumours",
    )
    assert done.returncode == 1
    assert "ZeroDivisionError: secret value 4711" in done.stderr
    body = record(project)
    assert (body["status"], body["exception"]) == ("FAILED", "ZeroDivisionError")
    assert "4711" not in json.dumps(body)


def test_an_exception_without_with_is_told_from_success(project):
    done = run(
        project,
        "import mlflow\nmlflow.start_run()\nmlflow.log_metric('m', 1)\nraise KeyError('x')",
        AIMS_SYSTEM="tumours",
    )
    assert done.returncode == 1
    body = record(project)
    assert (body["status"], body["exception"]) == ("FINISHED", "KeyError")
    assert body["ended_by"] == "interpreter exit"


def test_a_script_that_never_ends_its_run_is_captured_and_keeps_its_exit_code(project):
    done = run(
        project,
        "import mlflow, sys\nmlflow.start_run()\nmlflow.log_metric('m', 1)\nsys.exit(3)",
        AIMS_SYSTEM="tumours",
    )
    assert done.returncode == 3
    assert record(project)["ended_by"] == "interpreter exit"


def test_a_killed_process_is_found_by_sync(project):
    (project / "train.py").write_text(
        textwrap.dedent("""
        import mlflow, os, signal, time
        mlflow.set_experiment("tumours")
        with mlflow.start_run(run_name="ended"):
            mlflow.log_metric("m", 1)
        os.kill(os.getpid(), signal.SIGKILL)
        """),
        "utf-8",
    )
    killed = subprocess.run([sys.executable, "train.py"], cwd=project, env=environment())
    assert killed.returncode == -signal.SIGKILL
    done = subprocess.run(
        [sys.executable, "-m", "aims_mlflow", "sync"],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert {e.subject.name for e in sealed(project, EvidenceKind.MODEL_CARD)} == {"ended"}


def test_merely_installed_nothing_happens(tmp_path):
    done = run(tmp_path, "import mlflow\nwith mlflow.start_run():\n    mlflow.log_metric('m', 1)")
    assert done.returncode == 0
    assert "aims" not in done.stderr
    assert not (tmp_path / "aims.db").exists()
    assert not (tmp_path / ".aims").exists()


def test_disabled_by_one_variable(project):
    done = run(
        project,
        "import mlflow\nwith mlflow.start_run():\n    pass",
        AIMS_SYSTEM="tumours",
        AIMS_DISABLE="1",
    )
    assert done.returncode == 0
    assert not (project / "aims.db").exists()


def test_a_profile_alone_governs_and_an_unclaimed_experiment_is_captured_as_such(project):
    done = run(
        project,
        "import mlflow\nmlflow.set_experiment('other')\nwith mlflow.start_run():\n    pass",
    )
    assert "captured 1 run of no declared system" in done.stderr
    assert {e.system for e in sealed(project)} == {None}


def test_a_misspelt_system_is_captured_and_said(project):
    done = run(project, "import mlflow\nwith mlflow.start_run():\n    pass", AIMS_SYSTEM="tumors")
    assert done.returncode == 0
    status = subprocess.run(
        [sys.executable, "-m", "aims_mlflow", "status"],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert "'tumors', which nobody declared" in " ".join(status.stdout.split())
    assert "Did you mean tumours?" in " ".join(status.stdout.split())


@pytest.mark.parametrize("broken", ["not-a-directory", "read-only"])
def test_a_ledger_that_cannot_be_written_never_stops_training(project, broken):
    if broken == "not-a-directory":
        (project / "file").write_text("")
        uri = f"sqlite:///{project / 'file' / 'aims.db'}"
    else:
        uri = "sqlite:////proc/aims.db"
    done = run(
        project,
        "import mlflow\nwith mlflow.start_run():\n    pass\nprint('trained')",
        AIMS_SYSTEM="tumours",
        AIMS_LEDGER_URI=uri,
        AIMS_EXIT_TIMEOUT="5",
    )
    assert done.returncode == 0
    assert "trained" in done.stdout
    assert "1 run not captured yet" in done.stderr
    assert "aims sync" in done.stderr
    later = subprocess.run(
        [sys.executable, "-m", "aims_mlflow", "sync"],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert later.returncode == 0, later.stderr
    assert {e.kind for e in sealed(project)} >= FIVE - {EvidenceKind.DATASET_RECORD}


def test_a_deleted_run_becomes_a_gap(project):
    done = run(
        project,
        """
        import mlflow
        mlflow.set_experiment("tumours")
        run = mlflow.start_run()
        mlflow.end_run()
        mlflow.delete_run(run.info.run_id)
        """,
        AIMS_LEDGER_URI="sqlite:////proc/aims.db",
        AIMS_EXIT_TIMEOUT="3",
    )
    assert done.returncode == 0
    later = subprocess.run(
        [sys.executable, "-m", "aims_mlflow", "sync"],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert "gap: the run was gone" in later.stdout
    (gap,) = sealed(project, EvidenceKind.GAP)
    assert "deleted" in gap.body["reason"]


def test_mlflow_down_at_the_end_of_the_run_waits_for_sync(project, tmp_path_factory):
    store = tmp_path_factory.mktemp("server")
    port = _free_port()
    arguments = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{store / 'mlflow.db'}",
        "--artifacts-destination", str(store / "artifacts"), "--workers", "1",
    ]  # fmt: skip
    server = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(),
        cwd=store, start_new_session=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url)
        done = run(
            project,
            f"""
            import mlflow, os, signal
            mlflow.set_experiment("tumours")
            mlflow.start_run()
            mlflow.end_run()
            os.killpg({server.pid}, signal.SIGKILL)
            print("trained")
            """,
            MLFLOW_TRACKING_URI=url,
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
            MLFLOW_HTTP_REQUEST_TIMEOUT="2",
            AIMS_EXIT_TIMEOUT="4",
        )
        assert done.returncode == 0, done.stderr
        assert "trained" in done.stdout
        assert "aims: " in done.stderr
    finally:
        _stop(server)
    server = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(),
        cwd=store, start_new_session=True,
    )  # fmt: skip
    try:
        _wait_for(url)
        later = subprocess.run(
            [sys.executable, "-m", "aims_mlflow", "sync"],
            cwd=project,
            env=environment(MLFLOW_TRACKING_URI=url),
            capture_output=True,
            text=True,
        )
        assert later.returncode == 0, later.stderr
        kinds = {e.kind for e in sealed(project)}
        assert kinds >= FIVE - {EvidenceKind.DATASET_RECORD}
    finally:
        _stop(server)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(url: str) -> None:
    import urllib.error
    import urllib.request

    for _ in range(240):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    raise AssertionError(f"{url} did not come up")


def _stop(server: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def test_intents_in_the_fallback_folder_are_found_by_sync(project, tmp_path_factory):
    (project / ".aims").write_text("a file where the folder should be")
    temporary = tmp_path_factory.mktemp("temporary")
    done = run(
        project,
        """
        import mlflow, aims_mlflow
        mlflow.set_experiment("tumours")
        with mlflow.start_run():
            aims_mlflow.log_evaluation([0, 1] * 20, [0, 1] * 20)
        """,
        TMPDIR=str(temporary),
        AIMS_EXIT_TIMEOUT="0",
    )
    assert "spool not writable" in done.stderr
    later = subprocess.run(
        [sys.executable, "-m", "aims_mlflow", "sync"],
        cwd=project,
        env=environment(TMPDIR=str(temporary)),
        capture_output=True,
        text=True,
    )
    assert later.stdout.startswith("PASS"), later.stdout + later.stderr
