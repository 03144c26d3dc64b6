"""A comparison of two cards as a release note: what matters first, what stayed in one line."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.model_card.diff_model import Outcome
from aims_mlflow.model_card.diff_summary import metric_name, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aims_mlflow.model_card.diff_model import (
        CardDiff,
        DataChange,
        MetricChange,
        ValueChange,
        VerdictChange,
    )


_TITLES = {
    "parameters": "Parameters",
    "environment": "Environment",
    "code": "Code",
    "model": "Model",
    "signature": "Inputs and outputs",
    "completeness": "Completeness of the card",
}
_DATA = {
    True: "the same data",
    False: "other data",
    None: "whether the data is the same is not known",
}
_SETTLED = (Outcome.WORSE, Outcome.BETTER)
_MIN_PERCENT = 0.05
_MAX_LISTED = 20
#: Groups that are listed as worse, and as better.
_MAX_GROUPS = 8


class Part(NamedTuple):
    """A titled part of the note; the lines of a text that changed stand as they are."""

    title: str
    lines: list[str]
    is_text: bool = False


#: Values within noise that a note names; the diff as data has all of them.
_MAX_QUIET = 8


def plain_lines(diff: CardDiff) -> list[str]:
    """The note without its headline, one fact a line, as `Part: fact`."""
    lines = []
    for part in parts(diff):
        told = [f"{len(part.lines):,} changed lines"] if part.is_text else part.lines
        lines += [_one_line(f"{part.title}: {line}") for line in told]
    return lines


def render_text(diff: CardDiff) -> str:
    """The note for a terminal. The texts in it are as users wrote them: escape before printing."""
    lines = [diff.headline]
    for part in parts(diff):
        lines += ["", part.title, *(f"  {line}" for line in part.lines)]
    return "\n".join(map(_one_line, lines))


def render_diff_markdown(diff: CardDiff) -> str:
    """The note as Markdown; every value shows as the text that it is."""
    from aims_mlflow.model_card.formats.markdown import escape

    lines = [f"# {escape(diff.headline)}", ""]
    for side, label in ((diff.before, "before"), (diff.after, "after")):
        verdict = f", verdict {side.verdict}" if side.verdict else ""
        lines.append(f"- {label}: {escape(f'{side.name}, run {side.run_id}{verdict}')}")
    for part in parts(diff):
        lines += ["", f"## {escape(part.title)}", ""]
        lines += _fenced(part.lines) if part.is_text else [f"- {escape(x)}" for x in part.lines]
    return "\n".join(lines) + "\n"


def parts(diff: CardDiff) -> list[Part]:
    """The note in parts, those without a change left out."""
    found = [
        *_performance(diff),
        Part("Thresholds", [*map(_verdict_line, diff.verdicts), *_kept(diff)]),
        Part("Groups", list(_group_lines(diff))),
        Part("Data", [_data_line(change) for change in diff.data]),
        *(Part(title, _listed(getattr(diff, name))) for name, title in _TITLES.items()),
        *(Part(f"Declared: {t.title}", list(t.lines), is_text=True) for t in diff.texts),
        Part("Metrics logged by the scripts", _metric_lines(diff.logged_metrics)),
        Part("Unchanged", [", ".join(diff.unchanged)] if diff.unchanged else []),
        Part("Not recorded on both sides", [", ".join(diff.unknown)] if diff.unknown else []),
        Part("Left out", [f"{n:,} more in {part}" for part, n in sorted(diff.omitted.items())]),
    ]
    return [part for part in found if part.lines]


def _one_line(text: str) -> str:
    """A name with a line break in it must not pass for a line of the note."""
    return text.replace("\n", "\\n")


def _fenced(lines: Sequence[str]) -> list[str]:
    """A block in which nothing is markup; its fence is longer than any in the lines."""
    from aims_mlflow.model_card.formats.text import visible

    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}diff", *(_one_line(visible(line)) for line in lines), fence]


def _performance(diff: CardDiff) -> Iterator[Part]:
    for dataset in dict.fromkeys(change.dataset for change in diff.metrics):
        own = [change for change in diff.metrics if change.dataset == dataset]
        yield Part(f"Measured on {dataset} ({_DATA[own[0].same_data]})", _metric_lines(own))


def _metric_lines(changes: Sequence[MetricChange]) -> list[str]:
    """The changes; what stayed within noise or the same is told in one line at the end."""
    listed = [c for c in changes if c.outcome not in (Outcome.SAME, Outcome.WITHIN_NOISE)]
    quiet = [c for c in changes if c.outcome is Outcome.WITHIN_NOISE]
    lines = [_metric_line(change) for change in listed]
    if quiet:
        some = ", ".join(map(_short, quiet[:_MAX_QUIET]))
        more = f" and {len(quiet) - _MAX_QUIET} more" if len(quiet) > _MAX_QUIET else ""
        lines.append(f"within noise: {some}{more}")
    return lines


def _label(change: MetricChange) -> str:
    name = metric_name(change.metric)
    return f"{name} {change.part}" if change.part else name


def _short(change: MetricChange) -> str:
    assert change.before is not None and change.after is not None
    return "{} {} → {}".format(_label(change), *numbers(change.before, change.after))


def _metric_line(change: MetricChange) -> str:
    if change.before is None or change.after is None or change.delta is None:
        value = change.after if change.before is None else change.before
        return f"{_label(change)} {value:.4g}: {change.outcome.value}"
    percent = (change.relative or 0) * 100
    relative = f", {percent:+.1f} %" if abs(percent) >= _MIN_PERCENT else ""
    interval = ""
    if change.delta_interval is not None:
        low, high = change.delta_interval
        interval = f", 95 % interval {low:+.3g} to {high:+.3g}"
    return f"{_short(change)} ({change.delta:+.3g}{relative}{interval}): {change.outcome.value}"


def _verdict_line(change: VerdictChange) -> str:
    before, after = change.before or "not judged", change.after or "not judged"
    told = f"{before} → {after}" if before != after else before
    limit = change.after_limit or change.before_limit
    if change.before_limit and change.after_limit and change.before_limit != change.after_limit:
        looser = ", which is looser" if change.is_looser else ""
        limit = f"was {change.before_limit}, is {change.after_limit}{looser}"
    values = ""
    if change.before_value is not None and change.after_value is not None:
        values = " {} → {},".format(*numbers(change.before_value, change.after_value))
    return f"{change.threshold}: {told} ({change.about}{values or ','} limit {limit})"


def _kept(diff: CardDiff) -> list[str]:
    told = [f"{count:,} {verdict}" for verdict, count in diff.verdicts_kept.items()]
    return [f"as before: {', '.join(told)}"] if told else []


def _group_lines(diff: CardDiff) -> Iterator[str]:
    groups = diff.groups
    for outcome in (*_SETTLED, Outcome.NOISE_UNKNOWN):
        found = [change for change in groups.changes if change.outcome is outcome]
        for change in found[:_MAX_GROUPS]:
            yield f"{_metric_line(change)} ({change.dataset})"
        more = len(found) - _MAX_GROUPS
        if more > 0:
            yield f"and {more:,} more: {outcome.value}"
    for word, names in (("new", groups.appeared), ("gone", groups.vanished)):
        if names:
            yield f"{word}: {_some(names)}"
    if groups.compared:
        count = Counter(change.outcome for change in groups.changes)
        open_ = count[Outcome.NOISE_UNKNOWN]
        unknown = f"{open_} changed, noise unknown, " if open_ else ""
        yield (
            f"compared values: {groups.compared:,}; {count[Outcome.WORSE]} worse, "
            f"{count[Outcome.BETTER]} better, {unknown}the others the same or within noise"
        )


def _data_line(change: DataChange) -> str:
    rows = ""
    if change.before_rows is not None and change.after_rows is not None:
        rows = f", rows {change.before_rows:,} → {change.after_rows:,}"
    elif (count := change.before_rows or change.after_rows) is not None:
        rows = f", {count:,} rows"
    old, new = (digest or "not known" for digest in (change.before_digest, change.after_digest))
    told, digests = {
        Outcome.NEW: ("new", new),
        Outcome.GONE: ("gone", old),
    }.get(change.outcome, ("changed", f"{old} → {new}"))
    if change.outcome is Outcome.CHANGED and "not known" in (old, new):
        told = "not known to be the same"
    return f"{change.use} data {change.name}: {told} (digest {digests}{rows})"


def _listed(changes: Sequence[ValueChange]) -> list[str]:
    lines = [
        f"{c.name}: {'(none)' if c.before is None else c.before} → "
        f"{'(none)' if c.after is None else c.after}"
        for c in changes[:_MAX_LISTED]
    ]
    more = len(changes) - _MAX_LISTED
    return [*lines, *([f"and {more:,} more"] if more > 0 else ())]


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MAX_LISTED
    return ", ".join(names[:_MAX_LISTED]) + (f" and {more:,} more" if more > 0 else "")
