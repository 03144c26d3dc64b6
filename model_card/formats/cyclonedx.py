"""CycloneDX 1.6 JSON: a machine-learning bill of materials with the model card inside.

Format: https://cyclonedx.org/docs/1.6/json/ (ECMA-424). What the card does not know is left out;
CycloneDX has no word for measured, declared and missing, so each statement's state stands in a
property `aims:status:<field>`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from aims_mlflow import __version__
from aims_mlflow.evidence import isoformat
from aims_mlflow.model_card.bounds import MAX_ENTRIES, cut_text
from aims_mlflow.model_card.formats.cyclonedx_model import model_card, prop
from aims_mlflow.model_card.formats.statements import (
    address,
    declared,
    items,
    line,
    records,
    stated,
    text_of,
    texts,
)
from aims_mlflow.model_card.formats.vocabulary import spdx_licence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aims_mlflow.model_card.card import Card
    from aims_mlflow.model_card.evaluation import EvaluationReport
    from aims_mlflow.model_card.formats.stamp import Stamp

_MODEL = "model"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_EMAIL = re.compile(r"[^@\s<>]+@[^@\s<>]+")
#: Project names as PyPI takes them: https://packaging.python.org/specifications/name-normalization.
_PROJECT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
#: CycloneDX allows no longer version.
_MAX_VERSION = 1_024


def render_cyclonedx(
    card: Card, report: EvaluationReport, stamp: Stamp, *, packages: Mapping[str, str]
) -> bytes:
    """A card as CycloneDX 1.6: the model with its model card, its data sets and its packages.

    Args:
        card: The model card.
        report: The evaluation report of the same run: the performance metrics.
        stamp: Version and evidence id; the serial number is derived from the id.
        packages: Python packages of the training environment, name to version; at most 1,000
            become components, and a property tells the number of all.

    Returns:
        JSON, UTF-8, the same bytes for the same input.
    """
    data = _datasets(card)
    libraries = _libraries(packages)
    parts = [*data, *libraries]
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'urn:aims-mlflow:{stamp.evidence_id}')}",
        "version": stamp.version,
        "metadata": _metadata(card, report, data),
        "components": parts,
        "dependencies": [
            {"ref": _MODEL, "dependsOn": [part["bom-ref"] for part in parts]},
            *({"ref": part["bom-ref"]} for part in parts),
        ],
        "properties": [*_properties(card, stamp), prop("aims:packages:count", len(packages))],
    }
    text = json.dumps(_filled(bom), indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def _filled(value: Any) -> Any:
    """The value without empty parts: CycloneDX leaves out what is not known."""
    if isinstance(value, dict):
        kept = {key: _filled(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, "", [], {})}
    if isinstance(value, list):
        return [_filled(item) for item in value]
    return value


def _metadata(card: Card, report: EvaluationReport, data: list[dict[str, Any]]) -> dict[str, Any]:
    tool = {"type": "application", "name": "aims-mlflow", "version": __version__}
    return {
        "timestamp": isoformat(card.event_time),
        "tools": {"components": [tool]},
        "authors": list(_contacts(stated(card, "card_authors"))),
        "component": _model(card, report, [part["bom-ref"] for part in data]),
    }


def _model(card: Card, report: EvaluationReport, data: list[str]) -> dict[str, Any]:
    versions = records(stated(card, "version"))
    return {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "supplier": {"contact": list(_contacts(stated(card, "owners")))},
        "name": line(card.title) or line(card.run_id),
        "version": next((text_of(row, "version")[:_MAX_VERSION] for row in versions), ""),
        "description": "\n".join(
            [*texts(stated(card, "overview")), *texts(stated(card, "description"))]
        ),
        "hashes": list(_hashes(card)),
        "licenses": [_licence(item) for item in items(stated(card, "licenses"))],
        "pedigree": {"ancestors": list(_ancestors(card))},
        "externalReferences": list(_references(card)),
        "modelCard": model_card(card, report, data),
    }


def _contacts(value: Any) -> Iterator[dict[str, str]]:
    for item in items(value):
        if not isinstance(item, dict):
            yield {"name": line(item)}
            continue
        email = text_of(item, "email", "contact")
        found = {"name": text_of(item, "name"), "email": email if _EMAIL.fullmatch(email) else ""}
        if any(found.values()):
            yield found


def _hashes(card: Card) -> Iterator[dict[str, str]]:
    registry = stated(card, "registry")
    models = records(registry.get("models")) if isinstance(registry, dict) else []
    # One component has the hashes of one file: which of several models it is cannot be told.
    found = [str(model.get("MLmodel SHA-256") or "") for model in models]
    if len(found) == 1 and _SHA256.fullmatch(found[0]):
        yield {"alg": "SHA-256", "content": found[0]}


def _licence(item: Any) -> dict[str, Any]:
    record = item if isinstance(item, dict) else {}
    name = (
        text_of(record, "identifier", "id", "spdx", "name", "custom_text", "text")
        if record
        else line(item)
    )
    spdx = spdx_licence(name)
    found: dict[str, Any] = {"id": spdx} if spdx else {"name": name or "not named"}
    links = (address(link) for link in record.values())
    return {"license": found | {"url": next(filter(None, links), None)}}


def _ancestors(card: Card) -> Iterator[dict[str, Any]]:
    for item in items(stated(card, "base_model")):
        name = text_of(item, "name", "id") if isinstance(item, dict) else line(item)
        version = text_of(item, "version", "revision") if isinstance(item, dict) else ""
        if name:
            yield {
                "type": "machine-learning-model",
                "name": name,
                "version": version[:_MAX_VERSION],
            }


def _references(card: Card) -> Iterator[dict[str, str]]:
    for field, kind in (
        ("references", "website"),
        ("instructions_for_use", "documentation"),
        ("declaration_of_conformity", "attestation"),
    ):
        for item in items(stated(card, field)):
            texts_of_item = item.values() if isinstance(item, dict) else [item]
            for url in filter(None, map(address, texts_of_item)):
                yield {"url": url, "type": kind, "comment": field.replace("_", " ")}


def _datasets(card: Card) -> list[dict[str, Any]]:
    """A component for each dataset of the run, once by name and digest."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for field in ("training_data", "evaluation_data"):
        for row in records(stated(card, field)):
            rows.setdefault((text_of(row, "name"), text_of(row, "digest")), []).append(row)
    return [
        _dataset(number, name, digest, found, card)
        for number, ((name, digest), found) in enumerate(rows.items(), start=1)
        if name
    ][:MAX_ENTRIES]


