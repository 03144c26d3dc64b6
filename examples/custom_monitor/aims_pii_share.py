"""The share of texts that hold an e-mail address, an international telephone number or an IBAN.

Free text that reaches a model in production may hold what nobody meant to process: customers write
their address into a comment. Texts are matched where the data are, only counts leave the engine.
"""

from collections.abc import Iterator
from functools import reduce
from operator import or_
from typing import Any

import narwhals as nw

from aims_mlflow.monitored import MonitorReading
from aims_mlflow.monitors.custom import MonitorContext

#: Without look-around and word borders, so that every engine reads them alike.
KINDS = {
    "email": r"[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}",
    "phone": r"\+[1-9][0-9]{0,2}[ /.()-]*(?:[0-9][ /.()-]*){6,12}",
    "iban": r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){3,7}",
}


class PiiShare:
    """Reads `pii_share` of each column of `options.columns`."""

    def measure(self, context: MonitorContext) -> Iterator[MonitorReading]:
        columns = context.options.get("columns")
        if not isinstance(columns, list) or not columns:
            raise ValueError("the options need 'columns': the columns with texts")
        kinds = context.options.get("kinds", list(KINDS))
        if not kinds:
            raise ValueError(f"'kinds' is empty; there are {list(KINDS)}")
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown:
            raise ValueError(f"unknown kinds {unknown}; there are {list(KINDS)}")
        if context.current is None:
            raise ValueError("the monitor needs 'current'")
        for column in map(str, columns):
            yield reading(column, kinds, context.current, context.reference)


def reading(
    column: str, kinds: list[str], current: nw.LazyFrame[Any], reference: nw.LazyFrame[Any] | None
) -> MonitorReading:
    now = count(column, kinds, current)
    if isinstance(now, str):
        return MonitorReading(metric="pii_share", column=column, value=None, reason=now)
    then = None if reference is None else count(column, kinds, reference)
    before = then if isinstance(then, dict) and then["texts"] else None
    texts = now["texts"]
    return MonitorReading(
        metric="pii_share",
        column=column,
        value=now["any"] / texts if texts else None,
        reason="" if texts else "there are no texts in the window",
        n=texts,
        n_total=now["rows"],
        reference=before["any"] / before["texts"] if before else None,
        reference_n=before["texts"] if before else None,
        detail=", ".join(f"{kind}: {now[kind]}" for kind in kinds),
    )


def count(column: str, kinds: list[str], frame: nw.LazyFrame[Any]) -> dict[str, int] | str:
    """How many rows, texts, and texts with each kind; or why they cannot be counted."""
    schema = frame.collect_schema()
    if column not in schema:
        return f"the data have no column '{column}'"
    if schema[column] not in (nw.String, nw.Categorical, nw.Enum):
        return f"column '{column}' holds no texts"
    text = nw.col(column).cast(nw.String)
    found = {kind: text.str.contains(KINDS[kind]).fill_null(False) for kind in kinds}
    measures = {"texts": ~text.is_null(), **found, "any": reduce(or_, found.values())}
    counted = frame.select(
        nw.len().alias("rows"),
        *(each.cast(nw.Int64).sum().alias(name) for name, each in measures.items()),
    )
    row = counted.collect().rows(named=True)[0]
    return {name: int(n or 0) for name, n in row.items()}
