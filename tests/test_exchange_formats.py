"""Hugging Face, CycloneDX, JSON Schema and PDF, each held against its owner's own reader."""

import io
import json
import math
import sys
from datetime import UTC, datetime
from importlib.abc import MetaPathFinder
from importlib.resources import files
from pathlib import Path

import cyclonedx
import pytest
import yaml
from click.testing import CliRunner, Result
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import ModelCard
from huggingface_hub.utils import validate_repo_id
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from packageurl import PackageURL
from pypdf import PdfReader

from aims_mlflow.catalogue.loader import load_catalogue
from aims_mlflow.cli import main
from aims_mlflow.errors import AimsError
from aims_mlflow.evidence import Artifact, EvidenceKind, digest
from aims_mlflow.facts import DatasetFacts, MetricFacts, ModelFacts, ModelVersionFacts, RunFacts
from aims_mlflow.governance.system import AISystem
from aims_mlflow.ledger.log import Ledger
from aims_mlflow.model_card.builder import build_card
from aims_mlflow.model_card.card import Card
from aims_mlflow.model_card.evaluation import (
    EvaluationReport,
    GenAIEvaluation,
    ScorerResult,
    build_report,
)
from aims_mlflow.model_card.formats import Stamp
from aims_mlflow.model_card.formats.cyclonedx import render_cyclonedx
from aims_mlflow.model_card.formats.html import render_html
from aims_mlflow.model_card.formats.huggingface import front_matter, with_front_matter
from aims_mlflow.model_card.formats.json import render_json
from aims_mlflow.model_card.formats.markdown import render_markdown
from aims_mlflow.model_card.formats.pdf import PdfError, render_pdf
from aims_mlflow.model_card.formats.schema import published, schema_files
from aims_mlflow.model_card.formats.text import visible
from aims_mlflow.model_card.formats.views import document
from aims_mlflow.model_card.formats.vocabulary import HUB_LICENCES
from aims_mlflow.readings import (
    Fall,
    GroupRow,
    GroupTable,
    Interval,
    Judgement,
    PerturbationResult,
    Reading,
    Robustness,
    Scores,
    Verdict,
)

STAMP = Stamp(version=2, supersedes="0a" * 32, evidence_id="5e" * 32)
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
PACKAGES = {"numpy": "2.1.0", "Scikit_Learn": "1.7.2+local", "mlflow": "3.17.2"}
HOSTILE = (
    "<script>alert(1)</script>",
    "a: b\n---\nlicense: mit\n...\n--- !!python/object/apply:os.system [x]",
    "&anchor *alias !tag {a: b} [c] # no comment",
    "'\"|>%@`",
    "javascript:alert(1)",
    "javascript://example.org/%0aalert(1)",
    "https://user:secret@example.org/",
    "https://example.org/ with space",
    "abc\u202edef\u2066\x00\x1b[31m\x85\u2028\ufffe",
    "\ud800 lone",
    "x" * 20_000,
    "pkg:pypi/evil@1",
    "no",
    "2026-11-20",
    " ",
)
#: Everything people can write that another format has a place for.
TOLD = {
    "overview": "Scores between 0 and 1.",
    "description": "Ranks applications.\nA clerk decides.",
    "licenses": ["Apache-2.0"],
    "languages": ["en", "German"],
    "base_model": ["org/base-model", "not a repository id"],
    "references": ["https://example.org/paper", "Osei 2026"],
    "card_authors": [{"name": "Kim Lee", "email": "kim@bank.example"}],
    "learning_approach": "supervised",
    "task": "Tabular classification",
    "architecture": "Gradient boosted trees.",
    "intended_users": ["clerks"],
    "limitations": ["One country only"],
    "tradeoffs": ["recall for precision"],
    "ethical_considerations": [{"name": "refusals", "mitigation": "a clerk decides"}],
    "fairness_assessment": [{"group": "women", "harms": "refusals", "benefits": "access"}],
    "environmental_impact": {"energy_kwh": 0.2, "method": "meter"},
    "data_acquisition": [{"name": "loans", "owners": [{"name": "Data Office"}]}],
    "recommendations": ["Read the score with the file."],
}


