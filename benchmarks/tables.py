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
        show_throughput(setting, rows)


def show_throughput(setting: str, rows: Sequence[Mapping[str, Any]]) -> None:
    print(f"\n{setting}: ns per frame, median (least .. most)")
    print(f"{'':<34}{'job':<9}{'CPU of the client':>28}{'wall':>28}")
    for row in sorted(rows, key=lambda row: (row["job"], median(row["cpu_ns"]))):
        bound = "  bound by the sender, judge by CPU" if row["is_bound_by_sender"] else ""
        print(f"{row['label']:<34}{row['job']:<9}{spread(row['cpu_ns']):>28}{spread(row['wall_ns']):>28}{bound}")
