"""Draws the results: CPU time per frame by job, latency, and the classifier by topic position and frame size.

`cpu-route.png` is the compact figure of README.md.

Usage: python -m benchmarks.plots FOLDER   (redraws the plots of FOLDER/results.json, without measuring)

The same results always give the same files.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from math import floor, log10
from pathlib import Path
from statistics import median
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FuncFormatter, NullFormatter

Row = Mapping[str, Any]

JOB_TITLES: Final = {
    "bytes": "bytes: receive only",
    "count": "count: count the frames",
    "route": "route: kind and conid of every frame",
    "dict": "dict: decode every payload",
    "columns": "columns: bid, ask, last, sizes and time as float64",
}
CORPUS_TITLES: Final = {
    "smd151": "quotes of 151 bytes",
    "mixed": "mixed traffic",
    "smd1400": "quotes of 1,400 bytes",
    "smd60k": "quotes of 60,000 bytes",
}
GROUPS: Final = {
    "limit": ("limits", "#8a8f98"),
    "own": ("cpapi_fast", "#0f7b52"),
    "python": ("other Python clients", "#d9861a"),
    "peer": ("Rust clients", "#b2402e"),
}
#: (measurement, topic position) and its line in the classifier plot.
CLASSIFIER_LINES: Final = {
    ("classify_ptr in C", "tail"): ("topic last", "#0f7b52"),
    ("classify_ptr in C", "head"): ("topic first", "#3aa6a0"),
    ("classify_ptr in C", "walk"): ("topic third", "#2b5fa8"),
    ("classify() to a Frame", "odd"): ("topic with an escape", "#8e4bb0"),
    ("memcpy", "tail"): ("copy the frame", "#8a8f98"),
    ("orjson.loads", "tail"): ("orjson.loads", "#b2402e"),
}
#: The dashed line in each CPU plot.
FLOOR: Final = "picows_floor"
#: The setting and the job of the compact plot in README.md, a PNG of 1,200 x 600 pixels.
HEADLINE: Final = ("smd151 plain", "route")
HEADLINE_SIZE: Final = (8.0, 4.0)
HEADLINE_DPI: Final = 150

STYLE: Final = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "grid.color": "#dfe3e8",
    "ytick.major.size": 0,
    # Text stays text, and identifiers do not depend on a random number.
    "svg.fonttype": "none",
    "svg.hashsalt": "cpapi_fast",
}
#: Inches. Fixed places, since those that matplotlib computes differ in the last digits from run to run.
WIDTH: Final = 9.5
LEFT: Final = 2.6
RIGHT: Final = 0.2
HEAD: Final = 0.75
TITLE: Final = 0.35
BAR: Final = 0.27
AXIS: Final = 0.35
FOOT: Final = 0.25

_SECONDS: Final = EngFormatter(unit="s")


def in_units(ns: float) -> str:
    """A duration with three digits and a unit: `72.4 ns`, `1.24 µs`, `3 ms`."""
    return str(_SECONDS(float(f"{ns:.3g}") * 1e-9))


def write(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw a plot of each part of `results`, and return the files in `folder`."""
    with mpl.rc_context(STYLE):
        figures = {
            f"cpu-{setting.replace(' ', '-').lower()}": bars(setting, rows)
            for setting, rows in results.get("throughput", {}).items()
            if rows
        }
        if results.get("latency"):
            figures["latency"] = latency(results["latency"])
        if results.get("classifier"):
            figures["classifier"] = classifier(results["classifier"])
        paths = []
        for name, figure in figures.items():
            paths.append(folder / f"{name}.svg")
            figure.savefig(paths[-1], metadata={"Date": None, "Creator": None})
        setting, job = HEADLINE
        rows = [row for row in results.get("throughput", {}).get(setting, ()) if row["job"] in (job, "count")]
        if any(row["job"] == job for row in rows):
            paths.append(folder / f"cpu-{job}.png")
            headline(rows).savefig(paths[-1], dpi=HEADLINE_DPI, metadata={"Software": None})
    return paths