def facts(text: str | None = None, **changes: object) -> RunFacts:
    """A run; with `text`, that text wherever a user chooses one."""

    def named(name: str) -> str:
        return name if text is None else text

    return RunFacts.model_validate(
        {
            "run_id": "3f2a9c0d",
            "run_name": named("bright-owl"),
            "experiment_id": "7",
            "experiment_name": named("credit"),
            "status": "FINISHED",
            "user": named("ada"),
            "start_time": AT,
            "params": {named("seed"): named("7")},
            "metrics": (MetricFacts(key=named("val_auc"), value=0.9, step=1, time=AT),),
            "tags": {named("team"): named("risk")},
            "datasets": (
                DatasetFacts(
                    name=named("loans"),
                    digest=named("a1b2c3d4"),
                    source_type="s3",
                    source=named("s3://bank/loans.parquet"),
                    context="training",
                ),
                DatasetFacts(
                    name=named("loans-test"),
                    digest=named("e5f6a7b8"),
                    source_type="local",
                    source=named("/data/loans-test.parquet"),
                    context="test",
                ),
            ),
            "models": (
                ModelFacts(
                    model_id="m-77",
                    name=named("credit-lgbm"),
                    uri="models:/m-77",
                    flavors={"python_function": "3.11", named("lightgbm"): named("4.6.0")},
                    model_class=named("LGBMClassifier"),
                    inputs=({"type": named("double"), "name": named("income")},),
                    outputs=({"type": "long"},),
                    mlmodel_sha256="ab" * 32,
                ),
            ),
            "model_versions": (ModelVersionFacts(name=named("credit-scoring"), version="7"),),
            "artifacts": (named("roc.png"),),
            **changes,
        }
    )


def scores(text: str | None = None, value: float | None = 0.8512345678901) -> Scores:
    name = "loans-test" if text is None else text
    near = Interval(low=0.84, high=0.86, method="Wilson")

    def groups(feature: str, group: str) -> GroupTable:
        row = GroupRow(
            group={feature: group},
            n=88,
            metrics={"accuracy": value, "f1": None},
            intervals={"accuracy": (0.7, 0.9)},
        )
        return GroupTable(dataset=name, features=(feature,), min_group_size=30, rows=(row,))

    return Scores(
        dataset=name,
        task="binary",
        n=9768,
        overall=(
            Reading(metric="accuracy", value=value, n=9768, interval=near),
            Reading(metric="roc_auc", value=0.9041, n=9768),
            Reading(metric="matthews_corrcoef", value=0.6, n=9768),
            Reading(metric="log_loss", value=None, n=9768, reason=text or "no scores"),
        ),
        groups=(groups("sex", text or "F"),),
        slices=groups("slice", text or "night"),
        classes=groups("class", text or "1"),
        disparities=(
            Reading(metric="accuracy_difference", value=0.04, n=88, feature="sex", interval=near),
        ),
        notes=(text or "a note",),
    )


def told(text: str | None) -> dict[str, object]:
    """A declaration is UTF-8 and holds no empty text; a run may hold anything."""
    if text is None:
        return dict(TOLD)
    file = text.encode("utf-8", "replace").decode()
    return dict.fromkeys(TOLD, file) | {
        "ethical_considerations": [{"name": file, "mitigation": file}],
        "fairness_assessment": [{"group": file, "harms": file}],
        "licenses": [file, {"name": file, "url": file}],
        "references": [file, {"url": file}],
        "card_authors": [{"name": file, "email": file}],
        "environmental_impact": {file: file},
        "architecture": {file: [file]},
        "data_acquisition": [{"name": file, "owners": [file], file: file}],
    }


