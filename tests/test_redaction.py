"""What looks like a secret never reaches evidence, and what does not is left alone."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.facts import DatasetFacts, RunFacts
from aims_mlflow.redaction import redact, redact_named

WHEN = datetime(2026, 11, 1, tzinfo=UTC)


def facts(**given: object) -> RunFacts:
    known = {
        "run_id": "r",
        "run_name": "brave-fox",
        "experiment_id": "1",
        "experiment_name": "e",
        "status": "FINISHED",
        "start_time": WHEN,
    }
    return RunFacts.model_validate({**known, **given})


# Split, so that scanners of this repository do not stop at made-up tokens.
SECRETS = {
    "AWS access key": "AKIA" + "IOSFODNN7EXAMPLE",
    "GitHub token": "ghp_" + "a1B2" * 9,
    "GitLab token": "glpat-" + "x1Y2" * 5,
    "Hugging Face token": "hf_" + "AbCd" * 9,
    "Slack token": "xoxb-" + "1234567890-abcdef",
    "API key of a model provider": "sk-" + "proj-" + "a1b2c3d4" * 4,
    "Google API key": "AIza" + "S" * 35,
    "Databricks token": "dapi" + "0123456789abcdef" * 2,
    "JSON Web Token": "eyJ" + "hbGciOiJI" + ".eyJ" + "zdWIiOiIx" + ".c2lnbmF0dXJl",
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\n-----END",
    "password in a URL": "hunter22",
    "signature in a URL": "5d672d79c15b13162d9279b0855cfba6",
}


@pytest.mark.parametrize(("rule", "secret"), SECRETS.items())
def test_a_token_in_any_value_is_left_out_and_recorded(rule: str, secret: str) -> None:
    text = {
        "password in a URL": f"postgresql://ada:{secret}@db.example.org/loans",
        "signature in a URL": f"https://s3.example.org/a.csv?X-Amz-Signature={secret}&x=1",
    }.get(rule, f"see {secret} here")
    clean = redact(facts(params={"note": text}, tags={"remark": text}))
    assert secret not in clean.model_dump_json()
    assert [(r.where, r.rule) for r in clean.redactions] == [
        ("param note", rule),
        ("tag remark", rule),
    ]


def test_a_password_in_the_source_of_a_dataset_is_left_out_and_the_host_stays() -> None:
    dataset = DatasetFacts(
        name="loans",
        digest="d",
        source_type="sql",
        source='{"url": "postgresql://ada:hunter22@db.example.org/loans"}',
    )
    clean = redact(facts(datasets=(dataset,)))
    assert clean.datasets[0].source == (
        '{"url": "postgresql://ada:[redacted: password in a URL]@db.example.org/loans"}'
    )
    assert clean.redactions[0].where == "dataset source"


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "DB_PASSWORD",
        "dbPassword",
        "api_key",
        "OPENAI_API_KEY",
        "apiKey",
        "hf_token",
        "token",
        "client_secret",
        "aws.secret.access.key",
        "connection-string",
        "authToken",
    ],
)
def test_a_key_named_like_a_secret(key: str) -> None:
    assert redact_named({key: "hunter22"}) == {key: "[redacted: key named like a secret]"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_tokens", "512"),
        ("eos_token", "</s>"),
        ("pad_token_id", "0"),
        ("tokenizer", "bert-base"),
        ("token", "12"),
        ("use_password", "True"),
        ("password_length", "12"),
        ("secret_name", "prod/db"),
        ("key", "age"),
        ("primary_key", "id"),
        ("keywords", "a,b"),
        ("monkey_patch", "yes"),
        ("estimator", "Pipeline(steps=[('scale', StandardScaler())])"),
        ("url", "https://example.org:8443/data.csv?version=3"),
        ("uri", "sqlite:///mlflow.db"),
        ("sha", "3f2a9c0d" * 8),
        ("task", "risk-" + "assessment-" * 3),
        ("fim_prefix_token", "<fim>"),
        ("oov_token", "<unk>"),
        ("lang_token", "en"),
        ("word_delimiter_token", "|"),
        ("n_secrets", "4"),
        ("model", "Basic LogisticRegression"),
        ("name", "sk-learn-random-forest-baseline"),
        ("remote", "git@example.org:team/repo.git"),
        ("page", "https://example.org/@ada/models"),
    ],
)
def test_what_is_no_secret_stays(key: str, value: str) -> None:
    assert redact_named({key: value}) == {key: value}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("--api-key=abc123 --depth=3", "--api-key=[redacted: key named like a secret] --depth=3"),
        (
            "{'password': 'hunter22', 'depth': 3}",
            "{'password': '[redacted: key named like a secret]', 'depth': 3}",
        ),
    ],
)
def test_a_secret_inside_a_longer_value(text: str, shown: str) -> None:
    assert redact_named({"argv": text}) == {"argv": shown}


GITHUB = "ghp_" + "a1B2" * 9
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----\n" + "MIIEow" * 900


@pytest.mark.parametrize(
    "given",
    [
        {"params": {"key": PEM}},
        {"params": {"argv": "password=" + "q" * 1900 + " " + GITHUB + "x" * 30_000}},
        {"params": {f"hidden_{GITHUB}": "1"}},
        {"tags": {"note": f"key_{GITHUB}"}},
        {"metrics": ({"key": GITHUB, "value": 1.0, "step": 0, "time": None},)},
        {"artifacts": (f"plots/{GITHUB}.png",)},
        {"notes": (f"could not read {GITHUB}",)},
        {"evaluations": ({"dataset": GITHUB, "labels": [GITHUB], "group": {"team": GITHUB}},)},
        {"models": ({"name": "m", "model_id": "1", "uri": "u", "requirements": (GITHUB,)},)},
        {"datasets": ({"name": GITHUB, "digest": "d", "source_type": "x", "source": "y"},)},
        {
            "genai": {
                "traces": 1,
                "failed": 0,
                "scorers": (
                    {"name": GITHUB, "source_type": "CODE", "sources": (), "n": 1, "values": {}},
                ),
            }
        },
    ],
    ids=lambda given: next(iter(given)),
)
def test_wherever_it_stands_it_is_left_out_of_the_record_too(given):
    clean = redact(facts(**given))
    assert clean.redactions
    shown = clean.model_dump_json()
    assert GITHUB not in shown
    assert "MIIEow" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "token=abc123def456ghi",
        "DB_PASS=hunter22",
        "--password hunter22",
        "password: 'a b hunter22'",
        "https://abcdefhunter22xyzw@example.org/repo",
        "mysql://u:pa/hunter22@db/x",
        "mysql://u:p@hunter22@db/x",
        "curl -u ada:hunter22 https://example.org",
    ],
)
def test_further_forms(text):
    assert "hunter22" not in redact_named({"x": text})["x"]
    assert "abc123def456ghi" not in redact_named({"x": text})["x"]


@pytest.mark.parametrize(
    "key",
    [
        "pass",
        "db_pass",
        "PGPASS",
        "passcode",
        "PGPASSWORD",
        "dbpassword",
        "clientsecret",
        "secretkey",
        "OPENAI_KEY",
        "WANDB_KEY",
        "storage_key",
        "signing_key",
        "pw",
    ],
)
def test_short_names_of_passwords(key):
    assert "hunter22" not in redact_named({key: "hunter22"})[key]


@pytest.mark.parametrize("key", ["first_pass", "n_pass", "bypass", "pass_through", "compass"])
def test_passes_that_are_none(key):
    assert redact_named({key: "hunter22"}) == {key: "hunter22"}


def test_a_run_without_secrets_is_the_same_object() -> None:
    run = facts(params={"depth": "3"}, tags={"team": "risk"})
    assert redact(run) is run


def test_doing_it_again_changes_nothing() -> None:
    once = redact(facts(params={"db_password": "hunter22", "url": "a://u:hunter22@h/"}))
    assert redact(once).params == once.params


def test_ten_megabytes_and_a_hundred_thousand_params() -> None:
    long = "a" * 10_000_000
    params = {f"p{i}": "0.1" for i in range(100_000)} | {"long": long}
    assert redact(facts(params=params)).params["long"] == long


@settings(max_examples=200)
@given(st.dictionaries(st.text(), st.text(), max_size=5))
def test_any_text_is_either_kept_or_marked(values: dict[str, str]) -> None:
    clean = redact_named(values)
    for key, value in values.items():
        if key in clean:
            assert clean[key] == value or "[redacted: " in clean[key]
        else:
            assert any("[redacted: " in name for name in clean)
