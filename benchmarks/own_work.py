"""The jobs of the cpapi_fast contenders for each frame or batch, corresponding to `Task.take_decoded`."""

from __future__ import annotations

import time
from collections.abc import Callable

from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame
from cpapi_fast.frames.tick_decoder import TickDecoder
from cpapi_fast.messages import MarketDataMessage
from cpapi_fast.protocol.kinds import FrameKind

from . import digest
from .work import Task


def take_frame(task: Task) -> tuple[Callable[[Frame], object], Callable[[], int]]:
    """Return the function to call with each frame, and one that returns the number of calls."""
    task.has_full = True
    frames = 0
    last: object = None

    def count(_frame: Frame) -> None:
        nonlocal frames
        frames += 1

    def route(frame: Frame) -> None:
        nonlocal frames, last
        frames += 1
        last = frame.kind
        last = frame.conid

    def decode(frame: Frame) -> None:
        nonlocal frames, last
        frames += 1
        last = frame.payload

    def read(frame: Frame) -> None:
        nonlocal frames, last
        frames += 1
        last = quote_numbers(frame)

    def stamp(frame: Frame) -> None:
        nonlocal frames
        frames += 1
        task.stamp(frame)

    def check_route(frame: Frame) -> None:
        count(frame)
        task.full.add(digest.route_bytes(int(frame.kind), -1 if frame.conid is None else frame.conid))
        task.common.add(digest.route_bytes(*common_route(frame)))

    def check_dict(frame: Frame) -> None:
        count(frame)
        for fnv in (task.full, task.common):
            fnv.add(digest.dict_bytes(frame.payload))

    def check_read(frame: Frame) -> None:
        count(frame)
        numbers = quote_numbers(frame)
        if numbers is not None:
            answer = digest.columns_bytes(numbers)
            task.full.add(answer)
            if frame.target is None:
                task.common.add(answer)

    if task.is_checked:
        take = {"count": count, "route": check_route, "dict": check_dict, "columns": check_read}[task.job]
    else:
        take = {"count": count, "route": route, "dict": decode, "columns": read, "latency": stamp}[task.job]
    return take, lambda: frames


def quote_numbers(frame: Frame) -> tuple[float | None, ...] | None:
    """Return the numbers of `digest.COLUMNS` from the message of a market data frame; None for other frames."""
    quote = frame.message
    if not isinstance(quote, MarketDataMessage):
        return None
    return (
        quote.last_price,
        quote.bid_price,
        quote.ask_size,
        quote.ask_price,
        quote.bid_size,
        quote.updated_ms,
    )


def take_batch(task: Task) -> Callable[[Batch], object]:
    """Return the function to call with each batch, whose columns contain the route of every frame."""
    if task.job == "columns":
        return take_columns(task)
    task.has_full = True
    take, _ = take_frame(task)

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


def take_columns(task: Task) -> Callable[[Batch], object]:
    """Return the function that decodes the fields of each batch as columns."""
    task.has_full = True
    decoder = TickDecoder(digest.COLUMNS)

    def decode(batch: Batch) -> None:
        task.held.append(decoder.decode(batch))

    def check(batch: Batch) -> None:
        ticks = decoder.decode(batch)
        columns = [(ticks.values(field), ticks.valid(field)) for field in digest.COLUMNS]
        for row, index in enumerate(ticks.rows):
            answer = digest.columns_bytes(values[row] if valid[row] else None for values, valid in columns)
            task.full.add(answer)
            if batch[index].target is None:
                task.common.add(answer)

    return check if task.is_checked else decode


def common_route(frame: Frame) -> tuple[int, int]:
    """Return kind and conid of a frame in the `common` dialect: no exchange, no combo, no account, no `sld`."""
    kind = frame.kind
    if kind is FrameKind.MARKET_DATA:
        return (int(kind), frame.conid or 0) if frame.target is None else (digest.OTHER, -1)
    if kind is FrameKind.PNL and frame.topic not in ("spl", "pnl", "ssd"):
        return digest.OTHER, -1
    return int(kind), -1
