"""Plots: text that stays text, the same bytes everywhere, and a report without matplotlib."""

import hashlib
import math
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from functools import partial

import matplotlib as mpl
import matplotlib.patheffects
import matplotlib.style
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.model_card import plot_words, plots
from aims_mlflow.model_card.dot_plots import MAX_ROWS, DotPanel, Mark, dots
from aims_mlflow.model_card.formats.text import visible
from aims_mlflow.model_card.svg import TONES, Sketch
from aims_mlflow.readings import Calibration, CalibrationBin, CurvePoint

CALIBRATION = Calibration(
    bins=tuple(
        CalibrationBin(
            low=k / 10,
            high=(k + 1) / 10,
            n=100 + k,
            mean_score=k / 10 + 0.05,
            observed=0.81 if k == 7 else k / 10 + 0.04,
            interval=(k / 10, k / 10 + 0.1),
        )
        for k in range(10)
    ),
    ece=0.0123,
    mce=0.06,
)
HISTOGRAM = {
    "edges": [k / 50 for k in range(51)],
    "negatives": [float(50 - k) for k in range(50)],
    "positives": [float(k) for k in range(50)],
}
CURVE = tuple(
    CurvePoint(
        threshold=k / 50,
        true_positive_rate=1 - (k / 50) ** 2,
        false_positive_rate=(1 - k / 50) ** 2,
        precision=None if k == 50 else 0.3 + k / 100,
        f1=0.5,
        selection_rate=1 - k / 50,
    )
    for k in range(51)
)
LABELS = ("<=50K", ">50K")
COUNTS = {("<=50K", "<=50K"): 7_716, ("<=50K", ">50K"): 425, (">50K", "<=50K"): 929}
GROUPS = ("Female", "Male", "X (n=12)")
PANELS = (
    DotPanel(
        "selection rate",
        (Mark(0.08, (0.07, 0.09)), Mark(0.25), Mark(0.5, (0.2, 0.8), hollow=True)),
        0.19,
    ),
    DotPanel("accuracy", (Mark(0.93), None, None)),
)
ALL = {
    "reliability": partial(plots.reliability, CALIBRATION, HISTOGRAM),
    "roc": partial(plots.roc, CURVE),
    "precision_recall": partial(plots.precision_recall, CURVE),
    "thresholds": partial(plots.thresholds, CURVE),
    "confusion": partial(plots.confusion, LABELS, COUNTS),
    "dots": partial(dots, GROUPS, PANELS),
}
EVERY = pytest.mark.parametrize("draw", ALL.values(), ids=ALL.keys())
HOSTILE = "</text><script>alert(1)</script>\u202e$\\frac{1}{2}$ \"x' & \ud800\x00\n*"


def svg(sketch: Sketch) -> str:
    return sketch.svg("a", "title", "words")


def digest() -> str:
    return hashlib.sha256("".join(svg(draw()) for draw in ALL.values()).encode()).hexdigest()


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter("text")]


@EVERY
def test_a_plot_is_one_small_element_with_words_for_those_who_do_not_see_it(draw) -> None:
    picture = draw().svg("dataset-1-x", "A <title>", "What & it shows")
    root = ET.fromstring(picture)
    assert root.tag == "svg"
    assert root.attrib["role"] == "img"
    named = {
        element.attrib["id"]: element.text for element in root.iter() if "id" in element.attrib
    }
    assert named == {"dataset-1-x-title": "A <title>", "dataset-1-x-desc": "What & it shows"}
    assert root.attrib["aria-labelledby"].split() == list(named)
    assert len(picture) < 25_000
    # No picture inside, nothing loaded, no script, and letters are letters.
    assert {e.tag for e in root.iter()} <= {"svg", "title", "desc", "path", "circle", "text"}
    assert "href" not in picture
    assert "url(" not in picture
    assert "http" not in picture
    assert texts(picture)


