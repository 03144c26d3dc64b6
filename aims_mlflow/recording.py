"""Recording: drafts and their documents become files on the run and entries of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aims_mlflow import __version__
from aims_mlflow.errors import LedgerConflictError
from aims_mlflow.evidence import (
    Artifact,
    Draft,
    Evidence,
    EvidenceKind,
    Subject,
    SubjectType,
    digest,
    evidence_id,
    normalise,
)
from aims_mlflow.facts import ARTIFACT_DIR, RunFacts
from aims_mlflow.ledger.log import Entry, Ledger, Sealing
from aims_mlflow.model_card.formats import Stamp
from aims_mlflow.model_card.formats.json import render_body

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from aims_mlflow.tracking import Tracking

#: Attempts when another process seals a version of the same fact at the same moment.
_ATTEMPTS = 3
_MEDIA = {
    "md": "text/markdown",
    "html": "text/html",
    "cdx.json": "application/vnd.cyclonedx+json",
    "json": "application/json",
}

Render = Callable[[Stamp], dict[str, bytes]]


@dataclass(frozen=True)
class Planned:
    """A draft, the file stem of its documents, and how to render them (by extension)."""

    draft: Draft
    stem: str
    render: Render


@dataclass(frozen=True)
class Recorded:
    """What was sealed and written, and the newest version of every planned draft, by lineage."""

    entries: tuple[Entry, ...]
    documents: tuple[str, ...]
    newest: Mapping[str, Evidence]


def planned(
    kind: EvidenceKind,
    system_id: str | None,
    subject: Subject,
    facts: RunFacts,
    body: Mapping[str, Any],
    render: Render | None,
    *,
    stem: str,
) -> Planned:
    """A draft of something that happened when the run ended, with its documents.

    Args:
        kind: What kind of evidence it is.
        system_id: The AI system, if one claims it.
        subject: What it is about.
        facts: The run, for the time.
        body: The fact.
        render: Gives the documents; without it, the body as JSON is the only one.
        stem: The beginning of the documents' file names.
    """
    clean, notes = normalise(body)
    draft = Draft(
        kind=kind,
        system=system_id,
        subject=_clean_subject(subject),
        event_time=facts.event_time,
        body=clean,
        normalised=notes,
    )
    return Planned(draft, stem, render or (lambda stamp: {"json": render_body(clean, kind, stamp)}))


def record(
    items: Sequence[Planned],
    run_id: str,
    *,
    tracking: Tracking,
    ledger: Ledger,
    source: str,
    actor: str,
    within: Callable[[Connection], None] | None = None,
) -> Recorded:
    """Write and seal what is new or changed; what is unchanged is left alone.

    Args:
        items: What to record.
        run_id: The run that gets the documents.
        tracking: The store that holds it.
        ledger: Where evidence is sealed.
        source: What caused it.
        actor: Who or what records.
        within: Called inside the ledger's transaction: what it raises undoes the sealing.

    Raises:
        RunNotFoundError: The run is gone.
        TrackingError: The documents cannot be written; nothing was sealed.
        LedgerError: The ledger cannot be written.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return _record(items, run_id, tracking, ledger, source, actor, within)
        except LedgerConflictError:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def record_gap(
    ledger: Ledger, run_id: str, reason: str, *, system: str | None, actor: str, source: str
) -> None:
    """Seal that evidence of a run should exist and does not; once for each reason."""
    subject = Subject(type=SubjectType.RUN, id=run_id, run_id=run_id)
    record_gap_of(ledger, subject, reason, system=system, actor=actor, source=source)


def record_gap_of(
    ledger: Ledger, subject: Subject, reason: str, *, system: str | None, actor: str, source: str
) -> None:
    """Seal that evidence of a subject should exist and does not; once for each reason."""
    draft = declared_draft(EvidenceKind.GAP, system, subject, {"reason": reason})
    seal_declared(ledger, [draft], actor=actor, source=source)


