"""The results as SVG: CPU per frame by job, latency, and the classifier by topic position and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Final

from .svg import FAINT, GROUP_COLOURS, GROUP_NAMES, MUTED, Drawing, LogAxis, in_units

Row = Mapping[str, Any]

WIDTH: Final = 940
LEFT: Final = 250
RIGHT: Final = WIDTH - 90
ROW: Final = 24
HEAD: Final = 78
PANEL_HEAD: Final = 46
DASHES: Final = 'stroke-dasharray="4 4"'

JOB_TITLES: Final = {
    "bytes": "bytes: receive, and look at nothing",
    "count": "count: frames told apart, nothing known of them",
    "route": "route: kind and conid of every frame",
    "dict": "dict: every payload decoded",
    "columns": "columns: bid, ask, last, sizes and time as float64",
}
CORPUS_TITLES: Final = {
    "smd151": "quotes of 151 bytes",
    "mixed": "mixed traffic",
    "smd1400": "quotes of 1,400 bytes",
    "smd60k": "quotes of 60,000 bytes",
}
#: Drawn through all panels: what the socket costs, whoever stands on picows.
FLOOR: Final = "picows_floor"
CLASSIFIER_COLOURS: Final = {
    ("classify_ptr in C", "tail"): "#0f7b52",
    ("classify_ptr in C", "head"): "#3aa6a0",
    ("classify_ptr in C", "walk"): "#2b5fa8",
    ("classify() to a Frame", "odd"): "#8e4bb0",
    ("memcpy", "tail"): "#8a8f98",
    ("orjson.loads", "tail"): "#b2402e",
}
CLASSIFIER_NAMES: Final = {
    ("classify_ptr in C", "tail"): "topic last",
    ("classify_ptr in C", "head"): "topic first",
    ("classify_ptr in C", "walk"): "topic third",
    ("classify() to a Frame", "odd"): "topic with an escape",
    ("memcpy", "tail"): "copying the frame",
    ("orjson.loads", "tail"): "orjson.loads",
}


def write(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw everything that the results have; the files."""
    drawings = {f"cpu-{name.replace(' ', '-').lower()}": bars(name, rows) for name, rows in _settings(results).items()}
    if results.get("latency"):
        drawings["latency"] = latency(results["latency"])
    if results.get("classifier"):
        drawings["classifier"] = classifier(results["classifier"])
    paths = []
    for name, drawing in drawings.items():
        path = folder / f"{name}.svg"
        path.write_text(drawing.text(), encoding="utf-8")
        paths.append(path)
    return paths


def _settings(results: Mapping[str, Any]) -> dict[str, Sequence[Row]]:
    return {name: rows for name, rows in results.get("throughput", {}).items() if rows}


def _groups(rows: Sequence[Row]) -> list[str]:
    present = {row["group"] for row in rows}
    return [group for group in GROUP_NAMES if group in present]


def _grid(drawing: Drawing, axis: LogAxis, top: float, bottom: float) -> None:
    for value in axis.ticks():
        drawing.line((axis(value), top), (axis(value), bottom), FAINT)
        drawing.write(axis(value), bottom + 14, in_units(value), size=11, colour=MUTED, anchor="middle")


def bars(setting: str, rows: Sequence[Row]) -> Drawing:
    """CPU of the client per frame: one panel per job, the quickest first."""
    jobs = [job for job in JOB_TITLES if any(row["job"] == job for row in rows)]
    height = HEAD + sum(PANEL_HEAD + 26 + ROW * sum(row["job"] == job for row in rows) for job in jobs)
    drawing = Drawing(WIDTH, height)
    corpus, transport = setting.split()
    title = f"CPU time of the client per frame: {CORPUS_TITLES.get(corpus, corpus)}, {transport}"
    drawing.write(16, 26, title, size=17, bold=True)
    explained = "user + system, median and least to most; dashed: picows that does nothing; logarithmic"
    drawing.write(16, 46, explained, colour=MUTED)
    drawing.legend(16, 68, _groups(rows))
    axis = LogAxis.around([value for row in rows for value in row["cpu_ns"]], LEFT, RIGHT)
    floors = [median(row["cpu_ns"]) for row in rows if row["contender"] == FLOOR]
    top = float(HEAD)
    for job in jobs:
        chosen = sorted((row for row in rows if row["job"] == job), key=lambda row: median(row["cpu_ns"]))
        drawing.write(16, top + 28, JOB_TITLES[job], size=14, bold=True)
        top += PANEL_HEAD
        _grid(drawing, axis, top - 6, top + ROW * len(chosen))
        bottom = top + ROW * len(chosen)
        for row in chosen:
            _bar(drawing, axis, top, row)
            top += ROW
        for floor in floors:
            drawing.line((axis(floor), bottom - ROW * len(chosen) - 6), (axis(floor), bottom), MUTED, DASHES)
        top += 26
    return drawing


