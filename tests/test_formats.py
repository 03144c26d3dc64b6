"""Markdown, HTML and JSON: the same content each time, and no text of a user does anything."""

import json
import math
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from aims_mlflow.evidence import normalise
from aims_mlflow.facts import DatasetFacts, MetricFacts, ModelFacts, RunFacts
from aims_mlflow.governance.system import AISystem
from aims_mlflow.model_card.builder import build_card
from aims_mlflow.model_card.card import Card
from aims_mlflow.model_card.evaluation import EvaluationReport, build_report
from aims_mlflow.model_card.formats import Stamp
from aims_mlflow.model_card.formats.html import render_html
from aims_mlflow.model_card.formats.json import render_json
from aims_mlflow.model_card.formats.markdown import escape, render_markdown
from aims_mlflow.model_card.formats.text import visible
from aims_mlflow.model_card.formats.views import document
from aims_mlflow.readings import GroupRow, GroupTable, Judgement, Reading, Scores, Verdict

STAMP = Stamp(version=2, supersedes="0a" * 32, evidence_id="5e" * 32)
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
        self.tags[(tag, *(name for name, _ in attrs))] += 1
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
    score = Scores(
        dataset=text,
        task="binary",
        n=100,
        overall=(Reading(metric="accuracy", value=value, n=100, reason=text),),
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
    report = build_report(facts, "credit", system, (score,), (judgement,), (text,))
    return build_card(facts, "credit", system, report, lambda *path: "credit.yaml:3"), report


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
        head = page[: page.index("Identity")]
        for text in (
            "plain (credit)",
            "FAIL",
            "required statements",
            "What is missing",
            "0.123457",
        ):
            assert text in head
        for statement in card.missing:
            assert statement.title in head
        assert STAMP.evidence_id in page


def test_excluded_groups_are_named_with_the_reason() -> None:
    for source in PLAIN:
        for page in (render_html(source, STAMP), render_markdown(source, STAMP)):
            assert "no: n=12 below 30" in page.decode()


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
