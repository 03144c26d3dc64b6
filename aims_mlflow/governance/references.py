"""What the parts of one system's declaration say of each other: names that repeat or lead nowhere.

The keys of one monitor are held against each other as well. It is looked for in the data as written
rather than in the model, so that a fault elsewhere in the file does not hide it, and so that each
is told with its own place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.catalogue.loader import load_catalogue
from aims_mlflow.governance.monitor_faults import monitor_faults

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The type of the error in which a model gathers these faults.
ERROR_TYPE = "references"
#: What no two entries may share: the list that they are in, the key, and what people call it.
_UNIQUE = (
    (("thresholds",), "id", "threshold id"),
    (("sensitive_features",), "name", "sensitive feature"),
    (("data",), "name", "dataset name"),
    (("slices",), "name", "slice"),
    (("robustness", "perturbations"), "id", "perturbation"),
)

#: The key under which the names that a key of a threshold speaks of are declared.
_DECLARED_UNDER: Mapping[str, str] = {
    "feature": "sensitive_features",
    "slice": "slices",
    "perturbation": "robustness.perturbations",
    "monitor": "monitors",
}


class Fault(NamedTuple):
    """One name that repeats or leads nowhere, or one key without another that it needs.

    `place` is where it stands in the file: keys and list positions. `word` is the name, `known`
    the ones that would do, and `where` the key under which more of them are declared.
    """

    place: tuple[str | int, ...]
    message: str
    word: str = ""
    known: tuple[str, ...] = ()
    where: str = ""


def faults(data: Mapping[str, Any]) -> Iterator[Fault]:
    """Every such fault of a system as written, in the order of the checks.

    Never raises: what has the wrong shape is passed over, because the model says that.

    >>> [fault.message for fault in faults({"thresholds": [{"id": "a", "slice": "night"}]})]
    ["threshold 'a' names the slice 'night', which is not declared"]
    """
    for path, key, what in _UNIQUE:
        yield from _repeated(data, path, key, what)
    yield from _repeated_monitors(data)
    yield from _of_monitors(data)
    yield from _undeclared(data)
    yield from _card_fields(data.get("card"))


def _repeated(
    data: Mapping[str, Any], path: tuple[str, ...], key: str, what: str
) -> Iterator[Fault]:
    seen = set()
    for position, entry in enumerate(_entries(data, path) or ()):
        name = _name(entry, key)
        if name in seen:
            yield Fault((*path, position, key), f"{what} declared twice: {name}")
        if name is not None:
            seen.add(name)


def _repeated_monitors(data: Mapping[str, Any]) -> Iterator[Fault]:
    seen = set()
    for position, entry in enumerate(_entries(data, ("monitors",)) or ()):
        name = _name(entry, "id") or _name(entry, "kind")
        if name in seen:
            key = "kind" if _name(entry, "id") is None else "id"
            message = f"monitor declared twice: {name}; give each an 'id' of its own"
            yield Fault(("monitors", position, key), message)
        if name is not None:
            seen.add(name)


def _of_monitors(data: Mapping[str, Any]) -> Iterator[Fault]:
    for position, entry in enumerate(_entries(data, ("monitors",)) or ()):
        for found in monitor_faults(entry) if isinstance(entry, Mapping) else ():
            place = ("monitors", position, found.key)
            yield Fault(place, found.message, found.word, found.known)


def _undeclared(data: Mapping[str, Any]) -> Iterator[Fault]:
    features = _names(data, ("sensitive_features",), "name")
    slices = _names(data, ("slices",), "name")
    perturbations = _names(data, ("robustness", "perturbations"), "id")
    monitors = _monitors(data)
    for position, entry in enumerate(_entries(data, ("thresholds",)) or ()):
        said = _name(entry, "id")
        threshold = f"thresholds[{position}]" if said is None else f"threshold '{said}'"
        named = (_name(entry, "feature") or "").split(" x ")
        for key, words, known, rest in (
            ("feature", named, features, "is not among sensitive_features"),
            ("slice", [_name(entry, "slice")], slices, "is not declared"),
            ("perturbation", [_name(entry, "perturbation")], perturbations, "is not declared"),
            ("monitor", [_name(entry, "monitor")], monitors, "is not declared"),
        ):
            for word in (part.strip() for part in words if part):
                if known is None or not word or word in known:
                    continue
                message = f"{threshold} names the {key} '{word}', which {rest}"
                place = ("thresholds", position, key)
                yield Fault(place, message, word, tuple(sorted(known)), _DECLARED_UNDER[key])


def _card_fields(card: Any) -> Iterator[Fault]:
    if not isinstance(card, Mapping):
        return
    fields = {field.field: field.filled_by for field in load_catalogue().card_fields}
    allowed = tuple(sorted(name for name, by in fields.items() if by != "machine"))
    for name in map(str, card):
        if fields.get(name) == "machine":
            yield Fault(("card", name), f"card field '{name}' is measured, nobody declares it")
        elif name not in fields:
            yield Fault(("card", name), f"unknown card field '{name}'", name, allowed)


def _entries(data: Any, path: Sequence[str]) -> list[Any] | tuple[Any, ...] | None:
    """The list at `path`; empty where nothing is declared, None for what is no list."""
    for key in path:
        if data is None:
            return ()
        if not isinstance(data, Mapping):
            return None
        data = data.get(key)
    if data is None:
        return ()
    return data if isinstance(data, list | tuple) else None


def _name(entry: Any, key: str) -> str | None:
    value = entry.get(key) if isinstance(entry, Mapping) else None
    is_name = isinstance(value, str | int | float) and str(value).strip()
    return str(value).strip() if is_name else None


def _monitors(data: Mapping[str, Any]) -> set[str] | None:
    """The names of the monitors: the id, or the kind of one without."""
    entries = _entries(data, ("monitors",))
    names = (
        None
        if entries is None
        else [_name(entry, "id") or _name(entry, "kind") for entry in entries]
    )
    if names is None or None in names:
        return None
    return {name for name in names if name is not None}


def _names(data: Mapping[str, Any], path: tuple[str, ...], key: str) -> set[str] | None:
    """The declared names; None where an entry has none, because it may be the one in question."""
    entries = _entries(data, path)
    names = None if entries is None else [_name(entry, key) for entry in entries]
    if names is None or None in names:
        return None
    return {name for name in names if name is not None}
