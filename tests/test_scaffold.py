"""The first governance folder: true values, comments for the rest, and it loads as it is."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.errors import UsageError
from aims_mlflow.governance.init import ANSWERS, scaffold
from aims_mlflow.governance.loader import load_profile
from aims_mlflow.governance.soa_decisions import Applicability


def make(folder, **changes):
    arguments = {"system_id": "credit", "name": "Credit", "answers": {}}
    return scaffold(folder, **(arguments | changes))


def test_an_unanswered_scaffold_loads_without_a_word(tmp_path):
    written = make(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in written] == [
        "governance/aims.yaml",
        "governance/systems/credit.yaml",
        "governance/soa.yaml",
    ]
    profile = load_profile(tmp_path / "governance")
    assert not profile.problems
    assert not profile.warnings
    system = profile.systems["credit"]
    assert system.model_dump(exclude_defaults=True) == {"id": "credit", "name": "Credit"}


def test_answers_become_values_and_the_rest_stays_a_comment(tmp_path):
    make(
        tmp_path,
        answers={
            "organization": "ACME",
            "owner": "Ann",
            "email": "",
            "roles": "provider, user",
            "out_of_scope_uses": "hiring; policing, any",
            "risk_tier": "high",
            "registered_models": "credit-model",
        },
        experiments=["credit"],
        sensitive=["sex"],
    )
    profile = load_profile(tmp_path / "governance")
    assert not profile.problems
    assert profile.organization.name == "ACME"
    system = profile.systems["credit"]
    assert system.owner is not None and system.owner.name == "Ann" and system.owner.email is None
    assert system.roles == ("provider", "user")
    assert system.out_of_scope_uses == ("hiring", "policing, any")
    assert system.mlflow.experiments == ("credit",)
    assert system.mlflow.registered_models == ("credit-model",)
    assert system.feature("sex") is not None
    assert system.human_oversight is None
    text = (tmp_path / "governance" / "systems" / "credit.yaml").read_text()
    assert "\n# human_oversight: ...\n" in text


def test_a_limit_is_never_invented(tmp_path):
    make(
        tmp_path,
        metrics=["roc_auc", "demographic_parity_difference", "val/loss"],
        sensitive=["sex", "race"],
    )
    text = (tmp_path / "governance" / "systems" / "credit.yaml").read_text()
    assert "#   - {id: ..., metric: roc_auc, min: ..., max: ...," in text
    assert "metric: demographic_parity_difference, feature: race," in text
    assert "logged_metric: val/loss," in text
    assert not load_profile(tmp_path / "governance").systems["credit"].thresholds


def test_suggestions_fit_once_they_are_filled_in(tmp_path):
    make(tmp_path, metrics=["roc_auc", "demographic_parity_ratio"], sensitive=["sex"])
    path = tmp_path / "governance" / "systems" / "credit.yaml"
    lines = path.read_text().splitlines()
    start = lines.index("# thresholds:")
    block = "\n".join(line[2:] for line in lines[start : start + 3])
    for number, filled in enumerate(["a", "0.5", "0.9", "why", "Ann", "2099-01-01"] * 2):
        prefix = f"t{number}" if filled == "a" else filled
        block = block.replace("...", prefix, 1)
    path.write_text("\n".join([*lines[:start], block, *lines[start + 3 :]]))
    profile = load_profile(tmp_path / "governance")
    assert not profile.problems
    assert len(profile.systems["credit"].thresholds) == 2


def test_all_38_controls_wait_for_a_decision_with_their_titles(tmp_path):
    make(tmp_path)
    profile = load_profile(tmp_path / "governance")
    assert len(profile.soa) == 38
    assert {d.decision for d in profile.soa.values()} == {Applicability.UNDECIDED}
    assert profile.soa_body() == {}
    text = (tmp_path / "governance" / "soa.yaml").read_text()
    assert "# AI system verification and validation\nA.6.2.4:\n  decision: undecided" in text


def test_an_existing_file_is_never_touched(tmp_path):
    make(tmp_path)
    before = {p: p.read_bytes() for p in (tmp_path / "governance").rglob("*.yaml")}
    assert make(tmp_path, name="Other") == []
    second = make(tmp_path, system_id="churn", name="Churn")
    assert [p.name for p in second] == ["churn.yaml"]
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answers": {"risk_tier": "huge"}}, "risk_tier: 'huge' cannot be declared"),
        ({"answers": {"colour": "red"}}, "unknown answer 'colour'"),
        ({"system_id": "../../etc"}, "cannot be declared"),
        ({"name": "  "}, "cannot be declared"),
    ],
)
def test_what_cannot_be_declared_is_refused_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(UsageError, match=message):
        make(tmp_path, **changes)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_is_an_error_for_people(tmp_path):
    (tmp_path / "governance").write_text("mine")
    with pytest.raises(UsageError, match="cannot be written"):
        make(tmp_path)


# Text as MLflow and terminals deliver it; what is not text at all is refused by the models.
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(str.strip)


@settings(deadline=None)
@given(name=_TEXT, other=_TEXT, answers=st.dictionaries(st.sampled_from(ANSWERS), _TEXT))
def test_hostile_names_come_back_as_they_were(tmp_path_factory, name, other, answers):
    answers = {k: v for k, v in answers.items() if k not in ("roles", "risk_tier", "owner")}
    answers.pop("email", None)
    folder = tmp_path_factory.mktemp("scaffold")
    make(
        folder, name=name, answers=answers, experiments=[other], sensitive=[other], metrics=[other]
    )
    profile = load_profile(folder / "governance")
    assert not profile.problems
    system = profile.systems["credit"]
    assert system.name.strip() == name.strip()  # the two languages differ on what is a space
    assert [e.strip() for e in system.mlflow.experiments] == [other.strip()]
    assert system.sensitive_features[0].name.strip() == other.strip()
    assert not system.thresholds
    assert (system.intended_use or "").strip() == answers.get("intended_use", "").strip()
    for path in (folder / "governance").rglob("*.yaml"):
        yaml.safe_load(path.read_text("utf-8"))
