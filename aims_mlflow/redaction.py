"""Leave out what looks like a secret before anything is stored.

MLflow keeps what people logged; evidence is sealed and can never be changed, so a password that
went into a param must not go on into a card. Two rules: a key that is named like a secret, and a
value in a known form of a token. What was left out is recorded by its place and by the rule.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.facts import Redaction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aims_mlflow.facts import DatasetFacts, RunFacts

#: Characters of a value that are looked at. Documents keep the first 500.
SCANNED = 2_000


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words that make a key secret wherever they stand in it.
_STRONG = _words(
    "password passwd pwd passphrase secret secrets credential credentials apikey privatekey "
    "accesskey authtoken accesstoken"
)
#: Pairs of neighbouring words that do.
_PAIRS = frozenset(
    {
        *((first, "key") for first in ("api", "access", "private", "account", "encryption")),
        *((first, "token") for first in ("auth", "access", "refresh", "bearer", "session", "api")),
        ("connection", "string"),
    }
)
#: What follows a secret word where the value only speaks of one: its length, its place, its name.
_ABOUT = _words(
    "length len policy file path name names min max count size enabled required env variable var "
    "manager id ids field column columns type rotation expiry ttl arn"
)
#: What precedes "token" where it is a piece of text and no pass: language models name these.
_TEXT_TOKENS = _words(
    "eos bos pad unk mask sep cls special stop start end begin next max min num n new image "
    "decoder forced first last per by each prompt target source class audio video"
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SUSPECT = re.compile(r"pass|pwd|secret|token|key|cred|connection", re.IGNORECASE)
#: Values that no key makes secret.
_PLAIN = frozenset({"", "none", "null", "true", "false", "yes", "no", "nan"})


class _Form(NamedTuple):
    rule: str
    pattern: re.Pattern[str]
    #: The group of the pattern that is left out; 0 for all of it.
    group: int = 0


_FORMS = (
    _Form(
        "private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]{0,8192}(?:-----END)?")
    ),
    _Form("AWS access key", re.compile(r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b")),
    _Form("GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,})")),
    _Form("GitLab token", re.compile(r"\bgl(?:pat|dt|rt|cbt|ptt)-[\w-]{20,}")),
    _Form("Hugging Face token", re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}\b")),
    _Form("Slack token", re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}")),
    _Form("Slack webhook", re.compile(r"https://hooks\.slack\.com/services/[\w/]{20,}")),
    _Form("API key of a model provider", re.compile(r"\bsk-(?:[a-z]+-)*[\w-]{20,}")),
    _Form("Google API key", re.compile(r"\bAIza[\w-]{35}")),
    _Form("Google OAuth token", re.compile(r"\bya29\.[\w-]{20,}")),
    _Form("Databricks token", re.compile(r"\bdapi[0-9a-f]{32}(?:-\d)?\b")),
    _Form("Stripe key", re.compile(r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}")),
    _Form("PyPI token", re.compile(r"\bpypi-AgE[\w-]{20,}")),
    _Form("npm token", re.compile(r"\bnpm_[A-Za-z0-9]{36}\b")),
    _Form("SendGrid key", re.compile(r"\bSG\.[\w-]{20,}\.[\w-]{20,}")),
    _Form(
        "JSON Web Token",
        re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
    ),
    _Form("password in a URL", re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@]*:([^\s/@]+)@"), 1),
    _Form(
        "signature in a URL",
        re.compile(
            r"[?&](?:X-Amz-Signature|X-Amz-Security-Token|X-Goog-Signature|Signature|sig)"
            r"=([^&\s\"']+)",
            re.IGNORECASE,
        ),
        1,
    ),
    _Form(
        "Authorization header",
        re.compile(r"\b(?:Bearer|Basic)\s+([A-Za-z0-9+/_.~-]{16,}=*)"),
        1,
    ),
    _Form(
        "key named like a secret",
        re.compile(
            r"(?:password|passwd|pwd|passphrase|secret|api[_-]?key|access[_-]?key|account[_-]?key|"
            r"private[_-]?key|(?:auth|access|refresh|api|bearer)[_-]?token)"
            r"[\"']?\s*[=:]\s*[\"']?([^\s\"',;&}\]]{3,})",
            re.IGNORECASE,
        ),
        1,
    ),
)


def redact(facts: RunFacts) -> RunFacts:
    """The facts without what looks like a secret; `redactions` say what was left out, and why.

    Looked at are params, tags, the run's name, the names and sources of datasets, and the name of
    the script.
    """
    found: list[Redaction] = []
    changed = {
        "params": _named(facts.params, "param", found),
        "tags": _named(facts.tags, "tag", found),
        "run_name": _cleared(facts.run_name, "run name", found),
        "experiment_name": _cleared(facts.experiment_name, "experiment name", found),
        "source_name": (
            _cleared(facts.source_name, "source name", found) if facts.source_name else None
        ),
        "datasets": tuple(_dataset(dataset, found) for dataset in facts.datasets),
    }
    if not found:
        return facts
    return facts.model_copy(update={**changed, "redactions": (*facts.redactions, *found)})


def redact_named(values: Mapping[str, str]) -> dict[str, str]:
    """Params or tags without what looks like a secret."""
    return _named(values, "", [])


def is_secret_name(key: str) -> bool:
    """Whether a key is named like a secret.

    >>> [is_secret_name(key) for key in ("db_password", "hf_token", "apiKey", "AWS_SECRET_ACCESS")]
    [True, True, True, True]
    >>> [is_secret_name(key) for key in ("max_tokens", "eos_token", "password_length", "key")]
    [False, False, False, False]
    """
    if not _SUSPECT.search(key):
        return False
    words = [word.lower() for word in _WORDS.findall(key[:SCANNED])]
    for index, word in enumerate(words):
        before = words[index - 1] if index else ""
        after = words[index + 1] if index + 1 < len(words) else ""
        if after in _ABOUT:
            continue
        if word in _STRONG or (before, word) in _PAIRS:
            return True
        if word == "token" and not after and before not in _TEXT_TOKENS:
            return True
    return False


def _named(values: Mapping[str, str], what: str, found: list[Redaction]) -> dict[str, str]:
    return {key: _value(key, value, f"{what} {key}", found) for key, value in values.items()}


def _value(key: str, value: str, where: str, found: list[Redaction]) -> str:
    if is_secret_name(key) and not _is_plain(key, value):
        rule = "key named like a secret"
        found.append(Redaction(where=where, rule=rule))
        return f"[redacted: {rule}]"
    return _cleared(value, where, found)


def _is_plain(key: str, value: str) -> bool:
    """A switch or a number under a key such as `use_secret` or `token` holds no secret."""
    text = value.strip().lower()
    return text in _PLAIN or ("token" in key.lower() and text.replace(".", "", 1).isdigit())


def _cleared(text: str, where: str, found: list[Redaction]) -> str:
    head, tail = text[:SCANNED], text[SCANNED:]
    for form in _FORMS:
        cleared = form.pattern.sub(partial(_without, form), head)
        if cleared != head:
            head = cleared
            found.append(Redaction(where=where, rule=form.rule))
    return head + tail


def _without(form: _Form, match: re.Match[str]) -> str:
    whole, secret = match[0], match[form.group]
    if secret.startswith("[redacted"):
        return whole
    start = match.start(form.group) - match.start()
    return f"{whole[:start]}[redacted: {form.rule}]{whole[start + len(secret) :]}"


def _dataset(dataset: DatasetFacts, found: list[Redaction]) -> DatasetFacts:
    where = f"dataset {dataset.name[:100]}"
    return dataset.model_copy(
        update={
            "name": _cleared(dataset.name, where, found),
            "source": _cleared(dataset.source, f"{where}, source", found),
        }
    )
