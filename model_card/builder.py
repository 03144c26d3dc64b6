"""Build a model card: each field of the catalogue is one statement, and nothing is invented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.catalogue.loader import load_catalogue
from aims_mlflow.evidence import EvidenceKind, normalise
from aims_mlflow.governance.system import AISystem, RiskTier
from aims_mlflow.model_card.about import describe
from aims_mlflow.model_card.bounds import cut_text, plain
from aims_mlflow.model_card.card import Card, Section, Statement, Status
from aims_mlflow.model_card.declared import DECLARATIONS
from aims_mlflow.model_card.measured import MEASURED, SCHEMA, with_changes
from aims_mlflow.model_card.run_fields import model_name, unplaced_datasets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aims_mlflow.catalogue.loader import CardField
    from aims_mlflow.facts import Redaction, RunFacts
    from aims_mlflow.governance.authorship import Authorship
    from aims_mlflow.governance.card_text import Written
    from aims_mlflow.model_card.card import EvidenceLink
    from aims_mlflow.model_card.diff import CardDiff
    from aims_mlflow.model_card.evaluation import EvaluationReport

SECTION_TITLES = {
    "identity": "Identity",
    "use": "Use",
    "technical": "Technical description",
    "data": "Data",
    "evaluation": "Evaluation",
    "considerations": "Considerations",
    "operation": "Operation",
}
_TITLES = {"system_id": "AI system", "card_id": "Card id"}
_HIGH_RISK = (RiskTier.HIGH, RiskTier.UNACCEPTABLE)


#: Places of left-out secrets that a note names.
_MAX_NAMED = 10


class _Given(NamedTuple):
    status: Status
    value: Any
    source: str
    evidence: tuple[EvidenceKind, ...] = ()
    authorship: Authorship | None = None


class _Sources(NamedTuple):
    facts: RunFacts
    system_id: str | None
    system: AISystem | None
    report: EvaluationReport
    where: Callable[..., str]
    authorship: Callable[..., Authorship | None] | None
    sealed: frozenset[EvidenceKind]
    changes: CardDiff | None

    def file(self, *path: str) -> str:
        """File and line of a key of the system's declaration, or the file that should exist."""
        if self.system is not None:
            return self.where(self.system.id, *path)
        return f"governance/systems/{self.system_id or '<id>'}.yaml"

    def declared(self, system: AISystem, value: Any, *path: str) -> _Given:
        """What stands at a key of the system's declaration, with its line and who wrote it."""
        author = self.authorship(system.id, *path) if self.authorship and _is_told(value) else None
        return _Given(Status.DECLARED, value, self.file(*path), authorship=author)

    def rests_on(self, kinds: tuple[EvidenceKind, ...]) -> tuple[EvidenceKind, ...]:
        """Those of `kinds` that were sealed for this card, else the run's own record."""
        found = tuple(kind for kind in kinds if kind in self.sealed)
        fallback = {EvidenceKind.RUN_RECORD} & self.sealed if kinds else ()
        return found or tuple(fallback)


def build_card(
    facts: RunFacts,
    system_id: str | None,
    system: AISystem | None,
    report: EvaluationReport,
    where: Callable[..., str],
    *,
    evidence: Sequence[EvidenceLink] = (),
    authorship: Callable[..., Authorship | None] | None = None,
    written: Sequence[Written] = (),
    changes: CardDiff | None = None,
) -> Card:
    """The model card of a run.

    Args:
        facts: The run as MLflow holds it.
        system_id: The system that the run belongs to; None for an unclaimed run.
        system: Its declaration; None when no file declares it.
        report: The evaluation report of the same run; all numbers of the card are its numbers.
        where: `where(system_id, *path)` gives `file:line` of a key of the declaration.
        evidence: The sealed facts of the same run; measured statements name those they rest on.
        authorship: `authorship(system_id, *path)` tells who last touched a key of the
            declaration; nobody is named where it is None.
        written: Sections that people wrote by hand for the cards of this system.
        changes: What changed since the version in production.
    """
    sealed = frozenset(link.kind for link in evidence)
    sources = _Sources(facts, system_id, system, report, where, authorship, sealed, changes)
    statements = [_statement(field, sources) for field in load_catalogue().card_fields]
    return Card(
        run_id=facts.run_id,
        run_name=cut_text(facts.run_name),
        experiment_name=cut_text(facts.experiment_name),
        event_time=facts.event_time,
        title=model_name(facts) or cut_text(facts.run_name),
        system=system_id,
        system_name=system.name if system else None,
        about=describe(facts, system_id, system, report),
        sections=tuple(_sections(statements)),
        written=tuple(written),
        evidence=tuple(evidence),
        notes=tuple(_notes(facts)),
    )


