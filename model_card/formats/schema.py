"""JSON Schemas (2020-12) of the documents, as the JSON format writes them.

Generated from the models, so that they cannot say anything else than the code does:
`python -m aims_mlflow.model_card.formats.schema` writes them again.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

from aims_mlflow.catalogue.loader import load_catalogue
from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.model_card.bounds import MAX_ENTRIES
from aims_mlflow.model_card.card import Card, Completeness
from aims_mlflow.model_card.evaluation import EvaluationReport
from aims_mlflow.monitored import EVIDENCE_KINDS, MonitoringReport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic_core import core_schema

    from aims_mlflow.evidence import Frozen

#: Where the files are, inside the package.
FOLDER = "schemas"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


class _AsWritten(GenerateJsonSchema):
    """Numbers as `aims_mlflow.evidence.normalise` writes them, and no invented titles."""

    def float_schema(self, schema: core_schema.FloatSchema) -> dict[str, Any]:
        number = super().float_schema(schema)
        return {"anyOf": [number, {"enum": ["NaN", "Infinity", "-Infinity"]}]}

    def int_schema(self, schema: core_schema.IntSchema) -> dict[str, Any]:
        number = super().int_schema(schema)
        return {"anyOf": [number, {"type": "string", "pattern": "^-?[0-9]+$"}]}

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def card_schema() -> dict[str, Any]:
    """The schema of a model card in JSON; the names of its 64 fields are enumerated."""
    schema = _generated(Card)
    properties = schema["properties"]
    fields = [field.field for field in load_catalogue().card_fields]
    schema["$defs"]["Statement"]["properties"]["field"] = {"enum": fields}
    schema["$defs"]["Completeness"] = _generated(Completeness)
    properties["rests_on"] = properties.pop("evidence")
    properties["completeness"] = {"$ref": "#/$defs/Completeness"}
    return _sealed(schema, "model_card", EvidenceKind.MODEL_CARD)


def report_schema() -> dict[str, Any]:
    """The schema of an evaluation report in JSON; its logged metrics are a bounded list."""
    schema = _generated(EvaluationReport)
    schema["properties"]["logged_metrics"] = {
        "type": "object",
        "description": "The first metrics, the number of all, and a SHA-256 over all.",
        "properties": {
            "count": {"type": "integer", "minimum": 0},
            "sha256": _SHA256,
            "entries": {
                "type": "array",
                "items": {"$ref": "#/$defs/LoggedMetric"},
                "maxItems": MAX_ENTRIES,
            },
        },
        "required": ["count", "sha256", "entries"],
        "additionalProperties": False,
    }
    return _sealed(schema, "evaluation_report", EvidenceKind.EVALUATION_REPORT)


def monitoring_schema() -> dict[str, Any]:
    """The schema of a monitoring report in JSON; the kind of monitor decides what seals it."""
    schema = _generated(MonitoringReport)
    del schema["properties"]["run_id"]
    schema["properties"]["kind"] = {"enum": list(EVIDENCE_KINDS)}
    return _sealed(schema, "monitoring_report", *dict.fromkeys(EVIDENCE_KINDS.values()))


def schema_files() -> dict[str, bytes]:
    """The published files by their name, as they must stand in `model_card/schemas/`."""
    made = {
        "model_card-1.schema.json": card_schema(),
        "evaluation_report-1.schema.json": report_schema(),
        "monitoring_report-1.schema.json": monitoring_schema(),
    }
    return {
        name: f"{json.dumps(schema, indent=2, ensure_ascii=False)}\n".encode()
        for name, schema in made.items()
    }


def published(name: str) -> dict[str, Any]:
    """A published schema, as installed: `published("model_card-1.schema.json")`."""
    text = files("aims_mlflow.model_card").joinpath(FOLDER, name).read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _sealed(schema: dict[str, Any], name: str, *kinds: EvidenceKind) -> dict[str, Any]:
    """The schema of a body with its `$id`, and with the evidence that the JSON format adds."""
    properties = schema["properties"] | {"evidence": _evidence(kinds)}
    head = {"$schema": _DIALECT, "$id": f"urn:aims-mlflow:schema:{name}:1"}
    told = {"title": f"aims-mlflow {name.replace('_', ' ')}"}
    return head | schema | told | {"properties": properties, "required": list(properties)}


def _generated(model: type[Frozen]) -> dict[str, Any]:
    schema = model.model_json_schema(mode="serialization", schema_generator=_AsWritten)
    written: dict[str, Any] = _as_written(schema)
    return written


def _as_written(schema: Any) -> Any:
    """Without defaults, and every property required: all of them are always written."""
    if isinstance(schema, list):
        return [_as_written(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        key: {name: _as_written(item) for name, item in value.items()}
        if key in ("properties", "$defs")
        else _as_written(value)
        for key, value in schema.items()
        if key != "default"
    }
    return found | ({"required": list(found["properties"])} if "properties" in found else {})


def _evidence(kinds: Sequence[EvidenceKind]) -> Mapping[str, Any]:
    values = [kind.value for kind in kinds]
    return {
        "type": "object",
        "description": "What seals the body: the ledger holds the body without this key.",
        "properties": {
            "id": _SHA256,
            "kind": {"const": values[0]} if len(values) == 1 else {"enum": values},
            "version": {"type": "integer", "minimum": 1},
            "supersedes": {"anyOf": [_SHA256, {"type": "null"}]},
        },
        "required": ["id", "kind", "version", "supersedes"],
        "additionalProperties": False,
    }


def main() -> None:
    """Write the published files again, into this source tree."""
    folder = Path(__file__).resolve().parent.parent / FOLDER
    folder.mkdir(exist_ok=True)
    for name, data in schema_files().items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
