"""Runs a contender against a sender, each in its own process. Answers are checked first; timed runs are interleaved."""

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
#: The maximum number of bytes in one run.
MOST_BYTES: Final = 400_000_000


class WrongAnswerError(Exception):
    """A contender's answer differs from the reference, so it is not timed."""


@dataclass(frozen=True)
class Cell:
    """The corpus, job and transport of one number."""

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
    """Start a sender for one run; yield the arguments with its address, and its process."""
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
    """Run the contender and return the JSON that it prints.

    Raises:
        WrongAnswerError: the contender failed, or printed no JSON.
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
    """Run the contender once, and return its JSON with the sender's times as `sender`.

    Raises:
        WrongAnswerError: the contender failed, or did not receive every frame.
    """
    expected = repeats * corpus.FRAMES[cell.corpus]
    with sender(cell, "--repeats", str(repeats)) as (address, process):
        options = ["--check"] if is_checked else []
        if contender.needs_frame_count:
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
        compare(contender, cell, answer["digest"], "full" if is_own else "common")
        if is_own:
            compare(contender, cell, answer["digest_common"], "common")


def compare(contender: Contender, cell: Cell, answer: str | None, dialect: str) -> None:
    """Raise WrongAnswerError unless `answer` is the reference's digest for the cell."""
    wanted = _reference(cell.corpus, cell.job, dialect)
    if answer != wanted:
        raise WrongAnswerError(f"{contender.name}, {cell}: digest {answer} ({dialect}), the reference has {wanted}")


def check_all(pairs: Iterable[tuple[Contender, Cell]]) -> int:
    """Check every pair, several at a time because nothing is timed, and return the number of pairs.

    Raises:
        WrongAnswerError: the first wrong answer.
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
    """Return the passes of a corpus in a timed run: the contender's number of frames, fewer if the frames are large."""
    frames = min(contender.frames * scale, MOST_BYTES / corpus.bytes_per_frame(name))
    return max(1, round(frames / corpus.FRAMES[name]))


def measure(contender: Contender, cell: Cell, scale: float = 1.0) -> Sample:
    """Run the contender once and return its times."""
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

    The order ensures that a slow period of the machine affects all contenders.
    """
    wanted = list(pairs)
    check_all(wanted)
    samples: dict[tuple[str, Cell], list[Sample]] = {(contender.name, cell): [] for contender, cell in wanted}
    for _ in range(runs):
        for contender, cell in wanted:
            samples[contender.name, cell].append(measure(contender, cell, scale))
    return samples
