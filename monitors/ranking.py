"""Ranking tasks: documents with graded relevance, ranked by a score within each query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.monitors.columns import Column, as_column, places
from aims_mlflow.monitors.exact import Estimate, as_fields, mean
from aims_mlflow.monitors.rows import SUPPRESSED_BELOW, Prepared

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from aims_mlflow.monitors.rows import Part
    from aims_mlflow.monitors.targets import Inputs

    Floats = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.int64]

#: Documents that `ndcg_at_10` looks at.
CUTOFF = 10
_METRICS = ("ndcg", "ndcg_at_10", "mean_reciprocal_rank", "mean_average_precision")


class Ranked(NamedTuple):
    """The documents of all queries, from the highest score down within each query.

    `starts` (q,) is where each query begins; `blocks` (b,) where each run of equal scores of one
    query begins; `query` (b,) is the query of each block.
    """

    relevance: Floats
    starts: Codes
    blocks: Codes
    query: Codes


def prepare_ranking(given: Inputs) -> Prepared:
    """Rows of a ranking.

    Raises:
        EvaluationInputError: No query ids, relevance or scores that are no numbers, negative
            relevance, missing values.
    """
    import numpy as np
    import pandas as pd

    if given.query is None:
        raise EvaluationInputError(
            "A ranking task needs the query of each row, and query was not given.",
            "Pass query=..., one id for each row, for example query=frame['query_id'].",
        )
    relevance = _numbers(as_column("y_true", given.truth), "graded relevance")
    scores = _numbers(as_column("y_pred", given.predicted), "the predicted scores")
    if (relevance < 0).any():
        raise EvaluationInputError(
            f"y_true has {places(relevance < 0, 'negative relevance value')}.",
            "Grade relevance from 0 (not relevant) upwards.",
        )
    with np.errstate(over="ignore"):
        if not np.isfinite(relevance.sum()):
            raise EvaluationInputError(
                "The sum of y_true is beyond the range of numbers.",
                "Grade relevance in small numbers, for example from 0 to 4.",
            )
    codes, _ = pd.factorize(as_column("query", given.query).complete().values)
    codes = codes.astype(np.int64)
    kept, note = _measured(relevance, codes)
    rows = _Queries(relevance[kept], scores[kept], codes[kept], len(relevance))
    about = {"n_queries": int(codes.max()) + 1}
    return Prepared("ranking", rows, about, (note,) if note else (), divisible=False)


@dataclass(frozen=True)
class _Queries:
    """The documents of the queries that can be measured, out of `n` rows."""

    relevance: Floats
    scores: Floats
    codes: Codes
    n: int
    order: None = None

    def fields(self, part: Part, *, exact: bool) -> dict[str, Any]:
        if self.n < SUPPRESSED_BELOW:
            reason = f"fewer than {SUPPRESSED_BELOW} rows"
        elif not len(self.codes):
            reason = "no query has two documents, one of them relevant"
        else:
            return as_fields(
                ranking_scalars(self.relevance[part], self.scores[part], self.codes[part])
            )
        return {"undefined": dict.fromkeys(_METRICS, reason)}


def ranking_scalars(relevance: Floats, scores: Floats, codes: Codes) -> dict[str, Estimate]:
    """The mean over the queries of each ranking metric, with Student's interval.

    NDCG has linear gains and the discount 1 / log2(rank + 1), and is scikit-learn's `ndcg_score`
    of each query (Järvelin and Kekäläinen 2002). Documents of equal score share the mean gain of
    all their orders, as there (McSherry and Najork 2008). Reciprocal rank and average precision
    hold a document for relevant if its relevance is above 0, and give all documents of equal
    score the last of their ranks, as scikit-learn's `average_precision_score` and
    `label_ranking_average_precision_score` do.

    Args:
        relevance: Graded relevance (n,), none negative, some positive in each query.
        scores: Predicted scores (n,), higher first.
        codes: The query of each row (n,).
    """
    import numpy as np

    ranked = _ranked(relevance, scores, codes)
    ideal = _ranked(relevance, relevance, codes)
    reciprocal, precision = _by_relevance(ranked)
    values = (
        _gain(ranked, None) / _gain(ideal, None),
        _gain(ranked, CUTOFF) / _gain(ideal, CUTOFF),
        reciprocal,
        precision,
    )
    # A sum of quotients may exceed 1 by a rounding, and no metric here is above 1.
    return {
        name: mean(np.minimum(value, 1.0), 0.0, 1.0)
        for name, value in zip(_METRICS, values, strict=True)
    }


def _measured(relevance: Floats, codes: Codes) -> tuple[npt.NDArray[np.bool_], str]:
    """The rows of queries that can be measured, and which queries were skipped."""
    import numpy as np

    single = np.bincount(codes) < 2
    barren = ~single & (np.bincount(codes, weights=relevance > 0) == 0)
    skipped = single | barren
    if not skipped.any():
        return np.ones(len(codes), dtype=bool), ""
    return ~skipped[codes], (
        f"{int(skipped.sum())} of {len(skipped)} queries were skipped: {int(single.sum())} with "
        f"one document only, {int(barren.sum())} with no relevant one."
    )


def _ranked(relevance: Floats, by: Floats, codes: Codes) -> Ranked:
    import numpy as np

    order = np.lexsort((-by, codes))
    codes, by = codes[order], by[order]
    new_query = np.diff(codes, prepend=-1) != 0
    new_block = new_query.copy()
    new_block[1:] |= by[1:] != by[:-1]
    blocks = new_block.nonzero()[0]
    query = new_query.cumsum()[blocks] - 1
    return Ranked(relevance[order], new_query.nonzero()[0], blocks, query)


def _gain(ranked: Ranked, cutoff: int | None) -> Floats:
    """Discounted cumulative gain of each query (q,); equal scores share their mean gain."""
    import numpy as np

    first, last = _ranks(ranked)
    discounts: Floats = 1 / np.log2(np.arange(int(last.max())) + 2)
    if cutoff is not None:
        discounts[cutoff:] = 0
    up_to = np.concatenate([[0.0], discounts.cumsum()])
    shared = np.add.reduceat(ranked.relevance, ranked.blocks) / (last - first)
    gains = shared * (up_to[last] - up_to[first])
    return np.bincount(ranked.query, weights=gains).astype(np.float64)


def _by_relevance(ranked: Ranked) -> tuple[Floats, Floats]:
    """Reciprocal rank of the first relevant document, and average precision, by query (q,)."""
    import numpy as np

    _, last = _ranks(ranked)
    relevant = np.add.reduceat((ranked.relevance > 0).astype(float), ranked.blocks)
    first_block = np.searchsorted(ranked.blocks, ranked.starts)
    reciprocal = np.maximum.reduceat((relevant > 0) / last, first_block)
    total = np.bincount(ranked.query, weights=relevant)
    before = np.concatenate([[0.0], total.cumsum()[:-1]])
    found = relevant.cumsum() - before[ranked.query]
    precision = np.bincount(ranked.query, weights=relevant * found / last) / total
    return reciprocal, precision


def _ranks(ranked: Ranked) -> tuple[Codes, Codes]:
    """How many documents of the query stand before each block, and up to its end (b,)."""
    import numpy as np

    starts = ranked.starts[ranked.query]
    ends = np.append(ranked.blocks[1:], len(ranked.relevance))
    return ranked.blocks - starts, ends - starts


def _numbers(column: Column, what: str) -> Floats:
    if column.kind not in ("number", "bool", "empty"):
        raise EvaluationInputError(
            f"{column.name} holds text, and a ranking needs {what} there.",
            "Pass relevance as y_true and the scores of the documents as y_pred, both as numbers.",
        )
    values: Floats = column.complete().values.astype(float)
    return values