def full(
    text: str | None = None, value: float | None = 0.8512345678901
) -> tuple[Card, EvaluationReport]:
    """A card and a report in which everything is filled."""
    person = visible((text or "").encode("utf-8", "replace").decode()).strip() or "Ada Osei"
    system = AISystem.model_validate(
        {
            "id": "credit-scoring",
            "name": person,
            "owner": {"name": person, "email": "ada@bank.example" if text is None else person},
            "intended_use": "Rank applications.",
            "risk_tier": "high",
            "sensitive_features": [{"name": "sex"}],
            "data": [
                {"name": "loans", "lawful_basis": "contract", "licence": person, "sensitive": True}
            ],
            "card": told(text),
        }
    )
    judgement = Judgement(
        threshold="min-accuracy",
        metric="accuracy",
        feature=None,
        dataset=text or "loans-test",
        value=value,
        limit=">= 0.7",
        verdict=Verdict.FAIL,
        severity="major",
        reason=text or "below",
        declared={"reason": text},
    )
    noise = PerturbationResult(
        id="noise-0.1",
        kind="noise",
        amount=0.1,
        columns=(text or "income",),
        falls=(Fall(metric="accuracy", clean=0.85, perturbed=value, fall=0.05),),
    )
    relevance = ScorerResult(
        scorer=text or "relevance",
        judged_by=text or "code",
        n=10,
        errors=0,
        passed=9,
        pass_rate=0.9,
        interval=Interval(low=0.6, high=0.98, method="Wilson"),
    )
    run = facts(text)
    report = build_report(
        run, "credit-scoring", system, (scores(text, value),), (judgement,), ()
    ).model_copy(
        update={
            "robustness": (
                Robustness(
                    dataset=text or "loans-test",
                    task="binary",
                    n=100,
                    n_total=9768,
                    seed=0,
                    error_bound=0.1,
                    results=(noise,),
                ),
            ),
            "genai": GenAIEvaluation(traces=10, failed=0, scorers=(relevance,)),
        }
    )
    return build_card(run, "credit-scoring", system, report, lambda *path: "s.yaml:3"), report


def minimal() -> tuple[Card, EvaluationReport]:
    """What a run of no system that logged nothing gives."""
    run = RunFacts(
        run_id="e1",
        run_name="",
        experiment_id="0",
        experiment_name="Default",
        status="FINISHED",
        start_time=AT,
    )
    report = build_report(run, None, None, (), (), ())
    return build_card(run, None, None, report, lambda *path: ""), report


def metadata(card: Card, report: EvaluationReport, **changes: str) -> dict[str, object]:
    front = front_matter(card, report, STAMP, **changes)
    assert front.startswith("---\n")
    assert front.endswith("\n---\n")
    found = yaml.safe_load(front.removeprefix("---\n").removesuffix("---\n"))
    assert isinstance(found, dict)
    return found


def bom(card: Card, report: EvaluationReport, **packages: str) -> dict[str, object]:
    """The bill of materials, after CycloneDX's own strict validation."""
    data = render_cyclonedx(card, report, STAMP, packages=packages or PACKAGES).decode()
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(data)
    assert problem is None, problem
    found = json.loads(data, parse_constant=pytest.fail)
    references = [
        found["metadata"]["component"]["bom-ref"],
        *(component["bom-ref"] for component in found.get("components", ())),
    ]
    assert len(references) == len(set(references))
    for dependency in found["dependencies"]:
        assert {dependency["ref"], *dependency.get("dependsOn", ())} <= set(references)
    assert {dependency["ref"] for dependency in found["dependencies"]} == set(references)
    return found


def properties(owner: dict[str, object]) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in owner["properties"]}


FULL = full()


# Hugging Face


def test_the_hub_library_reads_the_measured_results():
    content = with_front_matter(render_markdown(FULL[0], STAMP), front_matter(*FULL, STAMP))
    data = ModelCard(content.decode()).data
    assert data.model_name == "credit-scoring"
    accuracy, auc, mcc, relevance = data.eval_results
    assert (accuracy.task_type, accuracy.metric_type) == ("tabular-classification", "accuracy")
    assert accuracy.metric_value == 0.8512345678901
    assert accuracy.dataset_name == "loans-test"
    assert accuracy.dataset_split == "test"
    assert accuracy.dataset_revision == "e5f6a7b8"
    interval = accuracy.metric_args["confidence_interval"]
    assert (interval["low"], interval["high"], interval["level"]) == (0.84, 0.86, 0.95)
    assert (auc.metric_type, auc.metric_value) == ("roc_auc", 0.9041)
    assert mcc.metric_type == "matthews_correlation"
    assert (relevance.metric_type, relevance.metric_value) == ("pass_rate", 0.9)
    assert relevance.metric_args["scorer"] == "relevance"
    assert data.metrics == ["accuracy", "roc_auc", "matthews_correlation", "pass_rate"]


