"""Read one YAML file that a person wrote: plain data, the line of every key, what is wrong.

The node tree is walked here rather than constructed by PyYAML, because lines, duplicate keys and
the text as written ("yes" before it becomes True) are lost in construction. Size, depth, aliases
and number of values are bounded: this runs inside training processes.
"""

from __future__ import annotations

import hashlib
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.reader import Reader

from aims_mlflow.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Where a value stands: keys and list positions from the top.
Place: TypeAlias = "tuple[str | int, ...]"

MAX_BYTES = 2**20
MAX_ALIASES = 100
MAX_DEPTH = 50
MAX_VALUES = 50_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN = {
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge", "map", "seq")
}
_SURROGATE = re.compile("[\ud800-\udfff]")
#: What `line_to_add` leaves for a person to fill in, and nobody may mistake for a value.
_PLACEHOLDER = "..."


@dataclass(frozen=True)
class Document:
    """One file as read. `data` is None when it is empty or cannot be read at all.

    With `problems` it may still hold data, so that all faults of a file are told at once; such
    data is for checking and never for use.

    `file` is the name used in messages, `lines` the line of each place (from 1), `texts` each
    scalar as it was written.
    """

    file: str
    sha256: str | None = None
    data: Any = None
    lines: Mapping[Place, int] = field(default_factory=dict)
    texts: Mapping[Place, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def line(self, place: Place) -> int:
        """The line of `place` or of the nearest place around it; 0 for the file as a whole."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 0) if place else 0


class _UnusableError(Exception):
    """Reading stops here; becomes a `Problem`."""

    def __init__(self, line: int, message: str, fix: str) -> None:
        super().__init__(message)
        self.line, self.message, self.fix = line, message, fix


def read_document(path: Path, name: str) -> Document:
    """Read `path`; `name` is what messages call it.

    Never raises for what the file holds or for a file that cannot be read: `problems` says it.
    """
    sha256 = None
    try:
        content = _read(path)
        sha256 = hashlib.sha256(content).hexdigest()
        root = _compose(_decode(content))
        walker = _Walker(name)
        data = walker.value(root, (), 0) if root is not None else None
    except _UnusableError as error:
        problem = Problem(name, error.line, error.message, error.fix)
        return Document(name, sha256, problems=(problem,))
    return Document(name, sha256, data, walker.lines, walker.texts, tuple(walker.problems))


def _read(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            raise _UnusableError(0, "this is not a regular file.", "Replace it by a YAML file.")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _UnusableError(
            0, f"cannot be read: {error.strerror}.", "Check that it exists and its permissions."
        ) from error
    if len(content) > MAX_BYTES:
        raise _UnusableError(
            0, "is larger than 1 MiB.", "A declaration is a few kilobytes; keep data elsewhere."
        )
    return content


def _decode(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _UnusableError(
            line,
            f"is not UTF-8 text: byte 0x{content[error.start]:02x} at byte offset {error.start}.",
            "Save the file as UTF-8.",
        ) from error
    odd = Reader.NON_PRINTABLE.search(text)
    if odd:
        line = text.count("\n", 0, odd.start()) + 1
        raise _UnusableError(
            line,
            f"holds the control character U+{ord(odd.group()):04X}.",
            "Remove it; in a quoted text write it as an escape.",
        )
    return text


def _compose(text: str) -> yaml.Node | None:
    try:
        _check_bounds(text)
        node: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, text) from error
    return node


def _check_bounds(text: str) -> None:
    """Look at the flat stream of events first, because composing recurses."""
    depth = aliases = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
        if depth > MAX_DEPTH:
            raise _UnusableError(line, f"is nested deeper than {MAX_DEPTH} levels.", "Flatten it.")
        if aliases > MAX_ALIASES:
            raise _UnusableError(
                line, f"uses more than {MAX_ALIASES} aliases (*name).", "Write the values out."
            )


def _syntax(error: yaml.MarkedYAMLError, text: str) -> _UnusableError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 0
    if "single document" in str(error.context):
        return _UnusableError(
            line, "holds a second document after '---'.", "Use one file for each declaration."
        )
    tab = _tab(text, line)
    if tab:
        return _UnusableError(tab, "a tab is used for indentation.", "YAML wants spaces only.")
    what = "; ".join(part for part in (error.context, error.problem) if part)
    return _UnusableError(
        line,
        f"is not valid YAML: {what}.",
        "Look for a missing quote, colon or bracket here or on the line above.",
    )


def _tab(text: str, line: int) -> int:
    """The line at or next to `line` that is indented with a tab, or 0."""
    lines = text.splitlines()
    for number in (line, line + 1, line - 1):
        if 0 < number <= len(lines) and re.match(r"[ ]*\t", lines[number - 1]):
            return number
    return 0


class _Walker:
    """Turns nodes into plain data and keeps what construction would lose."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Place, int] = {}
        self.texts: dict[Place, str] = {}
        self.problems: list[Problem] = []
        self._values = 0
        self._scalars = SafeConstructor()

    def value(self, node: yaml.Node, place: Place, depth: int) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(place, line)
        self._values += 1
        # Aliases multiply values, and an alias inside its own anchor never ends.
        if self._values > MAX_VALUES or depth > MAX_DEPTH:
            raise _UnusableError(
                line, "aliases (*name) expand into too many values.", "Write the values out."
            )
        if node.tag not in _PLAIN:
            self._problem(line, f"the tag '{node.tag}' is not allowed.", "Use plain YAML values.")
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place, depth)
        return [self.value(n, (*place, i), depth + 1) for i, n in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, place: Place, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._problem(line, "a key must be one word or text.", "Write `key: value`.")
                continue
            name = key.value
            if name in result:
                first = self.lines[(*place, name)]
                self._problem(
                    line, f"the key '{name}' is already on line {first}.", "Keep one of the two."
                )
                continue
            self.lines[(*place, name)] = line
            result[name] = self.value(value, (*place, name), depth + 1)
        return result

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        line = node.start_mark.line + 1
        self.texts[place] = node.value
        if node.value == _PLACEHOLDER and node.style not in ("'", '"'):
            self._problem(
                line,
                f"'{_PLACEHOLDER}' is a placeholder and no value.",
                "Write the real value or remove the line; what is missing is shown as missing.",
            )
        if _SURROGATE.search(node.value):
            self._problem(line, "holds half of a surrogate pair (\\ud800...).", "Remove it.")
            return None
        if node.tag.endswith((":value", ":merge")):
            return node.value
        try:
            value = self._scalars.construct_object(node)
        except (ConstructorError, ValueError, OverflowError):
            # Looks like a date or a number and is none; the model says what belongs here.
            return node.value
        # Python refuses to write integers of thousands of digits, which hexadecimal can spell.
        return node.value if isinstance(value, int) and value.bit_length() > 64 else value

    def _problem(self, line: int, message: str, fix: str) -> None:
        self.problems.append(Problem(self.file, line, message, fix))
