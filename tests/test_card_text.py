"""`governance/systems/<id>.card.md`: what people write by hand, and what they get wrong."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.governance.card_text import MAX_BYTES, field_of, read_card_text, split
from aims_mlflow.governance.loader import load_profile
from aims_mlflow.governance.profile import Profile
from aims_mlflow.publish import declarations
from aims_mlflow.settings import Settings
from aims_mlflow.workspace import Workspace

SYSTEM = "id: credit\nname: Credit\ncard:\n  overview: In YAML.\n"
FILE = "governance/systems/credit.card.md"
TEXT = """\
# Consumer credit scoring

Read this *first*.

## Limitations

Not for firms.

### Known failures

Thin files.

## human_oversight

A clerk decides.

## Our history

It began in **2019**.
"""


def load(folder: Path, text: str | bytes | None = TEXT, system: str | None = SYSTEM) -> Profile:
    systems = folder / "governance" / "systems"
    systems.mkdir(parents=True, exist_ok=True)
    if system is not None:
        (systems / "credit.yaml").write_text(system, "utf-8")
    if text is not None:
        content = text.encode() if isinstance(text, str) else text
        (systems / "credit.card.md").write_bytes(content)
    return load_profile(folder / "governance")


def problems(profile: Profile) -> str:
    return "\n".join(map(str, profile.problems))


def warnings(profile: Profile) -> str:
    return "\n".join(map(str, profile.warnings))


def test_headings_that_name_a_field_declare_it(tmp_path):
    profile = load(tmp_path)
    assert not profile.problems
    assert not profile.warnings
    card = profile.systems["credit"].card
    assert card["limitations"] == "Not for firms.\n\n### Known failures\n\nThin files."
    assert card["human_oversight"] == "A clerk decides."
    assert card["overview"] == "In YAML."
    assert profile.where("credit", "card", "limitations") == f"{FILE}:5"
    assert profile.where("credit", "card", "overview") == "governance/systems/credit.yaml:4"


def test_other_headings_are_sections_and_the_beginning_is_notes(tmp_path):
    notes, history = load(tmp_path).written("credit")
    assert (notes.title, notes.text, notes.source) == ("Notes", "Read this *first*.", f"{FILE}:1")
    assert (history.title, history.text) == ("Our history", "It began in **2019**.")
    assert history.source == f"{FILE}:17"


def test_the_file_counts_in_the_profile_and_its_digest(tmp_path):
    first = load(tmp_path)
    assert FILE in first.files
    second = load(tmp_path, TEXT.replace("Thin", "Short"))
    assert first.files[FILE] != second.files[FILE]
    assert first.systems["credit"].digest() != second.systems["credit"].digest()


def test_publishing_notices_a_changed_section(tmp_path):
    before = declarations(load(tmp_path))[0].body
    after = declarations(load(tmp_path, TEXT.replace("2019", "2018")))[0].body
    assert before["declared"] == after["declared"]
    assert before["written"] != after["written"]
    assert before["written"][1] == {"title": "Our history", "text": "It began in **2019**."}
    assert "written" not in declarations(load(tmp_path / "other", None))[0].body


def test_a_long_lived_process_notices_a_changed_text(tmp_path):
    load(tmp_path)
    workspace = Workspace(Settings(), tmp_path)
    assert "human_oversight" in workspace.profile.systems["credit"].card
    load(tmp_path, "## Tradeoffs\n\nSpeed.")
    workspace.refresh()
    assert workspace.profile.systems["credit"].card.keys() == {"overview", "tradeoffs"}


def test_a_field_that_both_files_declare_names_both_lines(tmp_path):
    profile = load(tmp_path, "Hello.\n\n## Overview\n\nIn Markdown.\n")
    assert problems(profile) == (
        f"{FILE}:3: 'overview' is declared in governance/systems/credit.yaml:4 as well. "
        "Keep one of the two."
    )
    assert profile.systems["credit"].card["overview"] == "In YAML."


def test_a_field_that_is_declared_twice_names_the_first_line(tmp_path):
    profile = load(tmp_path, "## Limitations\n\nA.\n\n## limitations\n\nB.\n")
    assert problems(profile).startswith(f"{FILE}:5: 'limitations' is already declared on line 1.")


@pytest.mark.parametrize(
    ("heading", "field"), [("Metrics", "metrics"), ("Model name", "model_name"), ("card_id",) * 2]
)
def test_a_heading_of_a_measured_field_is_warned_about_and_kept(tmp_path, heading, field):
    profile = load(tmp_path, f"## Limitations\n\nA.\n\n## {heading}\n\nAll good.\n")
    assert not profile.problems
    assert warnings(profile) == (
        f"{FILE}:5: '{heading}' becomes a section of its own: the field '{field}' of the card is "
        "measured, and no text replaces it. Give it another heading, or remove it."
    )
    assert [section.title for section in profile.written("credit")] == [heading]
    assert profile.systems["credit"].card.keys() == {"overview", "limitations"}


def test_a_near_miss_is_asked_about_and_kept(tmp_path):
    profile = load(tmp_path, "## Limitation\n\nSome.\n")
    assert warnings(profile) == (
        f"{FILE}:1: 'Limitation' is no field of a card and becomes a section of its own. "
        "Did you mean 'Limitations'?"
    )
    assert [section.title for section in profile.written("credit")] == ["Limitation"]


def test_a_heading_without_text_and_a_placeholder(tmp_path):
    assert f"{FILE}:1: there is no text below" in warnings(load(tmp_path, "## Limitations\n\n"))
    profile = load(tmp_path, "## Limitations\n\n...\n")
    assert "'...' is a placeholder" in problems(profile)
    assert "limitations" not in profile.systems["credit"].card


def test_a_text_without_a_system_is_a_warning(tmp_path):
    profile = load(tmp_path, system=None)
    assert "belongs to no system: there is no credit.yaml beside it." in warnings(profile)
    (tmp_path / "governance/systems/credits.yaml").write_text("id: credits\nname: C\n")
    profile = load_profile(tmp_path / "governance")
    assert "Did you mean 'credits'?" in warnings(profile)
    broken = load(tmp_path, system="id: [")
    assert not any("belongs to no system" in str(w) for w in broken.warnings)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"Fine.\n\xff\n", f"{FILE}:2: is not UTF-8 text: byte 0xff"),
        (b"Fine.\nA\x1bB\n", f"{FILE}:2: holds the control character U+001B."),
        (b"x" * (MAX_BYTES + 1), f"{FILE}: is larger than 64 KiB."),
    ],
)
def test_what_cannot_be_read_is_a_problem_with_its_line(tmp_path, content, told):
    profile = load(tmp_path, content)
    assert told in problems(profile)
    assert profile.systems["credit"].card == {"overview": "In YAML."}
    assert profile.written("credit") == ()


def test_a_folder_of_this_name_is_a_problem(tmp_path):
    (tmp_path / "governance/systems/credit.card.md").mkdir(parents=True)
    assert "not a regular file" in problems(load(tmp_path, None))


def test_fences_and_comments_hide_headings_and_comments_are_left_out():
    text = (
        "## A\n```\n## code\n~~~\n```\n<!-- ## hidden\n## more -->\nend\n"
        "~~~~\n## code\n~~~\n## code\n~~~~\n## B\r\nlast\r\n"
    )
    found = list(split(text))
    assert [passage.title for passage in found] == ["A", "B"]
    assert "hidden" not in found[0].text
    assert "## code" in found[0].text
    assert (found[1].text, found[1].first) == ("last", 14)


def test_a_byte_order_mark_and_closing_hashes_are_no_part_of_a_heading(tmp_path):
    profile = load(tmp_path, "\ufeff## Limitations ##\n\nSome.\n")
    assert profile.systems["credit"].card["limitations"] == "Some."


@pytest.mark.parametrize(
    ("heading", "field"),
    [
        ("LIMITATIONS", "limitations"),
        ("Out of  scope use", "out_of_scope_use"),
        ("out_of_scope_use", "out_of_scope_use"),
        ("**Limitations**:", "limitations"),
        ("Metrics", None),
        ("Card id", None),
    ],
)
def test_ids_and_titles_name_a_field_that_people_fill(heading, field):
    assert field_of(heading) == field


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="#` ~<!->\nAab\r\t", max_size=200))
def test_no_text_breaks_the_reader_and_lines_are_in_order(text):
    found = list(split(text))
    lines = text.replace("\r\n", "\n").count("\n") + 1
    assert [p.first for p in found] == sorted({p.first for p in found})
    assert all(1 <= p.first <= p.last <= lines for p in found)


def test_the_reader_never_raises_for_a_missing_file(tmp_path):
    text = read_card_text(tmp_path / "x.card.md", "x.card.md")
    assert "cannot be read" in str(text.problems[0])
