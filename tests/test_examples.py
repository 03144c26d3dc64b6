"""Every example runs as it is and leaves full evidence; so does the demo, for every command."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.ledger.log import Ledger

pytestmark = pytest.mark.usefixtures("blank_store")

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
MODEL_FIELDS = {"inputs", "outputs", "library", "model_type", "hyperparameters", "environment"}


def environment(**extra: str) -> dict[str, str]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    quiet = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**keep, **quiet, "AIMS_EXIT_TIMEOUT": "60", **extra}


def statements(folder: Path) -> list[dict[str, dict]]:
    with Ledger.open(f"sqlite:///{folder / 'aims.db'}") as ledger:
        cards = [e.evidence.body for e in ledger.entries(kind=EvidenceKind.MODEL_CARD)]
    return [{s["field"]: s for p in c["sections"] for s in p["statements"]} for c in cards]


def test_every_example_is_in_the_readme():
    text = (ROOT / "examples" / "README.md").read_text("utf-8")
    assert [name for name in EXAMPLES if f"`{name}`" not in text] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_and_is_captured(name, tmp_path):
    shutil.copy(ROOT / "examples" / name, tmp_path)
    done = subprocess.run(
        [sys.executable, name],
        cwd=tmp_path,
        env=environment(**({"AIMS_SYSTEM": "wine-quality"} if name == "autolog.py" else {})),
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    assert "aims: captured 1 run of " in done.stderr
    assert "not captured yet" not in done.stderr
    (card,) = statements(tmp_path)
    if name in {"autolog.py", "lightgbm_model.py", "pyfunc_model.py"}:
        unmeasured = {f for f in MODEL_FIELDS if card[f]["status"] != "measured"}
        assert unmeasured == set()
        data = {card["training_data"]["status"], card["evaluation_data"]["status"]}
        assert "measured" in data


def test_the_demo_is_rebuilt_verifies_and_shows_all_three_verdicts(tmp_path):
    def aims(*arguments: str, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "aims_mlflow", *arguments],
            cwd=cwd,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=250,
        )

    for _ in range(2):  # again: what is there is replaced
        done = aims("demo")
        assert done.returncode == 0, done.stderr
    for word in ("PASS", "FAIL", "INSUFFICIENT", "Ledger verified", "A.6.2.4"):
        assert word in done.stdout
    demo = tmp_path / "demo"
    for command in (["status"], ["soa"], ["verify"], ["check"], ["evidence", "list"], ["sync"]):
        answer = aims(*command, "--json", cwd=demo)
        assert answer.returncode == 0, (command, answer.stderr)
        json.loads(answer.stdout)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("ten years of work")
    refused = aims("demo", "--folder", "mine")
    assert refused.returncode == 2
    assert "nothing was deleted" in refused.stderr
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_the_adult_demo_judges_the_real_data(tmp_path):
    data = os.environ.get("AIMS_DATA_DIR") or ROOT.parent / "shared" / "data"
    if not list(Path(data).glob("adult.csv*")):
        pytest.skip("UCI Adult is not here: put adult.csv.gz into AIMS_DATA_DIR")
    done = subprocess.run(
        [sys.executable, "-m", "aims_mlflow", "demo", "--dataset", "adult"],
        cwd=tmp_path,
        env=environment(AIMS_DATA_DIR=str(data)),
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    assert "opportunity-sex" in done.stdout
    assert "Ledger verified" in done.stdout