@EVERY
def test_every_colour_follows_the_page(draw) -> None:
    for element in ET.fromstring(svg(draw())).iter():
        classes = element.attrib.get("class", "").split()
        for attribute, letter in (("fill", "f"), ("stroke", "s")):
            colour = element.attrib.get(attribute, "none")
            if colour != "none":
                tones = {f"{letter}-{tone}" for tone, own in TONES.items() if own == colour}
                assert tones & set(classes)


@EVERY
def test_numbers_are_finite_and_inside_the_drawing(draw) -> None:
    root = ET.fromstring(svg(draw()))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for element in root.iter("circle"):
        assert 0 <= float(element.attrib["cx"]) <= width
        assert 0 <= float(element.attrib["cy"]) <= height
    for element in root.iter("path"):
        points = element.attrib["d"].replace("M", " ").replace("L", " ").replace("z", " ").split()
        assert all(math.isfinite(float(number)) for number in points)
        assert all(-1 <= float(x) <= width + 1 for x in points[::2])
        assert all(-1 <= float(y) <= height + 1 for y in points[1::2])


@pytest.mark.parametrize(
    "style", ["default", "dark_background", "ggplot", "classic", "xkcd", "odd"]
)
def test_the_users_own_style_changes_nothing_and_is_not_changed(style: str) -> None:
    expected = digest()
    odd = {
        "svg.fonttype": "path",
        "svg.hashsalt": "x",
        "lines.marker": "s",
        "lines.scale_dashes": False,
        "figure.autolayout": True,
        "figure.facecolor": "red",
        "font.size": 30,
        "text.usetex": True,
        "text.color": "red",
        "axes.unicode_minus": False,
        "patch.linewidth": 9,
    }
    with mpl.rc_context():
        if style == "odd":
            mpl.rcParams.update(odd)
        elif style == "xkcd":
            mpl.rcParams["path.sketch"] = (1, 100, 2)
            mpl.rcParams["path.effects"] = [matplotlib.patheffects.withStroke(linewidth=4)]
        else:
            matplotlib.style.use(style)
        before = dict(mpl.rcParams)
        assert digest() == expected
        assert dict(mpl.rcParams) == before