def _dataset(
    number: int, name: str, digest: str, rows: list[dict[str, Any]], card: Card
) -> dict[str, Any]:
    reference = f"dataset-{number}"
    about = [row for row in _declared_rows(card) if text_of(row, "name") == name]
    facts = [(key, text_of(row, key)) for row in rows for key in ("context", "rows", "columns")]
    source = next((text_of(row, "source") for row in rows if row.get("source")), "")
    told = [("source", source), ("digest", digest), *dict.fromkeys(facts)]
    content = {
        "type": "dataset",
        "bom-ref": f"{reference}-data",
        "name": name,
        "contents": {
            "url": address(source),
            "properties": [prop(f"aims:dataset:{key}", value) for key, value in told if value],
        },
        "sensitiveData": _sensitive(card, name),
        "description": "\n".join(
            cut_text(f"{line(key).replace('_', ' ')}: {line(value)}")
            for row in about
            for key, value in row.items()
            if key not in ("name", *_RESPONSIBLE) and value not in (None, "", "missing")
        ),
        "governance": _governance(about),
    }
    return {
        "type": "data",
        "bom-ref": reference,
        "name": name,
        "version": digest[:_MAX_VERSION],
        "data": [content],
    }


def _declared_rows(card: Card) -> list[dict[str, Any]]:
    statement = card.statement("data_acquisition")
    return [*records(statement.value), *records(statement.declared)]


_RESPONSIBLE = ("custodian", "custodians", "steward", "stewards", "owner", "owners")


def _governance(about: list[dict[str, Any]]) -> dict[str, Any]:
    """Who answers for a dataset, where its declaration names them."""
    return {
        f"{role}s": [
            {"contact": contact}
            for row in about
            for key in (role, f"{role}s")
            for contact in _contacts(row.get(key))
        ]
        for role in ("custodian", "steward", "owner")
    }


def _sensitive(card: Card, name: str) -> list[str]:
    """What is sensitive in a dataset: only where its own declaration says that anything is."""
    stated_ones = [
        *records(stated(card, "sensitive_data")),
        *records(declared(card, "sensitive_data")),
    ]
    for found in stated_ones:
        for row in records(found.get("datasets")):
            if text_of(row, "name") == name and row.get("sensitive") is True:
                return texts(found.get("attributes")) or ["attributes not named"]
    return []


def _libraries(packages: Mapping[str, str]) -> list[dict[str, Any]]:
    found = []
    for number, name in enumerate(sorted(packages)[:MAX_ENTRIES], start=1):
        version = line(packages[name])
        purl = _purl(name, version)
        found.append(
            {
                "type": "library",
                "bom-ref": f"package-{number}",
                "name": cut_text(line(name)) or "not named",
                "version": version[:_MAX_VERSION],
                "purl": purl,
            }
        )
    return found


def _purl(name: str, version: str) -> str | None:
    """The package URL of a PyPI project, https://github.com/package-url/purl-spec."""
    if not _PROJECT.fullmatch(name) or len(version) > _MAX_VERSION:
        return None
    project = re.sub(r"[-_.]+", "-", name).lower()
    return f"pkg:pypi/{project}" + (f"@{quote(version, safe='')}" if version else "")


def _properties(card: Card, stamp: Stamp) -> Iterator[dict[str, str]]:
    yield prop("aims:evidence_id", stamp.evidence_id)
    if stamp.supersedes:
        yield prop("aims:supersedes", stamp.supersedes)
    yield prop("aims:schema", card.schema_version)
    yield prop("aims:run_id", card.run_id)
    yield prop("aims:experiment", card.experiment_name)
    if card.system:
        yield prop("aims:system", card.system)
