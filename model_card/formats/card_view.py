"""A model card as a document: what is measured, what is declared and by whom, what is missing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from aims_mlflow.model_card.card import Status
from aims_mlflow.model_card.formats.blocks import blocks, verdict_chip
from aims_mlflow.model_card.formats.document import (
    Block,
    Cell,
    Chip,
    Column,
    Document,
    Entry,
    Gap,
    Items,
    Link,
    Paragraph,
    Part,
    Prose,
    Share,
    Table,
)
from aims_mlflow.model_card.formats.heads import figure, provenance, system_name, verdict_note
from aims_mlflow.model_card.formats.score_tables import group_tables
from aims_mlflow.model_card.formats.text import humanise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aims_mlflow.governance.authorship import Authorship
    from aims_mlflow.governance.card_text import Written
    from aims_mlflow.model_card.card import Card, EvidenceLink, Section, Statement
    from aims_mlflow.model_card.formats.stamp import Stamp

_NOT_PROVIDED = "not provided"
#: Fields about the card rather than the model: the last of their section.
_BOOKKEEPING = ("schema_version", "card_id", "card_status")
#: Where the list of evidence stands in the document.
SOURCES = "evidence"
#: What people wrote in this file is Markdown.
_CARD_TEXT = ".card.md:"
_NOT_SEALED = "not sealed with this card"
#: Letters of a digest or an id that people read, and of a commit as git shows it.
_SHORT, _COMMIT = 8, 7


def card_document(source: Card, stamp: Stamp) -> Document:
    """The document of a card."""
    counts = source.completeness
    return Document(
        kind="Model card",
        title=source.title,
        system=system_name(source.system, source.system_name),
        verdict=verdict_chip(source.about.verdict),
        verdict_note=verdict_note(source.about.verdict_counts),
        alerts=source.about.alerts,
        figures=tuple(map(figure, source.about.key_figures)),
        shares=(
            Share("measured", "measured", counts.measured),
            Share("declared", "declared", counts.declared),
            Share("missing", "missing", counts.missing),
        ),
        shares_label=f"{counts.required} required statements",
        summary=_completeness(source.sections),
        gaps_title="What is missing",
        gaps=tuple(Gap(item.title, item.field, _gap(item)) for item in source.missing),
        parts=(
            *(_part(section, source.evidence, stamp) for section in source.sections),
            *_written(source.written),
            *_notes(source.notes),
        ),
        identity=(
            ("Run", source.run_name),
            ("Run id", source.run_id),
            ("Experiment", source.experiment_name),
            ("Time of the run", f"{source.event_time:%Y-%m-%d %H:%M:%S} UTC"),
        ),
        provenance=provenance(source.schema_version, stamp),
        sources=_sources(source.evidence, stamp),
    )


def _gap(statement: Statement) -> str:
    owner = f"{statement.owner} answers for it" if statement.owner else ""
    return "; ".join(text for text in (statement.fix, owner) if text)


def _completeness(sections: Sequence[Section]) -> Table:
    """Per section: how many required statements, and who filled them."""
    counted = [(section.title, _counts(section.statements)) for section in sections]
    totals = tuple(sum(counts[index] for _, counts in counted) for index in range(4))
    heads = ("required", "filled by machine", "filled by people", "missing")
    return Table(
        caption="Required statements by section: measured by machine, declared by people, missing",
        columns=(Column("section"), *(Column(head, numeric=True) for head in heads)),
        rows=tuple(
            (Cell(title), *(Cell(str(count), muted=not count) for count in counts))
            for title, counts in (*counted, ("All", totals))
        ),
    )


def _counts(statements: Sequence[Statement]) -> tuple[int, ...]:
    found = [item.status for item in statements if item.required]
    asked = (Status.MEASURED, Status.DECLARED, Status.MISSING)
    return (len(found), *(found.count(status) for status in asked))


def _part(section: Section, evidence: Sequence[EvidenceLink], stamp: Stamp) -> Part:
    ordered = sorted(section.statements, key=lambda statement: statement.field in _BOOKKEEPING)
    entries = tuple(_entry(statement, evidence, stamp) for statement in ordered)
    counts = Counter(entry.chip.text for entry in entries)
    tally = ", ".join(f"{count} {words}" for words, count in counts.most_common())
    return Part(section.id, section.title, entries=entries, tally=tally)


def _entry(statement: Statement, evidence: Sequence[EvidenceLink], stamp: Stamp) -> Entry:
    missing = statement.status is Status.MISSING
    optional = missing and not statement.required
    words = statement.status.value.replace("_", " ")
    owner = f"{statement.owner} answers for it" if statement.owner else ""
    origin, place = _origin(statement)
    return Entry(
        id=statement.field,
        title=statement.title,
        chip=Chip(_NOT_PROVIDED, "optional") if optional else Chip(words, statement.status.value),
        blocks=tuple(_value(statement)),
        origin=owner if missing and not optional else origin,
        place=place,
        meaning=statement.meaning if missing else "",
        fix=statement.fix,
        links=tuple(_links(statement, evidence, stamp)),
    )


def _origin(statement: Statement) -> tuple[str, str]:
    if statement.status is Status.DECLARED:
        return declared_by(statement.authorship, statement.source)
    return statement.source, ""


def declared_by(authorship: Authorship | None, source: str) -> tuple[str, str]:
    """Who declared something, when and in which commit; and where: file, line, what is odd."""
    if authorship is None:
        return "", source
    day = f"{authorship.time:%Y-%m-%d}" if authorship.time else ""
    commit = f"commit {authorship.commit[:_COMMIT]}" if authorship.commit else ""
    who = (authorship.author or "", day, commit)
    return _joined(who), _joined((source, authorship.note))


def _joined(texts: Sequence[str]) -> str:
    return ", ".join(text for text in texts if text)


def _links(statement: Statement, evidence: Sequence[EvidenceLink], stamp: Stamp) -> list[Link]:
    if statement.status is not Status.MEASURED:
        return []
    found = []
    for kind in statement.evidence:
        own = [link for link in evidence if link.kind == kind]
        ids = [stamp.evidence.get(link.content_digest, link.content_digest) for link in own]
        text = f"{humanise(kind.value)} {ids[0][:_SHORT]}" if ids else humanise(kind.value)
        more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
        found.append(Link(f"{text}{more}", SOURCES if ids else ""))
    return found


def _value(statement: Statement) -> list[Block]:
    found: list[Block] = []
    if statement.field == "disaggregated_results" and statement.status is Status.MEASURED:
        found += [part for table in statement.value for part in group_tables(table)]
    elif statement.value is not None:
        found += _told(statement.value, statement.source, statement.title)
    if statement.declared is not None:
        who = _joined(declared_by(statement.declared_authorship, statement.declared_source))
        found.append(Paragraph(f"Declared: {who}", muted=True))
        caption = f"{statement.title}, declared"
        found += _told(statement.declared, statement.declared_source, caption)
    return found


def _told(value: Any, source: str, caption: str) -> list[Block]:
    if isinstance(value, str) and _CARD_TEXT in source:
        return [Prose(value)]
    return blocks(value, caption)


def _written(written: Sequence[Written]) -> list[Part]:
    if not written:
        return []
    entries = tuple(
        Entry(
            id=f"written-{index}",
            title=item.title,
            chip=Chip("declared", "declared"),
            blocks=(Prose(item.text),),
            origin=origin,
            place=place,
        )
        for index, item in enumerate(written, start=1)
        for origin, place in [declared_by(item.authorship, item.source)]
    )
    tally = "In the words of the people who answer for the system; nothing here was measured."
    return [Part("written", "Written by people", entries=entries, tally=tally)]


def _notes(notes: Sequence[str]) -> list[Part]:
    if not notes:
        return []
    return [Part("notes", "Notes of capture", blocks=(Items("Notes", tuple(notes)),))]


def _sources(evidence: Sequence[EvidenceLink], stamp: Stamp) -> Table | None:
    if not evidence:
        return None
    return Table(
        caption="Evidence that the measured statements rest on",
        columns=(
            Column("kind"),
            Column("subject"),
            Column("content digest (SHA-256)"),
            Column("evidence id"),
        ),
        rows=tuple(
            (
                Cell(humanise(link.kind.value)),
                Cell(link.subject),
                Cell(link.content_digest),
                _sealed(stamp.evidence.get(link.content_digest)),
            )
            for link in evidence
        ),
    )


def _sealed(evidence_id: str | None) -> Cell:
    return Cell(evidence_id) if evidence_id else Cell(_NOT_SEALED, muted=True)