def test_the_hub_library_reads_what_people_declared():
    data = ModelCard(front_matter(*FULL, STAMP)).data
    assert data.license == "apache-2.0"
    assert data.library_name == "lightgbm"
    assert data.language == ["en"]
    assert data.pipeline_tag == "tabular-classification"
    assert data.base_model == ["org/base-model"]
    assert data.datasets == ["loans"]
    assert data.tags[0] == "mlflow"
    assert {"binary", "tabular-classification", "credit-scoring"} <= set(data.tags)
    assert data.aims["verdict"] == "FAIL"
    assert data.aims["evidence_id"] == STAMP.evidence_id


def test_the_hub_library_writes_the_same_metadata_again():
    card = ModelCard(front_matter(*FULL, STAMP))
    assert yaml.safe_load(card.data.to_yaml()) == metadata(*FULL)


def test_the_markdown_below_is_the_card_as_it_was():
    markdown = render_markdown(FULL[0], STAMP)
    content = with_front_matter(markdown, front_matter(*FULL, STAMP)).decode()
    assert ModelCard(content).text.lstrip("\n") == markdown.decode()


@pytest.mark.parametrize(
    ("licenses", "expected"),
    [
        ("MIT", {"license": "mit"}),
        (["GPL-3.0-or-later"], {"license": "gpl-3.0"}),
        (["MIT", "apache-2.0"], {"license": ["mit", "apache-2.0"]}),
        ("openrail", {"license": "openrail"}),
        ([{"identifier": "BSD-3-Clause"}], {"license": "bsd-3-clause"}),
        ("Bank licence, v2", {"license": "other", "license_name": "bank-licence-v2"}),
        (
            [{"name": "Ours", "url": "https://example.org/l"}],
            {"license": "other", "license_name": "ours", "license_link": "https://example.org/l"},
        ),
        ("§", {"license": "other"}),
        ([], {}),
    ],
)
def test_licences_are_those_that_the_hub_knows_or_other(licenses, expected):
    card = FULL[0]
    sections = [
        section.model_copy(
            update={
                "statements": tuple(
                    s.model_copy(update={"value": licenses}) if s.field == "licenses" else s
                    for s in section.statements
                )
            }
        )
        for section in card.sections
    ]
    found = metadata(card.model_copy(update={"sections": tuple(sections)}), FULL[1])
    assert {k: v for k, v in found.items() if k.startswith("license")} == expected


def test_a_run_that_logged_nothing_claims_nothing():
    found = metadata(*minimal())
    assert set(found) == {"tags", "aims"}
    assert found["tags"] == ["mlflow"]
    assert ModelCard(front_matter(*minimal(), STAMP)).data.eval_results is None


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_values_that_are_no_numbers_are_no_results(value):
    results = ModelCard(front_matter(*full(value=value), STAMP)).data.eval_results
    assert "accuracy" not in [result.metric_type for result in results]


def test_a_source_is_named_only_with_a_web_address():
    url = "https://mlflow.example.org/#/experiments/7/runs/3f2a"
    named = metadata(*FULL, source_url=url)["model-index"][0]["results"][0]
    assert named["source"] == {"name": "MLflow", "url": url}
    for other in ("javascript:alert(1)", "sqlite:///mlflow.db", ""):
        assert "source" not in metadata(*FULL, source_url=other)["model-index"][0]["results"][0]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_a_value_of_the_front_matter(text):
    check_front_matter(text)


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=60))
def test_no_text_leaves_the_front_matter(text):
    check_front_matter(text)


def check_front_matter(text):
    card, report = full(text)
    front = front_matter(card, report, STAMP, source_url="https://example.org/")
    content = with_front_matter(b"# The card\n", front).decode()
    read = ModelCard(content)
    assert read.text.lstrip("\n") == "# The card\n"
    found = yaml.safe_load(front[4:-4])
    assert set(found) <= set(metadata(*FULL)) | {"license_name"}
    assert found["aims"] == metadata(*FULL)["aims"]
    assert len(front) < 40_000
    assert not set(front) & set("\u202e\u2066\x00\x1b\x85\u2028")
    for event in yaml.parse(front[4:-4]):
        assert not isinstance(event, yaml.AliasEvent)
        assert getattr(event, "anchor", None) is None
    for name in (*found.get("datasets", ()), *found.get("base_model", ())):
        validate_repo_id(name)


