"""The documents of a monitor: what is wrong first, bounded, and no text of a user does anything."""

import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from datetime import UTC, datetime
from html.parser import HTMLParser

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from markdown_it import MarkdownIt

from aims_mlflow.governance.monitoring import Monitor
from aims_mlflow.governance.thresholds import Threshold
from aims_mlflow.model_card.distribution_plots import distributions, in_words
from aims_mlflow.model_card.formats import Stamp
from aims_mlflow.model_card.formats.monitor_view import render_monitoring
from aims_mlflow.model_card.formats.schema import published, schema_files
from aims_mlflow.model_card.formats.text import visible
from aims_mlflow.monitored import (
    EVIDENCE_KINDS,
    ColumnComparison,
    MonitoringReport,
    MonitorReading,
    ObservedData,
    Window,
)
from aims_mlflow.monitors.drift import drift
from aims_mlflow.monitors.judge_readings import judge_readings
from aims_mlflow.monitors.summarise import summarise
from aims_mlflow.readings import (
    GroupRow,
    GroupTable,
    Judgement,
    Reading,
    Scores,
    Verdict,
)

STAMP = Stamp(version=2, supersedes="0a" * 32, evidence_id="5e" * 32)
WINDOW = Window(start=datetime(2026, 10, 1, tzinfo=UTC), end=datetime(2026, 10, 8, tzinfo=UTC))
MARKDOWN = MarkdownIt("commonmark").enable("table")
SCHEMA = published("monitoring_report-1.schema.json")
HOSTILE = (
    "<script>alert(1)</script>",
    "</style></svg><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "{{ 7*7 }}{% raw %}",
    "[click](javascript:alert(1)) ![i](http://x.example/i.png)",
    "a | b\n| --- |\n# not a heading\n---\n- no item\n1. nor this\n> no quote",
    "`code` ``` **bold** __bold__ ~~gone~~ \\` \\| &lt;",
    "abc\u202edef\u2066ghi\u200fjkl\x00\x1b[31m\x7f",
    "$x$ 5 to 6 to 7 to 8 to 9 to 10",
)


class Page(HTMLParser):
    """The tags with their attribute names, and the text that a reader sees."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: Counter[tuple[str, ...]] = Counter()
        self.ids: list[str] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # Long labels of a plot are turned.
        self.tags[(tag, *(name for name, _ in attrs if name != "transform"))] += 1
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_data(self, data: str) -> None:
        self.text += data


def words(page: bytes) -> str:
    return " ".join(Page(page).text.split())


def both(report: MonitoringReport) -> tuple[str, str]:
    """What a reader of the page sees, and the Markdown."""
    found = render_monitoring(report, STAMP)
    return words(found["html"]), found["md"].decode()


def columns(count: int, drifted: int, rows: int = 1_500) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two data sets of which the first columns differ the more, the earlier they come."""
    ramp = pl.Series([(7 * i) % rows / rows for i in range(rows)])
    before = {f"feature {k:04d}": ramp for k in range(count)}
    after = {
        name: ramp + (0.2 + 0.5 * (drifted - k) / drifted if k < drifted else 0.01)
        for k, name in enumerate(before)
    }
    return pl.DataFrame(before), pl.DataFrame(after)


def drifted(
    reference: pl.DataFrame, current: pl.DataFrame, *thresholds: Threshold, **declared: object
) -> MonitoringReport:
    """What the drift monitor itself makes of two data sets."""
    monitor = Monitor.model_validate(
        {"kind": "drift", "schedule": "0 6 * * *", "id": "inputs", **declared}
    )
    before = summarise(reference)
    after = summarise(current, like=before)
    readings, comparisons = drift(before, after, monitor)
    judgements, _notes = judge_readings(thresholds, readings, day=WINDOW.end.date())
    data = (("reference", before), ("current", after))
    return MonitoringReport(
        system_id="bike-demand",
        monitor="inputs",
        kind="drift",
        window=WINDOW,
        verdict=Verdict.worst(judgement.verdict for judgement in judgements),
        readings=readings,
        judgements=judgements,
        comparisons=comparisons,
        data=tuple(
            ObservedData(
                role=role,
                uri=f"s3://bank/{role}.parquet",
                engine="polars",
                rows=summary.n,
                columns=len(summary.columns),
                summary_sha256=summary.digest(),
                scans=summary.scans,
            )
            for role, summary in data
        ),
        declared=monitor.model_dump(mode="json", exclude_defaults=True),
        threshold_config="ab" * 32,
    )


