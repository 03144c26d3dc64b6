"""Markdown that people wrote by hand, made safe for a document.

HTML stays text, images become their words, and only web and mail addresses are links. Headings
move below the heading that the text stands under.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from aims_mlflow.model_card.formats.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from markdown_it.tree import SyntaxTreeNode

#: The level of the heading that the text stands under.
_ABOVE = 3
_LOWEST = 6
_LINK = re.compile(r"(?:https?://|mailto:)[^\s\\<>()]+\Z", re.IGNORECASE)
_BACKTICKS = re.compile(r"`+")


def to_html(text: str) -> Markup:
    """The text as HTML; the only attributes are those of links and the first number of a list."""
    parser = _parser()
    tokens = _shifted(text)
    for token in tokens:
        if token.type != "ordered_list_open":
            token.attrs = {}
        for child in token.children or ():
            if child.type == "link_open":
                # A title would hide words that only a mouse finds.
                child.attrs = {"href": child.attrs["href"], "rel": "noopener noreferrer"}
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def to_markdown(text: str, plain: Callable[[str], str]) -> list[str]:
    """The text as lines of Markdown that every reader shows alike.

    Args:
        text: Markdown.
        plain: Makes a text stay text.
    """
    from markdown_it.tree import SyntaxTreeNode

    return [*_Writer(plain).blocks(SyntaxTreeNode(_shifted(text)).children), ""]


def _shifted(text: str) -> list[Token]:
    """The tokens, with the highest heading just below the one that the text stands under."""
    tokens = _parser().parse(visible(text))
    headings = [t for t in tokens if t.type in ("heading_open", "heading_close")]
    shift = _ABOVE + 1 - min((int(token.tag[1:]) for token in headings), default=1)
    for token in headings:
        token.tag = f"h{min(int(token.tag[1:]) + shift, _LOWEST)}"
    return tokens


class _Writer:
    def __init__(self, plain: Callable[[str], str]) -> None:
        self._plain = plain

    def blocks(self, nodes: Sequence[SyntaxTreeNode]) -> list[str]:
        """Lines of the blocks, an empty one between two; none after a line of a tight list."""
        lines: list[str] = []
        for node in nodes:
            lines += [*self._block(node), *([] if node.hidden else [""])]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def _block(self, node: SyntaxTreeNode) -> list[str]:
        match node.type:
            case "heading":
                return [f"{'#' * int(node.tag[1:])} {self._inline(node.children)}"]
            case "bullet_list" | "ordered_list":
                return self._list(node)
            case "blockquote":
                return [f"> {line}".rstrip() for line in self.blocks(node.children)]
            case "fence" | "code_block":
                return _fenced(node.content)
            case "hr":
                return ["* * *"]
            case "table":
                return self._table(node)
        return [self._inline(node.children)]

    def _list(self, node: SyntaxTreeNode) -> list[str]:
        start = int(node.attrs.get("start", 1))
        lines: list[str] = []
        for index, item in enumerate(node.children):
            mark = f"{start + index}. " if node.type == "ordered_list" else "- "
            own = self.blocks(item.children) or [""]
            body = [f"{' ' * len(mark)}{line}" if line else "" for line in own[1:]]
            lines += [f"{mark}{own[0]}", *body]
        return lines

    def _table(self, node: SyntaxTreeNode) -> list[str]:
        rows = [row for part in node.children for row in part.children]
        lines = [f"| {' | '.join(self._inline(c.children) for c in r.children)} |" for r in rows]
        return [lines[0], f"|{' --- |' * len(rows[0].children)}", *lines[1:]]

    def _inline(self, nodes: Sequence[SyntaxTreeNode]) -> str:
        return "".join(map(self._span, nodes))

    def _span(self, node: SyntaxTreeNode) -> str:
        match node.type:
            case "inline":
                return self._inline(node.children).strip()
            case "softbreak":
                return " "
            case "hardbreak":
                return "<br>"
            case "strong" | "em":
                mark = "**" if node.type == "strong" else "*"
                return f"{mark}{self._inline(node.children)}{mark}"
            case "link":
                target = str(node.attrs["href"]).replace("&", "&amp;")
                return f"[{self._inline(node.children)}](<{target}>)"
            case "code_inline" if "|" not in node.content:
                return _code_span(node.content)
        return self._words(node.content)

    def _words(self, text: str) -> str:
        inner = self._plain(text)
        if not inner:
            return " " if text else ""
        if inner.endswith("!"):
            # Before a link, it would make an image of it.
            inner = f"{inner[:-1]}\\!"
        return f"{' ' * text[:1].isspace()}{inner}{' ' * text[-1:].isspace()}"


def _code_span(content: str) -> str:
    marks = "`" * (_longest_run(content) + 1)
    return f"{marks} {content} {marks}"


def _fenced(content: str) -> list[str]:
    fence = "`" * max(3, _longest_run(content) + 1)
    return [fence, *content.rstrip("\n").split("\n"), fence]


def _longest_run(content: str) -> int:
    return max((len(run) for run in _BACKTICKS.findall(content)), default=0)


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    # Not an attribute that the library's types let anybody set, and its documented extension point.
    parser.validateLink = lambda url: _LINK.match(url) is not None  # type: ignore[method-assign]
    parser.add_render_rule("fence", _code)
    parser.add_render_rule("code_block", _code)
    parser.add_render_rule("image", _words_of_image)
    return parser


def _code(_self: object, tokens: Sequence[Token], index: int, *_: object) -> str:
    return f"<pre><code>{escape(tokens[index].content)}</code></pre>\n"


def _words_of_image(_self: object, tokens: Sequence[Token], index: int, *_: object) -> str:
    return str(escape(tokens[index].content))
