"""Tables of one evaluated dataset: groups, confusion, thresholds, calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aims_mlflow.governance.metrics import METRICS
from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.model_card.formats.blocks import cell
from aims_mlflow.model_card.formats.document import Cell, Column, Table
from aims_mlflow.model_card.formats.text import humanise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aims_mlflow.readings import Calibration, CurvePoint

#: Thresholds of the short table; the plot and the JSON have all.
_SHOWN_THRESHOLDS = tuple(step / 10 for step in range(1, 10))
_UNDEFINED = "value"
#: Metrics of one table of groups: what fits on a page of A4 with intervals.
_MAX_METRICS = 7
#: Classes of a confusion that is shown as a matrix, and pairs of one that is not.
_MAX_MATRIX = 12
_MAX_PAIRS = 200
#: Features of tables that hold no sensitive groups: nothing in them is compared.
_PARTS = frozenset({"slice", "class"})
#: Metrics that need the rows themselves, of which groups of several features keep only counts.
_FROM_ROWS = frozenset(
    {
        *("roc_auc", "average_precision", "log_loss", "brier_score"),
        *("expected_calibration_error", "subset_accuracy", "median_absolute_error"),
        *(m.name for m in METRICS.values() if m.tasks == ("ranking",)),
    }
)


def group_tables(found: Mapping[str, Any], methods: Mapping[str, str] | None = None) -> list[Table]:
    """A `GroupTable` as tables: groups, n, metrics with intervals, and why one was left out.

    Many metrics become several tables of the same rows, so that each fits on a page.

    Args:
        found: The table as plain data.
        methods: How the intervals of each metric were computed.
    """
    named = list(dict.fromkeys(name for row in found["rows"] for name in row["metrics"]))
    undefined = [n for n in named if all(row["metrics"].get(n) is None for row in found["rows"])]
    metrics = [name for name in named if name not in undefined]
    count = max(1, -(-len(metrics) // _MAX_METRICS))
    size = max(1, -(-len(metrics) // count))
    runs = [metrics[index : index + size] for index in range(0, len(metrics), size)] or [[]]
    caption = _group_caption(found)
    caption += _undefined_words(found, undefined)
    parts = [f" ({index} of {len(runs)})" for index in range(1, len(runs) + 1)]
    return [
        _group_table(found, run, methods or {}, f"{caption}{part if len(runs) > 1 else ''}")
        for run, part in zip(runs, parts, strict=True)
    ]


def _undefined_words(found: Mapping[str, Any], undefined: Sequence[str]) -> str:
    # Groups of two features keep counts alone, and no scores: these metrics were never tried.
    apart = _FROM_ROWS if len(found["features"]) > 1 else frozenset[str]()
    told = {
        "not measured for combinations": [name for name in undefined if name in apart],
        "undefined in every row": [name for name in undefined if name not in apart],
    }
    return "".join(
        f"; {words}: {', '.join(map(humanise, names))}" for words, names in told.items() if names
    )


def _group_table(
    found: Mapping[str, Any], metrics: Sequence[str], methods: Mapping[str, str], caption: str
) -> Table:
    features, rows = list(found["features"]), found["rows"]
    compared = any(row["excluded"] for row in rows) or not _PARTS & set(features)
    heads = [*map(Column, features), Column("n", numeric=True)]
    heads += [Column(humanise(name), numeric=True) for name in metrics]
    return Table(
        caption=caption,
        columns=(*heads, *([Column("compared")] if compared else [])),
        rows=tuple(
            (
                *(cell(row["group"].get(feature)) for feature in features),
                cell(row["n"]),
                *(_metric(row, name, methods) for name in metrics),
                *([_compared(row)] if compared else []),
            )
            for row in rows
        ),
        muted=frozenset(index for index, row in enumerate(rows) if row["excluded"]),
        stacked=True,
    )


def _group_caption(found: Mapping[str, Any]) -> str:
    features = found["features"]
    by = f"{found['dataset']} by {' x '.join(features)}"
    if _PARTS & set(features):
        return by
    return f"{by}; groups below {found['min_group_size']} rows are not compared"


def _metric(row: Mapping[str, Any], name: str, methods: Mapping[str, str]) -> Cell:
    interval = row.get("intervals", {}).get(name)
    return cell(row["metrics"].get(name), _UNDEFINED, interval, methods.get(name, ""))


def _compared(row: Mapping[str, Any]) -> Cell:
    return Cell(f"no: {row['excluded']}" if row["excluded"] else "yes")


def calibration_table(calibration: Calibration, dataset: str) -> Table:
    """Each bin of the score: how many rows, their mean score, the share of positives."""
    return Table(
        caption=(
            f"Calibration on {dataset}: expected calibration error {calibration.ece:.4g}, "
            f"largest {calibration.mce:.4g}"
        ),
        columns=(
            Column("score"),
            Column("n", numeric=True),
            Column("mean score", numeric=True),
            Column("share of positives", numeric=True),
        ),
        rows=tuple(
            (
                Cell(f"{one.low:g} to {one.high:g}"),
                cell(one.n),
                Cell(f"{one.mean_score:.3f}", exact=repr(one.mean_score)),
                cell(one.observed, _UNDEFINED, one.interval),
            )
            for one in calibration.bins
        ),
    )


def confusion_table(
    labels: Sequence[str], counts: Mapping[tuple[str, str], int], dataset: str
) -> Table:
    """The confusion as a matrix where a page has room for one, else pair by pair."""
    if len(labels) > _MAX_MATRIX:
        return _confused_pairs(counts, dataset)
    return Table(
        caption=f"Confusion on {dataset}: true in rows, predicted in columns",
        columns=(Column("true"), *(Column(cut_text(label), numeric=True) for label in labels)),
        rows=tuple(
            (Cell(cut_text(true)), *(cell(counts.get((true, label), 0)) for label in labels))
            for true in labels
        ),
    )


def _confused_pairs(counts: Mapping[tuple[str, str], int], dataset: str) -> Table:
    pairs = sorted(counts.items(), key=lambda item: -item[1])
    left_out = len(pairs) - _MAX_PAIRS
    some = f": the {_MAX_PAIRS} most frequent of {len(pairs):,} pairs" if left_out > 0 else ""
    return Table(
        caption=f"Confusion on {dataset}{some}",
        columns=(Column("true"), Column("predicted"), Column("n", numeric=True)),
        rows=tuple(
            (Cell(cut_text(true)), Cell(cut_text(predicted)), cell(n))
            for (true, predicted), n in pairs[:_MAX_PAIRS]
        ),
    )


def curve_table(curve: Sequence[CurvePoint], dataset: str) -> Table:
    """The rates at nine thresholds."""
    points = dict.fromkeys(
        min(curve, key=lambda point: abs(point.threshold - wanted)) for wanted in _SHOWN_THRESHOLDS
    )
    fields = ("selection_rate", "true_positive_rate", "false_positive_rate", "precision", "f1")
    return Table(
        caption=f"If a row counted as positive from this score on: {dataset}",
        columns=(
            Column("score", numeric=True),
            *(Column(humanise(field), numeric=True) for field in fields),
        ),
        rows=tuple(
            (Cell(f"{point.threshold:g}"), *(_share(getattr(point, field)) for field in fields))
            for point in points
        ),
    )


def _share(value: float | None) -> Cell:
    if value is None:
        return cell(None, _UNDEFINED)
    return Cell(f"{value:.3f}", exact=repr(value))
