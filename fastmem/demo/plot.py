"""A rectangle with two linear axes, drawn as inline SVG. Colours and fonts are the page's CSS."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

__all__ = ["Plot", "nice_step"]

WIDTH = 760


def nice_step(span: float, ticks: int = 5) -> float:
    """The step of 1, 2 or 5 times a power of ten that divides *span* into about *ticks* parts."""
    raw = max(span, 1e-9) / ticks
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)


class Plot:
    """Data coordinates in, SVG out: *x* and *y* are the ranges shown, margins are in pixels."""

    def __init__(
        self,
        title: str,
        *,
        x: tuple[float, float],
        y: tuple[float, float],
        height: int = 300,
        left: int = 64,
        right: int = 100,
        top: int = 24,
        bottom: int = 46,
    ) -> None:
        self.title = title
        self.height = height
        self.x_range, self.y_range = x, y
        self.left, self.right = left, WIDTH - right
        self.top, self.bottom = top, height - bottom
        self._parts: list[str] = []

    def px(self, x: float) -> float:
        """The pixel of a data coordinate."""
        low, high = self.x_range
        return self.left + (self.right - self.left) * (x - low) / (high - low)

    def py(self, y: float) -> float:
        low, high = self.y_range
        return self.bottom - (self.bottom - self.top) * (y - low) / (high - low)

    def text(self, kind: str, px: float, py: float, text: str, anchor: str = "start") -> None:
        self._parts.append(
            f'<text class="{kind}" x="{px:.1f}" y="{py:.1f}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )

    def segment(self, kind: str, px1: float, py1: float, px2: float, py2: float) -> None:
        self._parts.append(
            f'<line class="{kind}" x1="{px1:.1f}" y1="{py1:.1f}" x2="{px2:.1f}" y2="{py2:.1f}"/>'
        )

    def box(self, kind: str, x1: float, x2: float, y1: float, y2: float, hint: str = "") -> None:
        """A filled rectangle between data coordinates; *hint* shows under the pointer."""
        left, top = self.px(x1), self.py(y2)
        width, height = self.px(x2) - left, self.py(y1) - top
        self._parts.append(
            f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{max(width, 0):.1f}" '
            f'height="{max(height, 0):.1f}">{_hint(hint)}</rect>'
        )

    def path(
        self, kind: str, points: Iterable[tuple[float, float]], hint: str, *, close: bool = False
    ) -> None:
        """A line through data coordinates, or the area that it closes."""
        steps = "L".join(f"{self.px(x):.1f} {self.py(y):.1f}" for x, y in points)
        if steps:
            end = "Z" if close else ""
            self._parts.append(f'<path class="{kind}" d="M{steps}{end}">{_hint(hint)}</path>')

    def y_axis(self, ticks: Iterable[tuple[float, str]], label: str) -> None:
        """Horizontal grid lines with their labels, and what they measure above them."""
        for value, text in ticks:
            self.segment("grid", self.left, self.py(value), self.right, self.py(value))
            self.text("tick", self.left - 8, self.py(value) + 4, text, "end")
        self.text("label", 0, self.top - 10, label)

    def x_axis(self, ticks: Iterable[tuple[float, str]], label: str, *, grid: bool = False) -> None:
        """Tick labels below the plot and what they measure below these."""
        for value, text in ticks:
            if grid:
                self.segment("grid", self.px(value), self.top, self.px(value), self.bottom)
            else:
                self.segment("axis", self.px(value), self.bottom, self.px(value), self.bottom + 4)
            self.text("tick", self.px(value), self.bottom + 18, text, "middle")
        self.segment("axis", self.left, self.bottom, self.right, self.bottom)
        self.text("label", (self.left + self.right) / 2, self.bottom + 38, label, "middle")

    def svg(self) -> str:
        return (
            f'<svg viewBox="0 0 {WIDTH} {self.height}" role="img" '
            f'aria-label="{escape(self.title)}">{"".join(self._parts)}</svg>'
        )


def _hint(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""