# CycloneDX


def test_cyclonedx_holds_the_model_and_its_card():
    found = bom(*FULL)
    model = found["metadata"]["component"]
    assert found["specVersion"] == "1.6"
    assert found["version"] == STAMP.version
    assert found["metadata"]["timestamp"] == "2026-11-20T09:30:00.000000Z"
    assert found["metadata"]["tools"]["components"][0]["name"] == "aims-mlflow"
    assert found["metadata"]["authors"] == [{"name": "Kim Lee", "email": "kim@bank.example"}]
    assert (model["type"], model["name"]) == ("machine-learning-model", "credit-scoring")
    assert model["version"] == "7"
    assert model["description"] == "Scores between 0 and 1.\nRanks applications.\nA clerk decides."
    assert model["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert model["supplier"]["contact"] == [{"name": "Ada Osei", "email": "ada@bank.example"}]
    assert [a["name"] for a in model["pedigree"]["ancestors"]] == [
        "org/base-model",
        "not a repository id",
    ]
    assert [r["url"] for r in model["externalReferences"]] == ["https://example.org/paper"]
    parameters = model["modelCard"]["modelParameters"]
    assert parameters["approach"] == {"type": "supervised"}
    assert parameters["task"] == "Tabular classification"
    assert parameters["architectureFamily"] == "LGBMClassifier"
    assert parameters["modelArchitecture"] == "Gradient boosted trees."
    assert parameters["inputs"] == [{"format": "income: double"}]
    assert parameters["outputs"] == [{"format": "long"}]


def test_cyclonedx_numbers_are_those_of_the_report_with_their_intervals():
    card = bom(*FULL)["metadata"]["component"]["modelCard"]
    metrics = {
        (metric["type"], metric["slice"]): metric
        for metric in card["quantitativeAnalysis"]["performanceMetrics"]
    }
    overall = metrics["accuracy", "loans-test"]
    assert overall["value"] == "0.8512345678901"
    assert overall["confidenceInterval"] == {"lowerBound": "0.84", "upperBound": "0.86"}
    assert "confidenceInterval" not in metrics["roc_auc", "loans-test"]
    assert metrics["accuracy", "loans-test: sex=F"]["confidenceInterval"]["lowerBound"] == "0.7"
    assert ("accuracy", "loans-test: slice=night") in metrics
    assert ("accuracy", "loans-test: class=1") in metrics
    assert metrics["accuracy_difference", "loans-test: by sex"]["value"] == "0.04"
    assert metrics["fall of accuracy", "loans-test: under noise-0.1"]["value"] == "0.05"
    assert metrics["pass_rate", "scorer relevance, judged by code"]["value"] == "0.9"
    assert not [name for name, _ in metrics if name in ("log_loss", "f1")]
    told = properties(card)
    assert told["aims:verdict"] == "FAIL"
    assert told["aims:threshold:min-accuracy"] == "FAIL: accuracy on loans-test >= 0.7"
    assert told["aims:logged_metric:val_auc"] == "0.9"


def test_cyclonedx_says_what_is_measured_declared_and_missing():
    card = bom(*FULL)["metadata"]["component"]["modelCard"]
    assert card["considerations"]["technicalLimitations"] == ["One country only"]
    assert card["considerations"]["ethicalConsiderations"] == [
        {"name": "refusals", "mitigationStrategy": "a clerk decides"}
    ]
    assert card["considerations"]["fairnessAssessments"] == [
        {"groupAtRisk": "women", "benefits": "access", "harms": "refusals"}
    ]
    told = properties(card)
    assert told["aims:status:limitations"] == "declared, s.yaml:3"
    assert told["aims:status:metrics"].startswith("measured, ")
    assert told["aims:status:human_oversight"] == "missing"
    assert "aims:human_oversight" not in told
    assert told["aims:recommendations"] == "Read the score with the file."
    statuses = [name for name in told if name.startswith("aims:status:")]
    assert len(statuses) == len(load_catalogue().card_fields) == 64


def test_cyclonedx_datasets_are_components_that_the_card_refers_to():
    found = bom(*FULL)
    data = [part for part in found["components"] if part["type"] == "data"]
    assert [part["name"] for part in data] == ["loans", "loans-test"]
    card = found["metadata"]["component"]["modelCard"]
    assert [part["bom-ref"] for part in data] == [
        item["ref"] for item in card["modelParameters"]["datasets"]
    ]
    (loans,) = data[0]["data"]
    assert loans["contents"]["url"] == "s3://bank/loans.parquet"
    assert properties(loans["contents"])["aims:dataset:digest"] == "a1b2c3d4"
    assert loans["sensitiveData"] == ["sex"]
    assert "lawful basis: contract" in loans["description"]
    assert loans["governance"] == {"owners": [{"contact": {"name": "Data Office"}}]}
    (test,) = data[1]["data"]
    assert "url" not in test["contents"]
    assert "sensitiveData" not in test
    assert "governance" not in test


def test_cyclonedx_packages_have_package_urls():
    found = bom(*FULL, **{"numpy": "2.1.0", "Scikit_Learn": "1.7.2+local", "<x>": "1"})
    libraries = {p["name"]: p for p in found["components"] if p["type"] == "library"}
    url = PackageURL.from_string(libraries["Scikit_Learn"]["purl"])
    assert (url.type, url.name, url.version) == ("pypi", "scikit-learn", "1.7.2+local")
    assert "purl" not in libraries["<x>"]
    assert properties(found)["aims:packages:count"] == "3"


def test_cyclonedx_of_a_run_that_logged_nothing_invents_nothing():
    found = bom(*minimal())
    model = found["metadata"]["component"]
    assert set(model) == {"type", "bom-ref", "name", "modelCard"}
    assert set(model["modelCard"]) == {"bom-ref", "properties"}


def test_cyclonedx_is_bounded_and_says_so():
    score = scores()
    rows = tuple(
        GroupRow(group={"g": str(index)}, n=50, metrics={"accuracy": 0.5}) for index in range(2_000)
    )
    table = GroupTable(dataset="loans-test", features=("g",), rows=rows, min_group_size=30)
    report = FULL[1].model_copy(update={"scores": (score.model_copy(update={"groups": (table,)}),)})
    found = bom(FULL[0], report, **{f"package-{index:04}": "1" for index in range(1_500)})
    card = found["metadata"]["component"]["modelCard"]
    assert len(card["quantitativeAnalysis"]["performanceMetrics"]) == 1_000
    assert int(properties(card)["aims:performance_metrics:count"]) > 2_000
    assert sum(p["type"] == "library" for p in found["components"]) == 1_000
    assert properties(found)["aims:packages:count"] == "1500"


@pytest.mark.parametrize("value", [math.nan, -math.inf, None])
def test_cyclonedx_leaves_out_what_is_no_number(value):
    card = bom(*full(value=value))["metadata"]["component"]["modelCard"]
    for metric in card["quantitativeAnalysis"]["performanceMetrics"]:
        assert math.isfinite(float(metric["value"]))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_in_cyclonedx(text):
    check_cyclonedx(text)


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=40))
def test_no_text_breaks_cyclonedx(text):
    check_cyclonedx(text)


