"""Compare two model cards, as they were sealed, and the evaluation reports of their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from aims_mlflow.evidence import normalise
from aims_mlflow.model_card import diff_measured, diff_recorded
from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.model_card.diff_model import MAX_CHANGES, CardDiff, Side
from aims_mlflow.model_card.diff_summary import headline, summary, unchanged
from aims_mlflow.model_card.release_notes import plain_lines, render_diff_markdown, render_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aims_mlflow.model_card.diff_measured import Key, Value
    from aims_mlflow.model_card.diff_recorded import Statements

__all__ = ["CardDiff", "Side", "diff_cards", "plain_lines", "render_diff_markdown", "render_text"]

_T = TypeVar("_T")


def diff_cards(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    before_report: Mapping[str, Any] | None = None,
    after_report: Mapping[str, Any] | None = None,
    *,
    before_lock: Mapping[str, Any] | None = None,
    after_lock: Mapping[str, Any] | None = None,
    names: tuple[tuple[str, str] | None, tuple[str, str] | None] = (None, None),
) -> CardDiff:
    """What changed from the card `before` to the card `after`.

    Args:
        before: The body of a model card, as sealed or as `Card.body` gives it.
        after: The body of the newer one.
        before_report: The body of the evaluation report of the first run. Without both reports
            the values on the cards themselves are compared, and groups are not.
        after_report: The body of the second run's report.
        before_lock: The body of the first run's environment lock; with both, packages are
            compared.
        after_lock: The body of the second run's lock.
        names: Name and version of the registered model that each side stands for, as in
            `(("credit", "1"), ("credit", "2"))`; the newest version on a card when None.
    """
    old, new = _clean(before), _clean(after)
    has_reports = before_report is not None and after_report is not None
    old_report, new_report = _clean(before_report or {}), _clean(after_report or {})
    was, now = _statements(old), _statements(new)
    omitted: dict[str, int] = {}
    same = _same_data(was, now, old_report, new_report)
    values = [_readings(was, old_report, has_reports), _readings(now, new_report, has_reports)]
    logged = [diff_measured.logged(old_report), diff_measured.logged(new_report)]
    verdicts, kept = diff_measured.verdict_changes(
        old_report.get("judgements") or (), new_report.get("judgements") or ()
    )
    groups = diff_measured.group_changes(
        diff_measured.tables(old_report), diff_measured.tables(new_report)
    )

    def some(part: str, found: Iterable[_T]) -> tuple[_T, ...]:
        every = tuple(found)
        if len(every) > MAX_CHANGES:
            omitted[part] = len(every) - MAX_CHANGES
        return every[:MAX_CHANGES]

    environment = diff_recorded.environment_changes(was, now, before_lock, after_lock)
    diff = CardDiff(
        before=_side(old, was, names[0]),
        after=_side(new, now, names[1]),
        metrics=some("metrics", diff_measured.metric_changes(values[0], values[1], same)),
        logged_metrics=some(
            "logged_metrics", diff_measured.metric_changes(logged[0], logged[1], {})
        ),
        verdicts=some("verdicts", verdicts),
        verdicts_kept=kept,
        groups=groups.model_copy(
            update={
                "changes": some("group changes", groups.changes),
                "appeared": some("groups that appeared", groups.appeared),
                "vanished": some("groups that vanished", groups.vanished),
            }
        ),
        data=some("data", diff_recorded.data_changes(was, now)),
        parameters=some("parameters", diff_recorded.parameter_changes(was, now)),
        environment=some("environment", environment),
        code=some("code", diff_recorded.code_changes(was, now)),
        model=some("model", diff_recorded.model_changes(was, now)),
        signature=some("signature", diff_recorded.signature_changes(was, now)),
        texts=some("texts", diff_recorded.text_changes(old, new)),
        completeness=tuple(diff_recorded.completeness_changes(old, new)),
        omitted=omitted,
    )
    judged = [row["metric"] for row in new_report.get("judgements") or () if not row.get("part")]
    same_words, unknown = unchanged(diff, was, now)
    told = diff.model_copy(
        update={"unchanged": same_words, "unknown": unknown, "summary": summary(diff, judged)}
    )
    return told.model_copy(update={"headline": headline(told)})


def _clean(body: Mapping[str, Any]) -> dict[str, Any]:
    clean, _ = normalise(dict(body))
    found: dict[str, Any] = clean
    return found


def _statements(card: Mapping[str, Any]) -> Statements:
    return {
        statement["field"]: statement
        for section in card.get("sections") or ()
        for statement in section["statements"]
    }


def _readings(
    card: Statements, report: Mapping[str, Any], has_reports: bool
) -> Mapping[Key, Value]:
    if has_reports:
        return diff_measured.readings(report)
    metrics, fairness = (
        (card.get(field) or {}).get("value") for field in ("metrics", "fairness_assessment")
    )
    return diff_measured.readings_of_card(metrics, fairness)


def _same_data(
    before: Statements,
    after: Statements,
    before_report: Mapping[str, Any],
    after_report: Mapping[str, Any],
) -> dict[str, bool | None]:
    """Whether each evaluated dataset has the same digest on both sides; None if not known."""
    old, new = _digests(before, before_report), _digests(after, after_report)
    return {
        name: None if old.get(name) is None or digest is None else old[name] == digest
        for name, digest in new.items()
    }


def _digests(card: Statements, report: Mapping[str, Any]) -> dict[str, str | None]:
    rows = report.get("datasets")
    if rows is None:
        value = (card.get("evaluation_data") or {}).get("value")
        rows = value if isinstance(value, list) else ()
    found = (row for row in rows if isinstance(row, dict) and "name" in row)
    return {str(row["name"]): row.get("digest") for row in found}


def _side(card: Mapping[str, Any], found: Statements, named: tuple[str, str] | None) -> Side:
    run_id = str(card.get("run_id") or "")
    versions = (found.get("version") or {}).get("value")
    if named is None and isinstance(versions, list) and versions:
        newest = max(versions, key=_number)
        named = (str(newest.get("name")), str(newest.get("version")))
    run = f"run {cut_text(str(card.get('run_name') or ''))} ({run_id[:8]})"
    return Side(
        name=f"{cut_text(named[0])} version {cut_text(named[1])}" if named else run,
        short=f"v{cut_text(named[1])}" if named else run,
        run_id=run_id,
        event_time=str(card.get("event_time") or ""),
        verdict=(card.get("about") or {}).get("verdict"),
    )


def _number(version: Mapping[str, Any]) -> int:
    text = str(version.get("version"))
    return int(text) if text.isdecimal() else 0
