"""Markdown, HTML and JSON: the same content each time, and no text of a user does anything."""

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from aims_mlflow.evidence import EvidenceKind, normalise
from aims_mlflow.facts import DatasetFacts, MetricFacts, ModelFacts, RunFacts, SelectionFacts
from aims_mlflow.governance.authorship import Authorship
from aims_mlflow.governance.card_text import Written
from aims_mlflow.governance.system import AISystem
from aims_mlflow.model_card.bounds import plain as plain_data
from aims_mlflow.model_card.builder import build_card
from aims_mlflow.model_card.card import Card, EvidenceLink, Status
from aims_mlflow.model_card.evaluation import (
    BaselineComparison,
    Comparison,
    EvaluationReport,
    GenAIEvaluation,
    ScorerResult,
    build_report,
)
from aims_mlflow.model_card.formats import Stamp, prose
from aims_mlflow.model_card.formats.card_view import card_document
from aims_mlflow.model_card.formats.html import render_html
from aims_mlflow.model_card.formats.json import render_json
from aims_mlflow.model_card.formats.markdown import escape, render_markdown
from aims_mlflow.model_card.formats.outcome_tables import baseline_table
from aims_mlflow.model_card.formats.score_tables import group_tables
from aims_mlflow.model_card.formats.text import visible
from aims_mlflow.model_card.formats.views import document
from aims_mlflow.readings import (
    Calibration,
    CalibrationBin,
    CurvePoint,
    Fall,
    GroupRow,
    GroupTable,
    Interval,
    Judgement,
    PerturbationResult,
    Reading,
    Robustness,
    Scores,
    Verdict,
)

STAMP = Stamp(
    version=2, supersedes="0a" * 32, evidence_id="5e" * 32, evidence={"ab" * 32: "77" * 32}
)
HOSTILE = (
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "{{ 7*7 }}{% raw %}",
    "[click](javascript:alert(1)) ![i](http://x.example/i.png)",
    "<javascript:alert(1)> https://x.example www.x.example",
    "a | b\n| --- |\n# not a heading\n---\n- no item\n1. nor this\n> no quote",
    "`code` ``` **bold** __bold__ ~~gone~~ \\` \\| &lt;",
    "abc\u202edef\u2066ghi\u200fjkl\x00\x1b[31m\x7f",
    "\ud800 lone",
    "    indented",
)
CURVE_POINT = CurvePoint(
    threshold=0.5,
    true_positive_rate=0.8,
    false_positive_rate=None,
    precision=0.7,
    f1=0.75,
    selection_rate=0.4,
)
CALIBRATION = Calibration(
    bins=(
        CalibrationBin(
            low=0.7, high=0.8, n=50, mean_score=0.75, observed=0.81, interval=(0.7, 0.9)
        ),
    ),
    ece=0.06,
    mce=0.06,
)
EVALUATED = EvidenceLink(
    kind=EvidenceKind.EVALUATION_REPORT, subject="run 3f2a", content_digest="ab" * 32
)
MARKDOWN = MarkdownIt("commonmark").enable("table")


class Tags(HTMLParser):
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


