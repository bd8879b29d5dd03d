"""`cpapi-fast replay`: replays a capture or a folder of captures, shows quotes or events, and writes them again."""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cpapi_fast.cli.arguments import add_instruments, folder, seconds
from cpapi_fast.cli.signals import stopped_by_signals
from cpapi_fast.cli.tail import Tail
from cpapi_fast.cli.tail.view import event_text
from cpapi_fast.cli.tail_command import EndCondition, draw_quotes, print_lines
from cpapi_fast.clock import SYSTEM_CLOCK
from cpapi_fast.collect.reports import size_text
from cpapi_fast.console import say, say_at_end, tell
from cpapi_fast.errors import ConfigError, OutputError
from cpapi_fast.events import FeedEvent, Gap
from cpapi_fast.frames.batch import Batch
from cpapi_fast.loop import run as run_loop
from cpapi_fast.outputs.capture import CAPTURE_SUFFIX, CaptureWriter
from cpapi_fast.outputs.event_log import EventLog
from cpapi_fast.outputs.file_names import FileNames, new_run
from cpapi_fast.protocol.topics import MarketDataFields
from cpapi_fast.replay import Replay
from cpapi_fast.replay.recording import time_of

_TERMINAL_INTERVAL_S: Final = 0.25
_LINE_INTERVAL_S: Final = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of `replay` to a parser."""
    parser.description = (
        "Replay a capture or a folder of captures, at the recorded pace or any other, until the end or Ctrl-C. With "
        "--conids, quotes are shown as by tail; without, each state change and gap is one line. At the end, a summary "
        "is printed."
    )
    parser.add_argument("path", metavar="PATH", help="a capture, or a folder with captures and their events")
    add_instruments(parser, "show")
    parser.add_argument(
        "--speed",
        type=speed,
        default=1.0,
        metavar="X",
        help="X times as fast as recorded; max for as fast as possible (default: 1)",
    )
    for option, what in (("--start", "begin with what was received at this time"), ("--end", "end before this time")):
        parser.add_argument(
            option, type=moment, metavar="TIME", help=f"{what}, such as 2026-01-02T14:30:00Z, or ns since 1970"
        )
    parser.add_argument(
        "--only-run", metavar="RUN", help="of a folder, only the run with these six digits in the names of its files"
    )
    parser.add_argument(
        "--out",
        type=folder,
        metavar="DIR",
        help="also write a capture and an events file of what is replayed; the folder is created if missing",
    )
    parser.add_argument(
        "--interval",
        type=seconds,
        metavar="S",
        help="update the quotes every S seconds (default: 0.25 in a terminal, otherwise 1)",
    )
    parser.add_argument(
        "--asyncio", action="store_true", help="use the event loop of asyncio even if uvloop is installed"
    )


def speed(text: str) -> float | None:
    """A speed; None for `max`."""
    return None if text == "max" else seconds(text)


def moment(text: str) -> int | datetime:
    """A time with its zone, or ns since the Unix epoch."""
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"a time must be like 2026-01-02T14:30:00Z, with a time zone, or ns since 1970, not {text[:40]!r}"
        )
    return found


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code.

    Raises:
        CpapiError: the captures cannot be read, an option is invalid, or the files cannot be written.
    """
    if args.fields and not args.conids:
        raise ConfigError("--fields needs --conids, whose quotes it shows")
    run_loop(_run(args), uvloop=False if args.asyncio else None)
    return 0


class _Writers:
    """Counts what is replayed, and writes it to files if there is a folder for them."""

    def __init__(self, out: str | None, stack: AsyncExitStack) -> None:
        self.frames = self.batches = self.nbytes = self.events = self.gaps = 0
        self.first_ns = self.last_ns = 0
        self._capture: CaptureWriter | None = None
        self._events: EventLog | None = None
        if out is not None:
            path = Path(out)
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"cannot create the folder {path}: {error.strerror}", path=str(path)) from error
            name = new_run(path)
            self._capture = stack.enter_context(
                CaptureWriter(FileNames(path, "capture", CAPTURE_SUFFIX, run=name), roll_bytes=1 << 30)
            )
            self._events = EventLog(FileNames(path, "events", ".jsonl", run=name))
            stack.callback(self._events.close)

    @property
    def files(self) -> list[Path]:
        """The files that were written."""
        return [*(self._capture.files if self._capture else ()), *(self._events.files if self._events else ())]

    def put(self, item: Batch | FeedEvent) -> None:
        """Count and write one item."""
        time_ns = item.received_ns[0] if isinstance(item, Batch) else time_of(item)
        self.first_ns = self.first_ns or time_ns
        self.last_ns = max(self.last_ns, time_ns)
        if isinstance(item, Batch):
            self.frames += len(item)
            self.batches += 1
            self.nbytes += item.nbytes
            if self._capture is not None:
                self._capture.write(item)
            return
        self.events += 1
        self.gaps += isinstance(item, Gap)
        if self._events is not None:
            self._events.write_event(item, self.frames)


async def _run(args: argparse.Namespace) -> None:
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(stopped_by_signals(stop.set))
        replay = Replay(args.path, speed=args.speed, start=args.start, end=args.end, only_run=args.only_run)
        writers = _Writers(args.out, stack)
        consumer = replay.consumer(name="replay")
        fields = MarketDataFields.from_codes(args.fields) if args.fields else MarketDataFields.default_l1()
        tail = Tail(
            replay, tuple(dict.fromkeys(args.conids)), fields, clock=replay.clock, where=args.path, names=args.names
        )
        if args.conids:
            replay.on_batch(tail.on_item)
            for conid in dict.fromkeys(args.conids):
                await replay.subscribe_market_data(conid, fields)
        start_s = time.monotonic()
        await stack.enter_async_context(replay)

        async def read() -> None:
            async for item in consumer.batches():
                writers.put(item)
                if not isinstance(item, Batch) and not args.conids:
                    say(event_text(item, replay.time_ns))

        reader = asyncio.create_task(read())
        reader.add_done_callback(lambda _: stop.set())
        if args.conids:
            end = EndCondition(stop, SYSTEM_CLOCK, None, reader.done)
            if not await draw_quotes(tail, end, args.interval or _TERMINAL_INTERVAL_S):
                await print_lines(tail, end, args.interval or _LINE_INTERVAL_S, lambda: replay.time_ns)
        await stop.wait()
        await replay.aclose()
        await reader
        took_s = time.monotonic() - start_s
    say_at_end(*_summary(replay, writers, took_s))
    if replay.torn:
        tell(f"cpapi-fast: {len(replay.torn)} captures end in an incomplete message, as a killed run leaves them")


def _summary(replay: Replay, writers: _Writers, took_s: float) -> list[str]:
    rate = writers.frames / took_s if took_s > 0 else 0.0
    found = [
        f"replayed   {writers.frames:,} frames in {writers.batches:,} batches, {size_text(writers.nbytes)}",
        f"events     {writers.events:,}, of which {writers.gaps:,} are gaps",
        f"took       {took_s:,.1f} s, {rate:,.0f} frames/s",
    ]
    if writers.first_ns:
        found.insert(1, f"recorded   {_text(writers.first_ns)} to {_text(writers.last_ns)}")
    if replay.frames_left_out:
        found.append(f"left out   {replay.frames_left_out:,} frames of other subscriptions")
    return [*found, *(f"wrote      {path}" for path in writers.files)]


def _text(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 1_000_000 / 1000, UTC).isoformat(timespec="milliseconds")
