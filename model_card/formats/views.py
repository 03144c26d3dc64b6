"""Cards, evaluation reports and monitoring reports as format-neutral documents."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from aims_mlflow.model_card.card import Card
from aims_mlflow.model_card.evaluation import EvaluationReport
from aims_mlflow.model_card.formats.card_view import card_document
from aims_mlflow.model_card.formats.monitor_document import monitor_document
from aims_mlflow.model_card.formats.report_view import report_document
from aims_mlflow.monitored import MonitoringReport

if TYPE_CHECKING:
    from aims_mlflow.model_card.formats.document import Document
    from aims_mlflow.model_card.formats.stamp import Stamp


@singledispatch
def document(source: object, stamp: Stamp) -> Document:
    """The document of a card, an evaluation report or a monitoring report.

    Raises:
        TypeError: `source` is none of them.
    """
    raise TypeError(f"{type(source).__name__} is no document")


document.register(Card, card_document)
document.register(EvaluationReport, report_document)
document.register(MonitoringReport, monitor_document)