def documents(text: str, value: float | None = 0.123456789) -> tuple[Card, EvaluationReport]:
    """A card and a report with `text` wherever a user chooses one."""
    at = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
    number = 0.5 if value is None else value
    facts = RunFacts(
        run_id="3f2a",
        run_name=text,
        experiment_id="7",
        experiment_name=text,
        status="FAILED",
        exception=text,
        user=text,
        start_time=at,
        source_name=text,
        params={text: text},
        metrics=(MetricFacts(key=text, value=number, step=1, time=at),),
        tags={text: text},
        datasets=(
            DatasetFacts(name=text, digest=text, source_type=text, source=text, context="train"),
        ),
        models=(
            ModelFacts(
                model_id=text, name=text, uri=text, flavors={text: text}, inputs=({text: text},)
            ),
        ),
        artifacts=(f"{text}.png",),
        notes=(text,),
    )
    # A declaration is UTF-8 and holds no empty text; a run may hold anything.
    file = text.encode("utf-8", "replace").decode()
    told = visible(file).strip() or "x"
    system = AISystem.model_validate(
        {
            "id": "credit",
            "name": told,
            "owner": {"name": told},
            "intended_use": told,
            "sensitive_features": [{"name": "sex"}],
            "card": {"overview": file, "limitations": [file], "architecture": {file: [file]}},
        }
    )
    interval = Interval(low=0.1, high=0.2, method=text)
    slices = GroupTable(
        dataset=text,
        features=("slice",),
        min_group_size=30,
        rows=(
            GroupRow(
                group={"slice": text},
                n=50,
                metrics={"accuracy": number},
                intervals={"accuracy": (0.1, 0.2)},
            ),
            GroupRow(group={"slice": "night"}, n=50, metrics={"accuracy": 0.5}),
        ),
    )
    score = Scores(
        dataset=text,
        task="binary",
        n=100,
        overall=(Reading(metric="accuracy", value=value, n=100, reason=text, interval=interval),),
        slices=slices,
        classes=slices.model_copy(update={"features": ("class",)}),
        labels=(text, "other label"),
        positive_label=text,
        interval_methods={"accuracy": text},
        curve=(CURVE_POINT,),
        calibration=CALIBRATION,
        score_histogram={"edges": [0.0, 0.5, 1.0], "negatives": [3.0, 1.0], "positives": [1, 2]},
        groups=(
            GroupTable(
                dataset=text,
                features=("sex",),
                min_group_size=30,
                rows=(
                    GroupRow(group={"sex": text}, n=88, metrics={"accuracy": value}),
                    GroupRow(group={"sex": "X"}, n=12, metrics={}, excluded="n=12 below 30"),
                ),
            ),
        ),
        disparities=(
            Reading(metric="accuracy_difference", value=None, n=88, feature="sex", reason=text),
        ),
        confusion=((text, text, 3),),
        notes=(text,),
    )
    judgement = Judgement(
        threshold="min-accuracy",
        metric="accuracy",
        feature=None,
        dataset=text,
        value=value,
        limit=">= 0.7",
        verdict=Verdict.FAIL,
        severity="major",
        reason=text,
        declared={"reason": text},
    )
    report = build_report(facts, "credit", system, (score,), (judgement,), (text,)).model_copy(
        update=additions(text, number, interval)
    )
    card = build_card(facts, "credit", system, report, lambda *path: "credit.yaml:3")
    known = Authorship(author=text, time=at, commit="3f2a9c0d" * 5, note=text)
    sections = tuple(
        section.model_copy(
            update={
                "statements": tuple(
                    s.model_copy(update={"authorship": known, "evidence": (EVALUATED.kind,)})
                    for s in section.statements
                )
            }
        )
        for section in card.sections
    )
    links = (EVALUATED, EVALUATED.model_copy(update={"subject": text, "content_digest": "cd"}))
    return card.model_copy(update={"sections": sections, "evidence": links}), report


def additions(text: str, number: float, interval: Interval) -> dict[str, object]:
    """The parts of a report that come from elsewhere than an evaluation."""
    fall = Fall(metric="accuracy", clean=0.9, perturbed=number, fall=number, interval=interval)
    return {
        "robustness": (
            Robustness(
                dataset=text,
                task="binary",
                n=100,
                n_total=900,
                seed=7,
                error_bound=0.1,
                results=(
                    PerturbationResult(
                        id="noise", kind="noise", amount=0.1, columns=(text,), falls=(fall,)
                    ),
                    PerturbationResult(id="swap", kind="swap", amount=1, columns=(), note=text),
                ),
                notes=(text,),
            ),
        ),
        "genai": GenAIEvaluation(
            traces=12,
            failed=1,
            scorers=(
                ScorerResult(
                    scorer=text,
                    judged_by=text,
                    n=11,
                    errors=1,
                    passed=9,
                    pass_rate=9 / 11,
                    interval=interval,
                    values={text: 9},
                ),
                ScorerResult(scorer="length", judged_by="code", n=12, errors=0, mean=number),
            ),
        ),
        "selection": SelectionFacts(
            parent_run_id="p1",
            parent_name=text,
            candidates=500,
            finished=498,
            chosen_by=text,
            metric=text,
            mode="min",
            value=number,
            rank=1,
        ),
        "baseline": BaselineComparison(
            name=text,
            version="3",
            alias=text,
            run_id="b1",
            same_data={text: None},
            rows=(
                Comparison(
                    metric="accuracy",
                    dataset=text,
                    feature=None,
                    value=0.9,
                    baseline=0.8,
                    delta=0.1,
                    better=True,
                ),
                Comparison(
                    metric="mae",
                    dataset=text,
                    feature=text,
                    value=0.9,
                    baseline=0.8,
                    delta=0.1,
                    better=False,
                ),
            ),
        ),
    }