SHARE = Threshold(
    id="drift-any",
    metric="drift_share",
    max=0.3,
    severity="critical",
    reason="Forecasts lose their footing.",
    approved_by="A. Okafor",
)
MISSED = Threshold(id="moved", metric="prediction_drift", max=0.2, severity="major")
KEPT = Threshold(id="calm", metric="column_drift", column="feature 0019", max=0.3)


@pytest.fixture(scope="module")
def twenty() -> MonitoringReport:
    return drifted(*columns(20, 8), SHARE, MISSED, KEPT, playbook="runbooks/drift.md, step 2")


@pytest.fixture(scope="module")
def thousand(twenty: MonitoringReport) -> MonitoringReport:
    """Of a thousand columns, 300 have drifted, the first the farthest, and two are undecided."""
    one = next(reading for reading in twenty.readings if reading.column)
    drawn = twenty.comparisons[0]
    names = [f"feature {k:04d}" for k in range(1_000)]
    readings = [
        one.model_copy(
            update={
                "column": name,
                "value": 0.9 - k / 1_000 if k < 300 else 0.05,
                "drifted": None if k in (700, 701) else k < 300,
                "error_bound": 0.06 if k in (700, 701) else 0.001,
            }
        )
        for k, name in enumerate(names)
    ]
    return twenty.model_copy(
        update={
            "readings": (twenty.readings[0], *readings),
            "comparisons": tuple(drawn.model_copy(update={"column": name}) for name in names),
        }
    )


def test_what_is_wrong_comes_first_with_its_numbers(twenty):
    for page in both(twenty):
        places = [page.rindex(title) for title in ("What is wrong", "What could not be judged")]
        places += [page.rindex("What passed"), page.rindex("Drift, column by column")]
        places += [page.rindex("The reference data"), page.rindex("The monitor as declared")]
        assert places == sorted(places)
        breach = page[places[0] : places[1]]
        for text in (
            "drift share",
            "critical · threshold drift-any",
            "0.4 is above 0.3",
            "beyond the limit by",
            "0.1",
            "Forecasts lose their footing.",
            "A. Okafor",
            "Playbook: runbooks/drift.md, step 2",
        ):
            assert text in breach
        undecided = page[places[1] : places[2]]
        assert "prediction" in undecided
        assert "aims monitor run bike-demand --monitor inputs --start" in undecided.replace(
            "\\", ""
        )
        assert "calm (major)" in page[places[2] : places[3]]


def test_each_column_has_its_test_score_limit_and_rows(twenty):
    html, markdown = both(twenty)
    first = markdown[markdown.index("| column | drift | score |") :].split("\n")[2]
    assert re.fullmatch(
        r"\| feature 0000 \| drifted \| [\d.]+ .*\| wasserstein \| ≥ 0.1 \| 1,500 \| 1,500 \|",
        first,
    )
    order = re.findall(r"^\| (feature \d+) \| (drifted|no) \|", markdown, re.M)
    assert [state for _, state in order] == ["drifted"] * 8 + ["no"] * 12
    assert [name for name, _ in order[:8]] == [f"feature {k:04d}" for k in range(8)]
    for text in ("s3://bank/reference.parquet", "1,500", "polars", "passes", "ab" * 32):
        assert text in html


def test_what_is_true_of_every_column_is_said_once(twenty):
    noted = tuple(
        one.model_copy(update={"detail": "counted by hand", "error_bound": 0.0})
        for one in twenty.readings
    )
    for page in both(twenty.model_copy(update={"readings": noted[1:]})):
        assert page.count("counted by hand") == 1
    for page in both(twenty.model_copy(update={"readings": (*twenty.readings[:5], *noted[5:])})):
        assert page.count("counted by hand") == len(noted) - 5


def test_twenty_columns_make_a_small_page_that_needs_nothing_else(twenty):
    page = render_monitoring(twenty, STAMP)["html"]
    assert len(page) < 150_000
    found = Page(page)
    names = {tag[0] for tag in found.tags}
    assert not names & {"script", "img", "link", "iframe", "object", "form"}
    assert not {name for tag in found.tags for name in tag[1:]} & {"src", "onclick", "srcset"}
    text = page.decode()
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in text
    assert "url(" not in text
    assert "@import" not in text
    assert not re.search(r'href="(?!#)', text)
    assert len(found.ids) == len(set(found.ids))
    assert text.count("<svg role") == 8
    assert text.count("<desc") == 8


