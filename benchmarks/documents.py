"""Milliseconds to score, build and render a card and a report, and their size.

    python benchmarks/documents.py

The evaluation has the shape of UCI Adult's test part: 11,397 rows, probabilities, sex and race with
17 groups. The peer is Fairlearn's MetricFrame on the rows of the same evaluation (accuracy,
selection rate, TPR and FPR of the three group tables, differences and ratios), in the same process.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from fairlearn import metrics as fair
from sklearn.metrics import accuracy_score

from aims_mlflow.facts import RunFacts
from aims_mlflow.governance.profile import Profile
from aims_mlflow.governance.system import AISystem
from aims_mlflow.model_card.formats import Stamp
from aims_mlflow.monitors.performance import score
from aims_mlflow.monitors.tables import aggregate
from aims_mlflow.planning import plan

ROWS = 11_397
ROUNDS = 15
WHEN = datetime(2026, 11, 1, tzinfo=UTC)
SYSTEM = AISystem.model_validate(
    {
        "id": "census-income",
        "name": "Census income",
        "sensitive_features": [{"name": "sex"}, {"name": "race"}],
        "thresholds": [
            {"id": "auc", "metric": "roc_auc", "min": 0.8},
            {"id": "dp", "metric": "demographic_parity_difference", "feature": "sex", "max": 0.2},
            {"id": "eo", "metric": "equalized_odds_difference", "feature": "race", "max": 0.3},
        ],
    }
)


def evaluation() -> tuple[Any, Any, Any, pd.DataFrame]:
    """Truth, predictions, scores and groups."""
    rng = np.random.default_rng(0)
    groups = pd.DataFrame(
        {
            "sex": rng.choice(["Female", "Male"], ROWS, p=[0.33, 0.67]),
            "race": rng.choice(list("ABCDE"), ROWS, p=[0.01, 0.03, 0.1, 0.01, 0.85]),
        }
    )
    truth = (rng.random(ROWS) < np.where(groups["sex"] == "Male", 0.3, 0.11)).astype(int)
    scores = np.clip(rng.normal(0.2 + 0.45 * truth, 0.18), 0, 1)
    return truth, (scores >= 0.5).astype(int), scores, groups


def milliseconds(step: Callable[[], Any]) -> tuple[float, float]:
    """Median and largest of the rounds; the first call, with its imports, does not count."""
    step()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        step()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times), max(times)


def peer(truth: Any, predicted: Any, groups: pd.DataFrame) -> None:
    """Fairlearn on the rows."""
    for names in (["sex"], ["race"], ["sex", "race"]):
        frame = fair.MetricFrame(
            metrics={
                "accuracy": accuracy_score,
                "selection_rate": fair.selection_rate,
                "tpr": fair.true_positive_rate,
                "fpr": fair.false_positive_rate,
            },
            y_true=truth,
            y_pred=predicted,
            sensitive_features=groups[names],
        )
        frame.difference()
        frame.ratio()


def main() -> None:
    """Print one line for each step, and the sizes."""
    truth, predicted, scores, groups = evaluation()
    table = aggregate(truth, predicted, scores, groups, "adult-test")
    facts = RunFacts(
        run_id="0" * 32,
        run_name="benchmark",
        experiment_id="1",
        experiment_name="benchmark",
        status="FINISHED",
        start_time=WHEN,
        end_time=WHEN,
        system_tag=SYSTEM.id,
        params={f"param_{i}": str(i) for i in range(30)},
        evaluations=(table.model_dump(mode="json"),),
    )
    profile = Profile(systems={SYSTEM.id: SYSTEM})
    planned = plan(facts, profile).items
    stamp = Stamp(version=1, supersedes=None, evidence_id="0" * 64)
    documents = {p.stem: p for p in planned if p.stem in ("model_card", "evaluation_report")}

    base, worst = milliseconds(lambda: peer(truth, predicted, groups))
    print(f"{'Fairlearn on the rows, 4 metrics':<40} {base:8.1f} ms (worst {worst:.1f})")
    for label, step in (
        ("aggregate (log_evaluation)", lambda: aggregate(truth, predicted, scores, groups)),
        ("score, all metrics and intervals", lambda: score(table)),
        ("plan: score, judge, build all drafts", lambda: plan(facts, profile)),
        ("render the card, all formats", lambda: documents["model_card"].render(stamp)),
        ("render the report, with plots", lambda: documents["evaluation_report"].render(stamp)),
    ):
        median, worst = milliseconds(step)
        print(f"{label:<40} {median:8.1f} ms (worst {worst:.1f}), ratio {median / base:.3f}")
    for stem, item in documents.items():
        for extension, data in item.render(stamp).items():
            print(f"{stem + '.' + extension:<40} {len(data) / 1000:8.1f} kB")


if __name__ == "__main__":
    main()
