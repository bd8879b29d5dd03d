"""Prints the results as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

#: The width in characters. It is fixed, because a pipe has no width, and a row must stay on one line.
WIDTH: Final = 180


def table(title: str, *columns: str, texts: int = 1) -> Table:
    """Return an empty table. The first `texts` columns are aligned to the left, the others to the right."""
    made = Table(title=title, title_style="bold", title_justify="left", box=SIMPLE_HEAD, show_edge=False)
    made.pad_edge = False
    for place, column in enumerate(columns):
        made.add_column(column, justify="left" if place < texts else "right", no_wrap=True)
    return made


def show(*tables: Table) -> None:
    """Print tables to stdout, with a blank line before each."""
    for one in tables:
        Console(width=WIDTH).print("", one, sep="\n")


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Return the text `median (least .. most)`."""
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f} .. {max(values):,.{digits}f})"


def show_results(results: Mapping[str, Any]) -> None:
    """Print all tables of the results."""
    machine = results["machine"]
    print(f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}")
    print(f"revision {machine['revision']}, load at the start {machine['load_at_start']}, {machine['versions']}")
    show(*(throughput(setting, rows) for setting, rows in results.get("throughput", {}).items() if rows))
    measured = results.get("latency", [])
    show(*(latency(pattern, measured) for pattern in dict.fromkeys(row["pattern"] for row in measured)))
    if results.get("classifier"):
        show(classifier(results["classifier"]))
    if results.get("targets"):
        show(targets(results["targets"]))


def throughput(setting: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    made = table(
        f"{setting}: ns per frame, median (least .. most)", "client", "job", "CPU of the client", "wall", "", texts=2
    )
    for row in sorted(rows, key=lambda row: (row["job"], median(row["cpu_ns"]))):
        bound = "limited by the sender, compare by CPU" if row["is_bound_by_sender"] else ""
        made.add_row(row["label"], row["job"], spread(row["cpu_ns"]), spread(row["wall_ns"]), bound)
    return made


def latency(pattern: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    percentiles = ("p50", "p99", "p99.9")
    made = table(f"latency, {pattern}: us, median (least .. most) of the runs", "client", *percentiles)
    for row in rows:
        if row["pattern"] == pattern:
            made.add_row(row["label"], *(spread([ns / 1e3 for ns in row[f"{name}_ns"]], 1) for name in percentiles))
    return made


def classifier(rows: Sequence[Mapping[str, Any]]) -> Table:
    sizes = sorted({row["size"] for row in rows})
    made = table(
        "time to find the route of one frame, by the position of its topic and its size: ns, median (least .. most)",
        "measured, position",
        *(f"{size:,} bytes" for size in sizes),
    )
    for what, position in dict.fromkeys((row["what"], row["position"]) for row in rows):
        found = {row["size"]: row["ns"] for row in rows if (row["what"], row["position"]) == (what, position)}
        made.add_row(f"{what}, {position}", *(spread(found[size], 1) for size in sizes))
    return made


def targets(rows: Sequence[Mapping[str, Any]]) -> Table:
    made = table("targets", "target", "wanted", "reached", "by wall time", "")
    for row in rows:
        wanted = f"{'at most' if row['is_most'] else 'at least'} {row['limit']:g}"
        wall = "" if row["by_wall"] is None else f"{row['by_wall']:.2f}"
        verdict = "" if row["is_reached"] else "not reached"
        made.add_row(row["target"], wanted, f"{row['reached']:.2f}", wall, verdict)
    return made
