"""The results as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any


def spread(values: Sequence[float], digits: int = 0) -> str:
    """`median (least .. most)`."""
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f} .. {max(values):,.{digits}f})"


def show(results: Mapping[str, Any]) -> None:
    """Print all tables."""
    machine = results["machine"]
    print(f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}")
    print(f"revision {machine['revision']}, load at the start {machine['load_at_start']}, {machine['versions']}")
    for setting, rows in results.get("throughput", {}).items():
        if rows:
            show_throughput(setting, rows)
    show_latency(results.get("latency", []))
    show_classifier(results.get("classifier", []))
    show_targets(results.get("targets", []))


def show_throughput(setting: str, rows: Sequence[Mapping[str, Any]]) -> None:
    print(f"\n{setting}: ns per frame, median (least .. most)")
    print(f"{'':<34}{'job':<9}{'CPU of the client':>28}{'wall':>28}")
    for row in sorted(rows, key=lambda row: (row["job"], median(row["cpu_ns"]))):
        bound = "  bound by the sender, judge by CPU" if row["is_bound_by_sender"] else ""
        print(f"{row['label']:<34}{row['job']:<9}{spread(row['cpu_ns']):>28}{spread(row['wall_ns']):>28}{bound}")


def show_latency(rows: Sequence[Mapping[str, Any]]) -> None:
    for pattern in dict.fromkeys(row["pattern"] for row in rows):
        print(f"\nlatency, {pattern}: us, median (least .. most) of the runs")
        print(f"{'':<34}{'p50':>26}{'p99':>30}{'p99.9':>34}")
        for row in rows:
            if row["pattern"] == pattern:
                p50, p99, p999 = (spread([ns / 1e3 for ns in row[f"{name}_ns"]], 1) for name in ("p50", "p99", "p99.9"))
                print(f"{row['label']:<34}{p50:>26}{p99:>30}{p999:>34}")


def show_classifier(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    sizes = sorted({row["size"] for row in rows})
    print("\nfinding the route of one frame: ns, median (least .. most), by where its topic stands and its size")
    print(f"{'':<34}" + "".join(f"{f'{size:,} bytes':>30}" for size in sizes))
    for what, position in dict.fromkeys((row["what"], row["position"]) for row in rows):
        found = {row["size"]: row["ns"] for row in rows if (row["what"], row["position"]) == (what, position)}
        print(f"{f'{what}, {position}':<34}" + "".join(f"{spread(found[size], 1):>30}" for size in sizes))


def show_targets(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    print(f"\n{'asked and reached':<62}{'asked':>12}{'reached':>10}{'by wall':>10}")
    for row in rows:
        asked = f"{'at most' if row['is_most'] else 'at least'} {row['asked']:g}"
        wall = "" if row["by_wall"] is None else f"{row['by_wall']:.2f}"
        verdict = "" if row["is_reached"] else "  not reached"
        print(f"{row['target']:<62}{asked:>12}{row['reached']:>10.2f}{wall:>10}{verdict}")
