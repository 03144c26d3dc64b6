"""Read `governance/systems/<id>.card.md`: what people write by hand for a model card.

The file is Markdown. A level-2 heading (`## Limitations`) that names a field of the card which
people fill declares that field; every other one begins a section of its own. What stands before
the first is kept as "Notes". Comments (`<!-- ... -->`) are for the authors and are left out.
"""

from __future__ import annotations

import hashlib
import re
import stat
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from yaml.reader import Reader

from aims_mlflow.catalogue.loader import load_catalogue
from aims_mlflow.errors import Problem
from aims_mlflow.evidence import Frozen
from aims_mlflow.governance.authorship import Authorship

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

SUFFIX = ".card.md"
MAX_BYTES = 64 * 1024
#: Title of what stands before the first heading.
NOTES = "Notes"
_NEAR = 0.8
_HEADING = re.compile(r" {0,3}##(?!#)[ \t]*(.*?)(?:[ \t]+#+)?[ \t]*$")
_TITLE = re.compile(r" {0,3}#(?!#)([ \t]|$)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_COMMENT = re.compile(r" {0,3}<!--")
_PLACEHOLDER = "..."


class Written(Frozen):
    """A section that people wrote by hand in `<id>.card.md`; Markdown."""

    title: str
    text: str
    source: str
    authorship: Authorship | None = None


class Passage(NamedTuple):
    """The text below one heading; `first` and `last` are its lines, heading included."""

    title: str
    text: str
    first: int
    last: int


@dataclass(frozen=True)
class CardText:
    """One file as read: `fields` by their name in the catalogue, and the other sections.

    With `problems` none of it may be used.
    """

    file: str
    sha256: str | None = None
    fields: Mapping[str, Passage] = field(default_factory=dict)
    sections: tuple[Passage, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    def where(self, passage: Passage) -> str:
        """File and line, as editors make it clickable."""
        return f"{self.file}:{passage.first}"


class _UnusableError(Exception):
    """Reading stops here; becomes a `Problem`."""

    def __init__(self, line: int, message: str, fix: str) -> None:
        super().__init__(message)
        self.line, self.message, self.fix = line, message, fix


def read_card_text(path: Path, name: str) -> CardText:
    """Read `path`; `name` is what messages call it.

    Never raises for what the file holds or for a file that cannot be read: `problems` says it.
    """
    sha256 = None
    try:
        content = _read(path)
        sha256 = hashlib.sha256(content).hexdigest()
        text = _decode(content)
    except _UnusableError as error:
        problem = Problem(name, error.line, error.message, error.fix)
        return CardText(name, sha256, problems=(problem,))
    passages = tuple(split(text))
    fields, problems = _fields(passages, name)
    sections = tuple(p for p in passages if field_of(p.title) is None and p.text)
    warnings = (*_empty(passages, name), *_not_fields(sections, name))
    return CardText(name, sha256, fields, sections, problems, warnings)


def split(text: str) -> Iterator[Passage]:
    r"""The passages of a text, in order; the one before the first heading is called "Notes".

    A first-level heading at the top is the title of the file and no passage.

    >>> [(p.title, p.text, p.first) for p in split("# Card\nHello.\n\n## Limits\nNone.")]
    [('Notes', 'Hello.', 1), ('Limits', 'None.', 4)]
    """
    title: str | None = None
    first, number, kept = 1, 0, list[str]()
    for number, line, heading in _marked(text):
        if heading is None:
            is_title = title is None and not any(kept) and _TITLE.match(line)
            kept.append("" if is_title else line)
            continue
        yield from _passage(title, kept, first, number - 1)
        title, first, kept = heading or NOTES, number, []
    yield from _passage(title, kept, first, number)


def _passage(title: str | None, lines: Sequence[str], first: int, last: int) -> Iterator[Passage]:
    text = "\n".join(lines).strip("\n").rstrip()
    if title is not None or text.strip():
        yield Passage(title or NOTES, text, first, last)


def field_of(title: str) -> str | None:
    """The field of the card that a heading names, by its id or its title; None for any other.

    >>> field_of("Human oversight"), field_of("human_oversight"), field_of("Our history")
    ('human_oversight', 'human_oversight', None)
    """
    return _names().get(_plain(title))


def _marked(text: str) -> Iterator[tuple[int, str, str | None]]:
    """Each line with its number and the heading that it is; fences and comments hide headings."""
    fence, comment = "", False
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if comment or (not fence and _COMMENT.match(line)):
            comment = "-->" not in line
            yield number, "", None
            continue
        mark = _FENCE.match(line)
        if mark and (not fence or (mark[1].startswith(fence) and not line.strip().strip(fence[0]))):
            fence = "" if fence else mark[1]
        heading = None if fence else _HEADING.match(line)
        yield number, line, heading[1].strip() if heading else None


@cache
def _names() -> dict[str, str]:
    """Ids and titles of the fields that people fill, as `_plain` writes them."""
    fields = [f.field for f in load_catalogue().card_fields if f.filled_by != "machine"]
    return {_plain(name): name for name in fields} | {"ai system": "system_id"}


@cache
def _measured() -> dict[str, str]:
    """Ids of the fields that the machine fills, as `_plain` writes them."""
    fields = [f.field for f in load_catalogue().card_fields if f.filled_by == "machine"]
    return {_plain(name): name for name in fields}


def _plain(title: str) -> str:
    return " ".join(re.sub(r"[\s_*:`]+", " ", title).casefold().split())


def _fields(
    passages: Sequence[Passage], name: str
) -> tuple[dict[str, Passage], tuple[Problem, ...]]:
    fields: dict[str, Passage] = {}
    problems = []
    for passage in passages:
        if passage.text == _PLACEHOLDER:
            message = f"'{_PLACEHOLDER}' is a placeholder and no text."
            advice = "Write the text or remove the heading; what is missing is shown as missing."
            problems.append(Problem(name, passage.last, message, advice))
        found = field_of(passage.title)
        if found is None or not passage.text:
            continue
        if found in fields:
            message = f"'{found}' is already declared on line {fields[found].first}."
            problems.append(Problem(name, passage.first, message, "Keep one of the two."))
            continue
        fields[found] = passage
    return fields, tuple(problems)


def _empty(passages: Sequence[Passage], name: str) -> Iterator[Problem]:
    for passage in passages:
        if not passage.text:
            message = f"there is no text below the heading '{passage.title}'."
            yield Problem(name, passage.first, message, "Write some, or remove the heading.")


def _not_fields(sections: Sequence[Passage], name: str) -> Iterator[Problem]:
    for passage in sections:
        measured = _measured().get(_plain(passage.title))
        if measured is not None:
            message = (
                f"'{passage.title}' becomes a section of its own: the field '{measured}' of the "
                "card is measured, and no text replaces it."
            )
            yield Problem(name, passage.first, message, "Give it another heading, or remove it.")
            continue
        near = get_close_matches(_plain(passage.title), _names(), n=1, cutoff=_NEAR)
        if near:
            message = f"'{passage.title}' is no field of a card and becomes a section of its own."
            advice = f"Did you mean '{near[0].capitalize()}'?"
            yield Problem(name, passage.first, message, advice)


def _read(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            raise _UnusableError(0, "this is not a regular file.", "Replace it by Markdown.")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _UnusableError(
            0, f"cannot be read: {error.strerror}.", "Check that it exists and its permissions."
        ) from error
    if len(content) > MAX_BYTES:
        raise _UnusableError(
            0,
            f"is larger than {MAX_BYTES // 1024} KiB.",
            "A card is read by people: keep long texts elsewhere and link to them.",
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
        message = f"holds the control character U+{ord(odd.group()):04X}."
        raise _UnusableError(line, message, "Remove it.")
    return text
