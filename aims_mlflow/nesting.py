"""Which runs wait for which: a run that ends while its parent is open waits for its parent.

Only when the parent ended can be told whether the run is one candidate of a sweep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from aims_mlflow.spool import Intent


class Nesting:
    """The open runs of one process, and the ends that wait, in the order of its intents."""

    def __init__(self) -> None:
        self._open: set[str] = set()
        self._parents: dict[str, str] = {}
        self._waiting: dict[str, dict[str, Intent]] = {}
        self._released: list[Intent] = []

    def begun(self, run_id: str, parent: str | None) -> None:
        """A run began, or goes on."""
        self._open.add(run_id)
        if parent is not None:
            self._parents[run_id] = parent

    def ended(self, run_id: str) -> None:
        """A run ended."""
        self._open.discard(run_id)

    def is_open(self, run_id: str | None) -> bool:
        """Whether a run has begun in the process and not ended."""
        return run_id in self._open

    def others_open(self, run_id: str) -> bool:
        """Whether any other run is open."""
        return len(self._open) > (run_id in self._open)

    def ancestors(self, run_id: str) -> Iterator[str]:
        """The parents above a run, as far as they are known."""
        seen = {run_id}
        above = self._parents.get(run_id)
        while above is not None and above not in seen:
            seen.add(above)
            yield above
            above = self._parents.get(above)

    def wait(self, parent: str, intent: Intent) -> None:
        """Keep the end of a run until its parent ended."""
        run_id = intent["run_id"]
        self._parents[run_id] = parent
        self._waiting.setdefault(parent, {})[run_id] = {**intent, "parent": parent}

    def waits(self, run_id: str) -> bool:
        """Whether the end of a run is kept."""
        return run_id in self._waiting.get(self._parents.get(run_id, ""), ())

    def waiting(self) -> list[Intent]:
        """The ends that wait."""
        return [intent for ends in self._waiting.values() for intent in ends.values()]

    def release(self, parent: str, members: Collection[str] = ()) -> None:
        """A run is dealt with: the ends of its children are due, but for `members`, its sweep."""
        for run_id, intent in self._waiting.pop(parent, {}).items():
            self._parents.pop(run_id, None)
            if run_id in members:
                self.release(run_id, members)
            else:
                alone = {key: value for key, value in intent.items() if key != "parent"}
                self._released.append({**alone, "alone": True})

    def drop(self, parent: str) -> list[str]:
        """Forget all ends below a run that another process will deal with; gives the runs."""
        dropped: list[str] = []
        for run_id in self._waiting.pop(parent, {}):
            self._parents.pop(run_id, None)
            dropped += [run_id, *self.drop(run_id)]
        return dropped

    def released(self) -> list[Intent]:
        """The ends that are due, each given once."""
        due, self._released = self._released, []
        return due

    def orphans(self) -> list[Intent]:
        """Nobody will end the open runs any more: the ends of the parents that are waited for."""
        self._open.clear()
        return [
            {"what": "ended", "uri": next(iter(ends.values()))["uri"], "run_id": parent}
            | {"gone": True}
            for parent, ends in self._waiting.items()
        ]
