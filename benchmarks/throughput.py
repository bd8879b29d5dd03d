"""Measures CPU and wall time per frame, against a sender that sends as fast as it can."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from .registry import Contender
from .run import Cell, Sample, interleaved

#: Timed settings: (corpus, TLS, share of the runs). With TLS or large frames, contenders do only their first job.
SETTINGS: Final = (
    ("smd151", False, 1.0),
    ("mixed", False, 0.6),
    ("smd151", True, 0.6),
    ("mixed", True, 0.6),
    ("smd1400", False, 0.4),
    ("smd60k", False, 0.4),
)
#: Corpora of large frames, without the other Python clients, whose results would only show their JSON decoder.
LARGE: Final = ("smd1400", "smd60k")
#: If a wall time exceeds that of the raw recv loop by at most this share, the sender limits it.
BOUND_SHARE: Final = 0.15
#: The contender that shows the sender's limit: a loop in C that only receives.
RAW_RECV: Final = ("raw_recv", "bytes")

Samples = Mapping[tuple[str, Cell], Sequence[Sample]]


def pairs(
    contenders: Iterable[Contender], corpus: str, is_tls: bool, jobs: Iterable[str] = ()
) -> list[tuple[Contender, Cell]]:
    """Return the contenders and jobs of one setting."""
    chosen = tuple(jobs)
    found = []
    for contender in contenders:
        is_left_out = contender.is_paced or (corpus in LARGE and contender.group == "python")
        if contender.can(corpus, is_tls) and not is_left_out:
            possible = [job for job in contender.jobs if job != "latency" and (not chosen or job in chosen)]
            is_first_only = is_tls or corpus in LARGE
            found += [(contender, Cell(corpus, job, is_tls)) for job in (possible[:1] if is_first_only else possible)]
    return found


def run(
    contenders: Iterable[Contender], runs: int, *, jobs: Iterable[str] = (), scale: float = 1.0
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Time all contenders in every setting; yield the name of the setting and its rows for the JSON."""
    known, chosen = tuple(contenders), tuple(jobs)
    for corpus, is_tls, share in SETTINGS:
        samples = interleaved(pairs(known, corpus, is_tls, chosen), max(1, round(runs * share)), scale=scale)
        yield f"{corpus} {'TLS' if is_tls else 'plain'}", rows(known, samples)


def wall_ns(runs: Iterable[Sample]) -> list[float]:
    return [sample.wall_ns_per_frame for sample in runs]


def rows(contenders: Iterable[Contender], samples: Samples) -> list[dict[str, Any]]:
    """Return one row for each contender and job, with every single run."""
    labels = {contender.name: contender for contender in contenders}
    raw = [median(wall_ns(runs)) for (name, cell), runs in samples.items() if (name, cell.job) == RAW_RECV]
    limit_ns = raw[0] if raw else None
    found = []
    for (name, cell), runs in samples.items():
        wall = wall_ns(runs)
        is_limit = (name, cell.job) == RAW_RECV
        is_bound = limit_ns is not None and not is_limit and median(wall) <= limit_ns * (1 + BOUND_SHARE)
        found.append(
            {
                "contender": name,
                "label": labels[name].label,
                "group": labels[name].group,
                "job": cell.job,
                "frames": runs[0].frames,
                "cpu_ns": [sample.cpu_ns_per_frame for sample in runs],
                "wall_ns": wall,
                "max_rss_kib": max(sample.max_rss_kib for sample in runs),
                "sender_cpu_ns": [sample.sender_cpu_ns / sample.frames for sample in runs],
                "is_bound_by_sender": is_bound,
                "versions": dict(runs[0].versions),
            }
        )
    return found