def test_a_thousand_columns_are_bounded_and_what_is_left_out_is_said(thousand):
    documents = render_monitoring(thousand, STAMP)
    assert len(documents["html"]) < 200_000
    text = documents["md"].decode()
    left = re.search(r"(\d+) more columns are in the JSON alone: (.*)\. Their scores: (.*)\.", text)
    assert left is not None
    assert left[1] == "750"
    assert re.fullmatch(r"52 drifted, 698 no drift", left[2])
    assert left[3] == "wasserstein from 0.05 to 0.652"
    full = text[text.index("Each column against") : text.index("The next 200 columns")]
    assert full.count("feature 07") == 2
    assert full.count("undecided") == 2
    assert full.count("drifted") == 48
    assert "The distributions of 290 more columns are in the JSON." in text
    body = json.loads(documents["json"])
    assert len(body["readings"]) == 1_001
    assert len(body["comparisons"]) == 1_000


def test_many_columns_of_data_quality_are_bounded():
    def one(name: str, value: float | None, metric: str = "missing_share") -> MonitorReading:
        reason = "the column has no value" if value is None else ""
        return MonitorReading(
            metric=metric, column=name, value=value, n=900, reference=0.0, reason=reason
        )

    readings = [one(f"calm {k:03d}", 0.0) for k in range(300)]
    readings += [one(f"holes {k:03d}", 0.001 * k) for k in range(1, 301)]
    readings += [one(f"gone {k:03d}", None) for k in range(5)]
    report = plain_report(kind="quality", readings=tuple(readings), judgements=())
    html, markdown = both(report)
    assert len(render_monitoring(report, STAMP)["html"]) < 150_000
    assert "0 in every measure (300 columns): calm 000" in html
    rows = re.findall(r"^\| ((?:holes|gone) \d+) \|", markdown, re.M)
    assert len(rows) == 250
    assert rows[:6] == [*(f"gone {k:03d}" for k in range(5)), "holes 300"]
    assert "55 more columns are in the JSON alone: all of them measured" in html


def test_the_json_is_the_sealed_body_and_follows_its_schema(twenty):
    for report in (twenty, *(plain_report(kind=kind) for kind in EVIDENCE_KINDS)):
        data = json.loads(render_monitoring(report, STAMP)["json"])
        check(data)
        assert data.pop("evidence")["kind"] == EVIDENCE_KINDS[report.kind].value
        assert "run_id" not in data
        assert MonitoringReport.model_validate(data) == report.model_copy(update={"run_id": None})


def test_a_report_that_lost_or_won_a_key_is_refused(twenty):
    validator = Draft202012Validator(SCHEMA)
    data = json.loads(render_monitoring(twenty, STAMP)["json"])
    for key in data:
        assert not validator.is_valid({k: v for k, v in data.items() if k != key}), key
    assert not validator.is_valid(data | {"more": 1})
    assert not validator.is_valid(data | {"kind": "weather"})
    assert not validator.is_valid(data | {"evidence": data["evidence"] | {"kind": "model_card"}})


def test_the_published_schema_is_that_of_the_code():
    name = "monitoring_report-1.schema.json"
    Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(schema_files()[name]) == SCHEMA


def check(data: dict[str, object]) -> None:
    Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(data)


