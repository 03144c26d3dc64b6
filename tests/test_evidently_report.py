"""Evidently's own page of a monitor: a disclosed sample, in a process that may fail."""

import re

import duckdb
import numpy as np
import polars as pl
import pytest

from aims_mlflow.monitors.evidently_report import evidently_html


def frame(rows, shift=0.0, seed=0):
    draw = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "age": draw.normal(40 + shift, 10, rows),
            "<script>alert(1)</script>": draw.choice(["a", "b"], rows),
            "nothing": [None] * rows,
            "label": draw.integers(0, 2, rows),
        }
    ).lazy()


@pytest.fixture(scope="module")
def made():
    return evidently_html(frame(700), frame(900, 20, 1), target="label", rows=500, seed=3)


def test_the_page_says_what_it_was_made_of(made):
    assert (made.n_reference, made.n_current) == (500, 500)
    assert (made.total_reference, made.total_current) == (700, 900)
    page = made.html.decode()
    said = "500 of 700 reference rows, drawn with seed 3 and 500 of 900 current rows"
    assert said in made.note
    assert said in page
    assert page.index(said) - page.index("<body>") < 600


def test_the_page_loads_nothing_from_elsewhere(made):
    page = made.html.decode()
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?https?:", page)


def test_a_column_of_nothing_does_not_stop_it(made):
    assert b"age" in made.html


def test_what_takes_too_long_is_given_up():
    found = evidently_html(frame(20), frame(20), timeout=0.2)
    assert found.html is None
    assert found.note == "no Evidently report: it was not ready after 0.2 s"


def test_a_source_that_breaks_is_a_note():
    gone = pl.scan_parquet("gone.parquet")
    found = evidently_html(gone, frame(20))
    assert found.html is None
    assert "gone.parquet" in found.note


def test_the_sample_of_a_database_is_drawn_from_all_of_it():
    relation = duckdb.sql("select range as place, range * 1.5 as amount from range(4000)")
    found = evidently_html(relation, relation, rows=200, timeout=200)
    assert found.n_current == 200
    assert found.html is not None, found.note
