"""PDF from the HTML document, with WeasyPrint (`pip install "aims-mlflow[pdf]"`)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from aims_mlflow.errors import AimsError
from aims_mlflow.evidence import digest


class PdfError(AimsError):
    """A PDF cannot be made here: WeasyPrint or a system library of it is absent."""


def render_pdf(html: bytes) -> bytes:
    """A document of this package as PDF: A4, tagged, with bookmarks; nothing is fetched.

    Args:
        html: What `render_html` gave, or the sealed HTML of a run.

    Returns:
        The same bytes for the same HTML, WeasyPrint and fonts. The file's identifier is derived
        from the HTML; it holds no time of its own.

    Raises:
        PdfError: WeasyPrint is not installed, cannot load Pango, or cannot lay the document out.
    """
    weasyprint = _weasyprint()
    # No protocol is allowed: a document of this package needs nothing but itself.
    refuse = weasyprint.urls.URLFetcher(allowed_protocols=())
    try:
        page = weasyprint.HTML(string=html.decode("utf-8"), url_fetcher=refuse)
        made: bytes = page.write_pdf(
            pdf_identifier=digest(html)[:32].encode(),
            pdf_variant="pdf/ua-1",
            stylesheets=[weasyprint.CSS(string=_style(), url_fetcher=refuse)],
        )
    except (ValueError, RecursionError, OSError) as error:
        raise PdfError(
            f"WeasyPrint cannot lay the document out: {error}",
            "Print the HTML from a browser instead: aims card RUN --format html --output card.html",
        ) from error
    return made


def _weasyprint() -> Any:
    try:
        import weasyprint  # type: ignore[import-untyped]
    except ImportError as error:
        raise PdfError(
            f"WeasyPrint, which makes PDF files, is not installed ({error}).",
            'pip install "aims-mlflow[pdf]"',
        ) from error
    except OSError as error:
        # The wheel holds no Pango: it is loaded from the system when WeasyPrint is imported.
        raise PdfError(
            f"WeasyPrint is installed and cannot load a system library ({error}).",
            "Install Pango: apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 "
            "(Debian, Ubuntu), dnf install pango (Fedora), brew install pango (macOS); see "
            'the WeasyPrint manual, "First steps". Then: pip install "aims-mlflow[pdf]"',
        ) from error
    if not hasattr(weasyprint.urls, "URLFetcher"):
        raise PdfError(
            f"WeasyPrint {weasyprint.__version__} is too old: 68 or newer is needed.",
            'pip install --upgrade "aims-mlflow[pdf]" "weasyprint>=68"',
        )
    return weasyprint


@cache
def _style() -> str:
    return files("aims_mlflow.model_card").joinpath("templates", "pdf.css").read_text("utf-8")
