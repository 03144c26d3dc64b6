"""Monitors of others: installed by pip, found by name, and never able to break a run."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import SimpleNamespace

import duckdb
import narwhals as nw
import pandas as pd
import polars as pl
import pytest

from aims_mlflow.errors import MonitorError
from aims_mlflow.monitored import MonitorReading, Window
from aims_mlflow.monitors import custom
from aims_mlflow.monitors.custom import CustomMonitor, MonitorContext, load, measure_custom

EXAMPLE = Path(__file__).parent.parent / "examples" / "custom_monitor"
WINDOW = Window(start=datetime(2026, 3, 1, tzinfo=UTC), end=datetime(2026, 3, 2, tzinfo=UTC))
TEXTS = {
    "comment": [
        "call +49 170 1234567",
        "a@b.de",
        "order 4711",
        None,
        "DE89 3704 0044 0532 0130 00",
    ],
    "amount": [1, 2, 3, 4, 5],
}

# --- installed by pip, in a process of its own ---------------------------------------------------

PROGRAM = """
import json, sys
from datetime import UTC, datetime
from aims_mlflow.errors import MonitorError
from aims_mlflow.monitored import Window
from aims_mlflow.monitors.custom import MonitorContext, load, measure_custom
heavy = {"pandas", "polars", "narwhals", "numpy"} & set(sys.modules)
monitor = load("pii-share")
import duckdb
import narwhals as nw, polars as pl
current = nw.from_native(pl.LazyFrame(json.loads(sys.argv[1])))
window = Window(start=datetime(2026, 3, 1, tzinfo=UTC), end=datetime(2026, 3, 2, tzinfo=UTC))
options = {"columns": ["comment", "amount"]}
context = MonitorContext(system="s", window=window, options=options, current=current)
found = [r.model_dump() for r in measure_custom("pii-share", monitor, context)]
try:
    load("pii-shar")
