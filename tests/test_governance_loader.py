"""What a team sees when its governance folder is right, wrong, hostile or half broken."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.errors import ProfileError
from aims_mlflow.governance import document
from aims_mlflow.governance.document import read_document
from aims_mlflow.governance.find import find_profile
from aims_mlflow.governance.loader import load_profile
from aims_mlflow.governance.missing import line_to_add, lines_to_add
from aims_mlflow.governance.profile import Profile
from aims_mlflow.governance.soa_decisions import Applicability
from aims_mlflow.governance.system import AISystem
from aims_mlflow.governance.thresholds import Threshold

VALID = """\
id: credit-scoring
name: Consumer credit scoring
mlflow: {experiments: [credit], registered_models: [credit-model]}
sensitive_features: [{name: sex}]
thresholds:
  - {id: min-auc, metric: roc_auc, min: 0.75, reason: policy, approved_by: Ann}
"""


def load(folder: Path, **files: str | bytes) -> Profile:
    """Write `systems_<name>` and top-level files below `folder`, and load them."""
    for key, content in files.items():
        kind, _, stem = key.rpartition("__")
        path = folder / "governance" / kind / f"{stem}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_profile(folder / "governance", today=date(2026, 11, 23))


def shown(profile: Profile) -> str:
    return "\n".join(map(str, profile.problems))


# --- a valid profile -------------------------------------------------------------------------


def test_a_valid_profile_answers_who_where_and_what(tmp_path):
    profile = load(tmp_path, **{"systems__credit-scoring": VALID, "__aims": "name: ACME\n"})
    assert not profile.problems
    assert not profile.warnings
    profile.require_valid()
    assert profile.organization.name == "ACME"
    system = profile.system("credit-scoring")
    assert system is not None and system.thresholds[0].min == 0.75
    assert profile.claimant("credit", []) == "credit-scoring"
    assert profile.claimant("other", ["credit-model"]) == "credit-scoring"
    assert profile.claimant("other", []) is None
    assert profile.nearest("credit-scorin") == ("credit-scoring",)
    assert set(profile.files) == {"governance/aims.yaml", "governance/systems/credit-scoring.yaml"}


def test_where_names_the_line_of_a_key_and_the_file_without_it(tmp_path):
    profile = load(tmp_path, **{"systems__credit-scoring": VALID})
    file = "governance/systems/credit-scoring.yaml"
    assert profile.where("credit-scoring", "name") == f"{file}:2"
    assert profile.where("credit-scoring", "thresholds", 0, "min") == f"{file}:6"
    assert profile.where("credit-scoring", "risk_tier") == file
    assert profile.where("churn") == "governance/systems/churn.yaml"


def test_no_folder_is_an_empty_profile():
    profile = load_profile(None)
    assert not profile.systems
    assert profile.claimant("credit", ["m"]) is None
    profile.require_valid()


def test_the_digest_ignores_comments_and_key_order(tmp_path):
    one = load(tmp_path / "1", systems__s="id: s\nname: S\n# why\nrisk_tier: high\n")
    two = load(tmp_path / "2", systems__s="risk_tier: high\nname: S\nid: s\n")
    assert one.systems["s"].digest() == two.systems["s"].digest()
    assert one.files != two.files


# --- one fault each: file, line, what is wrong, what is allowed ---------------------------------

FAULTS = {
    "tab": ("id: s\n\tname: S\n", ":2: a tab is used for indentation"),
    "syntax": ("id: s\nname: [S\n", "is not valid YAML"),
    "two documents": ("id: s\n---\nid: t\n", ":2: holds a second document"),
    "duplicate key": ("id: s\nname: S\nname: T\n", ":3: the key 'name' is already on line 2"),
    "unknown key": ("id: s\nname: S\nrisk_teir: high\n", ":3: unknown key 'risk_teir'. Did you"),
    "nested unknown key": (
        "id: s\nname: S\nowner:\n  name: A\n  emial: a@b\n",
        ":5: unknown key 'emial'. Did you mean 'email'? Allowed: name, email",
    ),
    "no id": ("name: S\n", ": 'id' is missing"),
    "no name": ("id: s\n", ": 'name' is missing. Add `name: <value>`"),
    "slug": ("id: Credit_Scoring\nname: S\n", ":1: 'Credit_Scoring' is not a valid id"),
    "number for text": ("id: s\nname: 12\n", ":2: name must be text, and YAML reads '12' as a num"),
    "yes for text": ("id: s\nname: yes\n", "YAML reads 'yes' as true or false. Put it in quotes"),
    "text for list": (
        "id: s\nname: S\nmlflow: {experiments: credit}\n",
        ":3: mlflow.experiments must be a list. Write mlflow.experiments: [credit]",
    ),
    "text for block": ("id: s\nname: S\nowner: Ann\n", ":3: owner must be `key: value` lines"),
    "empty value": ("id: s\nname: S\nmlflow:\n", ":3: mlflow is empty. Give a value or remove"),
    "role": ("id: s\nname: S\nroles: [provder]\n", "'provder' is not allowed for roles[0]. Did"),
    "risk tier": (
        "id: s\nname: S\nrisk_tier: low\n",
        "'low' is not allowed for risk_tier. Allowed: minimal, limited, high, unacceptable",
    ),
    "metric": (
        "id: s\nname: S\nthresholds:\n  - {id: a, metric: roc_acu, min: 0.7}\n",
        ":4: unknown metric 'roc_acu'. Did you mean 'roc_auc'?",
    ),
    "not a number": (
        "id: s\nname: S\nthresholds:\n  - {id: a, metric: f1, min: high}\n",
        ":4: thresholds[0].min: 'high' is not a number",
    ),
    "quoted number": (
        "id: s\nname: S\nthresholds: [{id: a, metric: f1, min: '0.7'}]\n",
        "'0.7' is not a number. Remove the quotes",
    ),
    "yes for number": (
        "id: s\nname: S\nthresholds: [{id: a, metric: f1, min: yes}]\n",
        "thresholds[0].min: 'yes' is not a number",
    ),
    "nan": (
        "id: s\nname: S\nthresholds: [{id: a, metric: f1, min: .nan}]\n",
        "thresholds[0].min: '.nan': must be a finite number",
    ),
    "endless number": (
        f"id: s\nname: S\nthresholds: [{{id: a, metric: f1, min: 0x{'f' * 9999}}}]\n",
        "is not a number",
    ),
    "impossible time": (
        "id: s\nname: S\nthresholds: [{id: a, metric: f1, min: 0001-01-01 00:00:00 +99:99}]\n",
        "is not a number",
    ),
    "min above max": (
        "id: s\nname: S\nthresholds:\n  - {id: a, metric: f1, min: 0.9, max: 0.1}\n",
        ":4: 'min' (0.9) is above 'max' (0.1): nothing can pass",
    ),
    "no such day": (
        "id: s\nname: S\nthresholds: [{id: a, metric: f1, min: 1, review_by: 2026-13-45}]\n",
        "'2026-13-45' is not a date. Write it as 2027-06-01",
    ),
    "threshold twice": (
        "id: s\nname: S\nthresholds:\n- {id: a, metric: f1, min: 1}\n- {id: a, metric: r2, max: 1}",
        ":5: threshold id declared twice: a",
    ),
    "undeclared feature": (
        "id: s\nname: S\nthresholds:\n- {id: a, metric: accuracy, feature: sex, min: 1}\n",
        "names the feature 'sex', which is not among sensitive_features",
    ),
    "unknown severity": (
        "id: s\nname: S\non_breach: {sever: alert}\n",
        ":3: 'sever' is not allowed for on_breach.sever. Allowed: minor, major, critical",
    ),
    "duration": (
        "id: s\nname: S\ndata: [{name: d, retention: 5 years}]\n",
        "'5 years' is not a duration for data[0].retention. Write P5Y",
    ),
    "card field": (
        "id: s\nname: S\ncard: {limitation: few}\n",
        ":3: unknown card field 'limitation'. Did you mean 'limitations'?",
    ),
    "placeholder": ("id: s\nname: ...\n", ":2: '...' is a placeholder and no value"),
    "empty file": ("", "the file is empty"),
    "comments only": ("# nothing\n", "the file is empty"),
    "list": ("- id: s\n", ": the file is a list; it must be `key: value` lines"),
    "text": ("hello\n", ": the file is a single value"),
    "python tag": ("id: !!python/name:os.system\nname: S\n", ":1: the tag"),
    "merge key": ("id: s\nname: S\n<<: {risk_tier: high}\n", ":3: unknown key '<<'"),
    "odd key": ("id: s\nname: S\n? [a]\n: b\n", ":3: a key must be one word or text"),
    "control character": ("id: s\nname: a\x00b\n", ":2: holds the control character U+0000"),
    "not UTF-8": (b"id: s\nname: caf\xe9\n", ":2: is not UTF-8 text: byte 0xe9 at byte offset 15"),
    "too large": ("# " + "x" * 5_000_000, "is larger than 1 MiB"),
    "too deep": ("id: " + "[" * 100_000, ":1: is nested deeper than 50 levels"),
    "endless alias": ("a: &a [*a]\n", "aliases (*name) expand into too many values"),
    "many aliases": ("a: &a x\nb: [" + "*a, " * 200 + "]\n", "uses more than 100 aliases"),
}
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_says_file_line_and_what_to_do(fault, loader, tmp_path, monkeypatch):
    monkeypatch.setattr(document, "_LOADER", getattr(yaml, loader, yaml.SafeLoader))
    content, expected = FAULTS[fault]
    profile = load(tmp_path, systems__s=content, systems__good="id: good\nname: G\n")
    assert expected in shown(profile)
    assert all(p.file == "governance/systems/s.yaml" for p in profile.problems)
    assert list(profile.systems) == ["good"], "a broken file must leave its neighbours usable"
    with pytest.raises(ProfileError) as caught:
        profile.require_valid()
    assert expected in caught.value.diagnostics()


def test_an_alias_bomb_ends_at_once(tmp_path):
    assert "expand into too many values" in shown(load(tmp_path, systems__s=BOMB))


def test_all_faults_of_a_file_are_told_at_once(tmp_path):
    text = (
        "id: S S\nname: yes\nname: T\nroles: [x]\nrisk_tier: hgih\nthresholds: [{id: a, min: z}]\n"
    )
    lines = {p.line for p in load(tmp_path, systems__s=text).problems}
    assert lines == {1, 2, 3, 4, 5, 6}


def test_messages_do_not_speak_pydantic(tmp_path):
    for number, (content, _) in enumerate(FAULTS.values()):
        text = shown(load(tmp_path / str(number), systems__s=content))
        assert "Input should" not in text
        assert "Value error" not in text


def test_a_union_complains_once(tmp_path):
    profile = load(tmp_path, systems__s="id: s\nname: S\npositive_label: [1]\n")
    assert shown(profile).count("positive_label") == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are of POSIX systems")
def test_a_pipe_does_not_hang_and_a_dangling_link_is_named(tmp_path):
    systems = tmp_path / "governance" / "systems"
    systems.mkdir(parents=True)
    os.mkfifo(systems / "pipe.yaml")
    (systems / "link.yaml").symlink_to("nowhere")
    text = shown(load(tmp_path))
    assert "systems/pipe.yaml: this is not a regular file" in text
    assert "systems/link.yaml: cannot be read: No such file or directory" in text


def test_a_file_without_permission_is_named(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    load(tmp_path, systems__s=VALID)
    monkeypatch.setattr(Path, "open", refuse)
    profile = load_profile(tmp_path / "governance")
    assert "systems/s.yaml: cannot be read: Permission denied" in shown(profile)


# --- names that lead nowhere, and declarations that mean nothing ---------------------------------

LOST = """\
id: s
name: S
sensitive_features: [{name: sex}, {name: sex}]
slices:
  - {name: night, where: {hour: 3}}
