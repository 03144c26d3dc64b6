"""Drawings as SVG text: matplotlib's artists, written small, for a page that has the style.

matplotlib's own SVG backend writes text as paths or not by a global setting, and random ids. This
one is a renderer (`matplotlib.backend_bases.RendererBase`) that writes text as text, circles as
circles, and colours as classes that follow the style sheet of the page; the colours of the light
theme stand beside them for readers without it. Nothing global is read or changed: this runs in a
thread of somebody's training process, who may have styled matplotlib as he likes.
"""

from __future__ import annotations

import html
import math
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from aims_mlflow.model_card.formats.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

Tone = Literal["ink", "soft", "line", "accent", "pass", "fail", "open", "stated", "paper"]
Anchor = Literal["left", "center", "right"]
Dash = Literal["-", "--", ":", "-."]

#: The tones in the light theme, as in `templates/style.css`; all different.
TONES: dict[Tone, str] = {
    "ink": "#11171c",
    "soft": "#5a6b79",
    "line": "#d9e0e6",
    "accent": "#2272b4",
    "pass": "#1f6b3a",
    "fail": "#b3203f",
    "open": "#8a4b08",
    "stated": "#5b3fa8",
    "paper": "#ffffff",
}
_TONE_OF: dict[str, Tone] = {colour: tone for tone, colour in TONES.items()}
_DASHES: dict[str, str] = {"-": "", "--": "5 3", ":": "1.5 2.5", "-.": "6 2.5 1.5 2.5"}
_ANCHORS: dict[str, str] = {"left": "start", "center": "middle", "right": "end"}
#: Mean width of a letter, in parts of the font size: text is measured without any font.
_LETTER = 0.54
_SIZE = 9.0
_GAP = (math.nan, math.nan)


class Sketch:
    """A drawing of a fixed size; points (1/72 inch), origin at the lower left."""

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self._figure: Figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        # The user's settings may have asked for one.
        self._figure.set_layout_engine("none")
        self._figure.patch.set_visible(False)

    def line(
        self,
        points: Sequence[tuple[float, float]],
        tone: Tone,
        *,
        width: float = 1.0,
        dash: Dash = "-",
    ) -> None:
        """A line through points; a point that is NaN leaves a gap."""
        from matplotlib.lines import Line2D

        line = Line2D([x for x, _ in points], [y for _, y in points], marker="")
        line.set(color=TONES[tone], linewidth=width, linestyle="-", drawstyle="default")
        # A dash pattern of matplotlib depends on the user's settings; the id of the group does not.
        line.set_gid(dash)
        self._add(line)

    def lines(
        self,
        segments: Sequence[Sequence[tuple[float, float]]],
        tone: Tone,
        *,
        width: float = 1.0,
    ) -> None:
        """Lines of one style as one mark."""
        self.line([p for segment in segments for p in (*segment, _GAP)], tone, width=width)

    def areas(
        self,
        polygons: Sequence[Sequence[tuple[float, float]]],
        tone: Tone,
        *,
        opacity: float = 1.0,
    ) -> None:
        """Filled polygons of one style as one mark."""
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        path = Path.make_compound_path(
            *(Path([*polygon, polygon[0]], closed=True) for polygon in polygons)
        )
        area = PathPatch(path, facecolor=TONES[tone], edgecolor="none", hatch=None)
        area.set_alpha(opacity)
        self._add(area)

    def dots(
        self,
        points: Sequence[tuple[float, float]],
        tone: Tone,
        *,
        size: float = 6.0,
        hollow: bool = False,
    ) -> None:
        """A circle at each point; a hollow one shows the paper inside."""
        from matplotlib.lines import Line2D

        dots = Line2D([x for x, _ in points], [y for _, y in points], linestyle="None", marker="o")
        dots.set(markersize=size, markeredgewidth=1.2, markeredgecolor=TONES[tone])
        dots.set_markerfacecolor(TONES["paper" if hollow else tone])
        self._add(dots)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        tone: Tone = "soft",
        size: float = _SIZE,
        anchor: Anchor = "left",
        angle: float = 0,
    ) -> None:
        """A line of text; `y` is its baseline, and the text turns around its anchor."""
        from matplotlib.text import Text

        line = " ".join(visible(text).split())
        words = Text(x, y, line, color=TONES[tone], parse_math=False, usetex=False)
        words.set(fontsize=size, ha=anchor, va="baseline", rotation=angle)
        words.set_rotation_mode("anchor")
        self._add(words)

    def svg(self, name: str, title: str, description: str) -> str:
        """The drawing as an `<svg>` element for a page.

        Args:
            name: Unique in the page; the ids of title and description start with it.
            title: What it is.
            description: What it shows, in words, for readers who do not see it.
        """
        marks = _renderer()(self.width, self.height)
        self._figure.draw(marks)
        name = html.escape(name)
        return (
            f'<svg role="img" aria-labelledby="{name}-title {name}-desc" '
            f'viewBox="0 0 {_n(self.width)} {_n(self.height)}" '
            f'width="{_n(self.width)}pt" height="{_n(self.height)}pt" '
            'font-family="system-ui, sans-serif">'
            f'<title id="{name}-title">{_escape(title)}</title>'
            f'<desc id="{name}-desc">{_escape(description)}</desc>{"".join(marks.written)}</svg>'
        )

    def _add(self, artist: Artist) -> None:
        from matplotlib.transforms import IdentityTransform

        artist.set_transform(IdentityTransform())
        artist.set_clip_on(False)
        # What the user's own style would add to every artist.
        artist.set_path_effects([])
        self._figure.add_artist(artist)


