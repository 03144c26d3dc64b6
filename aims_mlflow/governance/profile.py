"""The governance profile as loaded: what is declared, where it stands, what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from aims_mlflow.catalogue.loader import load_catalogue
from aims_mlflow.errors import Problem, ProfileError
from aims_mlflow.governance.authorship import Authorship, blame
from aims_mlflow.governance.card_text import CardText, Passage, Written
from aims_mlflow.governance.find import FOLDER
from aims_mlflow.governance.organization import Organization
from aims_mlflow.governance.soa_decisions import SoaDecision

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from aims_mlflow.governance.document import Document
    from aims_mlflow.governance.system import AISystem


@dataclass(frozen=True)
class Profile:
    """Everything that people declared, as far as it is valid.

    Attributes:
        folder: The governance folder, or None for the empty profile.
        organization: What holds for all systems.
        systems: The valid systems by id. An id that two files declare is left out.
        soa: The decisions by control id; a control that is absent is undecided.
        problems: What is wrong, sorted by file and line; empty when the profile is valid.
        warnings: What is valid and still deserves a look.
        files: SHA-256 of every file that was read, by its path as messages name it.
        sources: The file that each system of `systems` was read from.
        texts: What people wrote by hand for the card of a system; its fields are in `systems`.
    """

    folder: Path | None = None
    organization: Organization = field(default_factory=Organization)
    systems: Mapping[str, AISystem] = field(default_factory=dict)
    soa: Mapping[str, SoaDecision] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, Document] = field(default_factory=dict)
    texts: Mapping[str, CardText] = field(default_factory=dict)

    def system(self, system_id: str) -> AISystem | None:
        """The declared system of this id, or None."""
        return self.systems.get(system_id)

    def decision(self, control_id: str) -> SoaDecision:
        """The decision on a control; undecided where nobody decided."""
        return self.soa.get(control_id, SoaDecision())

    def soa_body(self) -> dict[str, Any]:
        """The decisions as evidence: `decisions` by control id with its standard; empty if none."""
        decided = {
            control.reference: self.soa[control.id].model_dump(mode="json", exclude_defaults=True)
            for control in load_catalogue().controls
            if self.decision(control.id) != SoaDecision()
        }
        return {"decisions": decided} if decided else {}

    def claimant(self, experiment: str, registered_models: Iterable[str] = ()) -> str | None:
        """The id of the system that claims an experiment, else one of the registered models.

        None where nobody claims it, and where two systems do: the choice is not ours.
        """
        models = set(registered_models)
        by_experiment = [s.id for s in self.systems.values() if experiment in s.mlflow.experiments]
        by_model = [
            s.id for s in self.systems.values() if models.intersection(s.mlflow.registered_models)
        ]
        found = by_experiment or by_model
        return found[0] if len(found) == 1 else None

    def nearest(self, system_id: str) -> tuple[str, ...]:
        """Up to three declared ids that look like `system_id`, best first."""
        return tuple(get_close_matches(system_id, self.systems, n=3, cutoff=0.5))

    def where(self, system_id: str | None, *path: str | int) -> str:
        """Where a person finds a declaration: `governance/systems/x.yaml:12`.

        Args:
            system_id: The system; an id that no file declares gives the file to create.
            path: Keys and list positions, as in `where("x", "thresholds", 0)`. Where the file
                lacks this key, the file alone is named.
        """
        found = self._passage(system_id, path)
        if found is not None:
            text, passage = found
            return text.where(passage)
        document = self.sources.get(system_id or "")
        if document is None:
            root = self.folder.name if self.folder else FOLDER
            return f"{root}/systems/{system_id or '<id>'}.yaml"
        return (
            f"{document.file}:{document.lines[path]}" if path in document.lines else document.file
        )

    def authorship(self, system_id: str | None, *path: str | int) -> Authorship | None:
        """Who last touched a declaration, and when; None for what is not declared.

        Git is asked here, once for each state of a file, and may take seconds the first time.

        Args:
            system_id: The system.
            path: Keys and list positions, as for `where`. A value of several lines is as young
                as the youngest of them.
        """
        found = self._passage(system_id, path)
        if found is not None:
            text, passage = found
            return self._blamed(text.file, passage.first, passage.last)
        document = self.sources.get(system_id or "")
        if document is None or path not in document.lines:
            return None
        return self._blamed(document.file, *_extent(document, path))

    def written(self, system_id: str | None) -> tuple[Written, ...]:
        """The sections of a system's card that people wrote by hand, with who wrote them."""
        text = self.texts.get(system_id or "")
        if text is None:
            return ()
        return tuple(
            Written(
                title=passage.title,
                text=passage.text,
                source=text.where(passage),
                authorship=self._blamed(text.file, passage.first, passage.last),
            )
            for passage in text.sections
        )

    def _passage(
        self, system_id: str | None, path: tuple[str | int, ...]
    ) -> tuple[CardText, Passage] | None:
        text = self.texts.get(system_id or "")
        if text is None or path[:1] != ("card",) or len(path) < 2:
            return None
        document = self.sources.get(system_id or "")
        passage = text.fields.get(str(path[1]))
        if passage is None or (document is not None and path[:2] in document.lines):
            return None
        return text, passage

    def _blamed(self, file: str, first: int, last: int | None) -> Authorship | None:
        if self.folder is None:
            return None
        return blame(self.folder.parent / file).of(first, last)

    def require_valid(self) -> None:
        """Raise if anything is wrong.

        Raises:
            ProfileError: With every problem at once.
        """
        if self.problems:
            raise ProfileError(self.problems)


def _extent(document: Document, path: tuple[str | int, ...]) -> tuple[int, int | None]:
    """First and last line of a declaration; None for the last where it ends the file."""
    first = document.lines[path]
    after = [
        line
        for place, line in document.lines.items()
        if line > first and place[: len(path)] != path
    ]
    return first, min(after) - 1 if after else None
