"""One contender against one sender, each in a process of its own; answers checked first, timed runs interleaved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from . import corpus, digest
from .registry import ROOT, Contender

TIMEOUT_S: Final = 180
#: Passes of a corpus in a check: enough for socket reads to end at many different bytes of a frame.
CHECK_REPEATS: Final = {"smd151": 2, "smd1400": 1, "smd60k": 2, "mixed": 2}
#: A run takes no more bytes than this, however few its frames.
MOST_BYTES: Final = 400_000_000


class WrongAnswerError(Exception):
    """A contender answered something else than the reference; nothing it does is worth timing."""


@dataclass(frozen=True)
class Cell:
    """What one number is about."""

    corpus: str
    job: str
    is_tls: bool = False

    def __str__(self) -> str:
        return f"{self.corpus} {self.job} {'TLS' if self.is_tls else 'plain'}"


@dataclass(frozen=True)
class Sample:
    """One timed run."""

    frames: int
    cpu_ns: float
    wall_ns: float
    max_rss_kib: int
    sender_cpu_ns: float
    sender_wall_ns: float
    versions: Mapping[str, str]

    @property
    def cpu_ns_per_frame(self) -> float:
        return self.cpu_ns / self.frames

    @property
    def wall_ns_per_frame(self) -> float:
        return self.wall_ns / self.frames


@contextmanager
def sender(cell: Cell, *options: str) -> Iterator[tuple[list[str], subprocess.Popen[str]]]:
    """A sender for one run: the arguments that a contender is told to find it, and its process."""
    command = [sys.executable, "-m", "benchmarks.sender", "--corpus", cell.corpus, *options]
    process = subprocess.Popen(
        [*command, "--tls"] if cell.is_tls else command, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            if process.stdout is None:
                raise AssertionError("the sender has no output")
            where = json.loads(process.stdout.readline())
            address = ["--url", f"{'wss' if cell.is_tls else 'ws'}://127.0.0.1:{where['port']}/v1/api/ws"]
            yield [*address, "--cafile", where["cafile"]] if cell.is_tls else address, process
        finally:
            process.kill()


def call(contender: Contender, arguments: Sequence[str]) -> dict[str, Any]:
    """What the contender prints.

    Raises:
        WrongAnswerError: it failed, or printed no JSON.
    """
    command = [*contender.command, *arguments]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except OSError as error:
        raise WrongAnswerError(f"{contender.name} does not start: {error}; to build the peers: make peers") from error
    try:
        if done.returncode != 0:
            raise ValueError(f"exit code {done.returncode}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise WrongAnswerError(f"{contender.name} {' '.join(arguments)}: {error}\n{done.stderr}") from error
    return answer


def one(contender: Contender, cell: Cell, repeats: int, *, is_checked: bool = False) -> dict[str, Any]:
    """One run: what the contender printed, with the sender's own times as `sender`.

    Raises:
        WrongAnswerError: it failed, or did not receive every frame.
    """
    expected = repeats * corpus.FRAMES[cell.corpus]
    with sender(cell, "--repeats", str(repeats)) as (address, process):
        options = ["--check"] if is_checked else []
        if contender.is_told_frames:
            options += ["--frames", str(expected)]
        answer = call(contender, [*address, "--job", cell.job, *options])
        if answer["frames"] != expected:
            raise WrongAnswerError(f"{contender.name}, {cell}: received {answer['frames']} of {expected} frames")
        answer["sender"] = json.loads(process.stdout.readline()) if process.stdout else {}
    return answer


@cache
def _reference(name: str, job: str, dialect: str) -> str:
    return digest.reference(corpus.frames(name) * CHECK_REPEATS[name], job, dialect)


def check(contender: Contender, cell: Cell) -> None:
    """Compare the contender's answer with the reference.

    Raises:
        WrongAnswerError: they differ.
    """
    answer = one(contender, cell, CHECK_REPEATS[cell.corpus], is_checked=True)
    if cell.job in digest.JOBS:
        is_own = contender.group == "own"
        judge(contender, cell, answer["digest"], "full" if is_own else "common")
        if is_own:
            judge(contender, cell, answer["digest_common"], "common")


def judge(contender: Contender, cell: Cell, answer: str | None, dialect: str) -> None:
    """Raise WrongAnswerError unless `answer` is the reference's digest for the cell."""
    wanted = _reference(cell.corpus, cell.job, dialect)
    if answer != wanted:
        raise WrongAnswerError(f"{contender.name}, {cell}: digest {answer} ({dialect}), the reference has {wanted}")


def check_all(pairs: Iterable[tuple[Contender, Cell]]) -> int:
    """Check every pair, some side by side: nothing is timed, and most of a check is the start of its processes.

    Raises:
        WrongAnswerError: of the first that is wrong.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        futures = [pool.submit(check, contender, cell) for contender, cell in pairs]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()
    return len(futures)


def repeats_for(contender: Contender, name: str, scale: float = 1.0) -> int:
    """How many passes of a corpus make a timed run: the contender's own number of frames, less of them when large."""
    frames = min(contender.frames * scale, MOST_BYTES / corpus.bytes_per_frame(name))
    return max(1, round(frames / corpus.FRAMES[name]))


def measure(contender: Contender, cell: Cell, scale: float = 1.0) -> Sample:
    """One timed run."""
    answer = one(contender, cell, repeats_for(contender, cell.corpus, scale))
    sent = answer["sender"]
    return Sample(
        frames=answer["frames"],
        cpu_ns=answer["cpu_ns"],
        wall_ns=answer["wall_ns"],
        max_rss_kib=answer["max_rss_kib"],
        sender_cpu_ns=sent["cpu_ns"],
        sender_wall_ns=sent["wall_ns"],
        versions=answer["versions"],
    )


def interleaved(
    pairs: Iterable[tuple[Contender, Cell]], runs: int, *, scale: float = 1.0
) -> dict[tuple[str, Cell], list[Sample]]:
    """Check every pair's answer, then time all of them `runs` times over, one after the other.

    A slow minute of the machine so hits all alike, and ratios within one turn mean more than ratios of medians.
    """
    wanted = list(pairs)
    check_all(wanted)
    samples: dict[tuple[str, Cell], list[Sample]] = {(contender.name, cell): [] for contender, cell in wanted}
    for _ in range(runs):
        for contender, cell in wanted:
            samples[contender.name, cell].append(measure(contender, cell, scale))
    return samples
