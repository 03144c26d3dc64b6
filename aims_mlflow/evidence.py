"""Evidence: a sealed fact, its canonical bytes and its digests.

Everything that the ledger holds is one `Evidence`. Its *content* (kind, system, subject, event
time, body) is a pure function of what MLflow holds and of what people declared; everything that
depends on when and by whom it was captured stays outside the content digest, so that capturing
the same run again gives the same digest again.

Bytes are RFC 8785 (JSON Canonicalization Scheme), digests SHA-256 in lower-case hexadecimal.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Annotated, Any, Literal, TypeAlias

import rfc8785
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from aims_mlflow.errors import NormalisationError

#: RFC 8785 numbers are IEEE 754 doubles: integers beyond this are not exact.
MAX_SAFE_INTEGER = 2**53 - 1
_SURROGATES = re.compile("[\ud800-\udfff]")
#: Deeper nesting is replaced by a marker; real evidence has fewer than ten levels.
MAX_DEPTH = 64

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class Frozen(BaseModel):
    """Base of the domain models: immutable, and unknown fields are an error."""

    # Schemas are built when a model is first used: a training process imports many and uses few.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


#: An aware point in time, kept in UTC. Naive times are refused.
UtcDatetime = Annotated[AwareDatetime, AfterValidator(_utc)]


class EvidenceKind(StrEnum):
    """The vocabulary of `catalogue/evidence_map.yaml`, and `gap`, which serves no control."""

    SYSTEM_INVENTORY_ENTRY = "system_inventory_entry"
    RUN_RECORD = "run_record"
    MODEL_CARD = "model_card"
    EVALUATION_REPORT = "evaluation_report"
    BIAS_REPORT = "bias_report"
    DRIFT_REPORT = "drift_report"
    DATA_QUALITY_REPORT = "data_quality_report"
    DATASET_RECORD = "dataset_record"
    PROVENANCE_RECORD = "provenance_record"
    DATA_PREPARATION_RECORD = "data_preparation_record"
    ENVIRONMENT_LOCK = "environment_lock"
    COMPUTE_RECORD = "compute_record"
    ML_BOM = "ml_bom"
    REQUIREMENTS_SPEC = "requirements_spec"
    DESIGN_RECORD = "design_record"
    THRESHOLD_CONFIG = "threshold_config"
    MONITORING_CONFIG = "monitoring_config"
    DEPLOYMENT_PLAN = "deployment_plan"
    DEPLOYMENT_RECORD = "deployment_record"
    REGISTRY_TRANSITION = "registry_transition"
    APPROVAL = "approval"
    EVENT_LOG = "event_log"
    ALERT = "alert"
    INCIDENT_RECORD = "incident_record"
    ROLLBACK_RECORD = "rollback_record"
    RETIREMENT_RECORD = "retirement_record"
    IMPACT_ASSESSMENT = "impact_assessment"
    RISK_REGISTER_ENTRY = "risk_register_entry"
    SUPPLIER_RECORD = "supplier_record"
    RESPONSIBILITY_AGREEMENT = "responsibility_agreement"
    USER_DOCUMENTATION = "user_documentation"
    DISCLOSURE_NOTICE = "disclosure_notice"
    CONCERN_REPORT = "concern_report"
    POLICY_DOCUMENT = "policy_document"
    PROCEDURE_DOCUMENT = "procedure_document"
    ROLE_MATRIX = "role_matrix"
    TRAINING_RECORD = "training_record"
    STATEMENT_OF_APPLICABILITY = "statement_of_applicability"
    AUDIT_REPORT = "audit_report"
    REVIEW_MINUTES = "review_minutes"
    GAP = "gap"


#: What an execution of a monitor is sealed as, by the kind of the monitor.
MONITOR_REPORTS = (
    EvidenceKind.DRIFT_REPORT,
    EvidenceKind.DATA_QUALITY_REPORT,
    EvidenceKind.BIAS_REPORT,
    EvidenceKind.EVALUATION_REPORT,
    EvidenceKind.EVENT_LOG,
)


class SubjectType(StrEnum):
    """What a piece of evidence is about."""

    RUN = "run"
    DATASET = "dataset"
    MODEL_VERSION = "model_version"
    SYSTEM = "system"
    SUPPLIER = "supplier"
    ORGANIZATION = "organization"


class Subject(Frozen):
    """What a piece of evidence is about: one run, one dataset in one run, one system, ...

    `id` is the run id, the dataset digest, the system slug, ...; `run_id` is the MLflow run that
    the evidence came from, where there is one; `name` is for people only.
    """

    type: SubjectType
    id: str = Field(min_length=1)
    run_id: str | None = None
    name: str | None = None


class Artifact(Frozen):
    """A file that belongs to a piece of evidence, relative to the run's artifact root."""

    path: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    media_type: str