robustness:
  perturbations:
    - {id: noise, kind: noise, amount: 0.1}
thresholds:
  - {id: a, metric: accuracy, feature: sexx, min: 0.5}
  - id: b
    metric: accuracy
    min: 0.5
    slice: nigth
  - {id: c, metric: accuracy, perturbation: nois, min: 0.5}
  - {id: c, metric: recall, feature: age x race, min: 0.5}
card: {limitation: few, metrics: good, overviw: x}
"""
FOUND = """\
governance/systems/s.yaml:3: sensitive feature declared twice: sex.
governance/systems/s.yaml:10: threshold 'a' names the feature 'sexx', which is not among \
sensitive_features. Did you mean 'sex'? Allowed: sex.
governance/systems/s.yaml:14: threshold 'b' names the slice 'nigth', which is not declared. \
Did you mean 'night'? Allowed: night.
governance/systems/s.yaml:15: threshold 'c' names the perturbation 'nois', which is not declared. \
Did you mean 'noise'? Allowed: noise.
governance/systems/s.yaml:16: threshold 'c' names the feature 'age', which is not among \
sensitive_features. Allowed: sex.
governance/systems/s.yaml:16: threshold 'c' names the feature 'race', which is not among \
sensitive_features. Allowed: sex.
governance/systems/s.yaml:16: threshold id declared twice: c.
governance/systems/s.yaml:17: card field 'metrics' is measured, nobody declares it.
governance/systems/s.yaml:17: unknown card field 'limitation'. Did you mean 'limitations'?
governance/systems/s.yaml:17: unknown card field 'overviw'. Did you mean 'overview'?"""


def test_every_name_that_leads_nowhere_is_a_problem_of_its_own(tmp_path):
    assert shown(load(tmp_path, systems__s=LOST)) == FOUND


def test_other_faults_do_not_hide_them(tmp_path):
    broken = LOST.replace("name: S\n", "name: 12\n").replace("min: 0.5}\ncard", "min: x}\ncard")
    text = shown(load(tmp_path, systems__s=broken))
    assert set(FOUND.splitlines()) < set(text.splitlines())
    assert "s.yaml:2: name must be text" in text
    assert "s.yaml:16: thresholds[3].min: 'x' is not a number" in text
    assert len(text.splitlines()) == len(FOUND.splitlines()) + 2


def test_a_list_that_cannot_be_read_accuses_no_name(tmp_path):
    thresholds = "thresholds: [{id: a, metric: f1, slice: night, min: 0.5}]"
    for slices in ("slices: night", "slices: [{where: {hour: 3}}]"):
        text = shown(load(tmp_path, systems__s=f"id: s\nname: S\n{slices}\n{thresholds}\n"))
        assert text
        assert "names the slice" not in text
    none = shown(load(tmp_path, systems__s=f"id: s\nname: S\n{thresholds}\n"))
    assert none.endswith("which is not declared. Declare it under slices; none is.")


def test_a_system_built_in_code_is_refused_with_every_name():
    with pytest.raises(ValueError, match=r"twice: t; .* slice 'x'.*; .* slice 'x'.*; unknown card"):
        AISystem(
            id="s",
            name="S",
            thresholds=tuple(
                Threshold(id="t", metric="accuracy", slice="x", min=0.5) for _ in range(2)
            ),
            card={"limitation": "few"},
        )


MEANINGLESS = {
    "empty range": ("slices", "{name: a, where: {x: {min: 5, max: 1}}}", "no number is between"),
    "range of nothing": ("slices", "{name: a, where: {x: {min: 5, max: 5}}}", "no number is"),
    "nan": ("slices", "{name: a, where: {x: .nan}}", "slices[0].where.x must be a value"),
    "infinity": ("slices", "{name: a, where: {x: [1, -.inf]}}", "where.x must be a value"),
    "endless range": ("slices", "{name: a, where: {x: {max: .inf}}}", "must be a finite number"),
    "no noise": ("perturbations", "{id: a, kind: noise, amount: 0}", "changes nothing"),
    "no gaps": ("perturbations", "{id: a, kind: missing, amount: 0}", "changes nothing"),
    "no columns": ("perturbations", "{id: a, kind: noise, amount: 1, columns: []}", "is empty"),
    "permutation": ("perturbations", "{id: a, kind: permutation, amount: 1}", "has no 'amount'"),
    "no direction": (
        "thresholds",
        "{id: a, metric: selection_rate, perturbation: p, max_fall: 0.1}",
        "neither a high nor a low selection_rate is better",
    ),
    "fall of a disparity": (
        "thresholds",
        "{id: a, metric: accuracy_ratio, perturbation: p, max_fall: 0.1}",
        "metric 'accuracy_ratio' is not measured by 'perturbation'",
    ),
    "fall of a scorer": (
        "thresholds",
        "{id: a, metric: pass_rate, perturbation: p, max_fall: 0.1}",
        "metric 'pass_rate' is not measured by 'perturbation'",
    ),
    "fall beyond the range": (
        "thresholds",
        "{id: a, metric: accuracy, perturbation: p, max_fall: 5}",
        "'max_fall' (5) is more than metric 'accuracy' can fall (1)",
    ),
    "per cent": (
        "thresholds",
        "{id: a, metric: accuracy, min: 75}",
        "'min' (75) is outside the range of metric 'accuracy' (0 to 1)",
    ),
    "below a correlation": (
        "thresholds",
        "{id: a, metric: matthews_corrcoef, max: -2}",
        "'max' (-2) is outside the range of metric 'matthews_corrcoef' (-1 to 1)",
    ),
    "above r2": ("thresholds", "{id: a, metric: r2, min: 1.5}", "of metric 'r2' (at most 1)"),
    "below errors": ("thresholds", "{id: a, metric: mae, max: -1}", "'mae' (at least 0)"),
    "two faults": ("thresholds", "{id: a, metric: f1, min: 3, max: 2}", "nothing can pass; 'min'"),
}


@pytest.mark.parametrize("case", MEANINGLESS)
def test_what_nothing_can_pass_or_fail_is_refused_once(case, tmp_path):
    key, entry, expected = MEANINGLESS[case]
    lines = {
        "slices": f"slices: [{entry}]",
        "perturbations": f"robustness: {{perturbations: [{entry}]}}",
        "thresholds": "robustness: {perturbations: [{id: p, kind: noise, amount: 1}]}\n"
        f"thresholds: [{entry}]",
    }
    text = shown(load(tmp_path, systems__s=f"id: s\nname: S\n{lines[key]}\n"))
    assert expected in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    "entry",
    [
        "{id: a, metric: accuracy, min: 0, max: 1}",
        "{id: a, metric: matthews_corrcoef, min: -1}",
        "{id: a, metric: r2, min: -5}",
        "{id: a, metric: mae, max: 1000}",
        "{id: a, metric: mean_error, min: -3, max: 3}",
        "{id: a, logged_metric: anything, min: -3, max: 30}",
        "{id: a, metric: mean_error, perturbation: p, max_fall: 30}",
        "{id: a, metric: selection_rate, perturbation: p, min: 0.1}",
    ],
)
def test_a_limit_within_the_range_is_accepted(entry, tmp_path):
    plan = "robustness: {perturbations: [{id: p, kind: rounding, amount: 0}]}"
    text = shown(load(tmp_path, systems__s=f"id: s\nname: S\n{plan}\nthresholds: [{entry}]\n"))
    assert not text


CONDITIONS = (
    "a value (text, true or false, a finite number), a list of values, or {min: ..., max: ...}."
)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (
            "{max: 1, mx: 2}",
            "unknown key 'mx'. Did you mean 'max'? Allowed: min, max. A condition",
        ),
        ("[1, [2]]", "slices[0].where.x must be "),
        ("[{min: 1}]", "slices[0].where.x must be "),
        ("[1, null]", "slices[0].where.x must be "),
    ],
)
def test_a_condition_that_is_none_is_told_once_with_what_is_allowed(condition, said, tmp_path):
    text = f"id: s\nname: S\nslices:\n  - name: a\n    where:\n      x: {condition}\n"
    found = shown(load(tmp_path, systems__s=text))
    assert f"s.yaml:6: {said}" in found
    assert found.endswith(CONDITIONS)
    assert len(found.splitlines()) == 1


@pytest.mark.parametrize("condition", ["3", "a", "true", "2.5", "[1, a, no]", "{min: 1}"])
def test_conditions_read_as_they_are_written(condition, tmp_path):
    text = f"id: s\nname: S\nslices: [{{name: a, where: {{x: {condition}}}}}]\n"
    profile = load(tmp_path, systems__s=text)
    assert not profile.problems
    written = yaml.safe_load(condition)
    held = profile.systems["s"].model_dump(mode="json", exclude_none=True)["slices"][0]["where"][
        "x"
    ]
    assert held == written
    assert type(held) is type(written)


# --- faults between files ------------------------------------------------------------------------


def test_one_id_in_two_files_names_both_and_uses_neither(tmp_path):
    profile = load(tmp_path, systems__a="id: s\nname: A\n", systems__b="name: B\nid: s\n")
    text = shown(profile)
    assert "systems/a.yaml:1: the system id 's' is declared in governance/systems/b.yaml" in text
    assert "systems/b.yaml:2: the system id 's' is declared in governance/systems/a.yaml" in text
    assert profile.system("s") is None


@pytest.mark.parametrize(
    ("key", "what"), [("experiments", "experiment"), ("registered_models", "registered model")]
)
def test_a_contested_claim_names_both_files_and_lines_and_stays_unclaimed(tmp_path, key, what):
    claim = f"mlflow:\n  {key}:\n    - mine\n    - shared\n"
    profile = load(
        tmp_path,
        systems__a=f"id: a\nname: A\n{claim}",
        systems__b=f"id: b\nname: B\n{claim.replace('mine', 'yours')}",
    )
    text = shown(profile)
    assert f"a.yaml:6: the {what} 'shared' is claimed in governance/systems/b.yaml:6" in text
    assert f"b.yaml:6: the {what} 'shared' is claimed in governance/systems/a.yaml:6" in text
    assert set(profile.systems) == {"a", "b"}
    if key == "experiments":
        assert profile.claimant("shared", []) is None
        assert profile.claimant("mine", []) == "a"
    else:
        assert profile.claimant("x", ["shared"]) is None


# --- the statement of applicability --------------------------------------------------------------


def test_decisions_are_read_and_the_rest_is_undecided(tmp_path):
    soa = """\
