"""Just enough SVG for the plots: shapes and text on a white ground, and a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Final

GROUP_COLOURS: Final = {"limit": "#8a8f98", "own": "#0f7b52", "python": "#d9861a", "peer": "#b2402e"}
GROUP_NAMES: Final = {"limit": "limits", "own": "cpapi_fast", "python": "other Python clients", "peer": "Rust clients"}
INK: Final = "#22262b"
FAINT: Final = "#dfe3e8"
MUTED: Final = "#5c636d"


def in_units(ns: float) -> str:
    """A duration as a person says it: `72 ns`, `1.2 us`, `50 us`, `3.1 ms`."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.{1 if ns < 10 * size else 0}f} {unit}"
    return f"{ns:.{1 if ns < 10 else 0}f} ns"


@dataclass
class Drawing:
    """What has been drawn so far; `text()` is the file."""

    width: int
    height: int
    parts: list[str] = field(default_factory=list)

    def rectangle(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" rx="2" fill="{colour}"/>'
        )

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: str, more: str = "") -> None:
        (x1, y1), (x2, y2) = start, end
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {more}/>')

    def dot(self, x: float, y: float, colour: str, radius: float = 4.5, fill: str | None = None) -> None:
        shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" stroke="{colour}" stroke-width="2"'
        self.parts.append(f'{shape} fill="{fill or colour}"/>')

    def write(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = 13,
        colour: str = INK,
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"{weight}>'
            f"{escape(text)}</text>"
        )

    def legend(self, x: float, y: float, groups: list[str]) -> None:
        for group in groups:
            self.rectangle(x, y - 10, 12, 12, GROUP_COLOURS[group])
            self.write(x + 18, y, GROUP_NAMES[group], colour=MUTED)
            x += 34 + 7.2 * len(GROUP_NAMES[group])

    def text(self) -> str:
        """The drawing as an SVG file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
            f'height="{self.height}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif">\n'
        )
        ground = f'<rect width="{self.width}" height="{self.height}" fill="white"/>\n'
        return head + ground + "\n".join(self.parts) + "\n</svg>\n"


@dataclass(frozen=True)
class LogAxis:
    """Values on a logarithmic scale between two positions."""

    least: float
    most: float
    start: float
    end: float

    @classmethod
    def around(cls, values: list[float], start: float, end: float) -> LogAxis:
        """An axis over whole decades that holds all `values`."""
        least, most = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values) * 1.02))
        return cls(10.0**least, 10.0 ** max(most, least + 1), start, end)

    def __call__(self, value: float) -> float:
        share = math.log(max(value, self.least) / self.least) / math.log(self.most / self.least)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> Iterator[float]:
        """The decades."""
        value = self.least
        while value <= self.most * 1.001:
            yield value
            value *= 10
