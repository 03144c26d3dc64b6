"""JSON: the sealed body itself, with the evidence that seals it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aims_mlflow.evidence import EvidenceKind, normalise
from aims_mlflow.model_card.card import Card

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aims_mlflow.model_card.evaluation import EvaluationReport
    from aims_mlflow.model_card.formats.stamp import Stamp


def render_json(doc: Card | EvaluationReport, stamp: Stamp) -> bytes:
    """A card or a report as JSON: without the key `evidence`, it is the sealed body."""
    kind = EvidenceKind.MODEL_CARD if isinstance(doc, Card) else EvidenceKind.EVALUATION_REPORT
    return render_body(normalise(doc.body())[0], kind, stamp)


def render_body(body: Mapping[str, Any], kind: EvidenceKind, stamp: Stamp) -> bytes:
    """A normalised body as JSON, two spaces deep, keys sorted, UTF-8."""
    evidence = {
        "id": stamp.evidence_id,
        "kind": kind.value,
        "version": stamp.version,
        "supersedes": stamp.supersedes,
    }
    sealed = {**body, "evidence": evidence}
    text = json.dumps(sealed, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()