def test_the_same_bytes_in_other_processes_and_threads() -> None:
    expected = digest()
    code = (
        "import importlib.util as u, sys;"
        f"s = u.spec_from_file_location('t', {__file__!r}); m = u.module_from_spec(s);"
        "s.loader.exec_module(m); print(m.digest())"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PATH": "", "MPLBACKEND": "tkagg"},
        )
        assert done.stdout.strip() == expected, done.stderr
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(digest())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_drawing_neither_opens_a_window_system_nor_loads_a_font() -> None:
    code = (
        "import aims_mlflow.model_card.formats.html, sys\n"
        "assert not {'matplotlib', 'numpy', 'pandas'} & set(sys.modules)\n"
        "from aims_mlflow.model_card.svg import Sketch\n"
        "sketch = Sketch(100, 50)\n"
        "sketch.text(1, 1, '漢字 😀')\n"
        "print('漢字' in sketch.svg('a', 'b', 'c'), 'matplotlib.pyplot' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert done.stdout.split() == ["True", "False"], done.stderr
    assert not done.stderr


@given(st.text(max_size=30) | st.just(HOSTILE))
@settings(max_examples=50, deadline=None)
def test_a_label_stays_text(label: str) -> None:
    for sketch in (
        plots.confusion((label, "other"), {(label, "other"): 3}),
        dots([label, "other"], [DotPanel(label, (Mark(1.0), Mark(2.0)))]),
    ):
        picture = sketch.svg("a", label, label)
        root = ET.fromstring(picture)
        assert {e.tag for e in root.iter()} <= {"svg", "title", "desc", "path", "circle", "text"}
        assert root.findtext("title") == visible(label).replace("\r", "\n")
        shown = " ".join(visible(label).split())
        assert not shown or any(text[:10] == shown[:10] for text in texts(picture))
        assert "\u202e" not in picture


def test_a_long_label_is_cut_and_says_so() -> None:
    picture = svg(dots(["x" * 5_000, "b"], [DotPanel("m", (Mark(1.0), Mark(2.0)))]))
    assert f"{'x' * 20}…{'x' * 19}" in texts(picture)
    assert len(picture) < 25_000


def test_both_names_of_an_intersection_can_be_told() -> None:
    label = "Asian-Pac-Islander · Female"
    picture = svg(dots([label, "b"], [DotPanel("m", (Mark(1.0), Mark(2.0)))]))
    assert label in texts(picture)
    long = "Amer-Indian-Eskimo · Married-spouse-absent-for-years"
    picture = svg(dots([long, "b"], [DotPanel("m", (Mark(1.0), Mark(2.0)))]))
    assert "Amer-Indian-Eskimo ·…se-absent-for-years" in texts(picture)


@pytest.mark.parametrize(
    "values",
    [(0.0, 0.0), (5.0, 5.0), (-1e-12, 1e-12), (1e12, 2e12), (-3.0, -2.0), (0.1, 1e300)],
)
def test_any_range_of_values_can_be_drawn(values: tuple[float, float]) -> None:
    marks = tuple(Mark(value, (value, value)) for value in values)
    picture = svg(dots(["a", "b"], [DotPanel("m", marks, values[0])]))
    assert "nan" not in picture
    assert len(ET.fromstring(picture).findall("circle")) == 2


def test_many_rows_and_classes_are_bounded() -> None:
    labels = [f"group {k}" for k in range(100)]
    panel = DotPanel("m", tuple(Mark(float(k)) for k in range(100)))
    picture = svg(dots(labels, [panel] * 4))
    assert len(ET.fromstring(picture).findall("circle")) == 4 * MAX_ROWS
    assert len(picture) < 25_000
    classes = [f"class {k}" for k in range(plots.MAX_CLASSES)]
    counts = {(a, b): 1_000_000 for a in classes for b in classes}
    assert len(svg(plots.confusion(classes, counts))) < 30_000
    assert len(svg(plots.confusion(classes[:10], counts))) < 25_000


def test_groups_that_are_not_compared_are_hollow() -> None:
    circles = ET.fromstring(svg(dots(GROUPS, PANELS))).findall("circle")
    hollow = [circle for circle in circles if "f-paper" in circle.attrib["class"]]
    assert len(circles) == 4
    assert len(hollow) == 1


def test_the_words_say_what_the_plot_shows() -> None:
    assert "Scores of 0.7 to 0.8 are positive in 81% of 107 rows" in (
        plot_words.reliability(CALIBRATION)
    )
    assert "expected calibration error is 0.012" in plot_words.reliability(CALIBRATION)
    assert "From a score of 0.5 on, 75% of the positives and 25% of the negatives" in (
        plot_words.roc(CURVE)
    )
    assert "55% of the rows said positive are positive" in plot_words.precision_recall(CURVE)
    assert "76% from 0.24 on" in plot_words.thresholds(CURVE)
    assert "7,716 of 9,070 rows are on the diagonal" in plot_words.confusion(LABELS, COUNTS)
    assert "929 rows of '>50K' predicted as '<=50K'" in plot_words.confusion(LABELS, COUNTS)
    words = plot_words.dots(GROUPS, PANELS)
    assert "selection rate: lowest Female (0.08), highest Male (0.25), dashed line 0.19" in words
    assert "1 hollow: not compared" in words
    assert "accuracy: Female (0.93)." in words


def test_empty_readings_draw_nothing_and_say_so() -> None:
    empty = Calibration(bins=(), ece=0.0, mce=0.0)
    assert "No row has a score" in plot_words.reliability(empty)
    for sketch in (plots.reliability(empty), plots.roc(()), plots.thresholds(()), dots([], [])):
        ET.fromstring(svg(sketch))
    assert plot_words.dots([], []) == "Nothing to show."
    assert plot_words.confusion(("a",), {("a", "a"): 2}).startswith("2 of 2 rows")
