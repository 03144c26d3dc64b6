"""Evidently's own HTML report, made of a disclosed sample by a process of its own.

The page shows values, so it gets only columns whose values are counted, and of these no category
of a few rows. Evidently writes names and values into a script of the page as they are, so that
what would be markup is replaced before it sees them.

Evidently takes seconds to import and minutes for a million rows, and its page carries several
megabytes of scripts. So it gets a seeded sample, in a subprocess that is killed when it takes too
long: what happens to it happens to nobody else.
"""

from __future__ import annotations

import html
import json
import os
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.evidence import Frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Rows of each side that Evidently gets.
SAMPLE_ROWS = 5_000
#: Seconds after which it is given up.
TIMEOUT = 300.0
#: Rows of a sample below which a category is not named.
MIN_CATEGORY_ROWS = 10
OTHER = "other"
#: Letters of a name or a category that the page shows.
_MAX_SHOWN = 200
#: Signs of markup, and the ones that stand for them in the page.
_HARMLESS = str.maketrans({"<": "\u2039", ">": "\u203a", "&": "\uff06"})
#: Letters of an error that a note keeps.
_MAX_SAID = 300
_NOTHING = "no Evidently report: no column of both sides has values that may be shown"
_STYLE = (
    "position:relative;z-index:9;margin:0;padding:10px 16px;background:#fff8e1;color:#4a3b00;"
    "font:14px/1.5 system-ui,sans-serif;border-bottom:1px solid #e0c060"
)


class EvidentlyReport(Frozen):
    """Evidently's page, or why there is none; how many rows it was made of, of how many."""

    html: bytes | None
    n_reference: int = 0
    n_current: int = 0
    total_reference: int = 0
    total_current: int = 0
    seed: int = 0
    note: str = ""


class _Sample(NamedTuple):
    rows: int
    total: int


def evidently_html(
    reference: Any,
    current: Any,
    *,
    columns: Sequence[str] | None = None,
    target: str | None = None,
    prediction: str | None = None,
    rows: int = SAMPLE_ROWS,
    seed: int = 0,
    timeout: float = TIMEOUT,
) -> EvidentlyReport:
    """Evidently's data drift and summary report of two frames.

    Args:
        reference: A frame of any engine that Narwhals knows; only a sample of it is collected.
        current: The same.
        columns: Those to show; all that both sides have when None. Categories of fewer than
            `MIN_CATEGORY_ROWS` rows of a sample become "other".
        target: The column of the target; a numeric one makes a regression of it.
        prediction: The column of the prediction.
        rows: Rows of each side at most, drawn uniformly without replacement.
        seed: Of the draw.
        timeout: Seconds after which the process is killed.

    Returns:
        The page, with a banner that says what it was made of; without one where anything failed,
        and `note` then says what.
    """
    with tempfile.TemporaryDirectory(prefix="aims-evidently-") as folder:
        place = Path(folder)
        try:
            names = _names((reference, current), columns)
            if not names:
                return EvidentlyReport(html=None, seed=seed, note=_NOTHING)
            drawn = [
                _write_sample(frame, names, place / f"{role}.parquet", rows, seed)
                for role, frame in (("reference", reference), ("current", current))
            ]
        except (KeyboardInterrupt, SystemExit):
            raise
        # Every engine has errors of its own; those of Polars' panics are no Exception.
        except BaseException as error:
            return EvidentlyReport(html=None, seed=seed, note=_failed(error))
        before, after = drawn
        counted: dict[str, int] = {
            "n_reference": before.rows,
            "n_current": after.rows,
            "total_reference": before.total,
            "total_current": after.total,
        }
        roles = {"target": names.get(target or ""), "prediction": names.get(prediction or "")}
        page, failure = _made(place, roles, timeout)
    if page is None:
        return EvidentlyReport(html=None, seed=seed, note=failure, **counted)
    said = _said(before, after, seed)
    return EvidentlyReport(html=_with_banner(page, said), seed=seed, note=said, **counted)


def _names(frames: Sequence[Any], columns: Sequence[str] | None) -> dict[str, str]:
    """The columns that all frames have, of those to show, and what the page calls them."""
    import narwhals as nw

    having = [nw.from_native(frame).lazy().collect_schema().names() for frame in frames]
    shown = [n for n in having[0] if all(n in names for names in having)]
    result: dict[str, str] = {}
    for name in shown if columns is None else [n for n in shown if n in set(columns)]:
        called = harmless(name) or "(no name)"
        taken = set(result.values())
        number = 2
        while called in taken:
            called = f"{harmless(name)} ({number})"
            number += 1
        result[name] = called
    return result