def is_required(rule: str, system: AISystem | None) -> bool:
    """Whether a field with this `required` rule of the catalogue must be filled for this system.

    What no declaration can tell (whether a model is derived, or handles speech) is not required.
    """
    match rule:
        case "always":
            return True
        case "if_high_risk":
            return system is not None and system.risk_tier in _HIGH_RISK
        case "if_affects_people":
            return system is not None and bool(system.sensitive_features)
    return False


def _sections(statements: Sequence[Statement]) -> Iterator[Section]:
    for name, title in SECTION_TITLES.items():
        own = tuple(statement for statement in statements if statement.section == name)
        yield Section(id=name, title=title, statements=own)


def _statement(field: CardField, sources: _Sources) -> Statement:
    given = [item for item in _given(field, sources) if _is_told(item.value)]
    first = given[0] if given else _not_given(field, sources)
    beside = given[1] if len(given) > 1 else None
    owner = sources.system.owner if sources.system else None
    answers = first.status is Status.MISSING or (
        field.filled_by != "machine" and first.status is not Status.MEASURED
    )
    return Statement(
        field=field.field,
        title=_TITLES.get(field.field) or field.field.replace("_", " ").capitalize(),
        section=field.section,
        meaning=field.meaning,
        status=first.status,
        required=is_required(field.required, sources.system),
        value=first.value,
        source=first.source,
        evidence=first.evidence,
        authorship=first.authorship,
        declared=beside.value if beside else None,
        declared_source=beside.source if beside else "",
        declared_authorship=beside.authorship if beside else None,
        fix=_fix(field, sources) if first.status is Status.MISSING else "",
        owner=owner.name if owner and answers else None,
    )


def _given(field: CardField, sources: _Sources) -> Iterator[_Given]:
    """All that is known of a field: measured first, then its own key, then the one of `card:`."""
    name = field.field
    if name in MEASURED:
        measured = MEASURED[name]
        value = plain(measured.read(sources.facts, sources.report))
        value = with_changes(name, value, sources.facts, sources.changes)
        kinds = sources.rests_on(measured.evidence)
        yield _Given(Status.MEASURED, value, measured.source, evidence=kinds)
    if sources.system is None:
        return
    if name in DECLARATIONS:
        declaration = DECLARATIONS[name]
        value = plain(declaration.read(sources.system))
        yield sources.declared(sources.system, value, declaration.stands_at(sources.system))
    if name in sources.system.card:
        # YAML may hold anything: sets, times without zone, deep nesting.
        value, _ = normalise(sources.system.card[name])
        yield sources.declared(sources.system, value, "card", name)


def _not_given(field: CardField, sources: _Sources) -> _Given:
    tier = sources.system.risk_tier if sources.system else None
    if field.required == "if_high_risk" and tier is not None and tier not in _HIGH_RISK:
        reason = f"asked of high-risk systems; this one is declared {tier.value}"
        return _Given(Status.NOT_APPLICABLE, reason, sources.file("risk_tier"))
    if field.required == "at_retirement":
        return _Given(Status.NOT_APPLICABLE, "asked when the model is withdrawn", SCHEMA)
    return _Given(Status.MISSING, None, "")


def _is_told(value: Any) -> bool:
    return value is not None and value not in ("", [], {})


def _fix(field: CardField, sources: _Sources) -> str:
    """Where to add what, as `place: line to add`."""
    name = field.field
    if name == "system_id" and sources.system_id is None:
        return 'training script: @aims_mlflow.govern("...")'
    if name == "system_id":
        return f"{sources.file()}: {{id: {sources.system_id}, name: ...}}"
    if name in DECLARATIONS:
        declaration = DECLARATIONS[name]
        return f"{sources.file(declaration.key)}: {declaration.example}"
    if name in MEASURED and MEASURED[name].fix and field.filled_by != "human":
        place = sources.file("monitors") if name == "data_quality" else "training script"
        return f"{place}: {MEASURED[name].fix}"
    return f"{sources.file('card', name)}: card: {{{name}: ...}}"


def _notes(facts: RunFacts) -> Iterator[str]:
    yield from (cut_text(note) for note in facts.notes)
    if facts.redactions:
        yield _left_out(facts.redactions)
    for name in unplaced_datasets(facts):
        yield (
            f"The dataset '{name}' was logged without saying what it was used for: "
            'mlflow.log_input(dataset, context="training")'
        )


def _left_out(redactions: Sequence[Redaction]) -> str:
    places = list(dict.fromkeys(redaction.where for redaction in redactions))
    count, named = len(places), ", ".join(cut_text(place) for place in places[:_MAX_NAMED])
    more = f" and {count - _MAX_NAMED:,} more" if count > _MAX_NAMED else ""
    what = "1 value was left out because it looked like a secret"
    if count > 1:
        what = f"{count:,} values were left out because they looked like secrets"
    return f"{what}: {named}{more}"