def declared_draft(
    kind: EvidenceKind, system: str | None, subject: Subject, body: Mapping[str, Any]
) -> Draft:
    """A draft of something that has no time of its own in MLflow: it happens now."""
    clean, notes = normalise(body)
    return Draft(
        kind=kind,
        system=system,
        subject=subject,
        event_time=datetime.now(UTC),
        body=clean,
        normalised=notes,
    )


def seal_declared(
    ledger: Ledger, drafts: Sequence[Draft], *, actor: str, source: str
) -> tuple[Entry, ...]:
    """Seal drafts whose body differs from the newest version; the others are left alone."""
    known = ledger.latest([draft.lineage for draft in drafts])
    changed = []
    for draft in drafts:
        previous = known.get(draft.lineage)
        if previous is None or previous.body_sha256 != digest(draft.body_bytes()):
            changed.append(_sealing(draft, previous, (), actor, source, draft.event_time))
    return ledger.append(changed) if changed else ()


def _clean_subject(subject: Subject) -> Subject:
    clean, _ = normalise(subject.model_dump())
    return Subject.model_validate(clean)


def _record(
    items: Sequence[Planned],
    run_id: str,
    tracking: Tracking,
    ledger: Ledger,
    source: str,
    actor: str,
    within: Callable[[Connection], None] | None,
) -> Recorded:
    newest = ledger.latest([item.draft.lineage for item in items])
    now = datetime.now(UTC)
    files: dict[str, bytes] = {}
    sealings: list[Sealing] = []
    for item, stamp in _changed(items, newest):
        written = _files(item, stamp)
        files |= written
        artifacts = tuple(_artifact(path, data) for path, data in sorted(written.items()))
        previous = newest.get(item.draft.lineage)
        sealing = _sealing(item.draft, previous, artifacts, actor, source, now)
        sealings.append(sealing.model_copy(update={"store": tracking.uri_shown}))
    if not sealings:
        return Recorded((), (), newest)
    # Files first: an entry must never name a file that a crash kept from being written.
    tracking.write(run_id, files)
    entries = ledger.append(sealings, within=within)
    newest |= {entry.evidence.lineage: entry.evidence for entry in entries}
    return Recorded(entries, tuple(sorted(files)), newest)


def _changed(
    items: Sequence[Planned], newest: Mapping[str, Evidence]
) -> list[tuple[Planned, Stamp]]:
    """What is not sealed yet as it stands, with the stamp of its next version.

    Every stamp knows the evidence ids of all items: a card names what it rests on.
    """
    stamps: list[tuple[Planned, Stamp]] = []
    ids: dict[str, str] = {}
    for item in items:
        previous = newest.get(item.draft.lineage)
        content = item.draft.content_digest()
        if previous is not None and previous.content_digest == content:
            ids[content] = previous.id
            continue
        version, supersedes = _following(previous)
        ids[content] = evidence_id(content, supersedes)
        stamp = Stamp(version=version, supersedes=supersedes, evidence_id=ids[content])
        stamps.append((item, stamp))
    return [(item, stamp.model_copy(update={"evidence": ids})) for item, stamp in stamps]


def _files(item: Planned, stamp: Stamp) -> dict[str, bytes]:
    # The id keeps two processes that capture different states of a run at once apart.
    name = f"{ARTIFACT_DIR}/{item.stem}.v{stamp.version}-{stamp.evidence_id[:8]}"
    return {f"{name}.{extension}": data for extension, data in item.render(stamp).items()}


def _artifact(path: str, data: bytes) -> Artifact:
    media = next(media for extension, media in _MEDIA.items() if path.endswith(f".{extension}"))
    return Artifact(path=path, sha256=digest(data), size=len(data), media_type=media)


def _following(previous: Evidence | None) -> tuple[int, str | None]:
    return (previous.version + 1, previous.id) if previous else (1, None)


def _sealing(
    draft: Draft,
    previous: Evidence | None,
    artifacts: tuple[Artifact, ...],
    actor: str,
    source: str,
    now: datetime,
) -> Sealing:
    version, supersedes = _following(previous)
    return Sealing(
        draft=draft,
        version=version,
        supersedes=supersedes,
        artifacts=artifacts,
        actor=actor,
        source=f"aims-mlflow/{__version__} {source}",
        capture_time=now,
    )