def check_cyclonedx(text):
    found = bom(*full(text), **{text: text, "numpy": "2"})
    written = json.dumps(found, ensure_ascii=False)
    for invisible in "\u202e\u2066\x1b\x85\u2028":
        assert invisible not in written
    addresses = [r["url"] for r in found["metadata"]["component"].get("externalReferences", ())]
    addresses += [
        content["contents"]["url"]
        for part in found["components"]
        for content in part.get("data", ())
        if "url" in content.get("contents", ())
    ]
    assert not [url for url in addresses if "javascript" in url or "secret" in url]


def test_every_spdx_id_that_is_written_is_one():
    folder = Path(cyclonedx.__file__).parent / "schema" / "_res"
    known = json.loads((folder / "spdx.SNAPSHOT.schema.json").read_text("utf-8"))["enum"]
    assert set(HUB_LICENCES) <= set(known)


# JSON Schema


SCHEMAS = {
    Card: published("model_card-1.schema.json"),
    EvaluationReport: published("evaluation_report-1.schema.json"),
}


def test_the_published_schemas_are_those_of_the_code():
    folder = files("aims_mlflow.model_card").joinpath("schemas")
    for name, data in schema_files().items():
        hint = f"{name}: run python -m aims_mlflow.model_card.formats.schema"
        assert folder.joinpath(name).read_bytes() == data, hint