def plain_report(text: str = "plain", number: float = 0.123456789, **changed) -> MonitoringReport:
    """A report of everything, with `text` wherever somebody else chooses one."""
    metrics = {"accuracy": number, "selection_rate": 0.5, "log_loss": 0.7}
    table = GroupTable(
        dataset=text,
        features=("sex",),
        min_group_size=30,
        rows=(
            GroupRow(group={"sex": text}, n=88, metrics=metrics),
            GroupRow(group={"sex": "X"}, n=12, metrics=metrics, excluded="n=12 below 30"),
        ),
    )
    score = Scores(
        dataset=text,
        task="binary",
        n=100,
        overall=(Reading(metric="accuracy", value=number, n=100, reason=text),),
        groups=(table,),
        disparities=(Reading(metric="accuracy_difference", value=0.2, n=88, feature="sex"),),
        confusion=((text, text, 3), ("other label", text, 4)),
        labels=(text, "other label"),
        notes=(text,),
    )
    whole = {
        "system_id": "credit-scoring",
        "monitor": "weekly",
        "kind": "bias",
        "window": WINDOW,
        "verdict": Verdict.FAIL,
        "readings": (
            MonitorReading(
                metric="accuracy", value=number, n=90, n_total=100, reference=0.9, reason=text
            ),
            MonitorReading(
                metric="accuracy",
                value=None,
                slice=text,
                reason=text,
                excluded=tuple(f"{text} (n={k})" for k in range(9)),
                seed=7,
            ),
            MonitorReading(
                metric="column_drift",
                column=text,
                value=number,
                n=90,
                n_total=100,
                test="ks",
                limit=0.05,
                p_value=number,
                drifted=True,
                detail=text,
            ),
        ),
        "judgements": tuple(
            Judgement(
                threshold=text,
                metric=text,
                feature=text,
                dataset=text,
                column=text,
                value=number,
                limit="<= 0.1",
                verdict=verdict,
                severity="major",
                reason=text,
                part=text,
                n=90,
                baseline=0.5,
                excluded=(text,),
                declared={"max": 0.1, "min_rows": 30, "reason": text, "column": text},
            )
            for verdict in Verdict
        ),
        "data": (
            ObservedData(
                role="current",
                uri=text,
                engine=text,
                rows=100,
                columns=3,
                summary_sha256="cd" * 32,
                scans=(text,),
                model=text,
                notes=(text,),
            ),
        ),
        "comparisons": (
            ColumnComparison(
                column=text,
                kind="categorical",
                labels=(text, "other"),
                reference=(0.75, 0.25),
                current=(0.25, 0.75),
            ),
        ),
        "scores": (score,),
        "declared": {"playbook": text, "columns": [text] * 30, text: {text: [text]}},
        "model_version": text,
        "run_id": text,
        "problems": (text,),
        "notes": (text,),
    }
    return MonitoringReport.model_validate(whole | changed)


#: As long as hostile texts are, since the width of a plot follows the names in it.
LONG = "plain text of some length"
PLAIN = render_monitoring(plain_report(LONG), STAMP)


def test_the_same_report_gives_the_same_bytes():
    again = render_monitoring(plain_report(LONG), STAMP)
    assert again == PLAIN
    assert all(page.endswith(b"\n") for page in again.values())


@pytest.mark.parametrize("text", HOSTILE)
def test_html_shows_hostile_text_as_text(text):
    page = render_monitoring(plain_report(text), STAMP)["html"]
    assert Page(page).tags == Page(PLAIN["html"]).tags
    assert " ".join(visible(text).split()) in words(page)
    for invisible in "\u202e\u2066\u200f\x00\x1b\x7f":
        assert invisible not in page.decode()


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_hostile_text_as_text(text):
    page = render_monitoring(plain_report(text), STAMP)["md"].decode()
    blocks = MARKDOWN.parse(page)
    inline = [child for block in blocks for child in block.children or ()]
    assert {t.content for t in inline if t.type == "html_inline"} <= {"<br>"}
    kinds = {token.type for token in [*blocks, *inline]}
    assert not kinds & {"link_open", "image", "code_inline", "code_block", "fence", "html_block"}
    plain = MARKDOWN.parse(PLAIN["md"].decode())
    for kind in ("heading_open", "table_open", "tr_open", "td_open", "hr", "ordered_list_open"):
        assert sum(t.type == kind for t in blocks) == sum(t.type == kind for t in plain), kind
    assert "\u202e" not in page


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=40), st.floats())
def test_no_text_and_no_number_adds_a_tag_or_leaves_the_schema(text, number):
    found = render_monitoring(plain_report(text, number), STAMP)
    check(json.loads(found["json"]))
    # A value that is not finite has no exact digits beside it, an empty text no row of its own.
    assert Page(found["html"]).tags.keys() <= Page(PLAIN["html"]).tags.keys()


def test_texts_of_any_length_make_no_larger_page():
    page = render_monitoring(plain_report("x" * 100_000), STAMP)
    assert len(page["html"]) < 150_000
    assert "cut: 100000 characters" in words(page["html"])


def test_a_bias_report_shows_groups_and_disparities_and_what_was_left_out():
    for page in both(plain_report()):
        for text in ("Disparities between groups", "no: n=12 below 30", "selection rate"):
            assert text in page
        assert "log loss" not in page
        assert "Confusion" not in page
    for page in both(plain_report(kind="performance")):
        assert "Confusion on plain" in page
        assert "log loss" in page
        assert "Disparities between groups" not in page


