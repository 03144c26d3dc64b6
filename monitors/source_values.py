"""What other libraries say of data, without the values that they quote from it."""

from __future__ import annotations

import re

#: What introduces a quoted name, which is no value: a column, a type, a place.
_NAMED = re.compile(
    r"\b(?:columns?|dtype|type|user|role|database|relation|table|schema|server at|host(?: name)?|"
    r"socket|module named|function|protocol|driver|extension|package)\s+$",
    re.IGNORECASE,
)
_NAME = re.compile(r"""(["'`])[^"'`]{1,100}\1""")
#: Where a quotation begins; the apostrophe of "can't" is within a word.
_QUOTE = re.compile(r"""(?<!\w)["'`“‘]|(?<=\w)["`“]""")
#: What introduces a value or a row that stands there without quotes.
_CUE = re.compile(
    r"\bgot \d+: |\bparse:? (?=[^\w\s]|\S*[,;])|to parse: |Original Line|DETAIL:|CONTEXT:|HINT:|"
    r"LINE \d+:|\[parameters|\[SQL|\bvalues?:? (?=[\[({\d.+-])|\bvalues?: |\btimestamp: |"
    r"\brow: |\bout of range: |\)=\("
)
#: What says where in the data a value stands.
_PLACE = re.compile(
    r"""\bcolumn (?:(["'`])[^"'`]{1,100}\1)|"""
    r"\b(?:column number|column|line|row|position|offset|byte)s?:? (?:is )?#?\d{1,12}\b",
    re.IGNORECASE,
)


def without_values(text: str) -> str:
    """A library's message up to the first value that it quotes, and the places named after it.

    Parsers put the cell or the whole row that they cannot read into their messages; drivers put
    it into a DETAIL. Reports and evidence are read by more people than the data are.

    >>> without_values("could not parse `Ada` as dtype `i64` at column 'age' (column number 2)")
    "could not parse … column 'age', column number 2"
    >>> without_values('relation "loans" does not exist')
    'relation "loans" does not exist'
    """
    line = " ".join(text.split())
    end = _end(line)
    if end == len(line):
        return line
    places = dict.fromkeys(found[0] for found in _PLACE.finditer(line, end))
    return " ".join(filter(None, (line[:end].rstrip(" ([{:,"), "…", ", ".join(places))))


def _end(line: str) -> int:
    """Where the first value begins; the end of the line where there is none."""
    cue = _CUE.search(line)
    limit = cue.end() if cue else len(line)
    at = 0
    while (quote := _QUOTE.search(line, at)) and quote.start() < limit:
        start = quote.start()
        name = _NAME.match(line, start)
        if name is None or not _NAMED.search(line, max(0, start - 40), start):
            return start
        at = name.end()
    return limit
