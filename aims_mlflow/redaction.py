"""Leave out what looks like a secret before anything is stored.

MLflow keeps what people logged; evidence is sealed and can never be changed, so a password that
went into a param must not go on into a card. What was left out is recorded by its place and by the
rule (`aims_mlflow.secrets`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aims_mlflow.facts import Redaction, RunFacts
from aims_mlflow.secrets import NAMED, cleared, is_plain, is_secret_name

#: Places of a run that MLflow or this package made up, and that hold no text of a person.
_OWN = frozenset(
    {"run_id", "experiment_id", "status", "start_time", "end_time", "parent_run_id", "selection"}
)
#: How these places are called in a record.
_PLACES = {"params": "param", "tags": "tag", "evaluations": "evaluation", "datasets": "dataset"}
_MAX_PLACE = 200


def redact(facts: RunFacts) -> RunFacts:
    """The facts without what looks like a secret; `redactions` say what was left out, and why.

    Every text of the run is looked at, keys included; values of params and tags also by the name of
    their key.
    """
    found: list[Redaction] = []
    data = {
        name: getattr(facts, name)
        for name in RunFacts.model_fields
        if name not in _OWN and name != "redactions"
    }
    clean = {
        name: _clean(_dumped(value), _PLACES.get(name, name), found, name in ("params", "tags"))
        for name, value in data.items()
    }
    if not found:
        return facts
    kept = {name: getattr(facts, name) for name in _OWN}
    told = (*facts.redactions, *dict.fromkeys(found))
    return RunFacts.model_validate({**kept, **clean, "redactions": told})


def redact_named(values: Mapping[str, str]) -> dict[str, str]:
    """Params or tags without what looks like a secret."""
    clean: dict[str, str] = _clean(values, "", [], True)
    return clean


def redact_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a script logged, without what looks like a secret, before it is written anywhere."""
    clean: dict[str, Any] = _clean(body, "", [], False)
    return clean


def _dumped(value: Any) -> Any:
    """Models as plain data; everything else as it is."""
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, tuple):
        return tuple(_dumped(item) for item in value)
    return value


def _clean(value: Any, place: str, found: list[Redaction], named: bool) -> Any:
    match value:
        case str():
            return _text(value, place, found)
        case Mapping():
            result = {}
            for key, item in value.items():
                name = _text(str(key), f"{place}, a key", found)
                where = f"{place} {name}".strip()
                if named and isinstance(item, str):
                    result[name] = _value(str(key), item, where, found)
                else:
                    result[name] = _clean(item, where, found, named)
            return result
        case list() | tuple():
            return type(value)(_clean(item, place, found, named) for item in value)
    return value


def _value(key: str, value: str, where: str, found: list[Redaction]) -> str:
    if is_secret_name(key) and not is_plain(key, value):
        found.append(Redaction(where=where[:_MAX_PLACE], rule=NAMED))
        return f"[redacted: {NAMED}]"
    return _text(value, where, found)


def _text(value: str, where: str, found: list[Redaction]) -> str:
    clean, rules = cleared(value)
    found += [Redaction(where=where[:_MAX_PLACE], rule=rule) for rule in rules]
    return clean