PLAIN = documents("plain")
KINDS = pytest.mark.parametrize("index", [0, 1], ids=["card", "report"])


@KINDS
@pytest.mark.parametrize("render", [render_html, render_markdown, render_json])
def test_the_same_document_gives_the_same_bytes(
    index: int, render: Callable[[Card | EvaluationReport, Stamp], bytes]
) -> None:
    first = render(PLAIN[index], STAMP)
    assert first == render(documents("plain")[index], STAMP)
    assert first.endswith(b"\n")


@KINDS
@pytest.mark.parametrize("text", HOSTILE)
def test_html_shows_hostile_text_as_text(index: int, text: str) -> None:
    page = render_html(documents(text)[index], STAMP)
    shown, expected = Tags(page), Tags(render_html(PLAIN[index], STAMP))
    assert shown.tags == expected.tags
    assert visible(text).strip() in shown.text
    for invisible in "\u202e\u2066\u200f\x00\x1b\x7f":
        assert invisible not in page.decode()


@KINDS
@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_hostile_text_as_text(index: int, text: str) -> None:
    page = render_markdown(documents(text)[index], STAMP).decode()
    blocks = MARKDOWN.parse(page)
    inline = [child for block in blocks for child in block.children or ()]
    assert {t.content for t in inline if t.type == "html_inline"} <= {"<br>"}
    kinds = {token.type for token in [*blocks, *inline]}
    assert not kinds & {"link_open", "image", "code_inline", "code_block", "fence", "html_block"}
    plain = MARKDOWN.parse(render_markdown(PLAIN[index], STAMP).decode())
    for kind in ("heading_open", "table_open", "tr_open", "td_open", "hr", "ordered_list_open"):
        assert sum(t.type == kind for t in blocks) == sum(t.type == kind for t in plain), kind
    assert "\u202e" not in page
    assert "\x00" not in page


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=40))
def test_no_text_adds_a_tag(text: str) -> None:
    card, report = documents(text)
    for page, plain in (
        (render_html(card, STAMP), render_html(PLAIN[0], STAMP)),
        (render_html(report, STAMP), render_html(PLAIN[1], STAMP)),
    ):
        # Empty texts leave whole values out; nothing may ever add a kind of tag.
        assert Tags(page).tags.keys() <= Tags(plain).tags.keys() | {("li", "class")}


@given(st.text())
def test_escaped_markdown_reads_as_the_text(text: str) -> None:
    (paragraph,) = [t for t in MARKDOWN.parse(f"x {escape(text)} x") if t.type == "inline"]
    assert {t.type for t in paragraph.children or ()} <= {"text", "text_special", "html_inline"}
    read = "".join("\n" if t.type == "html_inline" else t.content for t in paragraph.children or ())
    lines = visible(text).replace("\t", " ").split("\n")
    assert read == f"x {chr(10).join(line.strip() for line in lines)} x"