def test_the_published_schemas_are_schemas_and_describe_themselves():
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)
        assert schema["$id"].startswith("urn:aims-mlflow:schema:")
        assert schema["description"]
    fields = SCHEMAS[Card]["$defs"]["Statement"]["properties"]["field"]["enum"]
    assert fields == [field.field for field in load_catalogue().card_fields]
    assert len(fields) == 64


@pytest.mark.parametrize(
    ("text", "value"),
    [*((None, value) for value in (0.5, math.inf, None)), *((text, math.nan) for text in HOSTILE)],
)
def test_every_json_document_follows_its_schema(text, value):
    for doc in (*full(text, value), *minimal()):
        check_schema(json.loads(render_json(doc, STAMP)), SCHEMAS[type(doc)])


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=40), st.floats())
def test_no_text_and_no_number_leaves_the_schema(text, value):
    for doc in full(text, value):
        check_schema(json.loads(render_json(doc, STAMP)), SCHEMAS[type(doc)])


def check_schema(data, schema):
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(data)


@pytest.mark.parametrize("doc", FULL, ids=["card", "report"])
def test_a_document_that_lost_or_won_a_key_is_refused(doc):
    data = json.loads(render_json(doc, STAMP))
    validator = Draft202012Validator(SCHEMAS[type(doc)])
    for key in data:
        assert not validator.is_valid({k: v for k, v in data.items() if k != key}), key
    assert not validator.is_valid(data | {"more": 1})
    assert not validator.is_valid(data | {"schema_version": "aims.model_card/2"})
    assert not validator.is_valid(data | {"evidence": data["evidence"] | {"id": "5e"}})


# PDF


@pytest.fixture(scope="module")
def pdfs() -> list[tuple[Card | EvaluationReport, bytes, bytes]]:
    pages = [(doc, render_html(doc, STAMP)) for doc in FULL]
    return [(doc, page, render_pdf(page)) for doc, page in pages]


def flat(text: str) -> str:
    return "".join(text.split()).lower()


def test_pdf_has_the_title_the_verdict_and_every_section(pdfs):
    for doc, _page, data in pdfs:
        reader = PdfReader(io.BytesIO(data))
        words = flat(" ".join(page.extract_text() for page in reader.pages))
        shown = document(doc, STAMP)
        for text in (shown.title, shown.verdict.text, *(part.title for part in shown.parts)):
            assert flat(text) in words, text
        assert reader.metadata.title == f"{shown.kind}: {shown.title}"


def test_pdf_is_a4_tagged_and_has_bookmarks(pdfs):
    for _doc, _page, data in pdfs:
        reader = PdfReader(io.BytesIO(data))
        sizes = {(round(p.mediabox.width), round(p.mediabox.height)) for p in reader.pages}
        assert sizes == {(595, 842)}
        root = reader.trailer["/Root"]
        assert root["/Lang"] == "en"
        assert root["/MarkInfo"]["/Marked"]
        assert len(reader.outline) > 0


def test_the_same_html_gives_the_same_pdf(pdfs):
    _doc, page, data = pdfs[1]
    assert render_pdf(page) == data
    assert b"CreationDate" not in data


