"""Group fairness of production: Fairlearn's MetricFrame on the rows against counts of groups.

Each measurement runs in a process of its own, from the same Parquet file: selection rate, true and
false positive rate and accuracy by two features and by their intersection. `python
benchmarks/fairness.py` prints CPU and wall seconds, peak memory, their ratio, and the largest
difference of any value; `--rows 100000 1000000` chooses the sizes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FEATURES = ("sex", "region")
ENVIRONMENT = os.environ | {"DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}


def make(path: Path, n: int) -> None:
    import numpy as np
    import polars as pl

    r = np.random.default_rng(7)
    sex, region = r.integers(0, 2, n), r.integers(0, 5, n)
    label = (r.random(n) < 0.2 + 0.1 * sex).astype(np.int64)
    score = np.clip(0.25 * label + 0.7 * r.beta(2, 3, n) + 0.02 * region, 0, 1)
    pl.DataFrame(
        {
            "label": label,
            "said": (score > 0.5).astype(np.int64),
            "score": score,
            "sex": np.array(["F", "M"])[sex],
            "region": np.array(["north", "east", "south", "west", "abroad"])[region],
        }
    ).write_parquet(path)


def fairlearn(path: Path) -> dict[str, float]:
    import pandas as pd
    from fairlearn.metrics import (
        MetricFrame,
        false_positive_rate,
        selection_rate,
        true_positive_rate,
    )
    from sklearn.metrics import accuracy_score

    frame = pd.read_parquet(path, columns=["label", "said", *FEATURES])
    metrics = {
        "selection_rate": selection_rate,
        "true_positive_rate": true_positive_rate,
        "false_positive_rate": false_positive_rate,
        "accuracy": accuracy_score,
    }
    found = {}
    for chosen in (["sex"], ["region"], ["sex", "region"]):
        by_group = MetricFrame(
            metrics=metrics,
            y_true=frame["label"],
            y_pred=frame["said"],
            sensitive_features=frame[chosen],
        ).by_group
        for group, row in by_group.iterrows():
            name = " x ".join(group) if isinstance(group, tuple) else str(group)
            found |= {f"{name} {metric}": float(row[metric]) for metric in metrics}
    return found


def counts(path: Path, score: str | None = None) -> dict[str, float]:
    import polars as pl

    from aims_mlflow.governance.system import SensitiveFeature
    from aims_mlflow.monitors.bias import group_table
    from aims_mlflow.monitors.counted import count_evaluation

    table = count_evaluation(
        pl.scan_parquet(path),
        target="label",
        prediction="said",
        score=score,
        declared=[SensitiveFeature(name=name) for name in FEATURES],
    )
    names = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")
    return {
        f"{' x '.join(row.group.values())} {metric}": row.metrics[metric] or 0.0
        for groups in table.tables
        for row in group_table(table, groups, 1).rows
        for metric in names
    }


def scored(path: Path) -> dict[str, float]:
    return counts(path, "score")


WAYS = {"fairlearn": fairlearn, "counts": counts, "counts and score": scored}


def measure(way: str, path: Path) -> None:
    """In a process of its own: what it takes after the imports, and what it finds."""
    import importlib

    libraries = ("fairlearn.metrics", "sklearn.metrics", "pandas")
    if way != "fairlearn":
        libraries = (
            "aims_mlflow.governance.system",
            "aims_mlflow.monitors.counted",
            "narwhals",
            "pandas",
            "polars",
            "pyarrow",
            "scipy.special",
        )
    for library in libraries:
        importlib.import_module(library)
    before, started = time.process_time(), time.perf_counter()
    found = WAYS[way](path)
    wall, cpu = time.perf_counter() - started, time.process_time() - before
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": cpu, "wall": wall, "memory": memory, "found": found}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", type=int, default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--one", nargs=2, metavar=("WAY", "PATH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure(arguments.one[0], Path(arguments.one[1]))
        return
    print(f"{'rows':>12} {'way':18} {'CPU s':>8} {'wall s':>8} {'MiB':>7} {'CPU ratio':>10} error")
    with tempfile.TemporaryDirectory() as folder:
        for n in arguments.rows:
            path = Path(folder) / f"{n}.parquet"
            maker = f"import fairness, pathlib; fairness.make(pathlib.Path({str(path)!r}), {n})"
            subprocess.run([sys.executable, "-c", maker], check=True, cwd=Path(__file__).parent)
            report(path, n)


def report(path: Path, n: int) -> None:
    raw: dict[str, Any] = {}
    for way in WAYS:
        command = [sys.executable, __file__, "--one", way, str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT)
        found = json.loads(done.stdout.splitlines()[-1])
        raw = raw or found
        assert found["found"].keys() == raw["found"].keys()
        error = max(abs(found["found"][key] - value) for key, value in raw["found"].items())
        print(
            f"{n:12,} {way:18} {found['cpu']:8.3f} {found['wall']:8.3f} {found['memory']:7.0f} "
            f"{raw['cpu'] / found['cpu']:9.0f}x {error:.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
