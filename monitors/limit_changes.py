"""Limits that were loosened: after a breach, a PASS against another limit proves no recovery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.governance.thresholds import Threshold
from aims_mlflow.readings import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aims_mlflow.monitors.episodes import Judged
    from aims_mlflow.monitors.incident_records import Incident

_MOST = ("max", "max_fall", "max_change")
#: What is limited, of which part: with another one, limits cannot be compared.
_MEASURED = (
    "metric",
    "logged_metric",
    "custom_metric",
    "feature",
    "slice",
    "column",
    "change_from",
)


def loosened(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a declared threshold allows what it did not allow before.

    A limit that is gone, or that limits something else, counts as looser. Declarations that are
    not known are not compared.

    Args:
        before: The threshold as it was declared.
        after: The threshold as it is declared now.

    >>> loosened({"max": 0.2}, {"max": 2}), loosened({"max": 0.2}, {"max": 0.1})
    (True, False)
    """
    if not before or not after:
        return False
    higher = any(_wider(before.get(key), after.get(key), 1) for key in _MOST)
    lower = _wider(before.get("min"), after.get("min"), -1)
    return higher or lower or _measured(before) != _measured(after)


def limits_told(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, str]:
    """Both limits as people write them, with what they limit where that is another thing.

    >>> limits_told({"metric": "drift_share", "max": 0.2}, {"metric": "drift_share", "max": 2})
    ('<= 0.2', '<= 2')
    """
    other = _measured(before) != _measured(after)
    shown = [_told(declared, other) for declared in (before, after)]
    return shown[0], shown[1]


class Proven(NamedTuple):
    """Verdicts that count for an incident, and the newest PASS that does not.

    `before` is the declaration that the threshold was broken under; `loose` is None where the
    newest verdict counts.
    """

    judged: tuple[Judged, ...]
    loose: Judged | None = None
    before: Mapping[str, Any] | None = None


def proven(judged: Sequence[Judged], current: Incident | None, monitor: str) -> Proven:
    """Leave out each PASS that follows a breach under a looser limit, until one proves recovery.

    Like INSUFFICIENT, such a PASS neither counts nor interrupts a row.

    Args:
        judged: PASS or FAIL of each window that the monitor decided, oldest window first.
        current: The incident that is not closed.
        monitor: Who reports.
    """
    watched = current.watched.get(monitor) if current else None
    settled = watched.seen if watched and not watched.failing else None
    # The window of the last breach may have been judged again, so that only the incident knows it.
    broken = watched.counted[-1] if watched and watched.failing and watched.counted else None
    broken_under = current.threshold if current else None
    under: Mapping[str, Any] | None = None
    row = 0
    kept: list[Judged] = []
    loose: Judged | None = None
    for each in judged:
        if broken is not None and each.end >= broken:
            under, broken = under or broken_under, None
        if each.verdict is Verdict.FAIL:
            row += 1
            under = each.judgement.declared if row >= each.required else under
        elif under and loosened(under, each.judgement.declared) and not _before(each, settled):
            loose = each
            continue
        else:
            row, under = 0, None
        kept.append(each)
        loose = None
    return Proven(tuple(kept), loose, under if loose else None)


def _before(each: Judged, settled: Any) -> bool:
    return settled is not None and each.end <= settled


def _wider(before: float | None, after: float | None, sign: int) -> bool:
    return before is not None and (after is None or sign * (after - before) > 0)


def _measured(declared: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(declared.get(key) for key in _MEASURED)


def _told(declared: Mapping[str, Any], named: bool) -> str:
    # Sealed long ago perhaps: shown as it is, not checked against the rules of today.
    limit = Threshold.model_construct(**declared).limit
    what = "/".join(str(part) for part in _measured(declared)[:-1] if part is not None)
    return f"{what} {limit}" if named else limit