A.2.2: {decision: applicable, owner: Ann}
A.10.4:
  decision: not_applicable
  justification: no customers
"""
    profile = load(tmp_path, __soa=soa)
    assert not profile.problems
    assert profile.decision("A.2.2").decision is Applicability.APPLICABLE
    assert profile.decision("A.10.4").justification == "no customers"
    assert profile.decision("A.3.2").decision is Applicability.UNDECIDED
    assert list(profile.soa_body()["decisions"]) == [
        "ISO/IEC 42001:2023 A.2.2",
        "ISO/IEC 42001:2023 A.10.4",
    ]


SOA_FAULTS = {
    "unknown control": ("A.6.2.9: {decision: applicable}\n", ":1: unknown control 'A.6.2.9'. Did"),
    "unjustified": (
        "A.2.2:\n  decision: not_applicable\n",
        ":1: not_applicable needs a 'justification'",
    ),
    "decision": ("A.2.2: {decision: aplicable}\n", "Did you mean 'applicable'?"),
    "shorthand": ("A.2.2: applicable\n", ":1: A.2.2 is a single value"),
    "empty": ("A.2.2:\n", ":1: A.2.2 is empty"),
    "list": ("- A.2.2\n", ":1: must be `control id: {decision: ...}` lines"),
    "evidence kind": (
        "A.5.3:\n  evidence:\n    - {kind: impact_assesment, title: t}\n",
        ":3: unknown evidence kind 'impact_assesment'. Did you mean 'impact_assessment'?",
    ),
    "evidence system": (
        "A.5.3:\n  evidence:\n    - {kind: impact_assessment, title: t, system: goood}\n",
        ":3: the system 'goood' is not declared. Did you mean 'good'?",
    ),
}


@pytest.mark.parametrize("fault", SOA_FAULTS)
def test_a_fault_in_one_decision_leaves_the_others(fault, tmp_path):
    content, expected = SOA_FAULTS[fault]
    good = "" if content.startswith("-") else "A.3.2: {decision: applicable}\n"
    profile = load(tmp_path, __soa=content + good, systems__good="id: good\nname: G\n")
    assert expected in shown(profile)
    assert len(profile.problems) == 1
    if good:
        assert profile.decision("A.3.2").decision is Applicability.APPLICABLE


def test_a_security_artifact_may_be_declared_in_order_to_be_refused(tmp_path):
    soa = "A.5.3:\n  evidence: [{kind: penetration_test, title: t}]\n"
    assert not load(tmp_path, __soa=soa).problems


# --- warnings -------------------------------------------------------------------------------------


def test_what_is_valid_and_deserves_a_look(tmp_path):
    system = """\
