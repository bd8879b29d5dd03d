"""Folders of files for the tests of reports: two runs with gaps, and a run with hostile texts."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Final

from cpapi_fast.events import Cause, Certainty, FeedState, Gap, Standstill, StandstillReason
from cpapi_fast.outputs.event_log import symbols_line
from tests.support.hostile import HOSTILE_TEXTS
from tests.support.runs import START_NS, S, changed, every, started, stopped, write_capture, write_events, write_ticks

RUN: Final = "1f9a3c"
NEXT: Final = "2b0c11"

#: Texts that would end an element, begin one, or run a script.
MARKUP: Final = (
    "</script><script>window.evil=1</script>",
    "<img src=x onerror='window.evil=1'>",
    "\"'><svg onload=window.evil=1>",
    "<!--<script>",
    "{{7*7}}${7*7}`@evil`",
    "&lt;b&gt; &amp;",
)
TEXTS: Final = (*MARKUP, *HOSTILE_TEXTS)


def at(seconds: float) -> int:
    return START_NS + int(seconds * S)


def two_runs(folder: Path) -> None:
    """Two runs with ten minutes between them, gaps, a standstill, late ticks, and frames of other kinds."""
    rng = random.Random(7)
    first = [*every(1.0, 0, 600, 265598), *every(2.5, 0, 600, 8314)]
    first = [row for row in first if not at(100) < row[0] < at(160)]
    first += [(at(second), b"{}") for second in range(0, 600, 10)]
    write_capture(folder, RUN, first, per_file=150)
    write_events(
        folder,
        RUN,
        [
            *started(at(0)),
            changed(at(100), FeedState.DISCONNECTED, Cause.CONNECTION_LOST, detail="reset by peer"),
            changed(at(155), FeedState.OPEN, Cause.SOCKET_OPENED),
            changed(at(160), FeedState.STREAMING, Cause.DATA),
            Gap("smd+265598", at(100), at(160), Cause.CONNECTION_LOST),
            Gap("smd+8314", at(100), at(160), Cause.CONNECTION_LOST),
            Gap("smd+8314", at(300), at(330.5), Cause.SUBSCRIPTION_SILENT),
            Gap("spl+[redacted]", at(100), at(160), Cause.CONNECTION_LOST),
            Standstill(at(400), 3 * S, StandstillReason.PROCESS),
            stopped(at(600)),
        ],
    )
    write_ticks(
        folder,
        RUN,
        [
            {
                "received": received,
                "updated": None if index % 50 == 0 else received // 1_000_000 - rng.choice((0, 3, 40, 900, 70_000)),
                "late_ns": 2 * S if index % 100 == 1 else 0,
                "conid": 265598,
                "symbol": "AAPL",
            }
            for index, (received, raw) in enumerate(first)
            if b"265598" in raw
        ],
    )
    write_capture(folder / "more", NEXT, every(1.0, 1200, 1500, 265598), is_closed=False)
    write_events(
        folder / "more",
        NEXT,
        [*started(at(1200)), Gap(None, at(1300), at(1310), Cause.CONSUMER_OVERFLOW, 12, Certainty.CERTAIN)],
        header=symbols_line([{"text": "AAPL@NASDAQ", "symbol": "AAPL", "conid": 265598}], at(1199)),
    )


def hostile_run(folder: Path) -> Path:
    """A run whose files have hostile texts wherever a text can be."""
    ends = [START_NS + (10 + number) * S for number in range(len(TEXTS))]
    events = [
        changed(at, FeedState.LOGIN_REQUIRED, Cause.NOT_LOGGED_IN, detail=f"{text} DU1234567")
        for at, text in zip(ends, TEXTS, strict=True)
    ]
    symbols = [{"symbol": text, "conid": 1000 + number} for number, text in enumerate(TEXTS)]
    path = write_events(
        folder,
        RUN,
        [
            *started(START_NS),
            *events,
            *(
                Gap(f"smd+1000@{text}", START_NS, at, Cause.CONNECTION_LOST)
                for at, text in zip(ends, TEXTS, strict=True)
            ),
            Gap("ssd+DU1234567", START_NS, START_NS + S, Cause.CONNECTION_LOST),
        ],
        header=symbols_line(symbols, START_NS),
    )
    forged = path.read_bytes().replace(
        b'"cause":"connection_lost"', b'"cause":"</script><script>window.evil=2</script>"', 1
    )
    path.write_bytes(forged)
    frames = [row for number in range(len(TEXTS)) for row in every(1.0, 0, 20, 1000 + number)]
    write_capture(folder, RUN, frames)
    write_ticks(
        folder,
        RUN,
        [
            {"received": START_NS + at * S, "updated": START_NS // 1_000_000, "conid": 2000 + at, "symbol": text}
            for at, text in enumerate(TEXTS)
        ],
    )
    if os.name == "posix":
        (folder / f"capture-20260102T150000.000000Z-{RUN}<script>window.evil=3.arrows").write_bytes(b"x")
    return folder
