"""The data set that a profile makes the reference of a run, noticed where the run logs it.

The store sees only what MLflow keeps of a data set: its name, its digest, its schema. MLflow makes
that from the data set itself at the moment of logging (`mlflow.log_input`, autologging), so the
frame is taken there, and counted later by the drainer:

- pandas with copy-on-write, Polars: taken without a copy; what the script changes afterwards goes
  to a copy of the script's own.
- NumPy, pandas without copy-on-write: copied, up to `MAX_COPIED` bytes at a time. Beyond that there
  is a gap that says to call `log_reference`.
- Everything else (Spark, TensorFlow, Hugging Face): a gap that says the same.
"""

from __future__ import annotations

import functools
import sys
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import AimsError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aims_mlflow.governance.monitoring import ReferenceRule
    from aims_mlflow.governance.profile import Profile
    from aims_mlflow.monitors.reference_summary import Role

#: Bytes of data that may be copied and wait to be counted, all runs together.
MAX_COPIED = 256 * 1024 * 1024
#: Characters of a data set's name that a message repeats.
_SHOWN = 100
_CONTEXT = "mlflow.data.context"
_BY_HAND = "Call aims_mlflow.log_reference(frame) in the training script."
_lock = threading.Lock()
#: What was taken, by the `id` of the entity that MLflow made of it, as long as that lives.
_taken: dict[int, Taken] = {}
#: Runs that have a reference made of their data set, and those for which a person saved one.
_done: set[str] = set()
_superseded: set[str] = set()
_waiting: weakref.WeakSet[Rows] = weakref.WeakSet()
_profile: tuple[Any, Profile] | None = None


class Rows:
    """Rows as they were when they were logged; `copied` bytes are beside the script's own."""

    def __init__(self, frame: Any, roles: Mapping[Role, str | None], copied: int = 0) -> None:
        self.frame = frame
        self.roles = roles
        self.copied = copied
        _waiting.add(self)


@dataclass(frozen=True)
class Taken:
    """A data set that rules name, by system; `system` is that of the code which logged it.

    `rows` are what is to be counted, or why nothing can be.
    """

    name: str
    rules: Mapping[str, ReferenceRule]
    system: str | None
    rows: Rows | SourceError


class Promise:
    """Counts what was taken, when the drainer comes to it."""

    def __init__(self, run_id: str, taken: Taken, rule: ReferenceRule) -> None:
        self._run_id = run_id
        self._taken = taken
        self._rule = rule

    def __call__(self) -> dict[str, Any] | None:
        """The statistics as they travel to the run; None where a person has saved some.

        Raises:
            AimsError: The data cannot be counted; says why.
        """
        if self._run_id in _superseded:
            return None
        from aims_mlflow.monitors.reference_summary import reference_summary
        from aims_mlflow.references import AUTOMATIC, reference_body

        rule, rows = self._rule, self._taken.rows
        if isinstance(rows, SourceError):
            raise rows
        declared: dict[Role, str | None] = {"target": rule.target, "prediction": rule.prediction}
        summary = reference_summary(
            rows.frame,
            roles={**rows.roles, **{role: name for role, name in declared.items() if name}},
            min_count=rule.min_count,
            notes=[f"made of the dataset '{_shown(self._taken.name)}' as the run logged it"],
        )
        return reference_body(summary, AUTOMATIC)


def install() -> None:
    """Notice data sets from now on; a second time does nothing."""
    from mlflow.data.dataset import Dataset

    with _lock:
        original = Dataset._to_mlflow_entity
        if hasattr(original, "__wrapped__"):
            return

        @functools.wraps(original)
        def to_entity(self: Any) -> Any:
            entity = original(self)
            try:
                _take(self, entity)
            except Exception as error:  # logging a data set goes on, whatever goes wrong here
                from aims_mlflow.watch import warn_once

                warn_once(f"a logged data set becomes no reference: {type(error).__name__}")
            return entity

        Dataset._to_mlflow_entity = to_entity


def logged(uri: str, run_id: str, inputs: Any) -> None:
    """A run logged data sets: the first that a rule names, training before others, is counted."""
    found = [(given, _taken[id(given.dataset)]) for given in inputs or () if _is_taken(given)]
    if not found or run_id in _done or run_id in _superseded:
        return
    found.sort(key=lambda pair: not _context(pair[0]).startswith("train"))
    taken = found[0][1]
    system = _system(taken, uri, run_id)
    if system is None:
        return
    from aims_mlflow import watch

    _done.add(run_id)
    promise = Promise(run_id, taken, taken.rules[system])
    watch.dataset_logged(uri, run_id, _shown(taken.name), system, promise)


def supersede(run_id: str) -> None:
    """A person saves a reference for this run: none is made of its data set."""
    _superseded.add(run_id)