def _bar(drawing: Drawing, axis: LogAxis, top: float, row: Row) -> None:
    values = row["cpu_ns"]
    middle, colour = top + ROW / 2 - 3, GROUP_COLOURS[row["group"]]
    drawing.write(LEFT - 10, middle + 4, row["label"], anchor="end")
    drawing.rectangle(LEFT, top, axis(median(values)) - LEFT, ROW - 7, colour)
    drawing.line((axis(min(values)), middle), (axis(max(values)), middle), "#22262b", 'stroke-width="1.5"')
    drawing.write(axis(max(values)) + 7, middle + 4, in_units(median(values)), size=12)


def latency(rows: Sequence[Row]) -> Drawing:
    """p50, p99 and p99.9 of every client: one panel per pattern, the lowest p50 first."""
    patterns = list(dict.fromkeys(row["pattern"] for row in rows))
    height = HEAD + sum(PANEL_HEAD + 26 + ROW * sum(row["pattern"] == pattern for row in rows) for pattern in patterns)
    drawing = Drawing(WIDTH, height)
    drawing.write(16, 26, "From the sender's send() to the application that holds the frame", size=17, bold=True)
    drawing.write(16, 46, "filled p50, ring p99, small p99.9; medians; logarithmic", colour=MUTED)
    drawing.legend(16, 68, _groups(rows))
    top = float(HEAD)
    for pattern in patterns:
        chosen = sorted((row for row in rows if row["pattern"] == pattern), key=lambda row: median(row["p50_ns"]))
        points = [[median(row[f"{name}_ns"]) for name in ("p50", "p99", "p99.9")] for row in chosen]
        axis = LogAxis.around([value for values in points for value in values], LEFT, RIGHT)
        drawing.write(16, top + 28, pattern, size=14, bold=True)
        top += PANEL_HEAD
        _grid(drawing, axis, top - 6, top + ROW * len(chosen))
        for row, (p50, p99, p999) in zip(chosen, points, strict=True):
            middle, colour = top + ROW / 2 - 3, GROUP_COLOURS[row["group"]]
            drawing.write(LEFT - 10, middle + 4, row["label"], anchor="end")
            drawing.line((axis(p50), middle), (axis(max(p99, p999)), middle), colour, 'stroke-width="2" opacity="0.45"')
            drawing.dot(axis(p999), middle, colour, radius=2.0)
            drawing.dot(axis(p99), middle, colour, fill="white")
            drawing.dot(axis(p50), middle, colour)
            drawing.write(RIGHT + 12, middle + 4, in_units(p50), size=12)
            top += ROW
        top += 26
    return drawing


def classifier(rows: Sequence[Row]) -> Drawing:
    """ns to find a route over the size of the frame: flat lines are what is promised."""
    drawing = Drawing(WIDTH, 460)
    drawing.write(16, 26, "Finding the route of one frame", size=17, bold=True)
    drawing.write(16, 46, "over its size and where its topic stands; both axes logarithmic", colour=MUTED)
    found = {
        key: sorted((row["size"], median(row["ns"])) for row in rows if (row["what"], row["position"]) == key)
        for key in CLASSIFIER_NAMES
    }
    sizes = sorted({row["size"] for row in rows})
    vertical = LogAxis.around([ns for points in found.values() for _, ns in points], 410, 80)
    across = LogAxis(sizes[0], sizes[-1], 90, WIDTH - 250)
    for value in vertical.ticks():
        drawing.line((across.start, vertical(value)), (across.end, vertical(value)), FAINT)
        drawing.write(across.start - 10, vertical(value) + 4, in_units(value), size=11, colour=MUTED, anchor="end")
    for size in sizes:
        drawing.line((across(size), 80), (across(size), 410), FAINT)
        drawing.write(across(size), 430, f"{size:,} bytes", size=11, colour=MUTED, anchor="middle")
    labels = _apart({key: vertical(points[-1][1]) for key, points in found.items() if points}, 17)
    for key, points in found.items():
        if not points:
            continue
        places = [(across(size), vertical(ns)) for size, ns in points]
        for start, end in pairwise(places):
            drawing.line(start, end, CLASSIFIER_COLOURS[key], 'stroke-width="2.5"')
        for x, y in places:
            drawing.dot(x, y, CLASSIFIER_COLOURS[key], radius=3.5)
        text = f"{CLASSIFIER_NAMES[key]}: {in_units(points[0][1])} to {in_units(points[-1][1])}"
        drawing.write(across.end + 12, labels[key] + 4, text, size=12, colour=CLASSIFIER_COLOURS[key])
    return drawing


def _apart(places: Mapping[tuple[str, str], float], least: float) -> dict[tuple[str, str], float]:
    """The same places from top to bottom, moved down where they would overlap."""
    moved: dict[tuple[str, str], float] = {}
    lowest = float("-inf")
    for key, place in sorted(places.items(), key=lambda item: item[1]):
        lowest = max(place, lowest + least)
        moved[key] = lowest
    return moved
