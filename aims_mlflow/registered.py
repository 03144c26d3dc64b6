"""Registered models: what a run is compared with, and the summary that its versions carry."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from aims_mlflow.errors import TrackingError
from aims_mlflow.evidence import canonical_bytes
from aims_mlflow.facts import TAG_VERDICT, BaselineFacts
from aims_mlflow.model_card.formats.markdown import escape
from aims_mlflow.model_card.formats.text import shown, with_interval
from aims_mlflow.tracking.registry import BASELINE_FILE, MAX_DESCRIPTION, Pin, parse_pin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aims_mlflow.evidence import Evidence
    from aims_mlflow.facts import RunFacts
    from aims_mlflow.governance.system import AISystem
    from aims_mlflow.model_card.card import Card, KeyFigure
    from aims_mlflow.model_card.evaluation import EvaluationReport
    from aims_mlflow.readings import Interval
    from aims_mlflow.tracking import Tracking
    from aims_mlflow.tracking.registry import Version

BEGIN, END = "<!-- aims:begin -->", "<!-- aims:end -->"
TAG_CARD_VERSION = "aims.card_version"
TAG_CARD = "aims.card"
#: A pair of markers with no other marker between them.
_OURS = re.compile(f"{BEGIN}(?:(?!<!-- aims:(?:begin|end) -->).)*{END}", re.DOTALL)
_SHORT_ID = 8


def with_baseline(facts: RunFacts, system: AISystem | None, tracking: Tracking) -> RunFacts:
    """The facts with the version in production that the run is compared with, pinned on the run.

    Nothing is asked of the registry unless the system declares `registered_models` and
    `production_alias`. A registry that does not answer is a note, and the next capture asks again.

    Raises:
        TrackingError: The pin cannot be written to the run.
    """
    if system is None or not system.mlflow.registered_models or not system.mlflow.production_alias:
        return facts
    mine = tuple(sorted(f"{v.name}/{v.version}" for v in facts.model_versions))
    pin = parse_pin(tracking.read_input(facts.run_id, BASELINE_FILE))
    if pin is not None and set(mine) <= set(pin.registered):
        return facts.model_copy(update={"baseline": pin.baseline})
    try:
        found = _production(facts, system, tracking)
    except TrackingError as error:
        note = f"the version in production could not be read: {error.message}"
        return facts.model_copy(update={"notes": (*facts.notes, note)})
    if found is not None and found.run_id == facts.run_id:
        # Its own version is in production by now: what it replaced stays what it is compared with.
        found = pin.baseline if pin else None
    decided = Pin(baseline=found, registered=mine)
    tracking.write_input(
        facts.run_id, BASELINE_FILE, canonical_bytes(decided.model_dump(mode="json"))
    )
    return facts.model_copy(update={"baseline": found})


def baseline_facts(facts: RunFacts, tracking: Tracking) -> tuple[RunFacts | None, str]:
    """The run behind the version in production, and why it cannot be read, if it cannot."""
    if facts.baseline is None:
        return None, ""
    try:
        return tracking.fetch_once(facts.baseline.run_id), ""
    except TrackingError as error:
        named = f"{facts.baseline.name} {facts.baseline.version}"
        return None, f"the run of {named} in production could not be read: {error.message}"


def announce(
    facts: RunFacts,
    report: EvaluationReport,
    card: Card,
    sealed: Evidence,
    tracking: Tracking,
    headline: str = "",
) -> tuple[str, ...]:
    """Write the card's summary to the registered versions of its run, where it changed.

    Args:
        facts: The run.
        report: Its evaluation report.
        card: Its card.
        sealed: The evidence of the card's newest version.
        tracking: Where the versions are.
        headline: What changed since the version in production, in one sentence.

    Returns:
        What the registry refused, for a person to read; a refusal never fails a capture.
    """
    notes = []
    for version in facts.model_versions:
        try:
            found = tracking.registry.version(version.name, version.version)
            blocks = summaries(report, card, sealed, headline)
            text = next((t for t in (merged(found.description, b) for b in blocks) if t), None)
            if text is None:
                notes.append(f"{_named(found)}: its description leaves no room for the summary")
            tags = _tags(report, sealed)
            tracking.registry.describe(found, found.description if text is None else text, tags)
        except TrackingError as error:
            notes.append(f"{version.name} {version.version} was not described: {error.message}")
    return tuple(notes)


def merged(description: str, block: str) -> str | None:
    r"""The description with our part replaced, or added after the person's own text.

    Only what stands between two sound markers is replaced. Markers that a person damaged are
    that person's text, and our part is added anew.

    Returns:
        None where it would be longer than the registry keeps.

    >>> merged("Mine.", "<!-- aims:begin -->a<!-- aims:end -->")
    'Mine.\n\n<!-- aims:begin -->a<!-- aims:end -->'
    """
    pairs = list(_OURS.finditer(description))
    if pairs:
        last = pairs[-1]
        text = description[: last.start()] + block + description[last.end() :]
    else:
        text = f"{description}\n\n{block}" if description else block
    return text if len(text) <= MAX_DESCRIPTION else None


def summaries(
    report: EvaluationReport, card: Card, sealed: Evidence, headline: str = ""
) -> Iterator[str]:
    """The summary between its markers, then ever shorter ones."""
    head = f"**Model card version {sealed.version}**, verdict **{report.verdict.value}**"
    where = (
        f"Run `{card.run_id}`, card `{_document(sealed)}`, evidence `{sealed.id[:_SHORT_ID]}`; "
        f"shown by `aims card {card.run_id}`"
    )
    missing = len(card.missing)
    noun = "statement is" if missing == 1 else "statements are"
    lacking = f"{missing} required {noun} missing on the card"
    changed = [escape(headline[:1].upper() + headline[1:])] if headline else []
    figures = [_figure(figure, report) for figure in card.about.key_figures]
    for points in ([*figures, lacking, *changed], [lacking, *changed], [lacking], []):
        lines = [BEGIN, head, "", *(f"- {point}" for point in points), "", where, END]
        yield "\n".join(lines)


def _production(facts: RunFacts, system: AISystem, tracking: Tracking) -> BaselineFacts | None:
    """The version that the alias points at: of the model that the run is a version of, if any."""
    own = [v.name for v in facts.model_versions if v.name in system.mlflow.registered_models]
    alias = str(system.mlflow.production_alias)
    for name in dict.fromkeys((*own, *system.mlflow.registered_models)):
        version = tracking.registry.aliased(name, alias)
        if version is not None and version.run_id:
            return BaselineFacts(
                name=name, version=version.version, alias=alias, run_id=version.run_id
            )
    return None


def _tags(report: EvaluationReport, sealed: Evidence) -> dict[str, str]:
    return {
        TAG_CARD_VERSION: str(sealed.version),
        TAG_VERDICT: report.verdict.value,
        TAG_CARD: f"runs:/{sealed.subject.run_id}/{_document(sealed)}",
    }


def _document(sealed: Evidence) -> str:
    paths = [artifact.path for artifact in sealed.artifacts]
    return next((path for path in paths if path.endswith(".html")), paths[0] if paths else "")


def _figure(figure: KeyFigure, report: EvaluationReport) -> str:
    value = "undefined" if figure.value is None else shown(figure.value)
    interval = _interval(figure, report)
    if figure.value is not None and math.isfinite(figure.value):
        value = f"{figure.value:.4g}"
    if figure.value is not None and interval is not None:
        value, bounds = with_interval(figure.value, interval.low, interval.high)
        value = f"{value} ({bounds})"
    where = f" on {figure.dataset}" if figure.dataset else ""
    by = f" by {figure.feature}" if figure.feature else ""
    limit = f", limit {figure.limit}" if figure.limit else ""
    verdict = f": **{figure.verdict.value}**" if figure.verdict else ""
    name = f"fall of {figure.metric}" if figure.limit.startswith("fall") else figure.metric
    return f"{escape(f'{name}{by}{where}: {value}{limit}')}{verdict}"


def _interval(figure: KeyFigure, report: EvaluationReport) -> Interval | None:
    for score in report.scores:
        if score.dataset != figure.dataset:
            continue
        for reading in (*score.overall, *score.disparities):
            if (reading.metric, reading.feature) == (figure.metric, figure.feature):
                return reading.interval
    return None


def _named(version: Version) -> str:
    return f"{version.name} {version.version}"
