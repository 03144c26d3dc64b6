"""Statistics from count tables: equal to SciPy's on the raw rows, within their stated bound."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon as scipy_jensenshannon

from aims_mlflow.monitors.category_tables import chisquare, total_variation, z
from aims_mlflow.monitors.corrections import corrected
from aims_mlflow.monitors.distances import hellinger, jensenshannon, psi
from aims_mlflow.monitors.point_masses import NotComparableError
from aims_mlflow.monitors.statistics import ks, wasserstein
from aims_mlflow.monitors.summaries import DataSummary
from aims_mlflow.monitors.summarise import count_in_bins, summarise
from aims_mlflow.monitors.suppression import suppress

SETTINGS = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
BINNED = (jensenshannon, psi, hellinger)


def columns(reference, current, below=1):
    """Both columns as they are counted, the reference as it would be saved."""
    before = summarise(pl.DataFrame({"x": reference}))
    after = summarise(pl.DataFrame({"x": current}), like=before)
    saved: DataSummary = suppress(before, below) if below > 1 else before
    return saved.columns[0], after.columns[0]


def draw(seed, kind, n, scale, shift):
    """Hostile numbers: heavy tails, ties, constants, two humps, far from zero, huge or tiny."""
    rng = np.random.default_rng(seed)
    values = {
        "normal": lambda: rng.normal(size=n),
        "cauchy": lambda: rng.standard_cauchy(n),
        "lognormal": lambda: np.exp(3 * rng.normal(size=n)),
        "ties": lambda: rng.integers(0, 4, n).astype(float),
        "many ties": lambda: np.round(rng.normal(size=n) * 40),
        "constant": lambda: np.full(n, 3.0),
        "humps": lambda: rng.normal(size=n) + 1e4 * rng.integers(0, 2, n),
        "far": lambda: 1e9 + rng.normal(size=n),
        "zeros": lambda: rng.exponential(size=n) * (rng.random(n) < 0.1),
    }[kind]()
    with np.errstate(over="ignore"):
        values = (values + shift) * scale
    return values[np.isfinite(values)] if np.isfinite(values).any() else np.ones(1)


KINDS = ["normal", "cauchy", "lognormal", "ties", "many ties", "constant", "humps", "far", "zeros"]


@st.composite
def two_samples(draw_from):
    """Two samples of any kind and size, of one magnitude."""
    scale = draw_from(st.sampled_from([1.0, 1e-3, 1e6, 1e-300, 1e300]))
    return tuple(
        draw(
            draw_from(st.integers(0, 10**6)),
            draw_from(st.sampled_from(KINDS)),
            draw_from(st.sampled_from([1, 2, 3, 17, 80, 700])),
            scale,
            draw_from(st.sampled_from([0.0, 0.0, 0.2, -5.0])),
        )
        for _side in range(2)
    )


ANY = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60)
PAIRS = two_samples()
ANY_PAIRS = PAIRS | st.tuples(ANY.map(np.array), ANY.map(np.array))


def rounding(reference, current, norm):
    """What adding up doubles may cost."""
    largest = max(np.abs(reference).max(), np.abs(current).max())
    return 1e-11 + 1e-13 * largest / norm


@SETTINGS
@given(ANY_PAIRS, st.sampled_from([1, 1, 10]))
def test_wasserstein_is_within_its_bound(pair, below):
    reference, current = pair
    with np.errstate(all="ignore"):
        norm = max(float(np.std(reference)), 0.001)
        truth = stats.wasserstein_distance(reference, current) / norm
    assume(math.isfinite(truth) and math.isfinite(norm))
    try:
        found = wasserstein(*columns(reference, current, below))
    except NotComparableError as error:
        assume(below > 1 or "large" in error.message or "add" in error.message)
        return
    tolerance = rounding(reference, current, norm) + 1e-9 * truth
    assert abs(found.value - truth) <= found.error_bound + tolerance
    assert found.decided_by == "distance"


@SETTINGS
@given(ANY_PAIRS, st.sampled_from([1, 1, 10]))
def test_ks_is_within_its_bound(pair, below):
    reference, current = pair
    truth = stats.ks_2samp(reference, current)
    try:
        found = ks(*columns(reference, current, below))
    except NotComparableError as error:
        assume(below > 1 or "large" in error.message or "add" in error.message)
        return
    low, high = found.p_range
    assert low - 1e-9 <= truth.pvalue <= high + 1e-9
    assert found.statistic <= truth.statistic + 1e-12
    assert found.p_value == found.value


@SETTINGS
@given(PAIRS, st.booleans())
def test_bins_are_within_their_bound_and_exact_when_counted_again(pair, again):
    reference, current = pair
    before, after = columns(reference, current)
    frames = [pl.DataFrame({"x": values}) for values in (reference, current)]

    def recount(edges):
        return tuple(count_in_bins(frame, "x", edges) for frame in frames)

    together = np.concatenate([reference, current])
    assume(len(np.unique(reference)) > 20)
    with np.errstate(all="ignore"):
        try:
            edges = np.histogram_bin_edges(together, "sturges")
            unique = np.histogram_bin_edges(np.unique(together), "sturges")
        except ValueError:
            assume(False)
    assume(np.isfinite(edges).all())
    p, q = (np.histogram(values, edges)[0] / len(values) for values in (reference, current))
    truth = {
        "jensenshannon": scipy_jensenshannon(p, q),
        "psi": float(((filled(p) - filled(q)) * np.log(filled(p) / filled(q))).sum()),
    }
    p, q = (np.histogram(values, unique)[0] / len(values) for values in (reference, current))
    truth["hellinger"] = math.sqrt(max(0.0, 1 - np.sqrt(p * q).sum()))
    for statistic in BINNED:
        try:
            found = statistic(before, after, categories=False, recount=recount if again else None)
        except NotComparableError as error:
            assert "large" in error.message or "magnitude" in error.message
            continue
        name = statistic.__name__
        assert abs(found.value - truth[name]) <= found.error_bound + 1e-7, name
        if again and name != "hellinger":
            assert found.error_bound == 0
            assert found.value == pytest.approx(truth[name], abs=1e-12)


def filled(shares):
    least = shares[shares > 0].min()
    return np.where(shares > 0, shares, least / 1e6 if least <= 1e-4 else 1e-4)


COUNTS = st.dictionaries(st.sampled_from("abcdefghij"), st.integers(1, 200), min_size=1)


def rows_of(counts):
    return [key for key, count in counts.items() for _ in range(count)]


def truth_of(reference, current):
    """The statistics of two tables of counts, as SciPy and their formulas give them."""
    keys = sorted({*reference, *current})
    r = np.array([reference.get(key, 0) for key in keys], dtype=float)
    c = np.array([current.get(key, 0) for key in keys], dtype=float)
    p, q = r / r.sum(), c / c.sum()
    with np.errstate(divide="ignore"):
        chi = stats.chisquare(c, r * (c.sum() / r.sum())).pvalue if len(keys) > 1 else 1.0
    return {
        "jensenshannon": scipy_jensenshannon(p, q),
        "psi": float(((filled(p) - filled(q)) * np.log(filled(p) / filled(q))).sum()),
        "hellinger": math.sqrt(max(0.0, 1 - np.sqrt(p * q).sum())),
        "chisquare": chi,
    }


@SETTINGS
@given(COUNTS, COUNTS)
def test_categories_are_exact(reference, current):
    before, after = columns(rows_of(reference), rows_of(current))
    truth = truth_of(reference, current)
    assert chisquare(before, after).value == pytest.approx(truth["chisquare"], abs=1e-12)
    for statistic in BINNED:
        found = statistic(before, after, categories=True)
        # The root of a divergence that rounding leaves at 1e-16 is 1e-8.
        assert found.value**2 == pytest.approx(truth[statistic.__name__] ** 2, abs=1e-12)
        assert found.error_bound == 0


@SETTINGS
@given(COUNTS, COUNTS, st.integers(2, 60))
def test_categories_pooled_in_the_reference_are_within_the_bound(reference, current, below):
    before, after = columns(rows_of(reference), rows_of(current), below)
    assume(not before.uncounted)
    truth = truth_of(reference, current)
    for statistic in BINNED:
        found = statistic(before, after, categories=True)
        assert abs(found.value - truth[statistic.__name__]) <= found.error_bound + 1e-7
    found = chisquare(before, after)
    low, high = found.p_range
    assert low - 1e-12 <= truth["chisquare"] <= high + 1e-12
    if before.pooled:
        with pytest.raises(NotComparableError, match="rare on one side is pooled"):
            total_variation(before, after)


@SETTINGS
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300), st.integers(1, 300))
def test_z_equals_its_formula(a, b, c, d):
    before, after = columns([True] * a + [False] * b, [True] * c + [False] * d)
    p, q, share = a / (a + b), c / (c + d), (a + c) / (a + b + c + d)
    score = (p - q) / math.sqrt(share * (1 - share) * (1 / (a + b) + 1 / (c + d)))
    assert z(before, after).value == pytest.approx(2 * stats.norm.sf(abs(score)), abs=1e-12)


def test_constants_on_both_sides_are_no_drift():
    before, after = columns(["a"] * 30, ["a"] * 20)
    for test in (chisquare, z, total_variation):
        assert test(before, after).value == 1
    for test in BINNED:
        assert test(before, after, categories=True).value == 0
    before, after = columns([2.5] * 30, [2.5] * 20)
    assert (wasserstein(before, after).value, ks(before, after).value) == (0, 1)


def test_a_constant_that_moved_is_drift():
    before, after = columns([1.0] * 30, [2.0] * 30)
    assert wasserstein(before, after).value == pytest.approx(1 / 0.001)
    assert ks(before, after).value < 1e-10
    before, after = columns(["a"] * 30, ["b"] * 30)
    assert chisquare(before, after).value == 0
    assert z(before, after).value < 1e-10
    assert jensenshannon(before, after, categories=True).value == pytest.approx(
        math.sqrt(math.log(2))
    )


def test_permutations_give_the_p_value_of_the_exact_distribution():
    """Two categories: the total variation distance is a function of one hypergeometric count."""
    before, after = columns(["a"] * 40 + ["b"] * 60, ["a"] * 30 + ["b"] * 70)
    law = stats.hypergeom(200, 70, 100)
    possible = np.arange(0, 71)
    as_far = np.abs(possible / 100 - (70 - possible) / 100) >= 0.1 - 1e-12
    exact = law.pmf(possible)[as_far].sum()
    found = total_variation(before, after)
    assert abs(found.value - exact) <= found.error_bound
    assert (found.seed, found.statistic) == (0, pytest.approx(0.1))


@pytest.mark.parametrize("test", [wasserstein, ks])
def test_numbers_need_numbers(test):
    with pytest.raises(NotComparableError, match="not of numbers"):
        test(*columns(["a", "b"], ["a", "b"]))
    with pytest.raises(NotComparableError, match="no finite value in the current data"):
        test(*columns([1.0, 2.0], [math.inf, None]))


def test_bins_of_another_kind_are_refused():
    rng = np.random.default_rng(0)
    before = summarise(pl.DataFrame({"x": rng.normal(size=500)})).columns[0]
    after = summarise(pl.DataFrame({"x": 50 + 9 * rng.normal(size=500)})).columns[0]
    with pytest.raises(NotComparableError, match="other bins than the reference"):
        wasserstein(before, after)


def test_a_recount_of_other_rows_is_refused():
    rng = np.random.default_rng(0)
    before, after = columns(rng.normal(size=500), rng.normal(size=500))

    def recount(edges):
        return [7] * (len(edges) - 1), [500] + [0] * (len(edges) - 2)

    with pytest.raises(NotComparableError, match="other rows now than when it was counted"):
        jensenshannon(before, after, categories=False, recount=recount)


def test_fine_bins_leave_little_open():
    """The promise to users: a thousandth of a standard deviation, also in heavy tails."""
    rng = np.random.default_rng(0)
    for tail in (rng.normal, lambda size: np.exp(rng.normal(size=size)), None):
        reference, current = (
            rng.standard_t(2.5, size=n) if tail is None else tail(size=n)
            for n in (100_000, 100_000)
        )
        found = wasserstein(*columns(reference, current + 0.05))
        truth = stats.wasserstein_distance(reference, current + 0.05) / np.std(reference)
        assert found.error_bound < 1e-3
        assert abs(found.value - truth) < 1e-3


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_corrections_only_raise_p_values(p_values):
    bonferroni = corrected(p_values, "bonferroni")
    hochberg = corrected(p_values, "benjamini_hochberg")
    assert corrected(p_values, "none") == tuple(p_values)
    for raw, weaker, stronger in zip(p_values, hochberg, bonferroni, strict=True):
        assert raw <= weaker + 1e-12 <= stronger + 1e-9
    assert corrected([], "benjamini_hochberg") == ()
