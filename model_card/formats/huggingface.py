"""Hugging Face front matter: the metadata of a model card as the Hub and its libraries read it.

Format: https://github.com/huggingface/hub-docs/blob/main/modelcard.md. Free text is one line each
and anything the Hub would refuse as an id is left out: the card below it has the whole text.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import yaml

from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.model_card.formats.statements import (
    address,
    declared,
    items,
    line,
    records,
    stated,
    text_of,
    texts,
)
from aims_mlflow.model_card.formats.text import humanise
from aims_mlflow.model_card.formats.vocabulary import TASK_TYPES, hub_licence, hub_metric, hub_task
from aims_mlflow.readings import LEVEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aims_mlflow.model_card.card import Card
    from aims_mlflow.model_card.evaluation import (
        EvaluatedDataset,
        EvaluationReport,
        GenAIEvaluation,
    )
    from aims_mlflow.model_card.formats.stamp import Stamp
    from aims_mlflow.readings import Interval, Scores

#: Entries of one list; the JSON card has all of them.
_MAX_ITEMS = 100
#: `owner/name` or `name`, as the Hub requires of models and data sets.
_REPOSITORY = re.compile(
    r"(?=.{1,96}$)(?!.*(?:--|\.\.|\.git$))(?:\w(?:[\w.-]*\w)?/)?\w(?:[\w.-]*\w)?", re.ASCII
)
_LANGUAGE = re.compile(r"[a-z]{2,3}|multilingual|code")
_TAG = re.compile(r"[A-Za-z0-9][\w. -]{0,63}", re.ASCII)
_NO_SLUG = re.compile(r"[^a-z0-9.]+")
#: Flavors that every model has, which say nothing of the library.
_NO_LIBRARY = ("python_function",)
_SPLITS = ("train", "validation", "test")


class _Plain(yaml.SafeDumper):
    """Writes everything out: readers of front matter need not know anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def front_matter(
    card: Card, report: EvaluationReport, stamp: Stamp, *, source_url: str | None = None
) -> str:
    """The metadata block of a card, with its `---` lines and a line break at the end.

    Args:
        card: The model card.
        report: The evaluation report of the same run; its measured values become `model-index`.
        stamp: What binds the card to the ledger; written under `aims`.
        source_url: Where a reader of the Hub finds the results; left out unless http or https.

    Returns:
        YAML of plain scalars, lists and maps, without anchors. Confidence intervals stand in the
        `args` of their metric.
    """
    data = _metadata(card, report, stamp, source_url)
    written = yaml.dump(
        {key: value for key, value in data.items() if value not in (None, [], {})},
        Dumper=_Plain,
        sort_keys=False,
        allow_unicode=True,
        width=math.inf,
        default_flow_style=False,
    )
    return f"---\n{written}---\n"


def with_front_matter(markdown: bytes, front: str) -> bytes:
    """A Markdown card with its metadata block in front."""
    return front.encode() + b"\n" + markdown


def _metadata(
    card: Card, report: EvaluationReport, stamp: Stamp, source_url: str | None
) -> dict[str, Any]:
    index = _model_index(card, report, source_url)
    used = [metric["type"] for result in index for metric in result["metrics"]]
    return {
        **_licence(card),
        "library_name": next(iter(_flavors(card)), None),
        "language": _kept(texts(stated(card, "languages")), _LANGUAGE),
        "pipeline_tag": next(filter(None, map(hub_task, _declared_tasks(card))), None),
        "tags": _tags(card, report),
        "datasets": _kept(_names(card, "training_data"), _REPOSITORY),
        "metrics": list(dict.fromkeys(used))[:_MAX_ITEMS],
        "base_model": _kept(_names(card, "base_model"), _REPOSITORY),
        "model-index": [{"name": line(card.title) or card.run_id, "results": index}]
        if index
        else [],
        "aims": {
            "verdict": card.about.verdict.value,
            "version": stamp.version,
            "evidence_id": stamp.evidence_id,
            "run_id": line(card.run_id),
            **({"system": card.system} if card.system else {}),
        },
    }


def _licence(card: Card) -> dict[str, Any]:
    stated_ones = items(stated(card, "licenses"))
    names = [
        text_of(item, "identifier", "id", "spdx", "name", "custom_text", "text")
        if isinstance(item, dict)
        else line(item)
        for item in stated_ones
    ]
    known = [hub_licence(name) for name in names]
    if not names:
        return {}
    if all(known):
        found = list(dict.fromkeys(known))
        return {"license": found[0] if len(found) == 1 else found}
    other = next(name for name, hub in zip(names, known, strict=True) if hub is None)
    links = (item.get(key) for item in stated_ones if isinstance(item, dict) for key in item)
    return {
        "license": "other",
        "license_name": _slug(other) or None,
        "license_link": next(filter(None, (address(link, web=True) for link in links)), None),
    }


