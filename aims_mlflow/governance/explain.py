"""Say in words for people what pydantic found wrong with a declaration."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import core_schema

from aims_mlflow.errors import Problem
from aims_mlflow.governance.references import ERROR_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema, ErrorDetails

    from aims_mlflow.governance.document import Document, Place
    from aims_mlflow.governance.references import Fault

M = TypeVar("M", bound=BaseModel)
#: Above this many allowed words, a near miss is told the nearest one alone.
_MANY = 12
#: What a condition of a slice may be.
CONDITIONS = (
    "a value (text, true or false, a finite number), a list of values, or {min: ..., max: ...}"
)
_UNKNOWN = re.compile(r"^(unknown .+ '(.*)'); allowed: (.+)$", re.DOTALL)


@dataclass(frozen=True)
class OneMessage:
    """Annotates a union: what fits none of its members is told once, in these words."""

    kind: str
    message: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """The union with one error of type `kind` in place of those of its members."""
        # Braces begin a variable in the messages of pydantic.
        context = {"message": self.message}
        return core_schema.custom_error_schema(
            handler(source),
            custom_error_type=self.kind,
            custom_error_message="{message}",
            custom_error_context=context,
        )


def validate(
    model: type[M],
    document: Document,
    place: Place = (),
    further: Callable[[Mapping[str, Any]], Iterable[Fault]] | None = None,
) -> tuple[M | None, list[Problem]]:
    """The value at `place` of `document` as `model`, or None and what is wrong with it.

    Strict, so that `min: yes` is not silently the number 1.

    Args:
        model: What it should be.
        document: The file as read.
        place: Where it stands in the file.
        further: Finds in the data as written what `model` gathers in one error of the type
            `references`; each of these becomes a problem of its own.
    """
    data = document.data
    for step in place:
        data = data[step]
    if not isinstance(data, dict):
        shown = "is empty" if data is None else f"is {_shape(data)}"
        message = f"{_label(place)} {shown}; it must be `key: value` lines."
        keys = ", ".join(model.model_fields)
        return None, [Problem(document.file, document.line(place), message, f"Keys: {keys}.")]
    try:
        return model.model_validate_json(json.dumps(data, default=_plain), strict=True), []
    except ValidationError as error:
        found: dict[tuple[int, Place], Problem] = {}
        for details in error.errors():
            if details["type"] == ERROR_TYPE and further is not None:
                continue
            problem, at = _problem(details, model, document, place)
            # The members of a union each complain about the same value: one line is enough.
            found.setdefault((problem.line, at), problem)
        references = [_reference(f, document, place) for f in (further(data) if further else ())]
        # A person who wrote a fault must never be told of none.
        untold = error.errors() if not found and not references else []
        rest = [_problem(details, model, document, place)[0] for details in untold]
        return None, [*found.values(), *references, *rest]


def _reference(fault: Fault, document: Document, base: Place) -> Problem:
    fix = _choices(fault.word, list(fault.known)) if fault.known else ""
    if not fix and fault.where:
        fix = f"Declare it under {fault.where}; none is."
    return Problem(document.file, document.line((*base, *fault.place)), f"{fault.message}.", fix)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'?` for the nearest of `known`, or an empty string.

    >>> did_you_mean("roc_acu", ["roc_auc", "f1"])
    "Did you mean 'roc_auc'?"
    """
    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean '{near[0]}'?" if near else ""


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _problem(
    details: ErrorDetails, model: type[BaseModel], document: Document, base: Place
) -> tuple[Problem, Place]:
    place: Place = (*base, *(step for step in details["loc"] if step != "[key]"))
    known = place
    while known and known not in document.lines:
        known = known[:-1]
    line = document.line(place)
    key = str(place[-1]) if place else ""
    if details["type"] in ("missing", "extra_forbidden"):
        message, fix = _key_fault(details, key, _model_at(model, details["loc"][:-1]))
        return Problem(document.file, line, message, fix), place
    # A fault in a key is about its name, and `texts` has only values.
    text = None if "[key]" in details["loc"] else document.texts.get(known)
    message, fix = _value_fault(details, _label(known[len(base) :]), text)
    return Problem(document.file, line, message, fix), known


def _key_fault(details: ErrorDetails, key: str, model: type[BaseModel]) -> tuple[str, str]:
    if details["type"] == "missing":
        return f"'{key}' is missing.", f"Add `{key}: <value>`."
    fix = _choices(key, list(model.model_fields))
    if details["loc"][-2:-1] == ("range",):
        fix += f" A condition is {CONDITIONS}."
    return f"unknown key '{key}'.", fix


