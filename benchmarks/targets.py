"""Compares the results with the targets: ratios of medians, all from one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

PLAIN: Final = "smd151 plain"
TLS: Final = "smd151 TLS"
STEADY: Final = "1 frame every 400 us"


@dataclass(frozen=True)
class Target:
    """A limit on the ratio of two contenders' CPU time per frame.

    `own` and `other` are (contender, job). With `is_most` the ratio is own/other ("times the floor") and `limit` is its
    maximum, else the ratio is other/own ("times less than") and `limit` is its minimum.
    """

    text: str
    limit: float
    own: tuple[str, str]
    other: tuple[str, str]
    is_most: bool = False
    setting: str = PLAIN


FLOOR: Final = ("picows_floor", "count")
BATCH: Final = ("cpapi_on_batch", "route")
COLUMNS: Final = ("cpapi_on_batch", "columns")
CPU: Final = (
    Target("batch, times the floor", 1.4, BATCH, FLOOR, is_most=True),
    Target("frame callback, times the floor", 2.1, ("cpapi_on_frame", "count"), FLOOR, is_most=True),
    Target("C sink, times the floor", 1.15, ("cpapi_sink", "route"), FLOOR, is_most=True),
    Target("batch, times less than bezant", 12, BATCH, ("bezant", "route")),
    Target("batch, times less than picows + orjson", 10, BATCH, ("picows_orjson", "route")),
    Target("batch, times less than fastwebsockets + sonic-rs", 3, BATCH, ("fastwebsockets_sonic", "route")),
    Target("batch, times less than ibind", 200, BATCH, ("ibind_client", "route")),
    Target("frame callback, times less than bezant", 8, ("cpapi_on_frame", "route"), ("bezant", "route")),
    Target(
        "frame callback, of tokio-tungstenite alone", 1, ("cpapi_on_frame", "count"), ("tungstenite_alone", "count")
    ),
    Target("dict, times less than bezant", 1.5, ("cpapi_on_batch", "dict"), ("bezant", "dict")),
    Target("columns, times less than bezant + parsing", 6, COLUMNS, ("bezant", "columns")),
    Target("columns, times less than sonic-rs + parsing", 1.7, COLUMNS, ("fastwebsockets_sonic", "columns")),
    Target(
        "frame.message with six numbers, times the dict",
        1.5,
        ("cpapi_on_frame", "columns"),
        ("cpapi_on_frame", "dict"),
        is_most=True,
    ),
    Target("batch over TLS, times less than bezant", 4, BATCH, ("bezant", "route"), setting=TLS),
)

#: The contenders whose latency has a target. The busy-poll mode is compared with the blocking loop in C, or in Python
#: if the one in C is not built.
BUSY: Final = "cpapi_on_frame_busy"
NORMAL: Final = "cpapi_on_frame"
BLOCKING: Final = ("raw_recv", "blocking_recv")


def evaluate(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row for each target whose contenders were measured, with the ratios by CPU and by wall time."""
    rows: list[dict[str, Any]] = []
    for target in CPU:
        found = {(row["contender"], row["job"]): row for row in results.get("throughput", {}).get(target.setting, [])}
        own, other = found.get(target.own), found.get(target.other)
        if own is not None and other is not None:
            rows.append(
                {
                    "target": target.text,
                    "limit": target.limit,
                    "is_most": target.is_most,
                    "reached": _ratio(target, own["cpu_ns"], other["cpu_ns"]),
                    "by_wall": _ratio(target, own["wall_ns"], other["wall_ns"]),
                }
            )
    rows += _latency(results.get("latency", []))
    for row in rows:
        row["is_reached"] = row["reached"] <= row["limit"] if row["is_most"] else row["reached"] >= row["limit"]
    return rows


def _ratio(target: Target, own: Sequence[float], other: Sequence[float]) -> float:
    above, below = (own, other) if target.is_most else (other, own)
    return median(above) / median(below)


def _latency(measured: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    steady = {row["contender"]: median(row["p50_ns"]) for row in measured if row["pattern"] == STEADY}
    others = [steady[row["contender"]] for row in measured if row["group"] == "python" and row["contender"] in steady]
    rows = []
    blocking = next((name for name in BLOCKING if name in steady), None)
    if BUSY in steady and blocking is not None:
        text = f"latency p50 in busy-poll mode, of {blocking}"
        rows.append({"target": text, "limit": 0.75, "reached": steady[BUSY] / steady[blocking]})
    if NORMAL in steady and others:
        text = "latency p50 in normal mode, of the best other Python client"
        rows.append({"target": text, "limit": 1.0, "reached": steady[NORMAL] / min(others)})
    return [row | {"is_most": True, "by_wall": None} for row in rows]
