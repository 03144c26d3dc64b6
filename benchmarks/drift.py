"""Data drift of two Parquet files of 20 columns: Evidently, NannyML, ours, and reading them once.

    python benchmarks/drift.py [ROWS ...] [--evidently] [--nannyml PYTHON]

Each figure is of a process of its own: CPU and wall seconds, imports left out, and peak memory with
them. Ours is what a monitor does: open both files, count both, test every column, give readings.
The floor is Polars reading every value of both files once. `--nannyml` names the interpreter of an
environment with NannyML, whose pins do not fit into ours.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 3
HERE = Path(__file__).parent
MEASURE = """
import json, resource, sys, time
reference, current = sys.argv[1:3]
{imports}
began, cpu = time.perf_counter(), time.process_time()
{work}
print(json.dumps({{
    "wall": time.perf_counter() - began,
    "cpu": time.process_time() - cpu,
    "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}}))
"""
FLOOR = (
    """
import polars as pl
def once(path):
    frame = pl.scan_parquet(path)
    types = frame.collect_schema()
    read = [pl.col(n).min() if t == pl.String else pl.col(n).sum() for n, t in types.items()]
    frame.select(read).collect(engine="streaming")
""",
    "once(reference); once(current)",
)
OURS = (
    """
import narwhals, numpy, polars, scipy.stats
from aims_mlflow.governance.monitoring import Monitor
from aims_mlflow.monitors.drift import drift
from aims_mlflow.monitors.sources import open_source
from aims_mlflow.monitors.summarise import summarise
monitor = Monitor(kind="drift", schedule="0 6 * * *")
""",
    """
with open_source(reference) as before, open_source(current) as after:
    known = summarise(before.frame)
    readings, _ = drift(known, summarise(after.frame, like=known), monitor)
assert len(readings) == 21
""",
)
EVIDENTLY = (
    """
import pandas as pd
from evidently import Dataset, Report
from evidently.presets import DataDriftPreset
""",
    """
a, b = (Dataset.from_pandas(pd.read_parquet(path)) for path in (reference, current))
Report([DataDriftPreset()]).run(b, a).dict()
""",
)
NANNYML = (
    """
import nannyml, pandas as pd
""",
    """
a, b = (pd.read_parquet(path) for path in (reference, current))
text = [name for name in a if not pd.api.types.is_numeric_dtype(a[name])]
for frame in (a, b):
    frame[text] = frame[text].astype("category")
calculator = nannyml.UnivariateDriftCalculator(
    column_names=list(a), continuous_methods=["wasserstein"],
    categorical_methods=["jensen_shannon"], chunk_number=1,
)
calculator.fit(a)
calculator.calculate(b).to_df()
""",
)


def measured(parts: tuple[str, str], files: list[str], python: str = sys.executable) -> dict:
    script = MEASURE.format(imports=parts[0], work=parts[1])
    environment = {**os.environ, "DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"}
    done = subprocess.run(
        [python, "-W", "ignore", "-c", script, *files],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="*", type=int, default=[100_000, 1_000_000])
    parser.add_argument("--evidently", action="store_true")
    parser.add_argument("--nannyml", metavar="PYTHON")
    chosen = parser.parse_args()
    for rows in chosen.rows:
        with tempfile.TemporaryDirectory() as folder:
            files = [str(Path(folder, f"{role}.parquet")) for role in ("reference", "current")]
            for path in files:
                make = f"import summarise; from pathlib import Path; p = Path({path!r})"
                call = f"{make}; summarise.generate({rows}, p)"
                subprocess.run([sys.executable, "-c", call], check=True, cwd=HERE)
            compare(rows, files, chosen)


def compare(rows: int, files: list[str], chosen: argparse.Namespace) -> None:
    tasks = {"floor": [], "ours": []}
    for _ in range(ROUNDS):  # neighbours in time, so that noise of the machine meets both
        tasks["floor"].append(measured(FLOOR, files))
        tasks["ours"].append(measured(OURS, files))
    if chosen.evidently:
        tasks["Evidently"] = [measured(EVIDENTLY, files)]
    if chosen.nannyml:
        tasks["NannyML"] = [measured(NANNYML, files, chosen.nannyml)]
    ours = {key: statistics.median(one[key] for one in tasks["ours"]) for key in ("wall", "cpu")}
    for name, found in tasks.items():
        wall, cpu, memory = (
            statistics.median(one[key] for one in found) for key in ("wall", "cpu", "memory")
        )
        ratios = f"wall {wall / ours['wall']:7.2f}x  cpu {cpu / ours['cpu']:7.2f}x of ours"
        print(
            f"{rows:>10,}  {name:10} {wall:8.2f} s  cpu {cpu:8.2f} s  {memory:6.0f} MiB  {ratios}"
        )


if __name__ == "__main__":
    main()
