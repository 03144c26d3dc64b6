"""What this package costs, as ratios against MLflow alone in the same run.

    python benchmarks/run.py            all
    python benchmarks/run.py loop       one of: hook, loop, script, import

Times on shared machines are noisy: plain and governed processes alternate, and medians of the
ratios of neighbours are shown with their range.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

LOOP_RUNS = 200
SYSTEM = {"AIMS_SYSTEM": "benchmark"}
OFF = {"AIMS_DISABLE": "1"}

LOOP = f"""
    import json, time, mlflow
    mlflow.set_experiment("bench")
    def one(i):
        with mlflow.start_run(run_name=str(i)):
            mlflow.log_params({{f"p{{k}}": k for k in range(10)}})
            mlflow.log_metrics({{f"m{{k}}": k * 0.1 for k in range(5)}})
    one("warm")
    began = time.perf_counter()
    for i in range({LOOP_RUNS}):
        one(i)
    print(json.dumps(time.perf_counter() - began))
"""
HOOK = """
    import json, statistics, time, mlflow
    from aims_mlflow import watch
    costs = {"started": [], "ended": []}
    def timed(name, step):
        def call(*args):
            began = time.perf_counter()
            step(*args)
            costs[name].append(time.perf_counter() - began)
        return call
    watch.run_started = timed("started", watch.run_started)
    watch.run_ended = timed("ended", watch.run_ended)
    runs = []
    for i in range(100):
        began = time.perf_counter()
        with mlflow.start_run():
            mlflow.log_metric("m", 1.0)
        runs.append(time.perf_counter() - began)
    both = [a + b for a, b in zip(costs["started"], costs["ended"])]
    print(json.dumps([statistics.median(both), max(both[1:]), both[0], statistics.median(runs)]))
"""
SCRIPT = """
    import mlflow
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import RandomForestRegressor
    mlflow.sklearn.autolog(log_models=%s)
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    RandomForestRegressor(n_estimators=50, random_state=0).fit(x, y)
"""
IMPORT = "import time; a = time.perf_counter(); import {}; print(time.perf_counter() - a)"


def main() -> None:
    chosen = sys.argv[1:] or ["import", "hook", "loop", "script"]
    for name in chosen:
        {"import": imports, "hook": hook, "loop": loop, "script": script}[name]()


def process(code: str, folder: Path, extra: dict[str, str]) -> tuple[str, float]:
    """Standard output and wall seconds of one process."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder,
        env={**keep, "AIMS_QUIET": "1", **extra},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout, seconds


def warmed() -> Path:
    """A folder whose MLflow store exists already: its creation is not what is measured."""
    folder = Path(tempfile.mkdtemp(prefix="aims-bench-"))
    process("import mlflow\nwith mlflow.start_run(): pass", folder, SYSTEM)
    return folder


def shown(label: str, pairs: list[tuple[float, float]], unit: str = "s") -> None:
    """Median ratio of neighbours, its range, and the medians themselves."""
    ratios = sorted(b / a for a, b in pairs)
    plain, governed = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(
        f"{label:<44} ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        f"   plain {plain:.3f} {unit}, governed {governed:.3f} {unit}, {len(pairs)} pairs",
        flush=True,
    )


def imports() -> None:
    """`import mlflow` alone, and with the hook set in a governed process; `import aims_mlflow`."""
    folder = warmed()
    pairs = []
    ours = []
    for _ in range(9):
        plain, _ = process(IMPORT.format("mlflow"), folder, OFF)
        governed, _ = process(IMPORT.format("mlflow"), folder, SYSTEM)
        own, _ = process(IMPORT.format("aims_mlflow"), folder, OFF)
        pairs.append((float(plain), float(governed)))
        ours.append(float(own))
    shown("import mlflow, governed / plain", pairs)
    share = statistics.median(ours) / statistics.median(a for a, _ in pairs)
    print(f"{'import aims_mlflow / import mlflow':<44} ratio {share:.4f}", flush=True)
    shutil.rmtree(folder)


def hook() -> None:
    """What the training thread pays for the hook, per run."""
    folder = warmed()
    median, worst, first, run = json.loads(process(HOOK, folder, SYSTEM)[0])
    print(
        f"{'hook on the training thread, per run':<44} median {median * 1e6:.0f} us, "
        f"worst {worst * 1e6:.0f} us, first {first * 1e6:.0f} us; a run takes {run * 1e3:.1f} ms "
        f"(ratio {1 + median / run:.5f})",
        flush=True,
    )
    shutil.rmtree(folder)


def loop() -> None:
    """A loop of runs, with and without; the drain at the exit is not part of it."""
    pairs = []
    for _ in range(7):
        times = []
        for extra in (OFF, {**SYSTEM, "AIMS_EXIT_TIMEOUT": "0"}):
            folder = warmed()
            times.append(float(process(LOOP, folder, extra)[0]))
            shutil.rmtree(folder)
        pairs.append((times[0], times[1]))
    shown(f"loop of {LOOP_RUNS} runs, governed / plain", pairs)


def script() -> None:
    """A whole process with one autolog run, the drain at its exit included."""
    for models in ("True", "False"):
        folder = warmed()
        pairs = []
        for _ in range(5):
            _, plain = process(SCRIPT % models, folder, OFF)
            _, governed = process(SCRIPT % models, folder, SYSTEM)
            pairs.append((plain, governed))
        shown(f"one autolog run, log_models={models}, whole process", pairs)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