@KINDS
def test_html_stands_alone(index: int) -> None:
    page = render_html(PLAIN[index], STAMP).decode()
    tags = Tags(page.encode())
    assert not {tag[0] for tag in tags.tags} & {"script", "img", "link", "iframe", "object", "form"}
    assert not {name for tag in tags.tags for name in tag[1:]} & {"src", "onclick", "srcset"}
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert "url(" not in page
    assert "@import" not in page
    assert len(tags.ids) == len(set(tags.ids))


def test_html_reads_well_for_machines_and_on_paper() -> None:
    page = render_html(PLAIN[0], STAMP).decode()
    assert page.count("<h1>") == 1
    assert page.count("<table") == page.count("<caption")
    assert "prefers-color-scheme: dark" in page
    assert "size: A4" in page
    assert '<html lang="en">' in page


def test_the_head_names_system_verdict_and_gaps() -> None:
    card = PLAIN[0]
    for page in (render_html(card, STAMP).decode(), render_markdown(card, STAMP).decode()):
        head = page[: page.index('id="identity"' if "<html" in page else "## Identity")]
        for text in (
            "plain (credit)",
            "FAIL",
            "required statements",
            "What is missing",
            "0.1235",
        ):
            assert text in head
        for statement in card.missing:
            assert statement.title in head
        assert STAMP.evidence_id in page


def test_excluded_groups_are_named_with_the_reason() -> None:
    for source in PLAIN:
        for page in (render_html(source, STAMP), render_markdown(source, STAMP)):
            assert "no: n=12 below 30" in page.decode()


def cells(page: bytes) -> str:
    return " ".join(Tags(page).text.split())


def test_an_interval_stands_beside_its_value_with_the_digits_that_it_supports() -> None:
    report = PLAIN[1]
    html, markdown = render_html(report, STAMP), render_markdown(report, STAMP).decode()
    assert "0.12 (0.10 to 0.20)" in cells(html)
    assert "| accuracy | 0.12 (0.10 to 0.20) | 100 |" in markdown
    assert '<data value="0.123456789" title="0.123456789">0.12</data>' in html.decode()
    assert '<span class="interval" title="plain">' in html.decode()
    assert "accuracy: plain" in cells(html)


def test_a_report_shows_calibration_thresholds_slices_and_classes() -> None:
    for page in (render_html(PLAIN[1], STAMP), render_markdown(PLAIN[1], STAMP)):
        text = cells(page) if page.startswith(b"<!") else page.decode()
        for expected in (
            "expected calibration error 0.06",
            "0.7 to 0.8",
            "If a row counted as positive from this score on",
            "plain by slice",
            "plain by class",
            "Scores of 0.7 to 0.8 are positive in 81% of 50 rows",
        ):
            assert expected in text


def test_a_report_shows_robustness_scorers_selection_and_production() -> None:
    for page in (render_html(PLAIN[1], STAMP), render_markdown(PLAIN[1], STAMP)):
        text = cells(page) if page.startswith(b"<!") else page.decode()
        for expected in (
            "100 of 900 rows: drawn with seed 7",
            "at most 0.1",
            "1 of them ended in an error",
            "0.82 (0.10 to 0.20)",
            "Chosen as best of 500 by plain (min)",
            "it needs data that took no part in it",
            "not known to be the same data",
            "+0.1",
            "better",
            "worse",
        ):
            assert expected in text


def test_a_confusion_of_many_classes_names_its_most_frequent_pairs() -> None:
    labels = tuple(f"class {k}" for k in range(40))
    pairs = tuple((a, b, 1 + labels.index(a)) for a in labels for b in labels)
    score = PLAIN[1].scores[0].model_copy(update={"labels": labels, "confusion": pairs})
    page = render_html(PLAIN[1].model_copy(update={"scores": (score,)}), STAMP).decode()
    assert "the 200 most frequent of 1,600 pairs" in page
    assert "Confusion matrix" not in page


