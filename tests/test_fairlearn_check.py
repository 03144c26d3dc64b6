"""A bias monitor asks Fairlearn for the disparities of the same counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.governance.system import SensitiveFeature
from aims_mlflow.monitors.fairlearn_check import disagreements
from aims_mlflow.monitors.performance import score
from aims_mlflow.monitors.production import production_readings
from aims_mlflow.monitors.tables import aggregate


def made(seed, n=400, groups=3):
    draw = np.random.default_rng(seed)
    return aggregate(
        draw.integers(0, 2, n),
        draw.integers(0, 2, n),
        sensitive_features={
            "sex": draw.choice(["F", "M"], n),
            "place": draw.choice([f"p{i}" for i in range(groups)], n, p=None),
        },
        declared=[SensitiveFeature(name="sex"), SensitiveFeature(name="place")],
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), groups=st.integers(2, 12))
def test_fairlearn_agrees_with_every_disparity_also_where_groups_are_left_out(seed, groups):
    table = made(seed, groups=groups)
    readings = production_readings(score(table), table)
    denied, said = disagreements(table, readings, {}, 30)
    assert denied == []
    assert "gives the same for" in said


def test_a_wrong_disparity_is_denied():
    table = made(1)
    readings = [
        r.model_copy(update={"value": (r.value or 0) + 1e-6})
        for r in production_readings(score(table), table)
        if r.metric == "demographic_parity_difference" and r.feature == "sex"
    ]
    (denied,), said = disagreements(table, readings, {}, 30)
    assert denied.startswith("demographic_parity_difference/sex is")
    assert "0 of 1" in said


@pytest.mark.parametrize("size", [2, 60])
def test_numbers_have_nothing_to_ask(size):
    table = aggregate(np.arange(size) / 7, np.arange(size) / 5)
    assert disagreements(table, (), {}, 30) == ([], "")