def _choices(word: str, allowed: list[str]) -> str:
    """The nearest allowed word, and all of them unless that would bury it."""
    near = did_you_mean(word, allowed)
    listed = "" if near and len(allowed) > _MANY else f"Allowed: {', '.join(allowed)}."
    return " ".join(filter(None, (near, listed)))


def _value_fault(details: ErrorDetails, label: str, text: str | None) -> tuple[str, str]:
    kind, value = details["type"], details["input"]
    shown = _shown(value, text)
    if value is None:
        return f"{label} is empty.", "Give a value or remove the line."
    if kind in ("enum", "literal_error"):
        allowed = re.findall(r"'([^']*)'", str(details["ctx"]["expected"]))
        return f"{shown} is not allowed for {label}.", _choices(str(value), allowed)
    if kind == "value_error":
        return _own_words(str(details["ctx"]["error"]))
    if kind == "string_type":
        return _not_text(value, label, shown)
    if kind == "string_pattern_mismatch":
        return _bad_pattern(label, shown)
    return _PHRASES.get(kind.split("_")[0], _other)(details, label, shown)


def _own_words(message: str) -> tuple[str, str]:
    """The words of our own validators, with the nearest name where they list the known ones."""
    match = _UNKNOWN.match(message)
    if match is None:
        return f"{message}.", ""
    what, word, allowed = match.groups()
    return f"{what}.", _choices(word, allowed.split(", "))


def _not_text(value: Any, label: str, shown: str) -> tuple[str, str]:
    if isinstance(value, list | dict):
        return f"{label} is {_shape(value)}; it must be a single value.", ""
    read_as = "true or false" if isinstance(value, bool) else "a number"
    return (
        f"{label} must be text, and YAML reads {shown} as {read_as}.",
        f'Put it in quotes: "{shown[1:-1]}".',
    )


def _bad_pattern(label: str, shown: str) -> tuple[str, str]:
    if label.endswith(("retention", "labels_lag")):
        return f"{shown} is not a duration for {label}.", "Write P5Y, P18M or P30D (ISO 8601)."
    return (
        f"{shown} is not a valid {label}.",
        "Use lower-case letters, digits and single hyphens, as in credit-scoring.",
    )


def _number(details: ErrorDetails, label: str, shown: str) -> tuple[str, str]:
    value = details["input"]
    whole = "whole number" if details["type"].startswith("int") else "number"
    quoted = isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d+)?", value)
    return f"{label}: {shown} is not a {whole}.", "Remove the quotes." if quoted else ""


def _list(details: ErrorDetails, label: str, shown: str) -> tuple[str, str]:
    example = f" [{shown[1:-1]}]" if shown.startswith("'") else ""
    return f"{label} must be a list.", f"Write {label}:{example or ' [first, second]'}."


def _keys(details: ErrorDetails, label: str, shown: str) -> tuple[str, str]:
    return f"{label} must be `key: value` lines; it is {shown}.", ""


def _date(details: ErrorDetails, label: str, shown: str) -> tuple[str, str]:
    return f"{label}: {shown} is not a date.", "Write it as 2027-06-01."


def _bool(details: ErrorDetails, label: str, shown: str) -> tuple[str, str]:
    return f"{label}: {shown} is neither true nor false.", "Write true or false, without quotes."


def _too(details: ErrorDetails, label: str, shown: str) -> tuple[str, str]:
    if details["type"] == "string_too_short":
        return f"{label} is empty.", "Give a value or remove the line."
    return f"{label}: {shown}: {_lower(details['msg'])}.", ""


def _other(details: ErrorDetails, label: str, shown: str) -> tuple[str, str]:
    return f"{label}: {shown}: {_lower(details['msg'])}.", ""


def _condition(details: ErrorDetails, label: str, shown: str) -> tuple[str, str]:
    return f"{label} {_lower(details['msg'])}.", ""


_PHRASES = {
    "condition": _condition,
    "float": _number,
    "int": _number,
    "tuple": _list,
    "dict": _keys,
    "model": _keys,
    "date": _date,
    "bool": _bool,
    "string": _too,
}


def _lower(text: str) -> str:
    return text.replace("Input should be", "must be").rstrip(".")


def _shown(value: Any, text: str | None) -> str:
    if isinstance(value, list | dict):
        return _shape(value)
    written = str(value) if text is None else text
    return f"'{written if len(written) <= 60 else written[:57] + '...'}'"


def _shape(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return "a block of keys" if isinstance(value, dict) else "a single value"


def _label(place: Place) -> str:
    text = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in place)
    return text.lstrip(".") or "the file"


def _model_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that stands at `loc` below `model`."""
    for step in loc:
        if isinstance(step, str) and step in model.model_fields:
            model = _model_in(model.model_fields[step].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