def test_many_metrics_of_groups_become_tables_that_fit_a_page() -> None:
    names = [f"metric_{k}" for k in range(18)]
    row = GroupRow(group={"sex": "F"}, n=50, metrics=dict.fromkeys(names, 0.5) | {"gone": None})
    found = GroupTable(dataset="d", features=("sex",), rows=(row,), min_group_size=30)
    tables = group_tables(plain_data(found))
    assert [len(table.columns) for table in tables] == [9, 9, 9]
    shown = [column.title for table in tables for column in table.columns]
    assert [name for name in shown if name.startswith("metric")] == [
        name.replace("_", " ") for name in names
    ]
    assert all("undefined in every row: gone" in table.caption for table in tables)


def test_a_change_within_noise_is_not_called_better() -> None:
    report = PLAIN[1]
    assert report.baseline
    noisy = report.baseline.rows[0].model_copy(
        update={"delta_interval": Interval(low=-0.1, high=0.3, method="paired")}
    )
    baseline = report.baseline.model_copy(update={"rows": (noisy,)})
    page = render_markdown(report.model_copy(update={"baseline": baseline}), STAMP).decode()
    assert "| +0.10 (-0.10 to 0.30) | better, within noise |" in page


def test_the_card_says_who_declared_what_where_and_when() -> None:
    who, place = "plain, 2026-11-20, commit 3f2a9c0", "credit.yaml:3, plain"
    page = render_html(PLAIN[0], STAMP).decode()
    assert f'<span class="origin">{who}</span> <span class="origin">{place}</span>' in page
    markdown = render_markdown(PLAIN[0], STAMP).decode()
    assert f"*declared* · {who} · {place}" in markdown
    assert f"Declared: {who}, {place}" in markdown or "Declared:" not in markdown


def test_who_answers_stands_only_where_something_is_missing() -> None:
    declared = next(s for s in PLAIN[0].statements if s.status is Status.DECLARED)
    gap = declared.model_copy(
        update={"status": Status.MISSING, "value": None, "source": "", "owner": "Ada"}
    )
    owned = declared.model_copy(update={"owner": "Ada"})
    for statement, expected in ((gap, True), (owned, False)):
        section = PLAIN[0].sections[0].model_copy(update={"statements": (statement,)})
        card = PLAIN[0].model_copy(update={"sections": (section,)})
        entry = card_document(card, STAMP).parts[0].entries[0]
        assert ("Ada answers for it" in entry.origin) is expected


@pytest.mark.parametrize("better", [True, False])
def test_a_change_without_an_interval_is_not_called_better(better: bool) -> None:
    row = Comparison(
        metric="r2", dataset="d", feature=None, value=2, baseline=1, delta=1, better=better
    )
    found = BaselineComparison(
        name="m", version="1", alias="a", run_id="1", same_data={}, rows=(row,)
    )
    direction = baseline_table(found).rows[0][-1]
    assert direction.text.endswith("noise unknown")
    assert direction.chip is None


def test_combinations_do_not_measure_what_needs_the_rows() -> None:
    def captions(*features: str) -> str:
        row = {"group": dict.fromkeys(features, "a"), "n": 40, "excluded": "", "intervals": {}}
        row["metrics"] = {"accuracy": 0.9, "roc_auc": None, "precision": None}
        table = {"dataset": "d", "features": features, "min_group_size": 30, "rows": [row]}
        return group_tables(table)[0].caption

    assert "not measured for combinations: roc auc; undefined in every row: precision" in captions(
        "sex", "race"
    )
    assert "undefined in every row: roc auc, precision" in captions("sex")


def test_a_table_of_few_columns_shrinks_and_others_show_that_they_scroll() -> None:
    page = render_html(PLAIN[0], STAMP).decode()
    summary = page[page.index('<section class="summary"') :]
    assert '<table class="table few">' in summary[: summary.index("</section>")]
    narrow = page[page.index("@media screen and (max-width: 40rem)") :]
    assert ".few th, .few td" in narrow and "white-space: normal" in narrow[:400]
    assert "no-repeat local" in page


def test_the_card_lists_its_evidence_and_statements_lead_to_it() -> None:
    page = render_html(PLAIN[0], STAMP).decode()
    assert '<a href="#evidence">evaluation report 77777777 and 1 more</a>' in page
    assert '<h3 id="evidence">' in page
    for text in (page, render_markdown(PLAIN[0], STAMP).decode()):
        assert "ab" * 32 in text
        assert "77" * 32 in text
        assert "not sealed with this card" in text