def bars(setting: str, rows: Sequence[Row]) -> Figure:
    """CPU time of the client per frame: a panel for each job, the fastest client first."""
    corpus, transport = setting.split()
    panels = {title: _fastest_first(rows, job) for job, title in JOB_TITLES.items() if _fastest_first(rows, job)}
    title = f"CPU time of the client per frame: {CORPUS_TITLES.get(corpus, corpus)}, {transport}"
    floors = _floors(rows)
    figure, axes = _panels(title, rows, panels, _bar_marks(floors))
    values = [value for row in rows for value in row["cpu_ns"]]
    for ax, chosen in zip(axes, panels.values(), strict=True):
        _draw_bars(ax, chosen, floors, values)
    axes[-1].set_xlabel("user + system CPU time, median of the runs (logarithmic scale)")
    return figure


def headline(rows: Sequence[Row]) -> Figure:
    """CPU time of the client per frame for the job of `HEADLINE` alone, on one small panel."""
    setting, job = HEADLINE
    chosen, floors = _fastest_first(rows, job), _floors(rows)
    width, height = HEADLINE_SIZE
    figure = Figure(HEADLINE_SIZE)
    title = f"CPU time per frame for kind and conid: {CORPUS_TITLES[setting.split()[0]]}"
    figure.text(0.15 / width, 1 - 0.3 / height, title, fontsize=12, fontweight="bold")
    handles = [*_group_patches(chosen), *_bar_marks(floors)]
    place = (0.05 / width, 1 - 0.36 / height)
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=place, ncols=len(handles), frameon=False, fontsize=8
    )
    left, top, bottom = 2.3, 0.7, 0.55
    ax = figure.add_axes(
        (left / width, bottom / height, (width - left - RIGHT) / width, (height - top - bottom) / height)
    )
    ax.grid(axis="x")
    ax.tick_params(labelsize=9)
    _draw_bars(ax, chosen, floors, [*floors, *(value for row in chosen for value in row["cpu_ns"])])
    ax.set_xlabel("user + system CPU time, median of the runs (logarithmic scale)", fontsize=9)
    return figure


def latency(rows: Sequence[Row]) -> Figure:
    """p50, p99 and p99.9 of every client: a panel for each pattern, the lowest p50 first."""
    panels = {
        pattern: sorted((row for row in rows if row["pattern"] == pattern), key=lambda row: median(row["p50_ns"]))
        for pattern in dict.fromkeys(row["pattern"] for row in rows)
    }
    styles = {"p50": {"s": 50}, "p99": {"s": 50, "facecolor": "white"}, "p99.9": {"s": 10}}
    grey = "#5c636d"
    marks = [
        Line2D([], [], color=grey, linestyle="none", marker="o", label="p50"),
        Line2D([], [], color=grey, linestyle="none", marker="o", markerfacecolor="white", label="p99"),
        Line2D([], [], color=grey, linestyle="none", marker="o", markersize=3, label="p99.9"),
    ]
    figure, axes = _panels("Latency from send() to the application that has the frame", rows, panels, marks)
    for ax, chosen in zip(axes, panels.values(), strict=True):
        points = {name: [median(row[f"{name}_ns"]) for row in chosen] for name in styles}
        colours = [GROUPS[row["group"]][1] for row in chosen]
        ends = [max(values) for values in zip(*points.values(), strict=True)]
        ax.hlines(range(len(chosen)), points["p50"], ends, color=colours, alpha=0.45, linewidth=2)
        for name, style in reversed(styles.items()):
            ax.scatter(points[name], range(len(chosen)), **{"color": colours, "zorder": 3} | style, edgecolor=colours)
        for place, (value, end) in enumerate(zip(points["p50"], ends, strict=True)):
            ax.annotate(in_units(value), (end, place), (8, 0), textcoords="offset points", va="center", fontsize=9)
        _name_rows(ax, chosen)
        _log_axis(ax, [value for values in points.values() for value in values])
    axes[-1].set_xlabel("median of the runs; the number is p50 (logarithmic scale)")
    return figure


def classifier(rows: Sequence[Row]) -> Figure:
    """Time to find the route of one frame against its size, for each position of the topic."""
    figure = Figure((WIDTH, 4.6))
    ax = figure.add_axes((0.1, 0.13, 0.53, 0.75))
    figure.text(0.02, 0.94, "Time to find the route of one frame", fontsize=13, fontweight="bold")
    lines = []
    for key, (name, colour) in CLASSIFIER_LINES.items():
        points = sorted((row["size"], median(row["ns"])) for row in rows if (row["what"], row["position"]) == key)
        if points:
            label = f"{name}: {in_units(points[0][1])} to {in_units(points[-1][1])}"
            lines += ax.plot(*zip(*points, strict=True), "o-", color=colour, linewidth=2, markersize=5, label=label)
    lines.sort(key=lambda line: -line.get_ydata()[-1])
    figure.legend(handles=lines, loc="center left", bbox_to_anchor=(0.64, 0.5), frameon=False, fontsize=9)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(sorted({row["size"] for row in rows}))
    ax.minorticks_off()
    ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
    ax.set_xlabel("bytes of the frame (logarithmic scale)")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda ns, _: in_units(ns)))
    ax.set_ylabel("time per frame (logarithmic scale)")
    ax.grid(axis="y")
    return figure


