"""The documents of one execution of a monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aims_mlflow.evidence import normalise
from aims_mlflow.model_card.formats.html import render_html
from aims_mlflow.model_card.formats.json import render_body
from aims_mlflow.model_card.formats.markdown import render_markdown
from aims_mlflow.monitored import EVIDENCE_KINDS

if TYPE_CHECKING:
    from aims_mlflow.model_card.formats.stamp import Stamp
    from aims_mlflow.monitored import MonitoringReport


def render_monitoring(report: MonitoringReport, stamp: Stamp) -> dict[str, bytes]:
    """A monitoring report as `html`, `md` and `json`, each UTF-8.

    The HTML is one file that needs nothing else; of many columns it shows the worst and says what
    it leaves out. The JSON without the key `evidence` is the sealed body, whole.

    Raises:
        KeyError: The report is of no kind in `EVIDENCE_KINDS`.
    """
    body = normalise(report.body())[0]
    return {
        "html": render_html(report, stamp),
        "md": render_markdown(report, stamp),
        "json": render_body(body, EVIDENCE_KINDS[report.kind], stamp),
    }