def test_completeness_adds_up_in_every_section() -> None:
    card = PLAIN[0]
    found = document(card, STAMP).summary
    assert found
    rows = {row[0].text: [int(cell.text) for cell in row[1:]] for row in found.rows}
    counts = card.completeness
    assert rows["All"] == [counts.required, counts.measured, counts.declared, counts.missing]
    for title, (required, *others) in rows.items():
        assert required == sum(others), title
    assert [section.title for section in card.sections] == list(rows)[:-1]


def test_every_part_and_plot_has_its_own_anchor_and_headings_go_down_one_by_one() -> None:
    for source in PLAIN:
        page = render_html(source, STAMP).decode()
        levels = [int(level) for level in re.findall(r"<h([1-6])\b", page)]
        assert levels[0] == 1
        assert all(b - a <= 1 for a, b in pairwise(levels))
        for name in re.findall(r'(?:href="#|aria-labelledby=")([^"]+)"', page):
            for one in name.split():
                assert page.count(f'id="{one}"') == 1, one


def test_plots_are_pictures_in_html_and_words_in_markdown() -> None:
    page, markdown = render_html(PLAIN[1], STAMP).decode(), render_markdown(PLAIN[1], STAMP)
    assert page.count('<svg role="img"') == 9
    assert "Plots are not available" not in page
    assert b"<svg" not in markdown
    assert b"*ROC curve on plain.*" in markdown
    assert len(page) < 300_000


@pytest.mark.parametrize("broken", [None, object()], ids=["absent", "broken"])
def test_without_matplotlib_the_report_has_the_words_and_says_why(
    broken: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", broken)
    page = render_html(PLAIN[1], STAMP)
    assert b"<svg" not in page
    assert "Plots are not available: ImportError" in cells(page).replace("ModuleNotFound", "Import")
    assert "Scores of 0.7 to 0.8 are positive in 81% of 50 rows" in cells(page)


WRITTEN = """\
# Background

We *measured* on **1994** data, see [the paper](https://example.org/a?b=1&c=2 "t").

- one
  - two
1. first

| a | b |
| --- | :-: |
| 1 | <i>2</i> |

> Quote `x|y` and `code`

```js" onclick="x
fenced <b>
```

### Below
"""
ALLOWED = {
    *("p", "em", "strong", "code", "pre", "a", "ul", "ol", "li", "blockquote", "hr", "br"),
    *("table", "thead", "tbody", "tr", "th", "td", "h4", "h5", "h6"),
}


def with_written(text: str) -> Card:
    written = Written(title="Notes", text=text, source="credit.card.md:3")
    return PLAIN[0].model_copy(update={"written": (written,)})


def test_what_people_wrote_is_shown_as_declared_and_below_its_heading() -> None:
    page = render_html(with_written(WRITTEN), STAMP).decode()
    for expected in (
        "Written by people",
        "credit.card.md:3",
        "<h4>Background</h4>",
        "<h6>Below</h6>",
        "<em>measured</em>",
        '<a href="https://example.org/a?b=1&amp;c=2" rel="noopener noreferrer">the paper</a>',
        "<td>&lt;i&gt;2&lt;/i&gt;</td>",
        "<pre><code>fenced &lt;b&gt;\n</code></pre>",
    ):
        assert expected in page
    markdown = render_markdown(with_written(WRITTEN), STAMP).decode()
    assert "#### Background" in markdown
    assert "[the paper](<https://example.org/a?b=1&amp;c=2>)" in markdown
    assert "- one\n  - two" in markdown
    assert "```\nfenced <b>\n```" in markdown


def prose_tags(text: str) -> Counter[tuple[str, ...]]:
    return Tags(prose.to_html(text).encode()).tags


@pytest.mark.parametrize("text", [*HOSTILE, WRITTEN])
def test_written_markdown_gives_only_harmless_tags(text: str) -> None:
    tags = prose_tags(text)
    assert {tag[0] for tag in tags} <= ALLOWED
    assert {name for tag in tags for name in tag[1:]} <= {"href", "rel", "start"}
    assert "javascript" not in " ".join(re.findall(r'href="([^"]*)"', prose.to_html(text)))


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java&#115;cript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "//example.org/x",
        "relative/path",
        "vbscript:x",
        "https:\\\\example.org",
    ],
)
def test_only_web_and_mail_addresses_are_links(address: str) -> None:
    text = f"[a]({address}) ![i]({address}) <{address}>"
    assert "<a " not in prose.to_html(text)
    lines = "\n".join(prose.to_markdown(text, escape))
    inline = [child for block in MARKDOWN.parse(lines) for child in block.children or ()]
    assert not {token.type for token in inline} & {"link_open", "image"}
    for allowed in ("https://example.org/x", "http://example.org", "mailto:ada@example.org"):
        assert f'<a href="{allowed}" rel="noopener noreferrer">' in prose.to_html(f"[a]({allowed})")