def harmless(text: str) -> str:
    """A text that no page takes for markup, of at most 200 letters.

    >>> harmless("</script><b>")
    '‹/script›‹b›'
    """
    plain = "".join(c if c.isprintable() else " " for c in text[: _MAX_SHOWN + 1])
    return (plain if len(plain) <= _MAX_SHOWN else f"{plain[:_MAX_SHOWN]}…").translate(_HARMLESS)


def _write_sample(
    frame: Any, names: Mapping[str, str], path: Path, rows: int, seed: int
) -> _Sample:
    """Write a uniform sample of a frame as Parquet; only the sample is ever in memory."""
    import narwhals as nw
    import numpy as np
    import pandas as pd

    lazy = nw.from_native(frame).lazy().select(*names)
    total = int(lazy.select(nw.len()).collect().item())
    if total <= rows:
        table = lazy.collect("pyarrow")
    else:
        wanted = np.random.default_rng(seed).choice(total, size=rows, replace=False)
        table = _rows_at(lazy, np.sort(wanted))
    sample = table.to_native().to_pandas()
    shown = {called: _without_rare(sample[name]) for name, called in names.items()}
    pd.DataFrame(shown).to_parquet(path)
    return _Sample(min(rows, total), total)


def _without_rare(column: Any) -> Any:
    """A column without its rare categories, and the others as harmless texts."""
    import pandas as pd

    kind = column.dtype
    if pd.api.types.is_datetime64_any_dtype(kind):
        return column
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind):
        return column
    if any(isinstance(value, Decimal) for value in column.dropna().head(1)):
        return column
    counts = column.value_counts()
    texts = {value: harmless(str(value)) for value in counts[counts >= MIN_CATEGORY_ROWS].index}
    return column.astype(object).map(
        lambda value: None if pd.isna(value) else texts.get(value, OTHER)
    )


def _rows_at(lazy: Any, wanted: Any) -> Any:
    """The rows at these positions, in the order in which the engine gives them."""
    import narwhals as nw

    names = lazy.collect_schema().names()
    number = "__aims_row"
    # Engines without an order of their own count in the order of their columns.
    order = None if lazy.implementation.is_polars() else names
    numbered = lazy.with_row_index(number, order_by=order)
    return numbered.filter(nw.col(number).is_in(wanted.tolist())).drop(number).collect("pyarrow")


def _made(
    folder: Path, columns: Mapping[str, str | None], timeout: float
) -> tuple[bytes | None, str]:
    """Let a process make `report.html`; returns it, or nothing and why."""
    (folder / "columns.json").write_text(json.dumps(columns), "utf-8")
    environment = {**os.environ, "DO_NOT_TRACK": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "aims_mlflow.monitors.evidently_process", str(folder)]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return None, f"no Evidently report: it was not ready after {timeout:g} s"
    except OSError as error:
        return None, _failed(error)
    try:
        return (folder / "report.html").read_bytes(), ""
    except OSError:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        # The message may quote a value; the type of the error stands before it.
        said = f": {last[0].partition(':')[0][:_MAX_SAID]}" if last else ""
        return None, f"no Evidently report: its process ended with {done.returncode}{said}"


def _failed(error: BaseException) -> str:
    return f"no Evidently report: {type(error).__name__}: {str(error)[:_MAX_SAID]}"


def _said(before: _Sample, after: _Sample, seed: int) -> str:
    def part(sample: _Sample, role: str) -> str:
        if sample.rows == sample.total:
            return f"all {sample.total:,} {role} rows"
        return f"{sample.rows:,} of {sample.total:,} {role} rows, drawn with seed {seed}"

    return (
        f"the Evidently report shows {part(before, 'reference')} and {part(after, 'current')}; "
        "the verdicts rest on every row"
    )


def _with_banner(page: bytes, said: str) -> bytes:
    banner = f'<p style="{_STYLE}">{html.escape(said[0].upper() + said[1:])}.</p>'.encode()
    head, body, rest = page.partition(b"<body>")
    return head + body + banner + rest if body else banner + page