def _panels(
    title: str, rows: Sequence[Row], panels: Mapping[str, Sequence[Row]], marks: Sequence[Line2D]
) -> tuple[Figure, list[Axes]]:
    # One panel below the other; all bars have the same height.
    height = HEAD + FOOT + sum(TITLE + BAR * len(chosen) + AXIS for chosen in panels.values())
    figure = Figure((WIDTH, height))
    figure.text(0.15 / WIDTH, 1 - 0.3 / height, title, fontsize=13, fontweight="bold")
    handles = _group_patches(rows)
    place = (0.05 / WIDTH, 1 - 0.38 / height)
    columns = len(handles) + len(marks)
    figure.legend(
        handles=[*handles, *marks], loc="upper left", bbox_to_anchor=place, ncols=columns, frameon=False, fontsize=8
    )
    axes, top = [], HEAD
    for name, chosen in panels.items():
        bottom = top + TITLE + BAR * len(chosen)
        width = (WIDTH - LEFT - RIGHT) / WIDTH
        ax = figure.add_axes((LEFT / WIDTH, 1 - bottom / height, width, BAR * len(chosen) / height))
        ax.set_title(name)
        ax.grid(axis="x")
        axes.append(ax)
        top = bottom + AXIS
    return figure, axes


def _group_patches(rows: Sequence[Row]) -> list[Patch]:
    present = {row["group"] for row in rows}
    return [Patch(color=colour, label=name) for group, (name, colour) in GROUPS.items() if group in present]


def _fastest_first(rows: Sequence[Row], job: str) -> list[Row]:
    return sorted((row for row in rows if row["job"] == job), key=lambda row: median(row["cpu_ns"]))


def _floors(rows: Sequence[Row]) -> list[float]:
    return [median(row["cpu_ns"]) for row in rows if row["contender"] == FLOOR]


def _bar_marks(floors: Sequence[float]) -> list[Line2D]:
    marks = [Line2D([], [], color="#22262b", label="fastest to slowest run")]
    if floors:
        marks.append(Line2D([], [], color="#5c636d", linestyle="--", label="picows with a no-op listener"))
    return marks


def _draw_bars(ax: Axes, rows: Sequence[Row], floors: Sequence[float], values: Sequence[float]) -> None:
    medians = [median(row["cpu_ns"]) for row in rows]
    highest = [max(row["cpu_ns"]) for row in rows]
    ax.barh(range(len(rows)), medians, height=0.7, color=[GROUPS[row["group"]][1] for row in rows])
    ax.hlines(range(len(rows)), [min(row["cpu_ns"]) for row in rows], highest, color="#22262b", linewidth=1.2)
    for place, (value, end) in enumerate(zip(medians, highest, strict=True)):
        ax.annotate(in_units(value), (end, place), (5, 0), textcoords="offset points", va="center", fontsize=9)
    for value in floors:
        ax.axvline(value, color="#5c636d", linestyle="--", linewidth=1)
    _name_rows(ax, rows)
    _log_axis(ax, values)


def _name_rows(ax: Axes, rows: Sequence[Row]) -> None:
    ax.set_yticks(range(len(rows)), [row["label"] for row in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)


def _log_axis(ax: Axes, values: Sequence[float]) -> None:
    ax.set_xscale("log")
    # From a power of ten, and with space for the number of the longest bar.
    ax.set_xlim(10 ** floor(log10(min(values))), max(values) * 2)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda ns, _: in_units(ns)))
    ax.xaxis.set_minor_formatter(NullFormatter())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plots", description="Redraws the plots of results.")
    parser.add_argument("folder", type=Path, help="a folder with a results.json; the plots are written next to it")
    folder: Path = parser.parse_args(arguments).folder
    for path in write(json.loads((folder / "results.json").read_text()), folder):
        print(path)


if __name__ == "__main__":
    main()
