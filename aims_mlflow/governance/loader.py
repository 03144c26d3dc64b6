"""Load the governance folder. Bad content becomes problems, and what is valid stays usable."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aims_mlflow.catalogue.loader import load_catalogue
from aims_mlflow.errors import Problem
from aims_mlflow.governance.card_text import SUFFIX, CardText, read_card_text
from aims_mlflow.governance.document import Document, read_document
from aims_mlflow.governance.explain import did_you_mean, validate
from aims_mlflow.governance.monitor_notes import monitor_notes
from aims_mlflow.governance.organization import Organization
from aims_mlflow.governance.profile import Profile
from aims_mlflow.governance.references import faults
from aims_mlflow.governance.soa_decisions import Applicability, SoaDecision
from aims_mlflow.governance.system import AISystem
from aims_mlflow.secrets import cleared, credentials

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from aims_mlflow.governance.document import Place

_READ = ("aims.yaml", "soa.yaml", "systems")
_NOT_YET = (
    "scope.md",
    "policies",
    "risks.yaml",
    "impact",
    "roles.yaml",
    "suppliers.yaml",
    "calendar.yaml",
)
_SUFFIXES = (".yaml", ".yml")


def load_profile(folder: Path | None, *, today: date | None = None) -> Profile:
    """Everything declared in `folder`; the empty profile when it is None.

    Never raises for what the files hold: `Profile.problems` names each fault with its file and
    line, and a broken file leaves the others usable.

    Args:
        folder: The governance folder, as `find_profile` gives it.
        today: The day against which `review_by` is held; the current day in UTC when None.
    """
    if folder is None:
        return Profile()
    return _Loader(folder, today or datetime.now(UTC).date()).load()


class _Loader:
    """Collects what one pass over the folder finds."""

    def __init__(self, folder: Path, today: date) -> None:
        self.folder = folder
        self.today = today
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.files: dict[str, str] = {}

    def load(self) -> Profile:
        names = self._list(self.folder)
        organization = self._organization() if "aims.yaml" in names else Organization()
        declared = self._systems() if "systems" in names else {}
        systems, sources = self._unambiguous(declared)
        self._contested(systems, sources)
        texts = self._texts(systems, sources)
        soa = self._soa(systems) if "soa.yaml" in names else {}
        self._unread(names)
        return Profile(
            folder=self.folder,
            organization=organization,
            systems=systems,
            texts=texts,
            soa=soa,
            problems=tuple(sorted(self.problems)),
            warnings=tuple(sorted(self.warnings)),
            files=self.files,
            sources=sources,
        )

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder.parent).as_posix()

    def _list(self, folder: Path) -> list[str]:
        try:
            return sorted(path.name for path in folder.iterdir())
        except OSError as error:
            message = f"this folder cannot be read: {error.strerror}."
            self._problem(self._name(folder), 0, message, "Check its permissions.")
            return []

    def _read(self, path: Path) -> Document | None:
        document = read_document(path, self._name(path))
        if document.sha256 is not None:
            self.files[document.file] = document.sha256
        self.problems += document.problems
        return None if document.problems and document.data is None else document

    def _organization(self) -> Organization:
        document = self._read(self.folder / "aims.yaml")
        if document is None or document.data is None:
            return Organization()
        organization, problems = validate(Organization, document)
        self.problems += problems
        if organization is None or document.problems:
            return Organization()
        for key in ("tracking_uri", "ledger_uri"):
            if _has_password(getattr(organization, key)):
                self._warn(
                    document,
                    (key,),
                    f"{key} holds a password in a file that is kept in git.",
                    f"Move it to {'AIMS_LEDGER_URI' if key == 'ledger_uri' else 'the environment'}"
                    " and change the password.",
                )
        return organization

    def _systems(self) -> dict[str, list[tuple[AISystem, Document]]]:
        declared: dict[str, list[tuple[AISystem, Document]]] = defaultdict(list)
        folder = self.folder / "systems"
        for name in self._list(folder):
            path = folder / name
            if name.endswith(SUFFIX):
                continue
            if path.suffix not in _SUFFIXES:
                self._nothing_reads(path)
                continue
            document = self._read(path)
            if document is None:
                continue
            system, problems = validate(AISystem, document, further=faults)
            self.problems += problems
            leaks = [self._leak(document, *found) for found in credentials(document.data)]
            self.problems += dict.fromkeys(leaks)
            if system is not None and not document.problems and not leaks:
                declared[system.id].append((system, document))
                self._review(system, document, path.stem)
        return declared

    def _leak(self, document: Document, place: Place, rule: str) -> Problem:
        """A credential in a declaration, told without showing it."""
        at = ".".join(str(step) for step in place)
        return Problem(
            document.file,
            document.line(place),
            f"'{cleared(at)[0][:200]}' holds a credential ({rule}); declarations are kept in git "
            "and sealed for good.",
            "Name an environment variable instead (sql:VARIABLE?table=..., api_key_env: VARIABLE), "
            "or leave it to the credentials that the driver of the URL finds by itself (for s3:// "
            "AWS_PROFILE, for example). Then change the secret.",
        )

    def _review(self, system: AISystem, document: Document, stem: str) -> None:
        if stem != system.id:
            message = f"the file declares '{system.id}' and is named '{stem}'."
            self._warn(document, ("id",), message, f"Rename it to {system.id}.yaml.")
        for position, monitor in enumerate(system.monitors):
            for note in monitor_notes(monitor):
                self._warn(document, ("monitors", position, note.key), note.message, note.fix)
        for position, threshold in enumerate(system.thresholds):
            place = ("thresholds", position)
            lacking = [key for key in ("reason", "approved_by") if not getattr(threshold, key)]
            if lacking:
                message = f"threshold '{threshold.id}' has no {' and no '.join(lacking)}."
                self._warn(
                    document, place, message, "An auditor asks why this limit, and who said so."
                )
            if threshold.review_by is not None and threshold.review_by < self.today:
                message = f"threshold '{threshold.id}' was due for review by {threshold.review_by}."
                advice = "Review the limit and set a new review_by."
                self._warn(document, (*place, "review_by"), message, advice)

    def _unambiguous(
        self, declared: dict[str, list[tuple[AISystem, Document]]]
    ) -> tuple[dict[str, AISystem], dict[str, Document]]:
        """Leave out an id that two files declare: which thresholds hold is not ours to guess."""
        systems: dict[str, AISystem] = {}
        sources: dict[str, Document] = {}
        for system_id, found in declared.items():
            if len(found) == 1:
                systems[system_id], sources[system_id] = found[0]
                continue
            for _, document in found:
                others = ", ".join(d.file for _, d in found if d is not document)
                message = f"the system id '{system_id}' is declared in {others} as well."
                line = document.line(("id",))
                self._problem(document.file, line, message, "Give each system an id of its own.")
        return systems, sources

    def _contested(self, systems: dict[str, AISystem], sources: dict[str, Document]) -> None:
        claims: dict[tuple[str, str], list[tuple[Document, int]]] = defaultdict(list)
        for system in systems.values():
            for key in ("experiments", "registered_models"):
                for position, name in enumerate(getattr(system.mlflow, key)):
                    document = sources[system.id]
                    line = document.line(("mlflow", key, position))
                    claims[key, name].append((document, line))
        for (key, name), places in claims.items():
            if len({document.file for document, _ in places}) < 2:
                continue
            what = "experiment" if key == "experiments" else "registered model"
            for document, line in places:
                others = ", ".join(f"{d.file}:{n}" for d, n in places if d is not document)
                message = f"the {what} '{name}' is claimed in {others} as well."
                advice = "Runs of it stay unclaimed until one system alone names it."
                self._problem(document.file, line, message, advice)

    def _texts(
        self, systems: dict[str, AISystem], sources: dict[str, Document]
    ) -> dict[str, CardText]:
        """Read the texts of cards, and put the fields that they declare into their systems."""
        folder = self.folder / "systems"
        names = self._list(folder) if folder.is_dir() else []
        texts: dict[str, CardText] = {}
        for name in names:
            if not name.endswith(SUFFIX):
                continue
            path = folder / name
            text = read_card_text(path, self._name(path))
            if text.sha256 is not None:
                self.files[text.file] = text.sha256
            self.problems += text.problems
            self.warnings += text.warnings
            system_id = name.removesuffix(SUFFIX)
            if system_id not in systems:
                self._no_system(system_id, text, names)
            elif not text.problems:
                texts[system_id] = text
                systems[system_id] = self._with_text(systems[system_id], text, sources[system_id])
        return texts

    def _no_system(self, system_id: str, text: CardText, names: list[str]) -> None:
        if any(f"{system_id}{suffix}" in names for suffix in _SUFFIXES):
            return  # the file of the system is broken, and says so itself
        message = f"belongs to no system: there is no {system_id}.yaml beside it."
        known = [name.rpartition(".")[0] for name in names if name.endswith(_SUFFIXES)]
        advice = did_you_mean(system_id, known) or "Name it after the id of its system."
        self.warnings.append(Problem(text.file, 0, message, advice))

    def _with_text(self, system: AISystem, text: CardText, document: Document) -> AISystem:
        added = {}
        for name, passage in text.fields.items():
            if name not in system.card:
                added[name] = passage.text
                continue
            line = document.line(("card", name))
            message = f"'{name}' is declared in {document.file}:{line} as well."
            self._problem(text.file, passage.first, message, "Keep one of the two.")
        return system.model_copy(update={"card": {**system.card, **added}})

    def _soa(self, systems: dict[str, AISystem]) -> dict[str, SoaDecision]:
        document = self._read(self.folder / "soa.yaml")
        if document is None or document.data is None:
            return {}
        if not isinstance(document.data, dict):
            message = "must be `control id: {decision: ...}` lines."
            self._problem(document.file, 1, message, "For example `A.2.2: {decision: applicable}`.")
            return {}
        known = [control.id for control in load_catalogue().controls]
        decisions: dict[str, SoaDecision] = {}
        for control in document.data:
            if control not in known:
                message = f"unknown control '{control}'."
                advice = did_you_mean(control, known) or "Annex A has A.2.2 to A.10.4."
                self._problem(document.file, document.line((control,)), message, advice)
                continue
            decision, problems = validate(SoaDecision, document, (control,))
            self.problems += problems
            if decision is not None and not document.problems:
                decisions[control] = decision
                self._review_decision(control, decision, document, systems)
        return decisions

    def _review_decision(
        self, control: str, decision: SoaDecision, document: Document, systems: Iterable[str]
    ) -> None:
        if decision.decision is Applicability.INHERITED and decision.justification is None:
            message = f"{control} is inherited and does not say from whom."
            self._warn(document, (control,), message, "Add a justification.")
        for position, item in enumerate(decision.evidence):
            if item.system is not None and item.system not in systems:
                place = (control, "evidence", position, "system")
                message = f"the system '{item.system}' is not declared."
                advice = did_you_mean(item.system, systems) or "Add its file to systems/."
                self._problem(document.file, document.line(place), message, advice)

    def _unread(self, names: list[str]) -> None:
        for name in names:
            if name in _NOT_YET:
                message = "is not read by this version."
                self.warnings.append(Problem(self._name(self.folder / name), 0, message))
            elif name not in _READ:
                self._nothing_reads(self.folder / name)

    def _nothing_reads(self, path: Path) -> None:
        if path.name.startswith((".", "README")):
            return
        known = _READ + _NOT_YET if path.parent == self.folder else ()
        advice = did_you_mean(path.name, known) or "Move it elsewhere, or check its name."
        self.warnings.append(Problem(self._name(path), 0, "nothing reads this.", advice))

    def _problem(self, file: str, line: int, message: str, fix: str) -> None:
        self.problems.append(Problem(file, line, message, fix))

    def _warn(
        self, document: Document, place: tuple[str | int, ...], message: str, fix: str
    ) -> None:
        self.warnings.append(Problem(document.file, document.line(place), message, fix))


def _has_password(uri: str | None) -> bool:
    try:
        return bool(uri and urlsplit(uri).password)
    except ValueError:  # not a URL at all; whoever opens it says so
        return False
