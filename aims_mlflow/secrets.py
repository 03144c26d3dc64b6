"""What looks like a secret: names of keys, and known forms of tokens in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

#: Characters of a value that are looked at. Documents keep the first 500.
SCANNED = 20_000


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words that make a key secret wherever they stand in it.
_STRONG = _words(
    "pwd pswd pw passphrase passcode pgpass secret secrets passwords credential credentials "
    "apikey privatekey accesskey authtoken accesstoken"
)
#: Endings that do in any word: "dbpassword", "clientsecret", "secretkey".
_ENDINGS = ("password", "passwd", "secret", "secretkey", "apikey")
#: Words that do at the end of a key, unless these precede them: "first_pass", "eos_token".
_LAST = {
    "token": _words(
        "eos bos pad unk mask sep cls special stop start end begin next max min num n new image "
        "decoder forced first last per by each prompt target source class audio video prefix "
        "suffix middle oov sos eot eom lang language delimiter word char sub whole vocab bpe task "
        "user assistant system tool"
    ),
    "pass": _words("first second third n num forward backward single one two multi per by"),
}
#: Pairs of neighbouring words that do.
_PAIRS = frozenset(
    {
        *(
            (first, "key")
            for first in (
                *("api", "access", "private", "account", "encryption", "secret", "signing"),
                *("storage", "subscription", "master", "openai", "anthropic", "wandb", "azure"),
            )
        ),
        ("hf", "tokens"),
        *((first, "token") for first in ("auth", "access", "refresh", "bearer", "session", "api")),
        ("connection", "string"),
    }
)
#: What follows a secret word where the value only speaks of one: its length, its place, its name.
_ABOUT = _words(
    "length len policy file path name names min max count size enabled required env variable var "
    "manager id ids field column columns type rotation expiry ttl arn"
)
#: What precedes a number of secrets.
_COUNTS = _words("n num max min count")
#: What a text under a secret key is where it names a variable and holds no secret.
_VARIABLE = re.compile(r"\$[A-Za-z_]\w*|\$\{[A-Za-z_]\w*\}|env:[A-Za-z_]\w*")
#: Keys whose own keys are names of columns, and say nothing about the values.
_OF_COLUMNS = frozenset({"where", "expect", "tests"})
NAMED = "key named like a secret"
#: What is no secret although a form matches it: "password: hashed" in a sentence, the folder
#: "token=x/*.parquet", a port with a path before an @, a title such as "Basic requirements-2026".
_DOUBTFUL = {
    NAMED: re.compile(r".*:\s+[^\W\d_]+[.]?|.*/\S*[*{]\S*", re.DOTALL),
    "password in a URL": re.compile(r"[^:]*://[^:]*:\d{1,5}/.*", re.DOTALL),
    "Authorization header": re.compile(
        r"\w+\s+[A-Za-z]{2,}(?:[-_/.](?:[A-Za-z]{2,}|\d{1,4}))+", re.DOTALL
    ),
}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SUSPECT = re.compile(r"pass|pw|pswd|secret|token|key|cred|connection", re.IGNORECASE)
#: Values that no key makes secret.
_PLAIN = frozenset({"", "none", "null", "true", "false", "yes", "no", "nan"})


class _Form(NamedTuple):
    rule: str
    pattern: re.Pattern[str]


def _form(rule: str, pattern: str, flags: re.RegexFlag = re.NOFLAG) -> _Form:
    """A form of a token; where the pattern has groups, what matched one of them is the secret.

    A `<` in the pattern is the beginning of a word, where an underscore ends one too.
    """
    return _Form(rule, re.compile(pattern.replace("<", r"(?<![A-Za-z0-9])"), flags))


_KEYS = (
    r"(?:password|passwd|pswd|pwd|passphrase|passcode|secret|api[_-]?key|access[_-]?key|"
    r"account[_-]?key|private[_-]?key|<pass|<db_pass|(?:auth|access|refresh|api|bearer|hf)[_-]?token"
    r"|<token(?=[\"']?\s*[=:]\s*[\"']?[^\s\"',;&}\]]{12}))"
)
_FORMS = (
    _form("private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END[^\n]*|\Z)", re.DOTALL),
    _form("AWS access key", r"<(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _form("GitHub token", r"<(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,})"),
    _form("GitLab token", r"<gl(?:pat|dt|rt|cbt|ptt)-[\w-]{20,}"),
    _form("Hugging Face token", r"<(?:hf|api_org)_[A-Za-z0-9]{30,}"),
    _form("Slack token", r"<xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    _form("Slack webhook", r"https://hooks\.slack\.com/services/[\w/]{20,}"),
    # With a digit: a name such as "sk-learn-random-forest-baseline" has none.
    _form("API key of a model provider", r"<sk-(?=[\w-]*\d)(?:[a-z]+-)*[\w-]{20,}"),
    _form("API key of a model provider", r"<(?:gsk_|r8_|xai-|glsa_)[A-Za-z0-9_]{20,}"),
    _form("webhook", r"https://(?:discord(?:app)?\.com/api/webhooks|api\.telegram\.org)/\S{10,}"),
    _form("Google API key", r"<AIza[\w-]{35}"),
    _form("Google OAuth token", r"<ya29\.[\w-]{20,}"),
    _form("Databricks token", r"<dapi[0-9a-f]{32}(?:-\d)?"),
    _form("Stripe key", r"<[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    _form("PyPI token", r"<pypi-AgE[\w-]{20,}"),
    _form("npm token", r"<npm_[A-Za-z0-9]{36}"),
    _form("SendGrid key", r"<SG\.[\w-]{20,}\.[\w-]{20,}"),
    _form("JSON Web Token", r"<eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
    _form(
        "password in a URL",
        # Up to the last @ before a space: careless passwords hold one, or a slash.
        # Before the @ of Azure's file systems stands the name of a container.
        r"<(?!abfss?:|wasbs?:)[a-zA-Z][a-zA-Z0-9+.-]{0,30}://"
        r"(?:[^\s/:@]{0,100}:([^\s\"'@]{1,500}(?:@[^\s\"'@/]{1,100})?)|([^\s/:@]{16,500}))"
        r"@(?=[\w.\[-])",
    ),
    _form(
        "signature in a URL",
        r"[?&](?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|Signature|sig|"
        r"AWSAccessKeyId|GoogleAccessId|Key-Pair-Id|(?:auth|sas|id|session|security)[_-]?token)"
        r"=([^&\s\"']+)",
        re.IGNORECASE,
    ),
    # A short one is rather a number of a page or of a word.
    _form("token in a URL", r"[?&](?:token|auth|sas|jwt|apikey)=([^&\s\"'{}]{6,})", re.IGNORECASE),
    _form("Authorization header", r"<(?:Bearer|Basic)\s+((?=\S*\d)[A-Za-z0-9+/_.~-]{16,}=*)"),
    _form("user and password of a command", r"<curl\s[^\n]{0,200}?(?:-u|--user)\s+(\S{3,})"),
    _form(
        NAMED,
        rf"{_KEYS}[\"']?\s*[=:]\s*(?:\"([^\"]{{3,}})\"|'([^']{{3,}})'|([^\s\"',;&}}\]]{{3,}}))",
        re.IGNORECASE,
    ),
    _form(NAMED, r"--(?:password|passwd|token|api-key|secret)\s+([^\s-]\S{2,})", re.IGNORECASE),
)
#: One look that finds nothing spares twenty.
_HINT = re.compile(
    r"-----BEGIN|AKIA|ASIA|ABIA|ACCA|gh[pousr]_|github_pat_|gl(?:pat|dt|rt|cbt|ptt)-|hf_|api_org_|"
    r"xox|slack\.com|discord|telegram|curl|gsk_|r8_|xai-|glsa_|sk-|AIza|ya29|dapi|[rs]k_|pypi-|npm_|SG\.|eyJ|://|signature|token|sig=|"
    r"credential|accessid|auth=|sas=|jwt=|bearer|basic|pass|pswd|pwd|secret|key",
    re.IGNORECASE,
)


def is_secret_name(key: str) -> bool:
    """Whether a key is named like a secret.

    >>> [is_secret_name(key) for key in ("db_password", "hf_token", "apiKey", "AWS_SECRET_ACCESS")]
    [True, True, True, True]
    >>> [is_secret_name(key) for key in ("max_tokens", "eos_token", "password_length", "key")]
    [False, False, False, False]
    """
    if not _SUSPECT.search(key):
        return False
    words = [word.lower() for word in _WORDS.findall(key[:500])]
    for index, word in enumerate(words):
        before = words[index - 1] if index else ""
        after = words[index + 1] if index + 1 < len(words) else ""
        if after in _ABOUT:
            continue
        counted = before in _COUNTS and word.endswith("s")
        if not counted and (word in _STRONG or word.endswith(_ENDINGS)):
            return True
        if (before, word) in _PAIRS:
            return True
        if word in _LAST and not after and before not in _LAST[word]:
            return True
    return False


def is_plain(key: str, value: str) -> bool:
    """A switch or a number under a key such as `use_secret` or `token` holds no secret."""
    text = value.strip().lower()
    number = text.replace(".", "", 1).isdigit()
    return text in _PLAIN or (number and any(word in key.lower() for word in ("token", "pass")))


def cleared(text: str) -> tuple[str, tuple[str, ...]]:
    """A text without what looks like a secret, and the rules that say so.

    Of a text longer than 20,000 characters the rest is dropped where its beginning held a secret.

    >>> cleared("postgresql://ada:hunter22@db/loans")
    ('postgresql://ada:[redacted: password in a URL]@db/loans', ('password in a URL',))
    """
    head, tail = text[:SCANNED], text[SCANNED:]
    if not _HINT.search(head):
        return text, ()
    rules = []
    for form in _FORMS:
        found = form.pattern.sub(partial(_without, form), head)
        if found != head:
            head = found
            rules.append(form.rule)
    if not rules:
        return text, ()
    return head + ("[redacted: the rest]" if tail else ""), tuple(dict.fromkeys(rules))


def _without(form: _Form, match: re.Match[str]) -> str:
    group = match.lastindex or 0
    whole, secret = match[0], match[group]
    if secret.startswith("[redacted"):
        return whole
    start = match.start(group) - match.start()
    return f"{whole[:start]}[redacted: {form.rule}]{whole[start + len(secret) :]}"


def cleared_tree(value: Any) -> Any:
    """Texts, lists and mappings without what looks like a secret, by value and by key.

    Whatever is under a key that is named like a secret goes, numbers and switches excepted.

    >>> cleared_tree({"options": {"api_key": "k3y", "depth": 3}})
    {'options': {'api_key': '[redacted: key named like a secret]', 'depth': 3}}
    """
    return _cleared(value, "", secret=False)


def _cleared(value: Any, key: str, *, secret: bool) -> Any:
    if isinstance(value, str):
        if secret and not _names_no_secret(key, value):
            return f"[redacted: {NAMED}]"
        return cleared(value)[0]
    if isinstance(value, Mapping):
        return {
            cleared(str(name))[0]: _cleared(
                item,
                str(name),
                secret=key not in _OF_COLUMNS and (secret or is_secret_name(str(name))),
            )
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(_cleared(item, key, secret=secret) for item in value)
    return value


def credentials(
    value: Any, place: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where a declaration holds a credential, and the rule that says so.

    Less eager than `cleared`, because what is found is refused: of "password: hashed" in a
    sentence, or "localhost:8080/@scope", nobody needs to be told.

    Args:
        value: Plain data: texts, lists, mappings.
        place: Where it stands: keys and list positions from the top.

    Yields:
        The place of each text that holds one, or of each key, and the rule.
    """
    if isinstance(value, str):
        key = next((step for step in reversed(place) if isinstance(step, str)), "")
        columns = len(place) > 1 and place[-2] in _OF_COLUMNS
        if is_secret_name(key) and not columns and not _names_no_secret(key, value):
            yield place, NAMED
        else:
            yield from ((place, rule) for rule in _certain(value))
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from (((*place, name), rule) for rule in _certain(str(name)))
            yield from credentials(item, (*place, name))
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from credentials(item, (*place, position))


def _names_no_secret(key: str, value: str) -> bool:
    return is_plain(key, value) or _VARIABLE.fullmatch(value.strip()) is not None


def _certain(text: str) -> tuple[str, ...]:
    """The rule of the first credential in a text, where one is beyond doubt."""
    head = text[:SCANNED]
    if not _HINT.search(head):
        return ()
    for form in _FORMS:
        for match in form.pattern.finditer(head):
            secret = match[match.lastindex or 0]
            doubtful = _DOUBTFUL.get(form.rule)
            if doubtful is not None and doubtful.fullmatch(match[0]):
                continue
            if not (_VARIABLE.fullmatch(secret) or secret.startswith("[redacted")):
                return (form.rule,)
    return ()