def test_values_stand_beside_those_of_the_version_in_production():
    readings = (
        MonitorReading(metric="accuracy", value=0.8, n=500, reference=0.85),
        MonitorReading(metric="recall", value=0.7, n=500),
    )
    html, markdown = both(plain_report(kind="performance", readings=readings))
    assert "| accuracy | 0.8 | 0.85 | -0.05 | 500 |" in markdown
    assert "Beside the version in production" in html


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"n": 12}, "watch a longer window"),
        ({"excluded": ("Other (n=12)",)}, "small_groups: exclude"),
        ({"value": None, "limit": "change <= 0.1 from the reference"}, "log_reference"),
        ({"error_bound": 0.4}, "closer to its limit than it may be off"),
        ({"value": None}, "do what the reason says"),
    ],
)
def test_what_could_not_be_judged_says_what_to_do(changed, told):
    found = Judgement(
        threshold="t",
        metric="accuracy",
        feature=None,
        dataset=None,
        value=0.3,
        limit="<= 0.1",
        verdict=Verdict.INSUFFICIENT,
        severity="minor",
        reason="because",
        n=500,
        declared={"max": 0.1, "min_rows": 30},
    ).model_copy(update=changed)
    report = plain_report(judgements=(found,), problems=(), verdict=Verdict.INSUFFICIENT)
    for page in both(report):
        assert told in page.replace("\\", "")


def test_problems_withhold_a_pass_and_the_page_says_so():
    met = Judgement(
        threshold="t",
        metric="accuracy",
        feature=None,
        dataset=None,
        value=0.9,
        limit=">= 0.8",
        verdict=Verdict.PASS,
        severity="minor",
        reason="0.9 is not below 0.8",
    )
    report = plain_report(
        judgements=(met,), problems=("labels: gone",), verdict=Verdict.INSUFFICIENT
    )
    for page in both(report):
        assert "what could not be read or measured withholds a PASS" in page
        assert page.index("What could not be read or measured") < page.rindex("What passed")
        assert "What is wrong" not in page


def test_without_a_threshold_the_page_says_what_to_declare():
    report = plain_report(judgements=(), problems=(), verdict=Verdict.INSUFFICIENT)
    for page in both(report):
        assert "No threshold was judged, so nothing was proven." in page


def test_an_execution_that_read_nothing_is_a_page_too():
    report = MonitoringReport(
        system_id="s", monitor="m", kind="custom", window=WINDOW, verdict=Verdict.INSUFFICIENT
    )
    for page in both(report):
        assert "No data were read." in page


NUMBERS = ColumnComparison(
    column="age",
    kind="numeric",
    labels=("18 to 30", "30 to 42", "42 to 90"),
    reference=(0.5, 0.3, 0.2),
    current=(0.1, 0.3, 0.6),
)


def test_a_distribution_is_drawn_and_said():
    drawing = ET.fromstring(distributions(NUMBERS).svg("one", "age", "words"))
    texts = [node.text for node in drawing.iter() if node.tag.endswith("text")]
    assert {"reference", "current", "18", "90"} <= set(texts)
    assert in_words(NUMBERS) == (
        "Of the reference data, most rows (50%) are in '18 to 30'. Of the current data, most rows "
        "(60%) are in '42 to 90'. The share of '18 to 30' changed most: from 50% to 10%."
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"reference": ()},
        {"reference": (), "current": ()},
        {"current": (math.nan, 0.5, 0.5)},
        {"current": (-1.0, 0.5, 0.5)},
        {"current": (0.5,)},
        {"labels": (), "reference": (), "current": ()},
        {"reference": (0.0, 0.0, 0.0), "current": (0.0, 0.0, 0.0)},
        {"labels": ("1", "2", "3")},
        {"labels": ("", "\x00", "\u202e" * 300)},
        {"current": (1e-320, 0.0, 0.0), "reference": (1e-300, 0.0, 0.0)},
        {"current": (1e300, 1e308, 1.0)},
    ],
)
@pytest.mark.parametrize("kind", ["numeric", "categorical"])
def test_a_distribution_that_is_odd_is_drawn_all_the_same(changed, kind):
    found = NUMBERS.model_copy(update={"kind": kind, **changed})
    assert in_words(found)
    drawing = distributions(found).svg("one", "t", "d")
    ET.fromstring(drawing)
    assert "nan" not in drawing
    assert "inf" not in drawing


def test_loading_the_module_loads_nothing_heavy():
    heavy = ["pandas", "numpy", "polars", "narwhals", "scipy", "matplotlib", "evidently", "mlflow"]
    code = (
        "import sys, aims_mlflow.model_card.formats.monitor_view;"
        f"print(sorted(set({heavy!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