class _Marks:
    """The part of `RendererBase` that these drawings use, as SVG elements in `written`."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__()
        self.width, self.height = width, height
        self.written: list[str] = []
        self._group: str | None = None

    def get_canvas_width_height(self) -> tuple[float, float]:
        return self.width, self.height

    def flipy(self) -> bool:
        return False

    def points_to_pixels(self, points: float) -> float:
        return points

    def get_text_width_height_descent(
        self, s: str, prop: Any, ismath: Any
    ) -> tuple[float, float, float]:
        # Measuring with a font would load it, and warn in the user's log of letters that it lacks.
        size = prop.get_size_in_points()
        return _LETTER * size * len(s), 0.75 * size, 0.0

    def open_group(self, s: str, gid: str | None = None) -> None:
        self._group = gid

    def draw_path(self, gc: Any, path: Any, transform: Any, rgbFace: Any = None) -> None:
        found = transform.transform_path(path)
        if rgbFace is None:
            dash = _DASHES.get(self._group or "-")
            style = f'{_paint(None, gc)} stroke-dasharray="{dash}"' if dash else _paint(None, gc)
            self.written.append(f'<path d="{self._open(found.vertices)}"{style}/>')
        else:
            opacity = gc.get_alpha()
            faint = f' fill-opacity="{_n(opacity, 3)}"' if opacity < 1 else ""
            style = f"{_paint(rgbFace, gc)}{faint}"
            self.written.append(f'<path d="{self._closed(found)}"{style}/>')

    def draw_markers(
        self, gc: Any, marker_path: Any, marker_trans: Any, path: Any, trans: Any, rgbFace: Any
    ) -> None:
        radius = marker_trans.transform_path(marker_path).vertices.max()
        style = f'r="{_n(radius)}"{_paint(rgbFace, gc)}'
        for x, y in trans.transform_path(path).vertices:
            self.written.append(f'<circle cx="{_n(x)}" cy="{_n(self.height - y)}" {style}/>')

    def draw_text(
        self, gc: Any, x: float, y: float, s: str, prop: Any, angle: float, *_: Any, **more: Any
    ) -> None:
        words = more["mtext"]
        # The reader's font has other widths: the place that holds is the anchor.
        x, y = words.get_position()
        cx, cy = _n(x), _n(self.height - y)
        turn = f' transform="rotate({_n(-angle)} {cx} {cy})"' if angle else ""
        tone = _tone(gc.get_rgb())
        self.written.append(
            f'<text x="{cx}" y="{cy}" font-size="{_n(prop.get_size_in_points())}" '
            f'text-anchor="{_ANCHORS[words.get_ha()]}"{turn} class="f-{tone}" '
            f'fill="{TONES[tone]}">{_escape(s)}</text>'
        )

    def _open(self, vertices: Any) -> str:
        steps, pen = [], "M"
        for x, y in vertices:
            if math.isfinite(x) and math.isfinite(y):
                steps.append(f"{pen}{self._at(x, y)}")
                pen = "L"
            else:
                pen = "M"
        return "".join(steps)

    def _closed(self, path: Any) -> str:
        pens = {path.MOVETO: "M", path.LINETO: "L"}
        return "".join(
            f"{pens[code]}{self._at(x, y)}" if code in pens else "z"
            for (x, y), code in zip(path.vertices, path.codes, strict=True)
        )

    def _at(self, x: float, y: float) -> str:
        return f"{_n(x)} {_n(self.height - y)}"


@cache
def _renderer() -> Any:
    from matplotlib.backend_bases import RendererBase

    return type("SvgRenderer", (_Marks, RendererBase), {})


def _paint(fill: Any, gc: Any) -> str:
    """Fill and stroke: as classes for the page's style, as colours for readers without it."""
    classes, paint = [], ' fill="none"'
    if fill is not None:
        tone = _tone(fill)
        classes.append(f"f-{tone}")
        paint = f' fill="{TONES[tone]}"'
    width = gc.get_linewidth()
    if width:
        tone = _tone(gc.get_rgb())
        classes.append(f"s-{tone}")
        paint += f' stroke="{TONES[tone]}" stroke-width="{_n(width)}"'
    return f' class="{" ".join(classes)}"{paint}'


def _tone(colour: Any) -> Tone:
    return _TONE_OF["#" + "".join(f"{round(255 * part):02x}" for part in colour[:3])]


def _n(value: float, digits: int = 1) -> str:
    """A coordinate without needless digits; never `-0`."""
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _escape(text: str) -> str:
    return html.escape(visible(text))
