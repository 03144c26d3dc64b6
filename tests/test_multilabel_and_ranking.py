"""Multilabel and ranking evaluations: equal to scikit-learn's numbers, by row or by query."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from aims_mlflow.governance.system import Slice
from aims_mlflow.monitors.tables import EvaluationTable, aggregate

quick = settings(deadline=None, max_examples=60)
CLOSE = {"rel": 1e-12, "abs": 1e-12}
TRUE = [[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]]
PRED = [[1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 1, 1]]
COUNTS = ((3, 0, 0, 3), (2, 1, 1, 2), (3, 0, 1, 2))


@pytest.mark.parametrize(
    "make",
    [
        list,
        np.array,
        lambda v: np.array(v, dtype=bool),
        lambda v: np.array(v, dtype=float),
        pd.DataFrame,
        lambda v: pd.DataFrame(v).astype(bool),
        lambda v: pl.DataFrame(v, orient="row"),
        lambda v: [np.array(row) for row in v],
    ],
)
def test_every_container_of_labels(make):
    table = aggregate(make(TRUE), make(PRED))
    assert (table.task, table.n, len(table.labels)) == ("multilabel", 6, 3)
    assert table.overall.label_counts == COUNTS
    assert table.overall.exact == {"subset_accuracy": 0.5}
    low, high = table.overall.intervals["subset_accuracy"]
    assert low < 0.5 < high


def test_label_names_come_from_the_columns():
    names = ["cat", "cow", "dog"]
    true, predicted = pd.DataFrame(TRUE, columns=names), pd.DataFrame(PRED, columns=names)
    assert aggregate(TRUE, PRED).labels == ("label_0", "label_1", "label_2")
    assert aggregate(true, PRED).labels == aggregate(TRUE, predicted).labels == tuple(names)
    moved = aggregate(true, predicted[["dog", "cat", "cow"]])
    assert (moved.labels, moved.overall.label_counts) == (tuple(names), COUNTS)


def test_one_label_is_a_multilabel_task_only_by_name():
    true, predicted = np.array(TRUE)[:, :1], np.array(PRED)[:, :1]
    assert aggregate(true, predicted, task="multilabel").labels == ("label_0",)


def test_an_ignored_score_is_noted():
    table = aggregate(TRUE, PRED, np.ones((6, 3)))
    assert any("y_score was ignored" in note for note in table.notes)


@quick
@given(st.integers(0, 2**32), st.integers(5, 60), st.integers(2, 6))
def test_multilabel_counts_equal_scikit_learn(seed, n, labels):
    random = np.random.default_rng(seed)
    true, predicted = random.random((2, n, labels)) < 0.5
    sex = random.choice(["F", "M"], n)
    declared = [Slice(name="women", where={"sex": "F"})]
    table = aggregate(true, predicted, None, {"sex": sex}, slices=declared)
    assert EvaluationTable.model_validate_json(table.model_dump_json()) == table
    rows = [(table.overall, np.ones(n, dtype=bool)), (table.slices.rows[0], sex == "F")]
    rows += [(row, sex == row.group["sex"]) for row in table.table(["sex"]).rows]
    for row, part in rows:
        assert row.n == part.sum()
        assert row.suppressed == (row.n < 5)
        if row.suppressed:
            assert (row.label_counts, row.exact) == ((), {})
            continue
        expected = sk.multilabel_confusion_matrix(true[part], predicted[part])
        for (tp, fp, fn, tn), matrix in zip(row.label_counts, expected, strict=True):
            assert [[tn, fp], [fn, tp]] == matrix.tolist()
        subset = sk.accuracy_score(true[part], predicted[part])
        assert row.exact["subset_accuracy"] == pytest.approx(subset, **CLOSE)


def by_query(relevance, scores, query):
    """Every metric by its definition, one query at a time."""
    found = []
    for each in np.unique(query):
        gains, given_scores = relevance[query == each], scores[query == each]
        if len(gains) < 2 or not (gains > 0).any():
            continue
        relevant = gains > 0
        last = rankdata(-given_scores, method="max")
        found.append(
            (
                sk.ndcg_score([gains], [given_scores]),
                sk.ndcg_score([gains], [given_scores], k=10),
                1 / last[relevant].min(),
                sk.average_precision_score(relevant, given_scores),
            )
        )
    return np.array(found)


METRICS = ("ndcg", "ndcg_at_10", "mean_reciprocal_rank", "mean_average_precision")


@quick
@given(st.integers(0, 2**32), st.integers(5, 150), st.integers(1, 20), st.booleans())
def test_ranking_equals_scikit_learn_query_by_query(seed, n, queries, tied):
    random = np.random.default_rng(seed)
    relevance = random.integers(0, 4, n) * (random.random(n) < 0.4)
    scores = random.integers(0, 4, n).astype(float) if tied else random.normal(size=n)
    query = random.integers(0, queries, n)
    table = aggregate(relevance, scores, query=query, task="ranking")
    assert EvaluationTable.model_validate_json(table.model_dump_json()) == table
    assert (table.task, table.n, table.n_queries) == ("ranking", n, len(set(query.tolist())))
    expected = by_query(relevance, scores, query)
    skipped = table.n_queries - len(expected)
    assert any(f"{skipped} of" in note for note in table.notes) == bool(skipped)
    if not len(expected):
        assert set(table.overall.undefined) == set(METRICS)
        return
    for name, mean in zip(METRICS, expected.mean(axis=0), strict=True):
        assert table.overall.exact[name] == pytest.approx(mean, **CLOSE)
        low, high = table.overall.intervals.get(name, (0, 1))
        assert 0 <= low <= table.overall.exact[name] <= high <= 1


def test_query_ids_may_be_text_and_need_not_be_sorted():
    relevance, scores = [3, 0, 2, 1, 0, 1], [0.9, 0.8, 0.1, 0.7, 0.5, 0.6]
    table = aggregate(relevance, scores, query=["b", "a", "b", "a", "b", "a"], task="ranking")
    # Query a ranks 0, 1, 1; query b ranks 3, 0, 2.
    assert table.overall.exact["mean_reciprocal_rank"] == pytest.approx((1 / 2 + 1) / 2)
    assert table.n_queries == 2


def test_a_ranking_by_one_constant_score_earns_nothing_by_its_ties():
    table = aggregate([1, 0, 0, 0, 0], [0.5] * 5, query=[1] * 5, task="ranking")
    assert table.overall.exact["mean_reciprocal_rank"] == pytest.approx(1 / 5)
    assert table.overall.exact["mean_average_precision"] == pytest.approx(1 / 5)
    assert table.overall.intervals == {}


def test_a_ranking_has_no_groups_and_says_so():
    declared = [Slice(name="part", where={"sex": "F"})]
    table = aggregate(
        [1, 0] * 5, range(10), None, {"sex": ["F", "M"] * 5}, "test", "ranking",
        query=[1] * 5 + [2] * 5, slices=declared,
    )  # fmt: skip
    assert (table.tables, table.slices, table.absent_slices) == ((), None, {})
    assert any("Groups and slices are not measured" in note for note in table.notes)


def test_fewer_than_five_documents_keep_their_number_only():
    overall = aggregate([1, 0], [0.2, 0.1], query=[1, 1], task="ranking").overall
    assert (overall.n, overall.exact) == (2, {})
    assert "fewer than 5 rows" in overall.undefined["ndcg"]


def test_ranking_intervals_cover_the_truth():
    random = np.random.default_rng(2)
    queries, documents = 40, 8
    query = np.repeat(np.arange(queries), documents)

    def draw(count):
        relevance = random.random(count * documents) < 0.4
        return relevance, random.normal(size=len(relevance)) + relevance

    relevance, scores = draw(20_000)
    large = np.repeat(np.arange(20_000), documents)
    truth = aggregate(relevance, scores, query=large, task="ranking").overall.exact
    hits = dict.fromkeys(METRICS, 0)
    for _ in range(500):
        relevance, scores = draw(queries)
        row = aggregate(relevance, scores, query=query, task="ranking").overall
        for name in METRICS:
            low, high = row.intervals[name]
            hits[name] += low <= truth[name] <= high
    assert all(0.92 <= count / 500 <= 0.98 for count in hits.values()), hits
