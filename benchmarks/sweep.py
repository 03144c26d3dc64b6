"""What a sweep costs: 500 nested runs, plain and governed, as ratios of neighbouring processes.

    python benchmarks/sweep.py             both kinds of sweep
    python benchmarks/sweep.py nested      one of: nested, optuna

The loop is the time inside the parent run; the whole process includes imports, the capture of the
sweep and the end of the interpreter. Memory is the largest resident size up to the end of the loop.
"""

from __future__ import annotations

import json
import shutil
import sys

from run import OFF, SYSTEM, process, shown, warmed

CHILDREN = 500
PAIRS = 5
NESTED = f"""
    import json, resource, time, mlflow
    mlflow.set_experiment("bench")
    def child(i):
        with mlflow.start_run(run_name=str(i), nested=True):
            mlflow.log_params({{f"p{{k}}": k * i for k in range(5)}})
            mlflow.log_metrics({{f"m{{k}}": k * i * 0.1 for k in range(3)}})
    with mlflow.start_run(run_name="search"):
        child(0)
        began = time.perf_counter()
        for i in range(1, {CHILDREN}):
            child(i)
        seconds = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([seconds, memory]))
"""
OPTUNA = f"""
    import json, resource, time, mlflow, optuna
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_experiment("bench")
    def objective(trial):
        with mlflow.start_run(nested=True):
            given = {{f"p{{k}}": trial.suggest_float(f"p{{k}}", 0, 1) for k in range(5)}}
            mlflow.log_params(given)
            mlflow.log_metrics({{f"m{{k}}": sum(given.values()) for k in range(3)}})
            return sum(given.values())
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    with mlflow.start_run(run_name="study"):
        study.optimize(objective, n_trials=1)
        began = time.perf_counter()
        study.optimize(objective, n_trials={CHILDREN} - 1)
        seconds = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([seconds, memory]))
"""


def main() -> None:
    for name in sys.argv[1:] or ["nested", "optuna"]:
        sweep(name, {"nested": NESTED, "optuna": OPTUNA}[name])


def sweep(name: str, code: str) -> None:
    """Neighbouring pairs of plain and governed processes."""
    loops, processes, memories = [], [], []
    for _ in range(PAIRS):
        loop, whole, memory = [], [], []
        for extra in (OFF, {**SYSTEM, "AIMS_EXIT_TIMEOUT": "120"}):
            folder = warmed()
            out, seconds = process(code, folder, extra)
            inner, largest = json.loads(out)
            loop.append(inner)
            whole.append(seconds)
            memory.append(largest)
            shutil.rmtree(folder)
        loops.append((loop[0], loop[1]))
        processes.append((whole[0], whole[1]))
        memories.append((memory[0], memory[1]))
    shown(f"{name}: {CHILDREN} children, the loop", loops)
    shown(f"{name}: {CHILDREN} children, the process", processes)
    shown(f"{name}: {CHILDREN} children, memory", memories, "MB")


if __name__ == "__main__":
    main()
