"""Publish: record what people declared, so that a verdict can name what was in force."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from aims_mlflow.evidence import EvidenceKind, Subject, SubjectType
from aims_mlflow.recording import declared_draft, seal_declared
from aims_mlflow.secrets import cleared_tree

if TYPE_CHECKING:
    from pathlib import Path

    from aims_mlflow.evidence import Draft
    from aims_mlflow.governance.card_text import CardText
    from aims_mlflow.governance.profile import Profile
    from aims_mlflow.governance.system import AISystem
    from aims_mlflow.ledger.log import Entry, Ledger

_GIT_TIMEOUT = 5


def publish(profile: Profile, ledger: Ledger, *, actor: str) -> tuple[Entry, ...]:
    """Seal every declaration that changed since it was last published.

    Args:
        profile: The profile; must be valid.
        ledger: Where it is recorded.
        actor: Who publishes.

    Returns:
        The new entries; none where nothing changed.

    Raises:
        ProfileError: The profile has problems; all of them at once.
        LedgerError: The ledger cannot be written.
    """
    profile.require_valid()
    commit = git_commit(profile.folder) if profile.folder else None
    source = f"publish git:{commit}" if commit else "publish"
    return seal_declared(ledger, declarations(profile), actor=actor, source=source)


def declarations(profile: Profile) -> list[Draft]:
    """What a profile declares, as drafts: each system, its thresholds, its monitors, the SoA.

    Bodies are sealed for good, so that what looks like a secret is left out, though the loader
    refuses it in the file of a system.
    """
    drafts = [
        d
        for system in profile.systems.values()
        for d in _of_system(system, profile.texts.get(system.id))
    ]
    if profile.soa:
        subject = Subject(type=SubjectType.ORGANIZATION, id="organization")
        decided = {name: row.model_dump(mode="json") for name, row in sorted(profile.soa.items())}
        drafts.append(
            declared_draft(
                EvidenceKind.STATEMENT_OF_APPLICABILITY,
                None,
                subject,
                cleared_tree({"decisions": decided}),
            )
        )
    return drafts


def _of_system(system: AISystem, text: CardText | None) -> list[Draft]:
    data = system.model_dump(mode="json", exclude_defaults=True)
    subject = Subject(type=SubjectType.SYSTEM, id=system.id, name=system.name)
    thresholds = data.pop("thresholds", [])
    monitors = data.pop("monitors", [])

    def draft(kind: EvidenceKind, body: dict[str, Any]) -> Draft:
        return declared_draft(kind, system.id, subject, cleared_tree(body))

    inventory: dict[str, Any] = {"system": data, "declared": system.digest()}
    if text is not None and text.sections:
        # Fields of the card that the text declares are in the system already.
        inventory["written"] = [{"title": p.title, "text": p.text} for p in text.sections]
    drafts = [draft(EvidenceKind.SYSTEM_INVENTORY_ENTRY, inventory)]
    if thresholds:
        drafts.append(draft(EvidenceKind.THRESHOLD_CONFIG, {"thresholds": thresholds}))
    if monitors:
        drafts.append(draft(EvidenceKind.MONITORING_CONFIG, {"monitors": monitors}))
    return drafts


def git_commit(folder: Path) -> str | None:
    """The commit of the folder's repository, with `-dirty` where files differ; None outside git."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
