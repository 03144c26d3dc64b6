"""What `aims monitor run` was asked for: which monitors, on which windows and data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from aims_mlflow.errors import UsageError
from aims_mlflow.governance.monitoring import Monitor
from aims_mlflow.monitored import Window
from aims_mlflow.monitoring.declared import declared_monitors
from aims_mlflow.monitoring.windows import window_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aims_mlflow.governance.monitoring import Engine
    from aims_mlflow.workspace import Workspace

#: A monitor that is made of options runs when it is asked to; its data are of a day.
_NO_SCHEDULE = "0 0 * * *"
_DAY = timedelta(days=1)
#: Keys of a monitor that options may replace.
_KEYS = ("key", "target", "prediction", "timestamp")


@dataclass(frozen=True)
class Request:
    """What is to be judged. `made` says that the only monitor was made of the options."""

    system: str
    monitors: tuple[Monitor, ...]
    made: bool
    now: datetime
    current: str | None = None
    reference: str | None = None
    labels: str | None = None
    start: str | None = None
    end: str | None = None
    engine: Engine | None = None
    master: str | None = None

    @classmethod
    def of(
        cls,
        workspace: Workspace,
        *,
        system: str,
        name: str | None,
        kind: str | None,
        now: datetime,
        **given: Any,
    ) -> Request:
        """Find or make the monitors.

        Args:
            workspace: Where they are declared.
            system: The AI system.
            name: Only the declared monitor of this name.
            kind: Only declared monitors of this kind, else a new one.
            now: The present.
            given: The other options, by the names of the fields and of a monitor's keys.

        Raises:
            UsageError: There is no such system or monitor, or the options make none.
        """
        keys = {key: given.pop(key) or None for key in _KEYS}
        changes = {key: value for key, value in keys.items() if value is not None}
        if given["labels"] is not None:
            changes["labels"] = given["labels"]
        declared = [monitor for _, monitor in declared_monitors(workspace.profile, [system])]
        wanted = [m for m in declared if name in (None, m.name) and kind in (None, m.kind)]
        made = not wanted and name is None and kind is not None and given["current"] is not None
        if made:
            wanted = [_made(kind=kind, schedule=_NO_SCHEDULE, **changes)]
        elif not wanted:
            raise _unknown(system, declared, name, kind)
        elif changes:
            wanted = [_made(**m.model_dump(exclude_unset=True) | changes) for m in wanted]
        request = cls(system=system, monitors=tuple(wanted), made=made, now=now, **given)
        return replace(
            request,
            current=_from_here(request.current),
            reference=_from_here(request.reference),
            labels=_from_here(request.labels),
        )

    def options(self) -> dict[str, Any]:
        """What `run_monitor` takes besides the monitor and its window; the unset is left out."""
        names = ("current", "reference", "labels", "engine", "master")
        return {n: getattr(self, n) for n in names if getattr(self, n) is not None}

    def windows(self) -> Iterator[tuple[Monitor, Window]]:
        """Each monitor with its window.

        Raises:
            UsageError: A time is none, or they make no window.
            MonitorError: The schedule gives no window.
        """
        found = [(monitor, self._window(monitor)) for monitor in self.monitors]
        yield from found

    def _window(self, monitor: Monitor) -> Window:
        zone = ZoneInfo(monitor.timezone)
        start = None if self.start is None else _time(self.start, "--start", zone)
        end = None if self.end is None else _time(self.end, "--end", zone)
        if start is None and not self.made:
            return window_at(monitor, end or self.now)
        end = end or self.now
        start = start or end - _DAY
        if start >= end:
            raise UsageError(
                f"The window begins ({start:%Y-%m-%d %H:%M}) not before it ends "
                f"({end:%Y-%m-%d %H:%M}, UTC).",
                "Give a --start before --end; without --end, the window ends now.",
            )
        return Window(start=start, end=end)


def _made(**declaration: Any) -> Monitor:
    try:
        return Monitor.model_validate(declaration)
    except ValidationError as error:
        told = "; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors())
        raise UsageError(
            f"The options make no monitor: {told}.",
            "Add the options, or declare the monitor in governance/systems/<id>.yaml.",
        ) from error


def _unknown(
    system: str, declared: list[Monitor], name: str | None, kind: str | None
) -> UsageError:
    asked = " and ".join(
        part for part in (name and f"the id '{name}'", kind and f"the kind '{kind}'") if part
    )
    there = ", ".join(f"{m.name} ({m.kind})" for m in declared)
    return UsageError(
        f"AI system '{system}' declares no monitor{' with ' + asked if asked else ''}.",
        f"Declared: {there}."
        if there
        else "Declare one under `monitors:`, or name a --kind and the data: --current new.parquet",
    )


def _time(given: str, option: str, zone: ZoneInfo) -> datetime:
    try:
        found = datetime.fromisoformat(given)
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{option} '{given}' is no time.",
            "Write it as 2026-11-23, 2026-11-23T06:00 (in the monitor's zone) or with an offset.",
        ) from None


def _from_here(source: str | None) -> str | None:
    """A path from the working directory, as a shell means it; URLs and the like as they are."""
    if source is None or "://" in source or source.startswith(("sql:", "delta:")):
        return source
    return str(Path(source).absolute())
