"""Every contender and job, plain and TLS: is the answer right? Nothing is timed, so the checks run side by side."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from .registry import Contender
from .run import Cell, check


def cells(contender: Contender, jobs: Iterable[str] = ()) -> list[Cell]:
    """What is checked of a contender: every job on the hardest corpus it can answer for, and its first job over TLS."""
    wanted = [job for job in contender.jobs if job != "latency" and (not jobs or job in jobs)]
    name = "mixed" if "mixed" in contender.corpora else "smd151"
    plain = [Cell(name, job) for job in wanted]
    return plain + [Cell("smd151", job, is_tls=True) for job in wanted[:1] if contender.takes_tls]


def run(everybody: Iterable[Contender], jobs: Iterable[str] = ()) -> int:
    """Check them all; how many answers were right.

    Raises:
        WrongAnswerError: the first that was not.
    """
    chosen = tuple(jobs)
    pairs = [(contender, cell) for contender in everybody for cell in cells(contender, chosen)]
    # One process receives and one sends; most of a check is the start of the two.
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for future in [pool.submit(check, contender, cell) for contender, cell in pairs]:
            future.result()
    return len(pairs)