def test_a_pdf_loads_nothing(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET", "utf-8")
    link = secret.as_uri()
    page = f"""<!doctype html><html lang=en><title>t</title>
    <link rel=attachment href="{link}"><link rel=stylesheet href="{link}">
    <img src="{link}" alt=i><style>@import "{link}"; p {{ background: url("{link}") }}</style>
    <p>shown"""
    reader = PdfReader(io.BytesIO(render_pdf(page.encode())))
    assert "shown" in reader.pages[0].extract_text()
    assert not reader.attachments


def test_without_weasyprint_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(PdfError) as caught:
        render_pdf(b"<p>x")
    assert isinstance(caught.value, AimsError)
    assert 'pip install "aims-mlflow[pdf]"' in caught.value.fix


def test_an_old_weasyprint_is_named(monkeypatch):
    import weasyprint

    monkeypatch.delattr(weasyprint.urls, "URLFetcher")
    with pytest.raises(PdfError, match="too old"):
        render_pdf(b"<p>x")


def test_without_pango_the_system_package_is_named(monkeypatch):
    class NoPango(MetaPathFinder):
        def find_spec(self, fullname, path, target=None):
            if fullname == "weasyprint":
                raise OSError("cannot load library 'libpango-1.0-0'")
            return None

    for name in [n for n in sys.modules if n.split(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NoPango(), *sys.meta_path])
    with pytest.raises(PdfError, match="libpango") as caught:
        render_pdf(b"<p>x")
    assert "apt-get install libpango-1.0-0" in caught.value.fix


@pytest.mark.parametrize("make", [render_cyclonedx, front_matter])
def test_the_same_card_gives_the_same_bytes(make):
    more = {"packages": PACKAGES} if make is render_cyclonedx else {}
    assert make(*FULL, STAMP, **more) == make(*full(), STAMP, **more)


# Command line


@pytest.fixture
def sealed(blank_store, tmp_path, sealing, monkeypatch) -> str:
    """A run whose card is sealed in every format that is a file; its id."""
    from mlflow import MlflowClient

    for name, value in {
        "MLFLOW_TRACKING_URI": f"sqlite:///{blank_store}",
        "AIMS_LEDGER_URI": f"sqlite:///{tmp_path / 'aims.db'}",
        "AIMS_DISABLE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    client = MlflowClient()
    run: str = client.create_run("0").info.run_id
    card, report = FULL
    written = {
        "md": render_markdown(card, STAMP),
        "html": render_html(card, STAMP),
        "cdx.json": render_cyclonedx(card, report, STAMP, packages=PACKAGES),
        "json": render_json(card, STAMP),
    }
    with Ledger.open(f"sqlite:///{tmp_path / 'aims.db'}") as ledger:
        for kind, formats in (
            (EvidenceKind.MODEL_CARD, written),
            (EvidenceKind.EVALUATION_REPORT, {"html": render_html(report, STAMP)}),
        ):
            artifacts = []
            for extension, data in formats.items():
                path = tmp_path / f"{kind}.v1-5e5e5e5e.{extension}"
                path.write_bytes(data)
                client.log_artifact(run, str(path), "aims")
                artifacts.append(
                    Artifact(
                        path=f"aims/{path.name}",
                        sha256=digest(data),
                        size=len(data),
                        media_type="text/plain",
                    )
                )
            item = sealing(run, kind=kind).model_copy(update={"artifacts": tuple(artifacts)})
            ledger.append([item])
    return run


def aims(*arguments: str) -> Result:
    done = CliRunner().invoke(main, arguments, prog_name="aims")
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_the_command_gives_every_format(sealed, tmp_path):
    found = json.loads(aims("card", sealed[:8], "--format", "cyclonedx").stdout_bytes)
    assert found["bomFormat"] == "CycloneDX"
    for arguments in (("--format", "json"), ("--json",)):
        assert json.loads(aims("card", sealed, *arguments).stdout_bytes)["run_id"] == "3f2a9c0d"
    assert aims("card", "--format", "html", sealed).stdout.startswith("<!DOCTYPE html>")
    assert aims("card", "show", sealed).stdout == aims("card", sealed).stdout
    target = tmp_path / "card.pdf"
    done = aims("card", sealed, "--format", "pdf", "--output", str(target))
    assert done.exit_code == 0, done.stderr
    assert "as PDF" in done.stderr
    assert PdfReader(target).metadata.title == "Model card: credit-scoring"


def test_a_format_that_was_not_sealed_is_an_answer(sealed, tmp_path):
    no_bom = aims("card", sealed, "--report", "--format", "cyclonedx")
    assert no_bom.exit_code == 2
    assert "leave out --report" in " ".join(no_bom.stderr.split())
    not_sealed = aims("card", sealed, "--report")
    assert not_sealed.exit_code == 2
    assert "sealed without the format 'md'" in " ".join(not_sealed.stderr.split())
    nowhere = aims("card", sealed, "--output", str(tmp_path / "no" / "card.md"))
    assert nowhere.exit_code == 2
    assert "cannot be written" in " ".join(nowhere.stderr.split())


def test_the_card_command_explains_both_of_its_uses():
    shown = aims("card", "--help").stdout
    assert "show" in shown
    assert "diff" in shown
    assert "cyclonedx" in aims("card", "show", "--help").stdout
