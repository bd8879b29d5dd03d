"""Applies random faults to one feed on real sockets for a chosen time, and prints a report.

    python -m tests.faults.soak [--hours H | --minutes M] [--seed N] [--speed X]

Exits with 0 if everything held: after every fault everything streamed again without a restart, every frame that was
written and not delivered is inside a gap, the counts of every consumer add up, no subscription was stale without a
fault, and no memory, task or socket is left over.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Final

import cpapi_fast as cf
from tests.support.loops import LOOPS, run

from .lateness import Lateness
from .rig import SPEED, Rig, adds_up, sockets
from .schedule import Schedule

#: If a round of the loop took longer, in real seconds, the machine was too busy for checks of time.
_BUSY_S: Final = 0.2
#: How much the process may grow after the first tenth of the run.
_MOST_GROWTH_BYTES: Final = 64 * 1024 * 1024
#: How long no fault follows some of the faults, in seconds of the clock.
_QUIET_S: Final = (20.0, 90.0)
_QUIET_SHARE: Final = 0.3
#: How long it may take in real seconds until every stream that had stopped is replaced.
_LATE_S: Final = 120.0
_TELL_EVERY_S: Final = 60.0


def rss_bytes() -> int:
    """The memory of the process; 0 where the system does not report it."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Soak:
    """One run."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self._rig = rig
        self._random = Random(f"{seed}/soak")
        self.schedule = Schedule(rig, seed)
        self.gaps: Counter[str] = Counter()
        self.logins_required = 0
        self.quiet_s = 0.0
        self.busy_windows = 0
        self.false_stales = 0
        self.needless_reconnects = 0
        self.needless_gaps = 0
        self.possible_gaps = 0
        #: What happened in the first window that was not quiet.
        self.quiet_story = ""
        self.peak_tasks = 0
        self.peak_sockets = 0

    async def step(self, lateness: Lateness) -> None:
        rig = self._rig
        await self.schedule.step()
        self.gaps.update(gap.cause.value for gap in rig.events.gaps)
        rig.events.clear()
        self.peak_tasks = max(self.peak_tasks, len(asyncio.all_tasks()))
        self.peak_sockets = max(self.peak_sockets, sockets())
        if self._random.random() < _QUIET_SHARE:
            await self._quiet(lateness)

    async def _quiet(self, lateness: Lateness) -> None:
        rig, seconds = self._rig, self._random.uniform(*_QUIET_S)
        # The consequences of the last fault end first. That a stream has stopped is detected late if it ticks rarely.
        await rig.wait_for(lambda: rig.has_all_streams, "the gateway has every stream", timeout_s=_LATE_S)
        await rig.wait(90.0)
        await rig.streams()
        rig.events.clear()
        lateness.take_s()
        connections = rig.feed.stats.connections
        await rig.wait(seconds)
        if lateness.take_s() > _BUSY_S:
            self.busy_windows += 1
            return
        self.quiet_s += seconds
        if not self.quiet_story and (rig.events.gaps or rig.events.changes):
            self.quiet_story = f"{rig.story()}; {rig.events.gaps}; after {', '.join(self.schedule.done[-3:])}"
        self.false_stales += sum(change.state is cf.FeedState.STALE for change in rig.events.changes)
        self.needless_reconnects += rig.feed.stats.connections - connections
        # A fault can leave a wrong estimate behind: a burst, that an instrument ticks often, or subscribes without a
        # reply, that this gateway never replies to a repeated one. A quiet instrument then has a gap to be safe, which
        # says that data is only possibly missing.
        certain = sum(gap.certainty is cf.Certainty.CERTAIN for gap in rig.events.gaps)
        self.needless_gaps += certain
        self.possible_gaps += len(rig.events.gaps) - certain
        await rig.streams()


def _times(seconds: Iterable[float]) -> str:
    ordered = sorted(seconds)
    if not ordered:
        return "none"
    picked = [ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in (0.5, 0.95, 1.0)]
    return "median {:.1f} s, 95 % within {:.1f} s, longest {:.1f} s (of the clock)".format(*picked)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


async def soak(seconds: float, seed: int, speed: float) -> int:
    """Run for so many real seconds; returns the exit code."""
    write = sys.stdout.write
    write(f"soak: {seconds / 60:.1f} minutes, at {speed:g} times the speed, CPAPI_FAST_TEST_SEED={seed}\n")
    sys.stdout.flush()
    problems: list[str] = []
    start_s = time.monotonic()
    rss_start = rss_then = 0
    async with Rig(speed=speed, tls=seed % 2 == 0, gateway={"seed": seed}, feed={"seed": seed}) as rig:
        await rig.streams()
        # These are never read. They affect no other consumer, and their counts add up.
        for policy in ("drop_oldest", "drop_newest", "conflate"):
            rig.watch(rig.feed.consumer(policy=policy, max_pending_frames=1_000, name=policy))
        run_of_faults, lateness = Soak(rig, seed), Lateness()
        rss_start = rss_bytes()
        next_word_s = start_s + _TELL_EVERY_S
        while (now_s := time.monotonic()) < start_s + seconds:
            if not rss_then and now_s > start_s + seconds / 10:
                gc.collect()
                rss_then = rss_bytes()
            try:
                await run_of_faults.step(lateness)
            except AssertionError as error:
                problems.append(str(error))
                break
            if now_s > next_word_s:
                next_word_s += _TELL_EVERY_S
                steps, took_s = len(run_of_faults.schedule.recoveries), now_s - start_s
                write(f"  {took_s / 60:.0f} min: {steps} faults and recoveries, {rig.frames:,} frames\n")
                sys.stdout.flush()
        await lateness.aclose()
        gc.collect()
        rss_end = rss_bytes()
        tasks, opened = len(asyncio.all_tasks()), sockets()
        problems += report(rig, run_of_faults)
        write(
            f"memory          {rss_start / 1e6:.1f} MB at the start, {rss_then / 1e6:.1f} MB after a tenth, "
            f"{rss_end / 1e6:.1f} MB at the end\n"
            f"tasks, files    {tasks} and {opened} at the end; at most {run_of_faults.peak_tasks} and "
            f"{run_of_faults.peak_sockets}\n"
        )
        if rss_then and rss_end - rss_then > _MOST_GROWTH_BYTES:
            problems.append(f"memory grew by {(rss_end - rss_then) / 1e6:.1f} MB")
        if problems:
            # The end of the rig would raise the same again.
            rig.ledger.problems.clear()
    for problem in problems:
        write(f"PROBLEM: {problem}\n")
    write(f"soak {'FAILED' if problems else 'passed'}, CPAPI_FAST_TEST_SEED={seed}\n")
    return 1 if problems else 0


def report(rig: Rig, done: Soak) -> list[str]:
    """Print what happened; returns what was wrong."""
    write = sys.stdout.write
    accounts = rig.ledger.accounts.values()
    stats = rig.feed.stats
    consumers = (rig.consumer, *rig.consumers)
    wrong = [one for one in consumers if not adds_up(one.stats)]
    write(
        f"faults          {sum(done.schedule.counts.values())}: {_counted(done.schedule.counts)}\n"
        f"recoveries      {len(done.schedule.recoveries)}: {_times(one.seconds for one in done.schedule.recoveries)}\n"
        f"connections     {stats.connections}, {stats.calls_failed} failed calls, "
        f"{rig.logins_required} logins called for\n"
        f"subscriptions   {stats.renewals} renewals, {stats.probes} probes, {stats.resubscribes} resubscribes\n"
        f"gaps            {sum(done.gaps.values())}: {_counted(done.gaps)}\n"
        f"frames          {sum(one.delivered for one in accounts):,} delivered, "
        f"{sum(one.lost for one in accounts):,} lost inside gaps, "
        f"{sum(one.abandoned for one in accounts):,} written to sockets that were left, "
        f"{len(rig.ledger.problems)} not accounted for\n"
        f"quiet           {done.quiet_s / 60:.0f} minutes of the clock: {done.false_stales} false STALE, "
        f"{done.needless_reconnects} needless reconnects, {done.needless_gaps} needless gaps, {done.possible_gaps} "
        "possible gaps "
        f"({done.busy_windows} windows not judged: the machine was busy)\n"
    )
    for one in consumers:
        counts = one.stats
        write(
            f"{one.policy:<15} received {counts.received:,} = delivered {counts.delivered:,} + conflated "
            f"{counts.conflated:,} + dropped {counts.dropped:,} + pending {counts.pending:,}\n"
        )
    problems = rig.ledger.problems[:20]
    problems += [f"the consumer {one.name} does not add up: {one.stats}" for one in wrong]
    if done.false_stales or done.needless_reconnects or done.needless_gaps:
        problems.append(f"a subscription was stale without a fault: {done.quiet_story}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("CPAPI_FAST_TEST_SEED", "1")))
    parser.add_argument("--speed", type=float, default=SPEED)
    given = parser.parse_args()
    seconds = given.minutes * 60.0 if given.hours is None else given.hours * 3_600.0
    return run(soak(seconds, given.seed, given.speed), loop=LOOPS[0], timeout_s=seconds + 600.0)


if __name__ == "__main__":
    sys.exit(main())