def _slug(text: str) -> str:
    return _NO_SLUG.sub("-", text.lower())[:64].strip("-.")


def _flavors(card: Card) -> Iterator[str]:
    for row in records(stated(card, "library")):
        flavor = text_of(row, "flavor")
        if _TAG.fullmatch(flavor) and flavor not in _NO_LIBRARY:
            yield flavor


def _declared_tasks(card: Card) -> list[str]:
    return texts(declared(card, "task"))


def _tags(card: Card, report: EvaluationReport) -> list[str]:
    tasks = [hub_task(task) or line(task) for task in _declared_tasks(card)]
    measured = [score.task for score in report.scores]
    system = [card.system] if card.system else []
    return _kept(["mlflow", *_flavors(card), *tasks, *measured, *system], _TAG)


def _names(card: Card, field: str) -> list[str]:
    """The names in a list of texts or of records that have a `name`."""
    return [
        text_of(item, "name", "id") if isinstance(item, dict) else line(item)
        for item in items(stated(card, field))
    ]


def _kept(found: list[str], allowed: re.Pattern[str]) -> list[str]:
    return [name for name in dict.fromkeys(found) if allowed.fullmatch(name)][:_MAX_ITEMS]


def _model_index(
    card: Card, report: EvaluationReport, source_url: str | None
) -> list[dict[str, Any]]:
    url = address(source_url, web=True)
    source = {"source": {"name": "MLflow", "url": url}} if url else {}
    found = [_result(score, card, report) for score in report.scores[:_MAX_ITEMS]]
    if report.genai is not None:
        found.append(_genai(report.genai, card))
    return [result | source for result in found if result["metrics"]]


def _result(score: Scores, card: Card, report: EvaluationReport) -> dict[str, Any]:
    known = next((d for d in report.datasets if d.name == score.dataset), None)
    return {
        "task": _task(score.task, card),
        "dataset": _dataset(score.dataset, known, card),
        "metrics": [
            _metric(reading.metric, reading.value, reading.interval, {"n": reading.n})
            for reading in score.overall
            if reading.value is not None and math.isfinite(reading.value)
        ],
    }


def _task(task: str, card: Card) -> dict[str, str]:
    told = next(iter(_declared_tasks(card)), "")
    known = next(filter(None, map(hub_task, _declared_tasks(card))), None)
    return {"type": known or TASK_TYPES[task], "name": cut_text(line(told)) or task}


def _dataset(name: str, known: EvaluatedDataset | None, card: Card) -> dict[str, str]:
    found = {"type": _slug(name) or "dataset", "name": cut_text(line(name)) or "dataset"}
    rows = records(stated(card, "evaluation_data"))
    contexts = [text_of(row, "context").lower() for row in rows if row.get("name") == name]
    split = next((context for context in contexts if context in _SPLITS), None)
    if split:
        found["split"] = split
    if known is not None and known.digest:
        found["revision"] = cut_text(line(known.digest))
    return found


def _metric(
    name: str, value: float, interval: Interval | None, args: dict[str, Any]
) -> dict[str, Any]:
    known = hub_metric(name)
    told = known.args | {key: item for key, item in args.items() if item is not None}
    if interval is not None and math.isfinite(interval.low) and math.isfinite(interval.high):
        told["confidence_interval"] = {
            "level": LEVEL,
            "low": interval.low,
            "high": interval.high,
            "method": line(interval.method),
        }
    found = {"type": known.type, "name": cut_text(line(humanise(name))), "value": value}
    return found | ({"args": told} if told else {})


def _genai(found: GenAIEvaluation, card: Card) -> dict[str, Any]:
    metrics = []
    for scorer in found.scorers[:_MAX_ITEMS]:
        about = {"scorer": cut_text(line(scorer.scorer)), "n": scorer.n}
        about["judged_by"] = cut_text(line(scorer.judged_by))
        # The interval of a scorer is that of its pass rate where it has one.
        interval = scorer.interval
        for name, value in (("pass_rate", scorer.pass_rate), ("mean_score", scorer.mean)):
            if value is not None and math.isfinite(value):
                metrics.append(_metric(name, value, interval, about))
                interval = None
    return {
        "task": _task("genai", card),
        "dataset": {"type": "mlflow-traces", "name": f"{found.traces} traces of the run"},
        "metrics": metrics,
    }
