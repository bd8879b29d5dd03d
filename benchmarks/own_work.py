"""What the contenders of cpapi_fast do with each frame or batch, by job: the counterpart of `Task.take_decoded`."""

from __future__ import annotations

import time
from collections.abc import Callable

from cpapi_fast.batch import Batch, Frame
from cpapi_fast.kinds import FrameKind

from . import digest
from .work import Task


def take_frame(task: Task) -> Callable[[Frame], object]:
    """What a contender calls with each frame."""
    task.has_full = True

    def route(frame: Frame) -> None:
        task.held.append((frame.kind, frame.conid))

    def decode(frame: Frame) -> None:
        task.held.append(frame.payload)

    def check_route(frame: Frame) -> None:
        task.full.add(digest.route_bytes(int(frame.kind), -1 if frame.conid is None else frame.conid))
        task.common.add(digest.route_bytes(*common_route(frame)))

    def check_dict(frame: Frame) -> None:
        for fnv in (task.full, task.common):
            fnv.add(digest.dict_bytes(frame.payload))

    if task.is_checked:
        return {"count": task.held.append, "route": check_route, "dict": check_dict}[task.job]
    return {"count": task.held.append, "route": route, "dict": decode, "latency": task.stamp}[task.job]


def take_batch(task: Task) -> Callable[[Batch], object]:
    """What a contender calls with each batch; its columns hold the route of every frame."""
    task.has_full = True
    take = take_frame(task)

    def keep(batch: Batch) -> None:
        task.kept += batch.conids[0] + batch.kinds[-1]

    def stamp(batch: Batch) -> None:
        task.stamps.extend([time.monotonic_ns()] * len(batch))

    def spread(batch: Batch) -> None:
        for frame in batch:
            take(frame)

    if task.job == "latency":
        return stamp
    if task.job == "dict" or task.is_checked:
        return spread
    return keep


def common_route(frame: Frame) -> tuple[int, int]:
    """The frame's route in the dialect of all peers: no exchange, no combo, no account, no `sld`."""
    kind = frame.kind
    if kind is FrameKind.MARKET_DATA:
        return (int(kind), frame.conid or 0) if frame.target is None else (digest.OTHER, -1)
    if kind is FrameKind.PNL and frame.topic not in ("spl", "pnl", "ssd"):
        return digest.OTHER, -1
    return int(kind), -1
