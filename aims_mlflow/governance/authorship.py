"""Who declared what, and when: the line's last commit, as git knows it."""

from __future__ import annotations

from aims_mlflow.evidence import Frozen, UtcDatetime


class Authorship(Frozen):
    """Who declared something, as git knows it: the commit that last touched the line.

    `commit` is None for what is not committed, or kept without git; `note` then says which.
    """

    author: str | None = None
    time: UtcDatetime | None = None
    commit: str | None = None
    note: str = ""
