"""What changed in what was recorded and declared: data, parameters, environment, code, texts."""

from __future__ import annotations

import difflib
import json
import textwrap
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from aims_mlflow.model_card.bounds import cut_text, is_bounded
from aims_mlflow.model_card.diff_model import DataChange, Outcome, TextChange, ValueChange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

#: The statements of a card by their field.
Statements: TypeAlias = "Mapping[str, Mapping[str, Any]]"
#: Paragraphs are compared in lines of this width.
_WIDTH = 88
#: Lines of one text that are compared, and those of a change that are shown.
_MAX_COMPARED = 2_000
_MAX_SHOWN = 40
_MODEL = ("model_type", "library", "base_model", "task")
_CODE = ("git_commit", "uncommitted_changes", "source_name")


def data_changes(before: Statements, after: Statements) -> Iterator[DataChange]:
    """Datasets that came, went or have another digest."""
    yield from _data("training", "training_data", before, after)
    yield from _data("evaluation", "evaluation_data", before, after)


def parameter_changes(before: Statements, after: Statements) -> Iterator[ValueChange]:
    """Parameters that came, went or have another value."""
    yield from _values(_entries(before, "hyperparameters"), _entries(after, "hyperparameters"))


def environment_changes(
    before: Statements,
    after: Statements,
    before_lock: Mapping[str, Any] | None,
    after_lock: Mapping[str, Any] | None,
) -> Iterator[ValueChange]:
    """Lock, Python, platform and image; the packages where both locks are at hand."""
    old, new = _mapping(before, "environment"), _mapping(after, "environment")
    yield from _values(_without(old, "package_count"), _without(new, "package_count"))
    if before_lock is not None and after_lock is not None:
        yield from _values(before_lock.get("packages") or {}, after_lock.get("packages") or {})


def code_changes(before: Statements, after: Statements) -> Iterator[ValueChange]:
    """The commit, whether it was changed, and the script."""
    old, new = _mapping(before, "registry"), _mapping(after, "registry")
    yield from _values({k: old.get(k) for k in _CODE}, {k: new.get(k) for k in _CODE})


def model_changes(before: Statements, after: Statements) -> Iterator[ValueChange]:
    """The class of the model, its library, what it was made from, its task."""
    old, new = ({f: _value(side, f) for f in _MODEL} for side in (before, after))
    yield from _values(old, new)


def signature_changes(before: Statements, after: Statements) -> Iterator[ValueChange]:
    """Inputs and outputs that came, went or have another type."""
    for side in ("inputs", "outputs"):
        yield from _values(_fields(before, side), _fields(after, side))


def text_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[TextChange]:
    """Declared statements and sections written by hand that read differently."""
    old, new = _declared(before), _declared(after)
    for key in [*new, *(key for key in old if key not in new)]:
        title = (new.get(key) or old[key])[0]
        lines = _changed_lines(old.get(key, ("", ""))[1], new.get(key, ("", ""))[1])
        if lines:
            yield TextChange(field=key, title=title, lines=lines)


def completeness_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ValueChange]:
    """The counts of the completeness table that changed."""
    return list(_values(before.get("completeness") or {}, after.get("completeness") or {}))


def _data(
    use: Literal["training", "evaluation"], field: str, before: Statements, after: Statements
) -> Iterator[DataChange]:
    old, new = _datasets(before, field), _datasets(after, field)
    for name in [*new, *(name for name in old if name not in new)]:
        was, now = old.get(name), new.get(name)
        if was and now and was.get("digest") == now.get("digest"):
            continue
        yield DataChange(
            name=name,
            use=use,
            outcome=Outcome.CHANGED if was and now else Outcome.NEW if now else Outcome.GONE,
            before_digest=(was or {}).get("digest"),
            after_digest=(now or {}).get("digest"),
            before_rows=_count((was or {}).get("rows")),
            after_rows=_count((now or {}).get("rows")),
        )


def _datasets(side: Statements, field: str) -> dict[str, Mapping[str, Any]]:
    rows = _value(side, field)
    # A field that nothing measured may hold what a person declared, in any form.
    found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return {str(row["name"]): row for row in found if "name" in row and "digest" in row}


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _value(side: Statements, field: str) -> Any:
    statement = side.get(field) or {}
    return statement.get("value") if statement.get("status") == "measured" else None


def _mapping(side: Statements, field: str) -> Mapping[str, Any]:
    value = _value(side, field)
    return value if isinstance(value, dict) else {}


def _entries(side: Statements, field: str) -> Mapping[str, Any]:
    value = _value(side, field)
    entries = value["entries"] if is_bounded(value) else None
    return entries if isinstance(entries, dict) else {}


def _without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def _fields(side: Statements, name: str) -> dict[str, Any]:
    value = _value(side, name)
    entries = value["entries"] if is_bounded(value) else []
    fields = [field for field in entries if isinstance(field, dict)]
    return {
        f"{name[:-1]} {field.get('name') or index}": _without(field, "name")
        for index, field in enumerate(fields)
    }


def _values(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[ValueChange]:
    for name in sorted({*before, *after}):
        was, now = _told(before.get(name)), _told(after.get(name))
        if was != now:
            yield ValueChange(name=cut_text(name), before=was, after=now)


def _told(value: Any) -> str | None:
    if value is None or value in ("", [], {}):
        return None
    return cut_text(value if isinstance(value, str) else _line(value))


def _line(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{key} {_line(item)}" for key, item in sorted(value.items()))
        case list():
            return ", ".join(_line(item) for item in value)
    return str(value)


def _declared(card: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Title and text of everything that people declared, by field or by "section TITLE"."""
    found: dict[str, tuple[str, str]] = {}
    for section in card.get("sections") or ():
        for statement in section["statements"]:
            text = "\n".join(_texts(statement))
            if text:
                found[statement["field"]] = (statement["title"], text)
    for written in card.get("written") or ():
        title = cut_text(written["title"])
        before = found.get(f"section {title}", ("", ""))[1]
        found[f"section {title}"] = (title, f"{before}\n{written['text']}".strip("\n"))
    return found


def _texts(statement: Mapping[str, Any]) -> Iterable[str]:
    declared = [statement.get("declared")]
    if statement.get("status") == "declared":
        declared.insert(0, statement.get("value"))
    for value in declared:
        if isinstance(value, str):
            yield value
        elif value not in (None, [], {}):
            yield json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)


def _changed_lines(before: str, after: str) -> tuple[str, ...]:
    old, new = _wrapped(before), _wrapped(after)
    told = islice(difflib.unified_diff(old, new, lineterm="", n=0), 2, None)  # after its heads
    lines = [f"{line[0]} {cut_text(line[1:])}" for line in told if line[0] in "+-"]
    if not lines and before != after:
        return (f"the change is beyond the first {_MAX_COMPARED:,} lines, or in white space alone",)
    more = len(lines) - _MAX_SHOWN
    return (*lines[:_MAX_SHOWN], *([f"and {more:,} more lines"] if more > 0 else ()))


def _wrapped(text: str) -> Sequence[str]:
    if not text:
        return []
    lines = [
        part
        for line in text.split("\n")
        for part in textwrap.wrap(line, _WIDTH, break_long_words=False) or [""]
    ]
    return lines[:_MAX_COMPARED]
