"""Cards of real models, one for each task, in every format, held against its owner's schema."""

import json
import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import ModelCard
from jsonschema import Draft202012Validator

from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.ledger.log import Ledger
from aims_mlflow.model_card.formats.schema import published

pytestmark = pytest.mark.usefixtures("blank_store")

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("AIMS_DATA_DIR") or ROOT.parent / "shared" / "data")
#: Script, system, the data that it needs, the verdict of its thresholds, words of its report.
CASES = {
    "adult_lightgbm": ("census-income", "adult.csv*", "under 25", "noise-tenth", "calibration"),
    "bike_sharing": ("bike-demand", "bike_sharing_hour.csv*", "rush hour", "no-hour", "rmse"),
    "iris_classes": ("iris-species", None, "f1 macro", "precision", "iris-test"),
    "genai_answers": ("capital-answers", None, "names_the_capital", "house-judge-v1", "words"),
}


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[tuple[str, dict]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def trained(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    quiet = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return subprocess.run(
        [sys.executable, f"{name}.py"],
        cwd=folder,
        env={**keep, **quiet, "AIMS_EXIT_TIMEOUT": "60", "AIMS_DATA_DIR": str(DATA)},
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.mark.parametrize("name", CASES)
def test_the_card_and_the_report_of_a_real_model(name, tmp_path):
    system, needed, *words = CASES[name]
    if needed and not list(DATA.glob(needed)):
        pytest.skip(f"{needed} is not here: set AIMS_DATA_DIR to a folder that has it")
    shutil.copytree(ROOT / "examples" / "evaluation", tmp_path, dirs_exist_ok=True)
    done = trained(name, tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"aims: captured 1 run of {system}" in done.stderr
    with Ledger.open(f"sqlite:///{tmp_path / 'aims.db'}") as ledger:
        current = [e.evidence for e in ledger.entries(current=True) if e.evidence.system == system]
    newest = {e.kind: e for e in current}
    card, report = newest[EvidenceKind.MODEL_CARD], newest[EvidenceKind.EVALUATION_REPORT]
    assert (card.version, report.version) == (1, 1)
    files = {}
    for evidence in (card, report):
        for artifact in evidence.artifacts:
            (found,) = tmp_path.rglob(Path(artifact.path).name)
            key = f"{evidence.kind.value}.{Path(artifact.path).name.split('.', 2)[2]}"
            files[key] = found.read_text("utf-8")

    assert (
        JsonStrictValidator(SchemaVersion.V1_6).validate_str(files["model_card.cdx.json"]) is None
    )
    for kind in ("model_card", "evaluation_report"):
        schema = published(f"{kind}-1.schema.json")
        assert (
            list(Draft202012Validator(schema).iter_errors(json.loads(files[f"{kind}.json"]))) == []
        )
        tags = _Tags()
        tags.feed(files[f"{kind}.html"])
        assert not {tag for tag, _ in tags.found} & {"script", "img", "link", "iframe", "object"}
        assert not [a for _, attrs in tags.found for a in attrs if a.startswith("on")]
        assert len(files[f"{kind}.html"].encode()) < 300_000
    parsed = ModelCard(files["model_card.md"])
    if name != "genai_answers":
        assert parsed.data.eval_results
    assert parsed.data.to_dict()["tags"]
    text = files["evaluation_report.html"]
    assert [word for word in words if word not in text] == []
    # The card of a model is bound to the sealed facts of the same run.
    body = card.body or {}
    digests = {e.content_digest for e in current}
    assert {link["content_digest"] for link in body["rests_on"]} <= digests
    assert {"run_record", "evaluation_report"} <= {link["kind"] for link in body["rests_on"]}
