"""The metrics that a threshold may name, as data.

A name means the same thing in a threshold, a report, a monitor and a card. Sources:
scikit-learn's and Fairlearn's function of the same name unless stated otherwise.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class MetricFamily(StrEnum):
    """What a metric speaks of, and so who measures it."""

    PERFORMANCE = "performance"
    FAIRNESS = "fairness"
    DRIFT = "drift"
    QUALITY = "quality"
    OPERATION = "operation"


class Metric(NamedTuple):
    """One metric: its name, family, the tasks it applies to and what it measures.

    No value of it is below `low` or above `high`; None where there is no such bound.
    """

    name: str
    family: MetricFamily
    tasks: tuple[str, ...]
    meaning: str
    low: float | None = 0
    high: float | None = 1

    @property
    def bounds(self) -> str:
        """The range of its values in words; empty for one that may be any number.

        >>> METRICS["accuracy"].bounds, METRICS["r2"].bounds, METRICS["mean_error"].bounds
        ('0 to 1', 'at most 1', '')
        """
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"at least {self.low:g}"
        return f"at most {self.high:g}" if self.high is not None else ""


_ALL = ("binary", "multiclass", "regression")
_CLASSES = ("binary", "multiclass")
_BINARY = ("binary",)
_LABELS = ("multilabel",)
_RANKING = ("ranking",)
_GENAI = ("genai",)
_REGRESSION = ("regression",)
#: The bounds of what may be any number.
_ANY = (None, None)
_P, _F = MetricFamily.PERFORMANCE, MetricFamily.FAIRNESS
_D, _Q, _O = MetricFamily.DRIFT, MetricFamily.QUALITY, MetricFamily.OPERATION

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", _P, _CLASSES, "share of correct predictions"),
        Metric("balanced_accuracy", _P, _CLASSES, "mean recall over the classes"),
        Metric("precision", _P, _BINARY, "correct among the predicted positives"),
        Metric("recall", _P, _BINARY, "found among the true positives"),
        Metric("f1", _P, _BINARY, "harmonic mean of precision and recall"),
        Metric("precision_macro", _P, _CLASSES + _LABELS, "unweighted mean precision of classes"),
        Metric("recall_macro", _P, _CLASSES + _LABELS, "unweighted mean recall of the classes"),
        Metric("f1_macro", _P, _CLASSES + _LABELS, "unweighted mean F1 of the classes"),
        Metric("f1_micro", _P, _LABELS, "F1 over all labels of all rows"),
        Metric("subset_accuracy", _P, _LABELS, "share of rows with every label correct"),
        Metric("hamming_loss", _P, _LABELS, "share of wrong labels"),
        Metric("matthews_corrcoef", _P, _CLASSES, "Matthews correlation coefficient", low=-1),
        Metric("selection_rate", _P, _BINARY, "share predicted positive"),
        Metric("true_positive_rate", _P, _BINARY, "recall of the positive class"),
        Metric("false_positive_rate", _P, _BINARY, "predicted positive among the negatives"),
        Metric("false_negative_rate", _P, _BINARY, "missed among the positives"),
        Metric("roc_auc", _P, _BINARY, "area under the ROC curve"),
        Metric("average_precision", _P, _BINARY, "average precision of the ranking"),
        Metric("log_loss", _P, _BINARY, "negative mean log-likelihood of the scores", high=None),
        Metric("brier_score", _P, _BINARY, "mean squared error of the scores"),
        Metric("expected_calibration_error", _P, _BINARY, "mean gap of score and share, 10 bins"),
        Metric("mae", _P, _REGRESSION, "mean absolute error, unit of the target", high=None),
        Metric("mse", _P, _REGRESSION, "mean squared error", high=None),
        Metric("rmse", _P, _REGRESSION, "root mean squared error, unit of the target", high=None),
        Metric("r2", _P, _REGRESSION, "coefficient of determination", low=None),
        Metric(
            "mean_error",
            _P,
            _REGRESSION,
            "mean of prediction minus truth, unit of the target",
            *_ANY,
        ),
        Metric("median_absolute_error", _P, _REGRESSION, "median absolute error", high=None),
        Metric("ndcg", _P, _RANKING, "normalized discounted cumulative gain, mean over queries"),
        Metric("ndcg_at_10", _P, _RANKING, "NDCG of the first ten, mean over queries"),
        Metric("mean_reciprocal_rank", _P, _RANKING, "mean of 1 / rank of the first relevant"),
        Metric("mean_average_precision", _P, _RANKING, "mean over queries of average precision"),
        Metric("pass_rate", _P, _GENAI, "share of assessed answers that pass the scorer"),
        Metric("mean_score", _P, _GENAI, "mean of a scorer's numbers", *_ANY),
        Metric("demographic_parity_difference", _F, _BINARY, "largest gap in selection rate"),
        Metric("demographic_parity_ratio", _F, _BINARY, "smallest over largest selection rate"),
        Metric("equalized_odds_difference", _F, _BINARY, "larger of the gaps in TPR and FPR"),
        Metric("equalized_odds_ratio", _F, _BINARY, "smaller of the ratios of TPR and FPR"),
        Metric("equal_opportunity_difference", _F, _BINARY, "largest gap in TPR"),
        Metric("equal_opportunity_ratio", _F, _BINARY, "smallest over largest TPR"),
        Metric("predictive_parity_difference", _F, _BINARY, "largest gap in precision"),
        Metric("predictive_parity_ratio", _F, _BINARY, "smallest over largest precision"),
        Metric("accuracy_difference", _F, _CLASSES, "largest gap in accuracy (error parity)"),
        Metric("accuracy_ratio", _F, _CLASSES, "smallest over largest accuracy"),
        Metric("mae_difference", _F, _REGRESSION, "largest gap in mean absolute error", high=None),
        Metric("mae_ratio", _F, _REGRESSION, "smallest over largest mean absolute error"),
        Metric(
            "rmse_difference", _F, _REGRESSION, "largest gap in root mean squared error", high=None
        ),
        Metric("rmse_ratio", _F, _REGRESSION, "smallest over largest root mean squared error"),
        Metric(
            "mean_error_difference",
            _F,
            _REGRESSION,
            "largest gap in mean error (residual)",
            high=None,
        ),
        Metric("drift_share", _D, _ALL, "share of columns that drifted"),
        Metric("column_drift", _D, _ALL, "drift score of one column", high=None),
        Metric("prediction_drift", _D, _ALL, "drift score of the prediction", high=None),
        Metric("target_drift", _D, _ALL, "drift score of the target", high=None),
        Metric("missing_share", _Q, _ALL, "share of missing values"),
        Metric("duplicate_share", _Q, _ALL, "share of rows that repeat an earlier one"),
        Metric("out_of_range_share", _Q, _ALL, "share of values outside what is expected"),
        Metric("new_category_share", _Q, _ALL, "share of values that the reference does not have"),
        Metric("constant_columns", _Q, _ALL, "columns with one value only", high=None),
        Metric("schema_changes", _Q, _ALL, "columns gone, new or of another type", high=None),
        Metric("freshness_hours", _Q, _ALL, "hours from the newest row to the end", high=None),
        Metric("row_count", _Q, _ALL, "rows in the window", high=None),
        Metric("latency_p50", _O, _ALL, "median latency, seconds", high=None),
        Metric("latency_p95", _O, _ALL, "95th percentile of the latency, seconds", high=None),
        Metric("latency_p99", _O, _ALL, "99th percentile of the latency, seconds", high=None),
        Metric("error_rate", _O, _ALL, "share of failed requests"),
        Metric("request_count", _O, _ALL, "requests in the window", high=None),
    )
}

#: Performance metrics of which a smaller value is the better one; `mean_error` is best near 0.
LOWER_IS_BETTER = frozenset(
    {
        "false_positive_rate",
        "false_negative_rate",
        "log_loss",
        "brier_score",
        "expected_calibration_error",
        "hamming_loss",
        "mae",
        "mse",
        "rmse",
        "median_absolute_error",
    }
)

#: Performance metrics of which neither a high nor a low value is better.
NO_DIRECTION = frozenset({"selection_rate"})

#: Families whose thresholds are judged on an evaluated run; monitors judge the others.
EVALUATED_AT_TRAINING = frozenset({MetricFamily.PERFORMANCE, MetricFamily.FAIRNESS})