MARKUP = st.text(alphabet="ab \n*_`#>-+1.|![]()<>\\~&:/\"'=\t", max_size=60) | st.text(max_size=40)


@settings(max_examples=150, deadline=None)
@given(MARKUP)
def test_written_markdown_stays_harmless_in_both_formats(text: str) -> None:
    tags = prose_tags(text)
    assert {tag[0] for tag in tags} <= ALLOWED
    again = MARKDOWN.parse("\n".join(prose.to_markdown(text, escape)))
    inline = [child for block in again for child in block.children or ()]
    assert "html_block" not in {token.type for token in again}
    assert "image" not in {token.type for token in inline}
    assert {t.content for t in inline if t.type == "html_inline"} <= {"<br>"}
    for token in inline:
        if token.type == "link_open":
            assert re.match("(https?://|mailto:)", str(token.attrs["href"]), re.IGNORECASE)
    assert all(int(token.tag[1]) >= 4 for token in again if token.type == "heading_open")


def test_html_keeps_all_digits_of_a_rounded_number() -> None:
    assert '<data value="0.123456789" title="0.123456789">0.123457</data>' in (
        render_html(PLAIN[1], STAMP).decode()
    )


@KINDS
def test_json_is_the_sealed_body_with_its_evidence(index: int) -> None:
    source = PLAIN[index]
    data = json.loads(render_json(source, STAMP))
    evidence = data.pop("evidence")
    assert evidence == {
        "id": STAMP.evidence_id,
        "kind": ["model_card", "evaluation_report"][index],
        "version": 2,
        "supersedes": STAMP.supersedes,
    }
    assert data == normalise(source.body())[0]
    assert data["schema_version"] == ["aims.model_card/1", "aims.evaluation_report/1"][index]


@KINDS
@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_odd_numbers_are_words(index: int, value: float | None) -> None:
    source = documents("plain", value)[index]
    text = render_json(source, STAMP).decode()
    json.loads(text, parse_constant=pytest.fail)
    word = "undefined" if value is None else "NaN" if math.isnan(value) else "Infinity"
    assert word in render_html(source, STAMP).decode()
    assert word in render_markdown(source, STAMP).decode()


def test_a_bounded_map_says_what_is_not_shown() -> None:
    facts = RunFacts(
        run_id="1",
        run_name="r",
        experiment_id="0",
        experiment_name="e",
        status="FINISHED",
        start_time=datetime(2026, 1, 1, tzinfo=UTC),
        params={f"p{index}": "1" for index in range(1_500)},
    )
    report = build_report(facts, None, None, (), (), ())
    card = build_card(facts, None, None, report, lambda *path: "")
    for render in (render_html, render_markdown):
        assert "1,000 of 1,500 are shown" in render(card, STAMP).decode()


def test_an_unknown_kind_of_document_is_refused() -> None:
    with pytest.raises(TypeError, match="dict is no document"):
        document({}, STAMP)