class Normalisation(Frozen):
    """One value that could not be written as it was, where it stood, and what was done."""

    at: str
    change: str


class Draft(Frozen):
    """A fact before it is sealed: everything that does not depend on who captures it, and when.

    `about` completes the identity where one subject has several items of one kind.
    """

    kind: EvidenceKind
    system: str | None
    subject: Subject
    event_time: UtcDatetime
    body: dict[str, Any]
    normalised: tuple[Normalisation, ...] = ()

    @property
    def lineage(self) -> str:
        """What later versions of this fact share: kind and subject, whatever the system."""
        return "|".join((self.kind, self.subject.type, self.subject.run_id or "", self.subject.id))

    def body_bytes(self) -> bytes:
        """The body as canonical bytes."""
        return canonical_bytes(self.body)

    def content_digest(self) -> str:
        """SHA-256 over kind, system, subject, event time and body: what "the same fact" means."""
        return digest(
            canonical_bytes(
                {
                    "kind": self.kind.value,
                    "system": self.system,
                    "subject": self.subject.model_dump(mode="json"),
                    "event_time": isoformat(self.event_time),
                    "body_sha256": digest(self.body_bytes()),
                    "normalised": [n.model_dump(mode="json") for n in self.normalised],
                }
            )
        )


class Evidence(Frozen):
    """A sealed fact, as the ledger holds it.

    Three clocks: `event_time` is when it happened (from MLflow or from the declaration),
    `capture_time` when this package looked, `receipt_time` when the ledger took it. `store` is
    the MLflow store that holds the artifacts, without a password.
    """

    schema_version: Literal["aims.evidence/1"] = "aims.evidence/1"
    id: str = Field(pattern=r"^[0-9a-f]{64}$")
    kind: EvidenceKind
    system: str | None
    subject: Subject
    version: int = Field(ge=1)
    supersedes: str | None
    event_time: UtcDatetime
    capture_time: UtcDatetime
    receipt_time: UtcDatetime
    actor: str
    source: str
    store: str | None = None
    content_digest: str
    body_sha256: str
    artifacts: tuple[Artifact, ...] = ()
    normalised: tuple[Normalisation, ...] = ()
    body: dict[str, Any] | None = Field(default=None, exclude=True)

    @property
    def lineage(self) -> str:
        """What all versions of this fact share; equal to the `Draft.lineage` it came from."""
        return "|".join((self.kind, self.subject.type, self.subject.run_id or "", self.subject.id))

    def header_bytes(self) -> bytes:
        """All but the body, as canonical bytes: the leaf of the Merkle tree.

        The body is bound by `body_sha256` and not part of the leaf, so that personal data in it
        could be erased without breaking the tree.
        """
        data = self.model_dump(mode="json", exclude={"body"})
        for clock in ("event_time", "capture_time", "receipt_time"):
            data[clock] = isoformat(getattr(self, clock))
        return canonical_bytes(data)


def evidence_id(content_digest: str, supersedes: str | None) -> str:
    """The id of a version: its content and the version that it replaces.

    Two processes that capture the same run at once compute the same id, and the ledger's unique
    index keeps one; going back to an earlier content still gives a new id.
    """
    return digest(f"{content_digest}\n{supersedes or ''}".encode())


def digest(data: bytes) -> str:
    """SHA-256 of `data`, 64 lower-case hexadecimal characters."""
    return hashlib.sha256(data).hexdigest()


