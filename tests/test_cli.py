"""The command line on a real project: what a person reads, exit codes, `--json`."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aims_mlflow.cli import _COMMANDS, main

SYSTEM = """
id: tumours
name: Tumours
mlflow: {experiments: [tumours]}
sensitive_features: [{name: clinic}]
thresholds:
  - {id: min-accuracy, metric: accuracy, min: 0.5, reason: r, approved_by: a}
  - {id: max-gap, metric: demographic_parity_difference, feature: clinic, max: 0.1}
  - {id: min-auc, metric: roc_auc, min: 0.5}
"""
TRAIN = """
import mlflow, aims_mlflow
mlflow.set_experiment("tumours")
truth = [0, 1] * 50
with mlflow.start_run(run_name="first"):
    aims_mlflow.log_evaluation(
        truth, truth[:-1] + [0], sensitive_features={"clinic": ["n"] * 50 + ["s"] * 50}
    )
"""


def environment(**extra: str) -> dict[str, str]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    return {**keep, "AIMS_EXIT_TIMEOUT": "60", "COLUMNS": "200", **extra}


def aims(folder: Path, *arguments: str, **extra: str) -> Result:
    """Call the command in this process, as if from `folder`: importing MLflow takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in list(os.environ):
            if name.startswith(("AIMS_", "MLFLOW_")):
                patch.delenv(name)
        for name, value in {"COLUMNS": "200", **extra}.items():
            patch.setenv(name, value)
        done = CliRunner().invoke(main, arguments, prog_name="aims")
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def answer(folder: Path, *arguments: str):
    done = aims(folder, *arguments, "--json")
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    systems = folder / "governance" / "systems"
    systems.mkdir(parents=True)
    (systems / "tumours.yaml").write_text(SYSTEM, "utf-8")
    (folder / "train.py").write_text(TRAIN, "utf-8")
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert "captured 1 run of tumours" in done.stderr, done.stderr
    assert aims(folder, "publish").exit_code == 0
    return folder


@pytest.fixture
def copy(project, tmp_path) -> Path:
    """A project that a test may damage. MLflow keeps absolute artifact paths: put them right."""
    import shutil

    folder = tmp_path / "project"
    shutil.copytree(project, folder)
    with sqlite3.connect(folder / "mlflow.db") as database:
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            database.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)",
                (str(project), str(folder)),
            )
    return folder


def run_id(project: Path) -> str:
    (record,) = answer(project, "evidence", "list", "--kind", "run_record")
    return record["subject"]["id"]


def test_every_command_explains_itself():
    for command in _COMMANDS:
        done = aims(Path.cwd(), command, "--help")
        assert done.exit_code == 0, command
        assert "--json" in done.stdout or "Commands:" in done.stdout


def test_a_misspelt_command_is_named(project):
    done = aims(project, "verfy")
    assert done.exit_code == 2
    assert "Did you mean 'verify'?" in done.stderr


def test_status_shows_exceptions_first_with_the_line_to_add(project):
    done = aims(project, "status")
    assert done.exit_code == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "INSUFFICIENT" in text
    assert "min-auc" in text
    assert "owner: {name: ..., email: ...}" in text
    assert done.stdout.index("INSUFFICIENT") < done.stdout.index("AI systems and their evidence")
    assert "1 of 1 ended runs in MLflow have evidence" in text
    state = answer(project, "status")
    assert state["coverage"]["missing"] == []
    assert state["systems"][0]["cells"]["model_card"]["count"] == 1


def test_capturing_again_changes_nothing(project):
    before = answer(project, "status")["checkpoint"]
    again = answer(project, "capture", run_id(project))
    assert again["captured"][0]["sealed"] == []
    assert answer(project, "status")["checkpoint"] == before
    assert "unchanged" in aims(project, "capture", run_id(project)).stdout
    assert aims(project, "publish").stdout.startswith("Nothing changed")


def test_a_changed_profile_gives_a_new_version(copy):
    declared = copy / "governance" / "systems" / "tumours.yaml"
    declared.write_text(declared.read_text().replace("min: 0.5, reason", "min: 0.995, reason"))
    run = run_id(copy)
    sealed = dict(answer(copy, "capture", run)["captured"][0]["sealed"])
    assert {"model_card", "evaluation_report"} == set(sealed)
    (report,) = answer(copy, "evidence", "list", "--kind", "evaluation_report")
    assert report["version"] == 2
    assert report["supersedes"]
    assert answer(copy, "evidence", "show", report["id"][:12])["body"]["verdict"] == "FAIL"
    assert aims(copy, "verify").exit_code == 0


def test_the_card_comes_in_every_format(project):
    run = run_id(project)
    markdown = aims(project, "card", run[:8]).stdout
    assert markdown.startswith("---\n")  # what the Hugging Face Hub reads
    assert "\n# Model card" in markdown
    bom = json.loads(aims(project, "card", run, "--format", "cyclonedx").stdout)
    assert bom["specVersion"] == "1.6"
    assert "<!doctype html>" in aims(project, "card", run, "--format", "html").stdout.lower()
    card = json.loads(aims(project, "card", run, "--format", "json").stdout)
    assert card["schema_version"] == "aims.model_card/1"
    report = json.loads(aims(project, "card", run, "--report", "--json").stdout)
    assert {j["threshold"]: j["verdict"] for j in report["judgements"]} == {
        "min-accuracy": "PASS",
        "max-gap": "PASS",
        "min-auc": "INSUFFICIENT",
    }


def test_the_card_of_an_unknown_run_says_what_to_do(project):
    done = aims(project, "card", "nope")
    assert done.exit_code == 2
    assert "aims capture nope" in done.stderr


