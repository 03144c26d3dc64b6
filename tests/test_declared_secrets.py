"""Credentials in a declaration: refused where they stand, and in no evidence all the same."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import mlflow
import pytest

from aims_mlflow.governance.loader import load_profile
from aims_mlflow.governance.monitoring import Monitor
from aims_mlflow.governance.system import AISystem
from aims_mlflow.monitored import Window
from aims_mlflow.monitoring.execution import run_monitor
from aims_mlflow.publish import declarations
from aims_mlflow.secrets import cleared_tree, credentials
from aims_mlflow.workspace import Workspace

URL = (
    "https://ada:hunter22secret@127.0.0.1:9/x.csv?sig=abcdef0123456789&X-Amz-Credential=who0123"
    "&AWSAccessKeyId=key0123&token=t0ken0123"
)
SECRETS = ("hunter22", "abcdef0123456789", "who0123", "key0123", "t0ken0123", "s3cr3tvalue")
SYSTEM = """\
id: loans
name: Loans
monitors:
  - id: q
    kind: quality
    schedule: "0 6 * * *"
    current: {current}
    options: {options}
"""


def loaded(folder, current="x.parquet", options="{}"):
    place = folder / "governance" / "systems" / "loans.yaml"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(SYSTEM.format(current=current, options=options), "utf-8")
    return load_profile(folder / "governance", today=date(2026, 11, 24))


@pytest.mark.parametrize(
    ("how", "where", "line"),
    [
        ({"current": f'"{URL}"'}, "monitors.0.current", 7),
        ({"current": '"https://h.example/x.parquet?sv=1&sig=abc%3D"'}, "monitors.0.current", 7),
        ({"current": '"s3://k:topsecret9@bucket/x.parquet"'}, "monitors.0.current", 7),
        ({"options": "{api_key: s3cr3tvalue}"}, "monitors.0.options.api_key", 8),
        ({"options": "{passwords: [s3cr3tvalue]}"}, "monitors.0.options.passwords.0", 8),
        ({"options": '{dsn: "postgresql://u:hunter22@h/db"}'}, "monitors.0.options.dsn", 8),
        ({"options": '{dsn: "host=h password=hunter22"}'}, "monitors.0.options.dsn", 8),
    ],
)
def test_a_credential_is_refused_with_its_line_and_never_shown(tmp_path, how, where, line):
    profile = loaded(tmp_path, **how)
    (problem,) = profile.problems
    said = str(problem)
    assert said.startswith(f"governance/systems/loans.yaml:{line}: '{where}' holds a credential (")
    assert "environment variable" in said
    assert "sql:VARIABLE" in said
    assert not [secret for secret in (*SECRETS, "topsecret9", "abc%3D") if secret in said]
    assert "loans" not in profile.systems


@pytest.mark.parametrize(
    "text",
    [
        "abfss://a-container-of-loans@account.dfs.core.windows.net/x/{date}/*.parquet",
        "sql:LOANS_DB?query=SELECT token, secret FROM t WHERE auth = 1",
        "sql:LOANS_DB?table=access_tokens",
        "s3://bucket/dt={date}/*.parquet",
        "data/token={date}/*.parquet",
        "https://localhost:8080/@scope/x.csv",
        "https://example.org/x?page=2&author=ada&token_type=bearer",
        "git@github.com:org/repo.git",
        "ssh://git@github.com/org/repo",
        "postgresql://localhost/db",
        "Ask ada.person@example.org: the key results are hers.",
        "A login has a user name and a password: hashed, and never shown.",
        "The secret: transparency.",
        "It follows Basic requirements-2024 and max_tokens=512.",
        "Kennwort: keines. Пароль: нет.",
    ],
)
def test_ordinary_texts_are_no_credentials(text):
    assert list(credentials({"limitations": text})) == []


def test_names_of_variables_columns_and_limits_are_no_credentials():
    declared = {
        "options": {"api_key_env": "MY_KEY", "token": "${TOKEN}", "max_tokens": "512"},
        "slices": [{"where": {"password": "weak", "pass": "first"}}],
        "expect": {"token": {"categories": ["a", "b"]}},
        "key": ["application_id"],
    }
    assert list(credentials(declared)) == []


def test_a_tree_is_cleared_by_key_and_by_value():
    found = cleared_tree(
        {"a": [URL, {"client_secret": ["s3cr3tvalue"], "n": 3}], "where": {"token": "web"}}
    )
    assert not [secret for secret in SECRETS if secret in json.dumps(found)]
    assert found["a"][1]["n"] == 3
    assert found["where"] == {"token": "web"}


MONITOR = Monitor.model_validate(
    {
        "id": "q",
        "kind": "quality",
        "schedule": "0 6 * * *",
        "current": URL,
        "options": {"api_key": "s3cr3tvalue", "deep": [{"dsn": "postgresql://u:hunter22@h/db"}]},
    }
)


def test_what_is_published_holds_no_secret(tmp_path):
    profile = loaded(tmp_path)
    system = AISystem(id="loans", name=f"Loans {URL}", monitors=(MONITOR,))
    drafts = declarations(replace(profile, systems={"loans": system}))
    text = "".join(draft.body_bytes().decode() for draft in drafts)
    assert "api_key" in text
    assert not [secret for secret in SECRETS if secret in text]


def test_an_execution_seals_and_logs_no_secret(tmp_path, monkeypatch, blank_store):
    loaded(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("AIMS_SYSTEM", "AIMS_PROFILE", "AIMS_LEDGER_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{blank_store}")
    mlflow.set_tracking_uri(f"sqlite:///{blank_store}")
    end = datetime(2026, 11, 20, tzinfo=UTC)
    window = Window(start=end - timedelta(days=1), end=end)
    workspace = Workspace()
    try:
        done = run_monitor(workspace, "loans", MONITOR, window, actor="ada", now=end)
        sealed = [json.dumps(e.evidence.body) for e in workspace.ledger().entries()]
    finally:
        workspace.close()
    client = mlflow.MlflowClient()
    texts = [json.dumps(client.get_run(done.run_id).to_dictionary()), *sealed]
    for file in client.list_artifacts(done.run_id, "aims"):
        place = Path(client.download_artifacts(done.run_id, file.path))
        texts.append(place.read_bytes().decode("utf-8", "replace"))
    assert len(texts) > 3
    assert not [secret for secret in SECRETS for text in texts if secret in text]
