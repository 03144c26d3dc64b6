"""Formats of a document: one module each, all from the same format-neutral `Document`."""

from aims_mlflow.model_card.formats.stamp import Stamp

__all__ = ["Stamp"]
