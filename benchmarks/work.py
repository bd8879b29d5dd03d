"""The jobs of the Python contenders for each frame, and the digests of their answers.

Clients that decode (all but cpapi_fast) pass each decoded payload to `Task.take_decoded()`, and None for a frame that
is not JSON. In timed runs, the functions do the job and keep the result. Only in checked runs do they compute a digest.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cpapi_fast.protocol.numbers import parse_number

from . import digest

JOBS: Final = (*digest.JOBS, "count", "latency")

Take = Callable[[Any], object]

_ORDERS: Final = frozenset({"sor", "ord", "ortd"})
_PNL: Final = frozenset({"spl", "pnl", "ssd"})


def route_decoded(decoded: Any) -> tuple[int, int]:
    """Return kind and conid of a decoded frame in the `common` dialect."""
    if decoded is None:
        return digest.MALFORMED, -1
    if not decoded:
        return digest.HEARTBEAT, -1
    topic = decoded.get("topic")
    if topic is None:
        return digest.OTHER, -1
    if topic.startswith("smd+"):
        conid = topic[4:]
        return (digest.MARKET_DATA, int(conid)) if conid.isdecimal() else (digest.OTHER, -1)
    if topic == "system":
        return digest.SYSTEM, -1
    if topic in _ORDERS:
        return digest.ORDER, -1
    return (digest.PNL if topic in _PNL else digest.OTHER), -1


def number_decoded(value: Any) -> float | None:
    """Return the number in a field, with `float` for plain decimals and `parse_number` for other forms."""
    try:
        return float(value)
    except ValueError:
        return parse_number(value)


class Task:
    """One run of one job: the functions to call with each frame, and their results.

    Args:
        job: one of JOBS.
        is_checked: compute the digest of every answer.
        stamps_path: the file for the times, for `latency`.
        expected_frames: the number of frames, for clients that do not detect the end.
    """

    def __init__(
        self,
        job: str,
        *,
        is_checked: bool = False,
        stamps_path: Path | None = None,
        expected_frames: int | None = None,
    ) -> None:
        self.job: Final = job
        self.is_checked: Final = is_checked
        self.expected_frames: Final = expected_frames
        self.full = digest.Fnv()
        self.common = digest.Fnv()
        self.has_full = False
        self.stamps = array("q")
        self._stamps_path = stamps_path
        #: Sums and last results. A timed run keeps them, so that its work is not unused.
        self.kept = 0
        self.held: deque[Any] = deque(maxlen=1)

    def take_decoded(self) -> Take:
        """Return the function to call with each decoded payload, or with None for a frame that is not JSON."""
        if self.job == "latency":
            return self.stamp
        if self.is_checked:
            return {"route": self._check_route, "dict": self._check_dict, "columns": self._check_columns}[self.job]
        return {"route": self._route, "dict": self.held.append, "columns": self._columns()}[self.job]

    def stamp(self, _frame: object) -> None:
        self.stamps.append(time.monotonic_ns())

    def finish(self) -> tuple[str | None, str | None]:
        """Write the stamps, and return the digests in both dialects (None without a digest)."""
        if self._stamps_path is not None:
            self._stamps_path.write_bytes(self.stamps.tobytes())
        if not self.is_checked or self.job not in digest.JOBS:
            return None, None
        return (self.full.hex() if self.has_full else None), self.common.hex()

    def _route(self, decoded: Any) -> None:
        kind, conid = route_decoded(decoded)
        self.kept += kind + conid

    def _columns(self) -> Take:
        columns = [(key, array("d"), bytearray()) for key in digest.COLUMNS]

        def take(decoded: Any) -> None:
            if route_decoded(decoded)[0] != digest.MARKET_DATA:
                return
            for key, values, validity in columns:
                number = number_decoded(decoded[key]) if key in decoded else None
                values.append(0.0 if number is None else number)
                validity.append(number is not None)
            if len(validity) >= 4096:  # passed on, and started again
                self.kept += len(validity)
                for _, values, validity in columns:
                    del values[:]
                    validity.clear()

        return take

    def _check_route(self, decoded: Any) -> None:
        self.common.add(digest.route_bytes(*route_decoded(decoded)))

    def _check_dict(self, decoded: Any) -> None:
        self.common.add(digest.dict_bytes(decoded))

    def _check_columns(self, decoded: Any) -> None:
        if route_decoded(decoded)[0] == digest.MARKET_DATA:
            numbers = (number_decoded(decoded[key]) if key in decoded else None for key in digest.COLUMNS)
            self.common.add(digest.columns_bytes(numbers))
