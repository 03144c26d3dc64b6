"""What the documentation shows works as shown."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aims_mlflow.cli import _COMMANDS, _HELP
from aims_mlflow.governance.loader import load_profile
from aims_mlflow.settings import Settings

pytestmark = pytest.mark.usefixtures("blank_store")

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.S | re.M)


PYTHON = [(p.name, code) for p in PAGES for code in _blocks(p, "python")]
YAML = [(p.name, code) for p in PAGES for code in _blocks(p, "yaml")]


@pytest.mark.parametrize(("page", "code"), PYTHON, ids=[page for page, _ in PYTHON])
def test_python_on_a_page_runs_and_is_captured(page, code, tmp_path):
    (tmp_path / "page.py").write_text(code, "utf-8")
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=tmp_path,
        env={**keep, "AIMS_EXIT_TIMEOUT": "60"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert "aims: captured 1 run of tumour-triage" in done.stderr


def test_the_monitor_in_python_runs_and_is_sealed(tmp_path):
    page = ROOT / "docs" / "scheduling.md"
    ((code,), declared) = _blocks(page, "py"), _blocks(page, "yaml")[0]
    systems = tmp_path / "governance" / "systems"
    systems.mkdir(parents=True)
    (systems / "credit-scoring.yaml").write_text(declared, "utf-8")
    (tmp_path / "page.py").write_text(code, "utf-8")
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=tmp_path,
        env={**keep, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    verdict, judged = done.stdout.splitlines()
    assert verdict.startswith("PASS ")
    assert judged.startswith("max-drift PASS ")


@pytest.mark.parametrize(("page", "code"), YAML, ids=[page for page, _ in YAML])
def test_a_declaration_on_a_page_is_valid(page, code, tmp_path):
    systems = tmp_path / "governance" / "systems"
    systems.mkdir(parents=True)
    name = re.search(r"^id: (.*)$", code, re.M).group(1)
    (systems / f"{name}.yaml").write_text(code, "utf-8")
    profile = load_profile(tmp_path / "governance")
    assert profile.problems == ()
    assert list(profile.systems) == [name]


def test_every_command_is_in_the_readme_and_in_the_changelog():
    readme = (ROOT / "README.md").read_text("utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    for command in _COMMANDS:
        assert f"aims {command}" in readme or f"make {command}" in readme, command
        assert f"`{command}`" in changelog or f"`aims {command}`" in changelog, command
    assert list(_COMMANDS) == list(_HELP)


def test_every_setting_is_in_the_quickstart():
    text = (ROOT / "docs" / "quickstart.md").read_text("utf-8")
    for name in Settings.model_fields:
        assert f"`AIMS_{name.upper()}`" in text, name


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"