except MonitorError as error:
    print(json.dumps({"heavy": sorted(heavy), "found": found, "unknown": error.diagnostics()}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The example, installed without a network into a folder."""
    folder = tmp_path_factory.mktemp("custom")
    source = shutil.copytree(EXAMPLE, folder / "source")
    target = folder / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--target", str(target), str(source)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return target


def test_the_example_installs_and_measures(installed):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(TEXTS)],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["heavy"] == []
    comment, amount = said["found"]
    assert (comment["metric"], comment["column"], comment["value"]) == (
        "pii_share",
        "comment",
        0.75,
    )
    assert (comment["n"], comment["n_total"]) == (4, 5)
    assert comment["detail"] == "email: 1, phone: 1, iban: 1"
    assert (amount["value"], amount["reason"]) == (None, "column 'amount' holds no texts")
    assert said["unknown"].startswith(
        "there is no custom monitor 'pii-shar' (installed: pii-share); did you mean 'pii-share'?"
    )


def test_the_example_counts_alike_on_every_engine(installed, monkeypatch):
    monkeypatch.syspath_prepend(str(installed))
    frame = pl.DataFrame(TEXTS)
    arrow = frame.to_arrow()
    frames = [frame, frame.lazy(), pd.DataFrame(TEXTS), arrow, duckdb.from_arrow(arrow)]
    found = set()
    for native in frames:
        current = nw.from_native(native).lazy()
        context = MonitorContext("s", WINDOW, {"columns": ["comment"]}, current, current)
        found.update(measure_custom("pii-share", load("pii-share"), context))
    (reading,) = found
    assert (reading.value, reading.reference, reading.reference_n) == (0.75, 0.75, 4)


def test_wrong_options_of_the_example_are_an_error_with_its_words(installed, monkeypatch):
    monkeypatch.syspath_prepend(str(installed))
    context = MonitorContext("s", WINDOW, {"columns": ["comment"], "kinds": ["ssn"]})
    with pytest.raises(MonitorError) as caught:
        measure_custom("pii-share", load("pii-share"), context)
    assert caught.value.message == (
        "the custom monitor 'pii-share' raised ValueError: unknown kinds ['ssn']; "
        "there are ['email', 'phone', 'iban']"
    )


# --- what an entry point may lead to -------------------------------------------------------------


def installing(monkeypatch, **points: str) -> None:
    """Make entry points known: by name, the value that leads to the object."""
    found = EntryPoints(
        EntryPoint(name.split("__")[0].replace("_", "-"), value, custom.GROUP)
        for name, value in points.items()
    )
    monkeypatch.setattr(custom, "entry_points", lambda group: found.select(group=group))


class Constant:
    def measure(self, context: MonitorContext) -> list[MonitorReading]:
        return [MonitorReading(metric="constant", value=1, n=100)]


class Raising:
    def __init__(self) -> None:
        raise RuntimeError("no licence")


def test_a_class_is_made_and_a_module_or_object_taken_as_it_is(monkeypatch):
    module = SimpleNamespace(Constant=Constant, ready=Constant(), measure=Constant().measure)
    monkeypatch.setitem(sys.modules, "plugged", module)
    installing(monkeypatch, a="plugged:Constant", b="plugged:ready", c="plugged")
    for name in "abc":
        (reading,) = measure_custom(name, load(name), MonitorContext("s", WINDOW))
        assert reading.value == 1
    assert isinstance(load("a"), CustomMonitor)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ({}, "there is no custom monitor 'x' (none is installed)"),
        ({"x": "no_such_module:A"}, "(no_such_module:A) cannot be loaded: ModuleNotFoundError: No"),
        ({"x": "plugged:Missing"}, "(plugged:Missing) cannot be loaded: AttributeError"),
        ({"x": "plugged:Raising"}, "cannot be loaded: RuntimeError: no licence"),
        ({"x": "plugged:number"}, "(plugged:number) has no method 'measure(context)'"),
        ({"x": "plugged:A", "x__2": "other:B"}, "'x' is installed twice: by other:B and plugged:A"),
    ],
)
def test_what_cannot_be_loaded_is_a_named_error(points, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "plugged", SimpleNamespace(Raising=Raising, number=3))
    installing(monkeypatch, **points)
    with pytest.raises(MonitorError) as caught:
        load("x")
    assert message in caught.value.message
    assert caught.value.fix


# --- what it may give ----------------------------------------------------------------------------


def measured(measure, **options) -> tuple[MonitorReading, ...]:
    context = MonitorContext("s", WINDOW, options)
    return measure_custom("x", SimpleNamespace(measure=measure), context)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def raising(error: BaseException):
    def measure(context):
        yield MonitorReading(metric="m", value=1)
        raise error

    return measure


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyError("age"), "the custom monitor 'x' raised KeyError: 'age'"),
        (SystemExit(3), "the custom monitor 'x' raised SystemExit: 3"),
        (ValueError("two\nlines"), "raised ValueError: two lines"),
        (RecursionError(), "raised RecursionError"),
        (Unspeakable(), "raised test_custom_monitors.Unspeakable: <exception str() failed>"),
        (OSError("postgresql://ada:hunter22@db/x refused"), "ada:[redacted: password in a URL]@db"),
    ],
)
def test_what_it_raises_is_told_by_type_and_message(error, message):
    with pytest.raises(MonitorError) as caught:
        measured(raising(error))
    assert message in caught.value.message.replace("tests.", "")


def test_a_long_message_is_cut():
    with pytest.raises(MonitorError) as caught:
        measured(raising(ValueError("x" * 100_000)))
    assert len(caught.value.message) < 600


def endless(context):
    while True:
        yield MonitorReading(metric="m", value=1)


ONE = MonitorReading(metric="m", value=1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "gave nothing instead of several readings"),
        (3, "gave an int instead of several readings"),
        (ONE, "gave a MonitorReading instead of several readings"),
        ({"m": 1}, "gave a str among its readings"),
        ([ONE, ("m", 1)], "gave a tuple among its readings"),
        ([ONE, ONE], "gave two readings of 'm'"),
        ([MonitorReading(metric=" ", value=1)], "gave a reading without the name of its metric"),
        (
            [MonitorReading.model_construct(metric="m", value="high")],
            "gave a reading whose 'value' is wrong: Input should be a valid number",
        ),
    ],
)
def test_nonsense_is_a_named_error(given, message):
    with pytest.raises(MonitorError) as caught:
        measured(lambda context: given)
    assert message in caught.value.message
    assert "MonitorReading" in caught.value.fix


def test_readings_without_end_are_stopped():
    with pytest.raises(MonitorError, match="gave more than 10000 readings"):
        measured(endless)


def test_no_number_is_no_value_and_texts_are_bounded_and_cleared():
    secret = "see postgresql://ada:hunter22@db/x"
    given = MonitorReading(metric="m", value=float("nan"), detail="d" * 9999, excluded=(secret,))
    (reading,) = measured(lambda context: iter([given]))
    assert (reading.value, reading.reason) == (None, "nan was measured, which is no number")
    assert len(reading.detail) < 600
    assert "hunter22" not in reading.excluded[0]


def test_it_cannot_change_the_declaration():
    declared = {"columns": ["a"]}

    def measure(context):
        context.options["columns"].append("b")
        return []

    assert measured(measure, **declared) == ()
    assert declared == {"columns": ["a"]}
