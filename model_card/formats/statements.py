"""Statements of a card as the texts, records and addresses that other tools' formats ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aims_mlflow.model_card.bounds import MAX_ENTRIES, is_bounded
from aims_mlflow.model_card.card import Status
from aims_mlflow.model_card.formats.text import shown, visible

if TYPE_CHECKING:
    from aims_mlflow.model_card.card import Card

#: Addresses that may stand where a reader can click: no script, no password, no odd character.
_CHARACTER = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*"
_ADDRESS = re.compile(
    r"(?P<scheme>https?|s3|s3a|gs|abfss?|wasbs?|dbfs|hdfs)://"
    r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(?::[0-9]{1,5})?"
    rf"(?:[/?]{_CHARACTER})?(?:#{_CHARACTER})?"
)
_MAX_ADDRESS = 2_000


def stated(card: Card, field: str) -> Any:
    """The value of a field, measured or declared; None when it is missing or does not apply.

    Raises:
        KeyError: The catalogue has no such field.
    """
    statement = card.statement(field)
    return statement.value if statement.status in (Status.MEASURED, Status.DECLARED) else None


def declared(card: Card, field: str) -> Any:
    """What a person stated of a field, alone or beside a measured value; None when nobody did.

    Raises:
        KeyError: The catalogue has no such field.
    """
    statement = card.statement(field)
    return statement.value if statement.status is Status.DECLARED else statement.declared


def items(value: Any) -> list[Any]:
    """The entries of a list (also of a bounded one), or the one value; at most 1,000.

    >>> items(["a", "b"]), items("a"), items(None)
    (['a', 'b'], ['a'], [])
    """
    if is_bounded(value):
        return items(value["entries"])
    if isinstance(value, list | tuple):
        return [item for item in value if item is not None][:MAX_ENTRIES]
    return [] if value in (None, "", {}) else [value]


def texts(value: Any) -> list[str]:
    """Each entry as a text in which no character hides; empty ones are left out.

    >>> texts([{"group": "women", "harm": "refusals"}, "all"])
    ['group: women; harm: refusals', 'all']
    """
    found = (visible(shown(item)).strip() for item in items(value))
    return [text for text in found if text]


def records(value: Any) -> list[dict[str, Any]]:
    """The entries that are maps."""
    return [dict(item) for item in items(value) if isinstance(item, Mapping)]


def line(value: Any) -> str:
    r"""A value as one line of text.

    >>> line("a\n  b")
    'a b'
    """
    return " ".join(visible(shown(value)).split())


def text_of(record: Mapping[str, Any], *keys: str) -> str:
    """The first of these keys that holds anything, as one line; empty when none does."""
    return next((line(record[key]) for key in keys if record.get(key) not in (None, "")), "")


def address(value: Any, *, web: bool = False) -> str | None:
    """The value, if it is an address that is safe to follow; with `web`, of http or https only.

    >>> address("https://example.org/a?b=1"), address("s3://bank/loans.parquet")
    ('https://example.org/a?b=1', 's3://bank/loans.parquet')
    >>> address("javascript://x.org/%0aalert(1)"), address("https://u:secret@example.org/")
    (None, None)
    >>> address("s3://bank/loans.parquet", web=True) is None
    True
    """
    if not isinstance(value, str) or len(value) > _MAX_ADDRESS:
        return None
    found = _ADDRESS.fullmatch(value.strip())
    if found is None or (web and not found["scheme"].startswith("http")):
        return None
    return found[0]