def test_soa_has_38_rows_and_no_control_is_operating_by_accident(project):
    rows = answer(project, "soa")["rows"]
    assert len(rows) == 38
    states = {row["control"]: row["state"] for row in rows}
    assert states["A.6.2.4"] == "operating"  # thresholds declared, and a report judged by them
    assert states["A.2.2"] == "none"
    assert all(row["decision"] == "undecided" for row in rows)


def test_evidence_shows_digests_controls_and_a_proof(project):
    (card,) = answer(project, "evidence", "list", "--kind", "model_card")
    shown = answer(project, "evidence", "show", card["id"])
    stem = f"aims/model_card.v1-{card['id'][:8]}"
    assert {a["path"] for a in shown["artifacts"]} == {
        f"{stem}.{e}" for e in ("cdx.json", "html", "json", "md")
    }
    assert any("A.6.2.7" in link["control"] for link in shown["controls"])
    assert shown["inclusion_proof"]
    done = aims(project, "evidence", "show", "ffffffffffff")
    assert done.exit_code == 2


def test_verify_is_green_and_says_what_it_does_not_prove(project):
    done = aims(project, "verify")
    assert done.exit_code == 0
    assert done.stdout.startswith("OK")
    assert "does not show" in " ".join(done.stdout.split())
    checkpoint = re.search(r"\d+:[0-9a-f]{64}", done.stdout.replace("\n", "")).group()
    assert aims(project, "verify", "--checkpoint", checkpoint).exit_code == 0
    assert aims(project, "verify", "--checkpoint", "rubbish").exit_code == 2


def test_one_byte_changed_in_an_artifact_is_named(copy):
    card = next(copy.rglob("aims/model_card.*.html"))
    data = bytearray(card.read_bytes())
    data[len(data) // 2] ^= 1
    card.write_bytes(bytes(data))
    done = aims(copy, "verify")
    assert done.exit_code == 1
    assert card.name in done.stdout
    assert "was changed" in " ".join(done.stdout.split())


def test_a_missing_artifact_is_named(copy):
    card = next(copy.rglob("aims/model_card.*.md"))
    card.unlink()
    done = aims(copy, "verify")
    assert done.exit_code == 1
    assert card.name in done.stdout


def test_one_byte_changed_in_a_ledger_row_is_named(copy):
    with sqlite3.connect(copy / "aims.db") as database:
        triggers = database.execute(
            "SELECT name FROM sqlite_master WHERE type='trigger'"
        ).fetchall()
        assert triggers
        for (name,) in triggers:
            database.execute(f"DROP TRIGGER {name}")
        database.execute(
            "UPDATE aims_entries SET header = CAST(replace(CAST(header AS TEXT), 'tumours', "
            "'tumourz') AS BLOB) WHERE seq = 2"
        )
    done = aims(copy, "verify")
    assert done.exit_code == 1
    assert "FAILED entry 2" in done.stdout


def test_bad_declarations_stop_check_and_publish_with_every_error_at_once(copy):
    (copy / "governance" / "systems" / "bad.yaml").write_text(
        "id: bad\nname: Bad\nthresholds:\n  - {id: a, metric: acuracy, min: 1}\n"
        "  - {id: b, metric: accuracy, min: 2, max: 1}\nownr: x\n",
        "utf-8",
    )
    for command in ("check", "publish"):
        done = aims(copy, command)
        assert done.exit_code == 2
        for expected in ("bad.yaml:4", "bad.yaml:5", "bad.yaml:6", "accuracy", "owner"):
            assert expected in done.stderr, expected
    problems = answer(copy, "check")["problems"]
    assert len(problems) == 3
    assert aims(copy, "capture", run_id(copy)).exit_code == 0  # capture goes on


def test_a_folder_without_a_profile_says_how_to_make_one(tmp_path):
    done = aims(tmp_path, "check")
    assert done.exit_code == 2
    assert "aims init" in done.stderr


def test_init_writes_once_and_the_result_is_valid(tmp_path):
    done = aims(tmp_path, "init", "--system", "new-one", "--name", "New: {one}")
    assert done.exit_code == 0, done.stderr
    assert "new-one.yaml" in done.stdout
    before = (tmp_path / "governance" / "systems" / "new-one.yaml").read_bytes()
    assert aims(tmp_path, "check").exit_code == 0
    again = aims(tmp_path, "init", "--system", "new-one", "--name", "Other")
    assert "Nothing to write" in again.stdout
    assert (tmp_path / "governance" / "systems" / "new-one.yaml").read_bytes() == before


def test_a_setting_that_cannot_be_used_is_named(project):
    done = aims(project, "status", AIMS_EXIT_TIMEOUT="soon")
    assert done.exit_code == 2
    assert "AIMS_EXIT_TIMEOUT='soon'" in done.stderr


def test_a_ledger_from_a_newer_version_is_refused(copy):
    with sqlite3.connect(copy / "aims.db") as database:
        database.execute("UPDATE aims_alembic_version SET version_num = '9999'")
    done = aims(copy, "status")
    assert done.exit_code == 2
    assert "newer" in done.stderr


def test_errors_are_json_too(project):
    error = answer(project, "card", "nope")
    assert "nope" in error["error"]
    assert error["fix"]


def test_a_folder_without_a_ledger_is_no_green_result(tmp_path):
    for command in ("verify", "status", "soa"):
        done = aims(tmp_path, command)
        assert done.exit_code == 2, command
        assert "There is no ledger" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_verify_says_that_mlflow_does_not_answer(project):
    done = aims(
        project,
        "verify",
        MLFLOW_TRACKING_URI="http://127.0.0.1:9",
        AIMS_LEDGER_URI=f"sqlite:///{project / 'aims.db'}",
    )
    assert done.exit_code == 2
    assert "No artifact was checked" in done.stdout
