"""Checks the answers of every contender and job, plain and over TLS, and times nothing."""

from __future__ import annotations

from collections.abc import Iterable

from .registry import Contender
from .run import Cell, check_all


def cells(contender: Contender, jobs: Iterable[str] = ()) -> list[Cell]:
    """Return the checks of a contender: every job on its most varied corpus, and its first job over TLS."""
    wanted = [job for job in contender.jobs if job != "latency" and (not jobs or job in jobs)]
    name = "mixed" if "mixed" in contender.corpora else "smd151"
    plain = [Cell(name, job) for job in wanted]
    return plain + [Cell("smd151", job, is_tls=True) for job in wanted[:1] if contender.takes_tls]


def run(contenders: Iterable[Contender], jobs: Iterable[str] = ()) -> int:
    """Check all contenders, and return the number of correct answers.

    Raises:
        WrongAnswerError: the first wrong answer.
    """
    chosen = tuple(jobs)
    return check_all((contender, cell) for contender in contenders for cell in cells(contender, chosen))