def _take(dataset: Any, entity: Any) -> None:
    """Keep the rows of a data set that a rule names, as long as its entity is of use."""
    profile = _in_force()
    systems = profile.systems.values() if profile else ()
    rules = {s.id: s.reference for s in systems if s.reference is not None}
    rules = {system: rule for system, rule in rules.items() if rule.dataset == dataset.name}
    if not rules:
        return
    from aims_mlflow.scope import current_system

    rows: Rows | SourceError
    try:
        rows = _rows(dataset)
    except SourceError as error:
        rows = error
    key = id(entity)
    _taken[key] = Taken(dataset.name, rules, current_system(), rows)
    weakref.finalize(entity, _taken.pop, key, None)


def _in_force() -> Profile | None:
    """The profile; read again when a file of a system changed. What is wrong, the drainer says."""
    global _profile
    from aims_mlflow.governance.find import find_profile

    try:
        folder = find_profile()
    except AimsError:
        return None
    if folder is None:
        return None
    seen = (folder, tuple(_changes(folder)))
    if _profile is None or _profile[0] != seen:
        from aims_mlflow.governance.loader import load_profile

        _profile = (seen, load_profile(folder))
    return _profile[1]


def _changes(folder: Path) -> Iterator[tuple[str, int]]:
    for path in sorted((folder / "systems").glob("*.y*ml")):
        yield path.name, path.stat().st_mtime_ns


def _system(taken: Taken, uri: str, run_id: str) -> str | None:
    """The system of a run, if its rule names the data set."""
    system = taken.system
    if system is None:
        from mlflow import MlflowClient

        from aims_mlflow.scope import TAG_SYSTEM

        client = MlflowClient(tracking_uri=uri)
        run = client.get_run(run_id)
        system = run.data.tags.get(TAG_SYSTEM)
        if system is None and _profile is not None:
            experiment = client.get_experiment(run.info.experiment_id).name
            system = _profile[1].claimant(experiment)
    return system if system in taken.rules else None


def _is_taken(given: Any) -> bool:
    return id(given.dataset) in _taken


def _context(given: Any) -> str:
    tags = given.tags or ()
    return next((str(tag.value).lower() for tag in tags if tag.key == _CONTEXT), "")


def _shown(name: str) -> str:
    from aims_mlflow.secrets import cleared

    return cleared(name[:_SHOWN])[0]


def _rows(dataset: Any) -> Rows:
    """The rows of a data set as they are now.

    Raises:
        SourceError: They are too many to be copied, or of a kind that is not read.
    """
    frame: Any = getattr(dataset, "df", None)
    library = type(frame).__module__.partition(".")[0]
    roles: dict[Role, str | None] = {}
    attributes: dict[Role, str] = {"target": "targets", "prediction": "predictions"}
    for role, attribute in attributes.items():
        named = getattr(dataset, attribute, None)
        roles[role] = named if isinstance(named, str) else None
    if library == "polars":
        return Rows(frame.clone(), roles)
    if library == "pandas":
        if _copies_on_write():
            return Rows(frame.copy(deep=False), roles)
        size = _affordable(int(frame.memory_usage().sum()))
        return Rows(frame.copy(), roles, size)
    if type(dataset).__name__ == "NumpyDataset":
        return _of_arrays(dataset.features, dataset.targets)
    raise SourceError(f"The rows of a {type(dataset).__name__} are not read.", _BY_HAND)


def _copies_on_write() -> bool:
    """Whether a shallow copy of a pandas data frame stays as it is when the frame is changed."""
    pandas = sys.modules["pandas"]
    if int(pandas.__version__.partition(".")[0]) >= 3:
        return True
    return pandas.options.mode.copy_on_write is True


def _of_arrays(features: Any, targets: Any) -> Rows:
    """NumPy features (n, p), targets (n,) or dicts of columns (n,) as a data frame of their own.

    Columns without a name are called by their number, as scikit-learn counts them; the target is
    called `target`.
    """
    import pandas as pd

    columns = dict(_named(features, ""))
    labels = dict(_named(targets, "target"))
    size = _affordable(sum(array.nbytes for array in (*columns.values(), *labels.values())))
    roles: dict[Role, str | None] = {"target": next(iter(labels))} if len(labels) == 1 else {}
    return Rows(pd.DataFrame({**columns, **labels}, copy=True), roles, size)


def _named(part: Any, name: str) -> Iterator[tuple[str, Any]]:
    if part is None:
        return
    if isinstance(part, Mapping):
        for key, array in part.items():
            yield from _named(array, str(key))
    elif part.ndim == 1 or part.shape[1:] == (1,):
        yield name or "0", part.reshape(-1)
    elif part.ndim == 2:
        prefix = f"{name}_" if name else ""
        for column in range(part.shape[1]):
            yield f"{prefix}{column}", part[:, column]
    else:
        raise SourceError(
            f"Arrays of {part.ndim} dimensions are no columns that can be counted.", _BY_HAND
        )


def _affordable(size: int) -> int:
    if size + sum(rows.copied for rows in _waiting) > MAX_COPIED:
        raise SourceError(
            f"Its {size / 2**20:.0f} MiB would have to be copied, as training goes on with them; "
            f"at most {MAX_COPIED // 2**20} MiB are, of all runs that wait.",
            _BY_HAND,
        )
    return size