def isoformat(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds: `2026-11-23T10:00:00.000000Z`.

    >>> isoformat(datetime(2026, 11, 23, 10, tzinfo=UTC))
    '2026-11-23T10:00:00.000000Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def canonical_bytes(value: Json | Mapping[str, Any]) -> bytes:
    r"""RFC 8785 bytes of a JSON value.

    Raises:
        NormalisationError: The value was not normalised first (NaN, a huge integer, a lone
            surrogate, a type that JSON does not have).

    >>> canonical_bytes({"b": 1.0, "a": "é"})
    b'{"a":"\xc3\xa9","b":1}'
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise NormalisationError(
            f"This value cannot be written as canonical JSON: {error}",
            "Pass it through aims_mlflow.evidence.normalise first.",
        ) from error


def normalise(value: Any) -> tuple[Any, tuple[Normalisation, ...]]:
    """Make any Python value fit for canonical JSON, and say what was changed.

    NaN and the infinities become the strings `"NaN"`, `"Infinity"`, `"-Infinity"`; integers beyond
    2**53 become decimal strings; lone surrogates become U+FFFD; NumPy scalars become Python
    scalars; dates become ISO 8601; sets are sorted; nesting deeper than 64 levels is cut.
    Whatever loses or changes meaning is recorded, a lossless change of type is not.

    Returns:
        The JSON value, and the changes in order of their place.

    >>> normalise({"loss": float("nan")})
    ({'loss': 'NaN'}, (Normalisation(at='$.loss', change='NaN written as text'),))
    """
    notes: list[Normalisation] = []
    return _normalise(value, "$", 0, notes), tuple(notes)


def _normalise(value: Any, at: str, depth: int, notes: list[Normalisation]) -> Any:
    if depth > MAX_DEPTH:
        notes.append(Normalisation(at=_text(at), change=f"nested deeper than {MAX_DEPTH}: cut"))
        return "(cut)"
    match value:
        case None | bool():
            return value
        case Enum():
            return _normalise(value.value, at, depth, notes)
        case str():
            return _normalise_text(value, at, notes)
        case int():
            if abs(value) > MAX_SAFE_INTEGER:
                notes.append(Normalisation(at=at, change="integer beyond 2**53 written as text"))
                return str(value)
            return int(value)
        case float():
            return _normalise_float(float(value), at, notes)
        case datetime():
            if value.tzinfo is None:
                notes.append(Normalisation(at=at, change="time without zone kept without zone"))
                return value.isoformat()
            return isoformat(value)
        case date():
            return value.isoformat()
        case Decimal():
            return str(value)
        case bytes():
            notes.append(Normalisation(at=at, change="bytes replaced by their SHA-256"))
            return f"sha256:{digest(value)}"
        case Mapping():
            return _normalise_mapping(value, at, depth, notes)
        case set() | frozenset():
            return _normalise(sorted(value, key=repr), at, depth, notes)
        case Sequence():
            return [
                _normalise(item, f"{at}[{index}]", depth + 1, notes)
                for index, item in enumerate(value)
            ]
    if callable(getattr(value, "model_dump", None)):
        return _normalise(value.model_dump(), at, depth, notes)
    if callable(getattr(value, "tolist", None)):  # NumPy scalars and arrays, without importing it
        return _normalise(value.tolist(), at, depth, notes)
    notes.append(Normalisation(at=at, change=f"{type(value).__name__} written as text"))
    return _normalise_text(str(value), at, notes)


def _normalise_mapping(
    value: Mapping[Any, Any], at: str, depth: int, notes: list[Normalisation]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = _normalise_text(str(key), at, notes)
        place = f"{at}.{name}"
        if name in result:
            notes.append(Normalisation(at=place, change="second key of this name dropped"))
            continue
        result[name] = _normalise(item, place, depth + 1, notes)
    return result


def _normalise_float(value: float, at: str, notes: list[Normalisation]) -> float | str:
    if math.isfinite(value):
        return value
    text = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    notes.append(Normalisation(at=at, change=f"{text} written as text"))
    return text


def _normalise_text(value: str, at: str, notes: list[Normalisation]) -> str:
    clean = _text(value)
    if clean != value:
        notes.append(Normalisation(at=_text(at), change="lone surrogate replaced by U+FFFD"))
    return clean


def _text(value: str) -> str:
    return _SURROGATES.sub("\ufffd", str(value))