id: s
name: S
thresholds:
  - {id: a, metric: f1, min: 0.5, review_by: 2026-06-01, reason: r, approved_by: Ann}
  - {id: b, metric: f1, min: 0.5, review_by: 2027-06-01}
"""
    profile = load(
        tmp_path,
        systems__other=system,
        __aims="ledger_uri: postgresql://me:secret@db/aims\n",
        __risks="- x\n",
        __system="id: x\n",
        __soa="A.2.2: {decision: inherited}\n",
    )
    (tmp_path / "governance" / "systems" / "notes.txt").write_text("x")
    (tmp_path / "governance" / "README.md").write_text("x")
    profile = load_profile(tmp_path / "governance", today=date(2026, 11, 23))
    assert not profile.problems
    text = "\n".join(map(str, profile.warnings))
    assert "other.yaml:1: the file declares 's' and is named 'other'" in text
    assert "other.yaml:4: threshold 'a' was due for review by 2026-06-01" in text
    assert "other.yaml:5: threshold 'b' has no reason and no approved_by" in text
    assert "aims.yaml:1: ledger_uri holds a password" in text
    assert "secret" not in text
    assert "risks.yaml: is not read by this version" in text
    assert "system.yaml: nothing reads this. Did you mean 'systems'?" in text
    assert "systems/notes.txt: nothing reads this" in text
    assert "soa.yaml:1: A.2.2 is inherited and does not say from whom" in text
    assert len(profile.warnings) == 8


# --- lines to add --------------------------------------------------------------------------------


def test_each_missing_field_has_a_line_whose_values_a_person_must_write(tmp_path):
    lines = lines_to_add(AISystem(id="s", name="S"))
    assert set(lines) == set(AISystem.model_fields) - {"id", "name"}
    assert lines["owner"] == "owner: {name: ..., email: ...}"
    for key, line in lines.items():
        profile = load(tmp_path / key, systems__s=f"id: s\nname: S\n{line}\n")
        wrong = [p.message for p in profile.problems if "placeholder" not in p.message]
        assert not [m for m in wrong if "unknown key" in m], "a line must fit where it is pasted"


def test_a_declared_field_has_no_line():
    system = AISystem(id="s", name="S", intended_use="x", card={"limitations": "few"})
    assert line_to_add(system, "intended_use") == ""
    assert line_to_add(system, "limitations") == ""
    assert line_to_add(system, "card.tradeoffs").startswith("  tradeoffs: ...")
    assert line_to_add(None, "owners") == "owner: {name: ..., email: ...}"
    with pytest.raises(KeyError, match="nobody declares 'hyperparameters'"):
        line_to_add(system, "hyperparameters")


# --- finding the folder -------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path):
    (tmp_path / "governance" / "systems").mkdir(parents=True)
    (tmp_path / "src" / "deep").mkdir(parents=True)
    return tmp_path


def test_the_folder_is_found_from_below_and_from_within(project):
    expected = project / "governance"
    for start in (project, project / "src" / "deep", expected, expected / "systems"):
        assert find_profile(start, {}) == expected


def test_a_folder_of_that_name_without_declarations_is_not_ours(tmp_path):
    (tmp_path / "governance").mkdir()
    assert find_profile(tmp_path, {}) is None


def test_the_variable_names_the_folder_or_its_parent(project):
    for value in (project, project / "governance"):
        assert find_profile(Path("/"), {"AIMS_PROFILE": str(value)}) == project / "governance"
    assert find_profile(project, {"AIMS_PROFILE": " "}) == project / "governance"


@pytest.mark.parametrize(("name", "fault"), [("nowhere", "does not exist"), ("src", "holds neith")])
def test_a_wrong_variable_is_an_error(project, name, fault):
    with pytest.raises(ProfileError) as caught:
        find_profile(project, {"AIMS_PROFILE": str(project / name)})
    assert fault in caught.value.diagnostics()
    assert "aims init" in caught.value.diagnostics()


def test_finding_loads_no_library():
    code = "import sys, aims_mlflow.governance.find; print({'yaml', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- anything at all -----------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.one_of(st.binary(max_size=300), st.text(alphabet="ab: -[]{}&*!|>'\"#\n\t,?.", max_size=80))
)
def test_no_content_makes_reading_raise(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any") / "governance"
    (folder / "systems").mkdir(parents=True)
    data = content if isinstance(content, bytes) else content.encode()
    for name in ("aims.yaml", "soa.yaml", "systems/s.yaml"):
        (folder / name).write_bytes(data)
    profile = load_profile(folder)
    assert profile.problems or profile.systems
    assert all(p.file.startswith("governance/") and p.message for p in profile.problems)


@settings(deadline=None)
@given(
    st.recursive(
        # Longer integers stay text, so that no file can make Python refuse to write them.
        st.text() | st.integers(1 - 2**64, 2**64 - 1) | st.booleans(),
        lambda s: st.lists(s, max_size=3),
    )
)
def test_quoted_values_read_back_as_they_were(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("doc") / "x.yaml"
    path.write_text(json.dumps({"key": value}), "utf-8")
    read = read_document(path, "x.yaml")
    if not read.problems:
        assert read.data == {"key": value}
