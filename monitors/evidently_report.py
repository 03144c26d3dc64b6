"""Evidently's own HTML report, made of a disclosed sample by a process of its own.

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
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.evidence import Frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Rows of each side that Evidently gets.
SAMPLE_ROWS = 5_000
#: Seconds after which it is given up.
TIMEOUT = 300.0
#: Letters of an error that a note keeps.
_MAX_SAID = 300
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
            drawn = [
                _write_sample(frame, place / f"{role}.parquet", rows, seed)
                for role, frame in (("reference", reference), ("current", current))
            ]
        except Exception as error:  # every engine has errors of its own
            return EvidentlyReport(html=None, seed=seed, note=_failed(error))
        before, after = drawn
        counted: dict[str, int] = {
            "n_reference": before.rows,
            "n_current": after.rows,
            "total_reference": before.total,
            "total_current": after.total,
        }
        columns = {"target": target, "prediction": prediction}
        page, failure = _made(place, columns, timeout)
    if page is None:
        return EvidentlyReport(html=None, seed=seed, note=failure, **counted)
    said = _said(before, after, seed)
    return EvidentlyReport(html=_with_banner(page, said), seed=seed, note=said, **counted)


def _write_sample(frame: Any, path: Path, rows: int, seed: int) -> _Sample:
    """Write a uniform sample of a frame as Parquet; only the sample is ever in memory."""
    import narwhals as nw
    import numpy as np

    lazy = nw.from_native(frame).lazy()
    total = int(lazy.select(nw.len()).collect().item())
    if total <= rows:
        table = lazy.collect("pyarrow")
    else:
        wanted = np.random.default_rng(seed).choice(total, size=rows, replace=False)
        table = _rows_at(lazy, np.sort(wanted))
    table.to_native().to_pandas().to_parquet(path)
    return _Sample(min(rows, total), total)


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
        said = f": {last[0][:_MAX_SAID]}" if last else ""
        return None, f"no Evidently report: its process ended with {done.returncode}{said}"


def _failed(error: Exception) -> str:
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
