"""HTML: one file that needs nothing else, readable on a telephone, a wide screen and on paper."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.model_card.formats import prose
from aims_mlflow.model_card.formats.document import Plot
from aims_mlflow.model_card.formats.text import visible
from aims_mlflow.model_card.formats.views import document

if TYPE_CHECKING:
    from aims_mlflow.model_card.card import Card
    from aims_mlflow.model_card.evaluation import EvaluationReport
    from aims_mlflow.model_card.formats.document import Document
    from aims_mlflow.model_card.formats.stamp import Stamp
    from aims_mlflow.monitored import MonitoringReport

#: Tables with more columns than this take the whole width of the page; with many, small type.
_WIDE, _MANY = 5, 9
#: Texts of at most so many letters are not broken, also where paper is narrow.
_SHORT = 12
#: A text longer than this needs a column of some width.
_LONG = 60
#: Plots wider than this many points are scrolled on a telephone instead of shrunk.
_WIDE_PLOT = 350


class _Picture(NamedTuple):
    svg: Markup
    wide: bool


def render_html(doc: Card | EvaluationReport | MonitoringReport, stamp: Stamp) -> bytes:
    """Any of our documents as one HTML file: no script, nothing loaded from elsewhere, UTF-8.

    Where matplotlib is absent or broken, the document says so and shows the plots' words.
    """
    found = document(doc, stamp)
    pictures, problem = _drawn(found)
    page = _template().render(
        doc=found,
        pictures=pictures,
        problem=problem,
        wide=_WIDE,
        many=_MANY,
        short=_SHORT,
        long=_LONG,
        prose=prose.to_html,
    )
    return page.encode()


def _drawn(doc: Document) -> tuple[dict[str, _Picture], str]:
    """The plots by their id, and why one is not there."""
    pictures: dict[str, _Picture] = {}
    problem = ""
    for plot in _plots(doc):
        try:
            sketch = plot.draw()
            svg = sketch.svg(plot.id, plot.caption, plot.alt)
        # Whatever a broken matplotlib raises: the report is worth more than its pictures.
        except Exception as error:
            problem = problem or cut_text(f"{type(error).__name__}: {error}")
        else:
            pictures[plot.id] = _Picture(Markup(svg), sketch.width > _WIDE_PLOT)
    return pictures, problem


def _plots(doc: Document) -> list[Plot]:
    return [block for part in doc.parts for block in part.blocks if isinstance(block, Plot)]


@cache
def _template() -> Template:
    environment = Environment(
        # Always on: `select_autoescape` decides by file name and has let templates slip.
        autoescape=True,
        loader=FunctionLoader(_source),
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("document.html.j2")


def _source(name: str) -> str:
    return files("aims_mlflow.model_card").joinpath("templates", name).read_text("utf-8")


def _finalize(value: Any) -> Any:
    """Every text that a template writes shows its invisible characters."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
