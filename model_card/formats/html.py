"""HTML: one file that needs nothing else, readable on a telephone, a wide screen and on paper."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from aims_mlflow.model_card.formats.text import visible
from aims_mlflow.model_card.formats.views import document

if TYPE_CHECKING:
    from aims_mlflow.model_card.card import Card
    from aims_mlflow.model_card.evaluation import EvaluationReport
    from aims_mlflow.model_card.formats.stamp import Stamp

#: Tables with more columns than this take the whole width of the page.
_WIDE = 5


def render_html(doc: Card | EvaluationReport, stamp: Stamp) -> bytes:
    """A card or a report as one HTML file: no script, nothing loaded from elsewhere, UTF-8."""
    return _template().render(doc=document(doc, stamp), wide=_WIDE).encode()


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
