"""CPU and wall time and peak memory of counting a Parquet file, against reading it once.

    python benchmarks/summarise.py [ROWS ...] [--evidently]

Each figure is of a process of its own, so that peak memory is that of the task. The data have 20
columns (12 numeric of several distributions, 8 categorical), written by Polars' defaults to a
temporary folder. The floor is Polars reading every value of the file once: the sum of each number,
the smallest of each category. The peer is Evidently's DataDriftPreset of two such files, which
`--evidently` runs too (a minute and a half for a million rows); it needs counts of both sides, so
its ratio is against twice ours.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROUNDS = 5
CHUNK = 500_000
CATEGORIES = (2, 5, 10, 50, 100, 1_000, 3, 20)


def generate(rows: int, path: Path) -> None:
    """Write the data, part by part (in a process of its own: a child inherits its peak memory)."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(0)
    parts = []
    for start in range(0, rows, CHUNK):
        n = min(CHUNK, rows - start)
        missing = rng.random(n) < 0.05
        numbers = {
            "normal": np.where(missing, np.nan, rng.normal(size=n)),
            "lognormal": rng.lognormal(size=n),
            "heavy": rng.standard_t(2.5, n),
            "exponential": rng.exponential(size=n),
            "far": rng.normal(1e9, 1, n),
            "percent": rng.integers(0, 100, n),
            "few": rng.poisson(3, n),
            "identifier": rng.integers(0, 10**6, n),
            "cents": np.round(rng.lognormal(3, 1, n), 2),
            "uniform": rng.random(n),
            "mixture": np.where(missing, rng.normal(50, 2, n), rng.normal(size=n)),
            "age": rng.integers(18, 99, n),
        }
        kinds = {
            f"category {k}": pl.Series(rng.integers(0, k, n)).cast(pl.String) for k in CATEGORIES
        }
        parts.append(path.with_suffix(f".{start}"))
        pl.DataFrame(numbers | kinds).write_parquet(parts[-1])
    pl.scan_parquet(parts).sink_parquet(path)
    for part in parts:
        part.unlink()


def floor(path: str) -> None:
    import polars as pl
    import polars.selectors as cs

    pl.scan_parquet(path).select(cs.numeric().sum(), cs.string().min()).collect(engine="streaming")


def ours(path: str) -> None:
    import polars as pl

    from aims_mlflow.monitors.summarise import summarise

    summarise(pl.scan_parquet(path))


def evidently(path: str) -> None:
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    frame = pd.read_parquet(path)
    Report([DataDriftPreset()]).run(frame, frame.sample(frac=1, random_state=0))


TASKS = {
    "generate": lambda path: generate(int(Path(path).stem), Path(path)),
    "floor": floor,
    "ours": ours,
    "evidently": evidently,
}


def task(name: str, path: str) -> None:
    """Run one task in this process and print what it cost, the imports of libraries apart."""
    import polars as pl

    if name == "ours":
        import narwhals  # noqa: F401
        import numpy  # noqa: F401

        import aims_mlflow.monitors.summarise  # noqa: F401
    if name == "evidently":
        import evidently.presets  # noqa: F401

    pl.DataFrame({"x": [1.0]}).lazy().sum().collect(engine="streaming")
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    TASKS[name](path)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"wall": wall, "cpu": cpu, "mib": after.ru_maxrss / 1024}))


def measure(name: str, path: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--task", name, str(path)]
    environment = os.environ | {"DO_NOT_TRACK": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def shown(name: str, found: dict[str, float], other: dict[str, float] | None = None) -> str:
    text = (
        f"{name:10} {found['wall']:7.2f} s wall {found['cpu']:7.2f} s CPU {found['mib']:6.0f} MiB"
    )
    if other is not None:
        wall, cpu = (found[key] / other[key] for key in ("wall", "cpu"))
        text += f"   {wall:5.2f} x wall {cpu:5.2f} x CPU of the floor"
    return text


def compare(rows: int, folder: Path, *, peer: bool) -> None:
    path = folder / f"{rows}.parquet"
    measure("generate", path)
    runs: dict[str, list[dict[str, Any]]] = {"floor": [], "ours": []}
    for _ in range(ROUNDS):
        for name, found in runs.items():
            found.append(measure(name, path))
    lowest, found = median(runs["floor"]), median(runs["ours"])
    print(f"\n{rows:,} rows, {path.stat().st_size / 2**20:.0f} MiB, median of {ROUNDS}")
    print(shown("floor", lowest))
    print(shown("ours", found, lowest))
    if peer:
        theirs = measure("evidently", path)
        print(shown("Evidently", theirs), f"  {theirs['cpu'] / found['cpu'] / 2:.0f} x CPU of ours")
    path.unlink()


def main() -> None:
    if sys.argv[1:2] == ["--task"]:
        task(*sys.argv[2:4])
        return
    sizes = [int(word) for word in sys.argv[1:] if word.isdigit()] or [
        100_000,
        1_000_000,
        10_000_000,
    ]
    with tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            compare(rows, Path(folder), peer="--evidently" in sys.argv)


if __name__ == "__main__":
    main()
