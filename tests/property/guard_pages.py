"""Classifies and decodes texts next to protected memory: reading one byte too far kills the process.

Run by test_memory_bounds.py in a process of its own. Each text is laid right before a page without access, then right
after one, and handed over as a memoryview, which the classifier works on without a copy; the walk over columns gets its
address.

    python guard_pages.py classify   every fixture and generated text, and all their beginnings; prints how many
    python guard_pages.py overrun    reads one byte past the end on purpose
    python guard_pages.py underrun   reads one byte before the start on purpose
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterator

from cpapi_fast.frames.batch import BatchBuilder
from cpapi_fast.frames.classifier import classify_bytes
from cpapi_fast.frames.frame import classify
from cpapi_fast.frames.tick_decoder import TickDecoder
from tests.oracles import generator
from tests.oracles.ticks import CDecoder
from tests.support import frames

PAGE = mmap.PAGESIZE
#: The readable part between the two guards; longer texts are left out.
ROOM = 4 * PAGE
PROT_NONE = 0


class Guarded:
    """Readable memory with a page before it and a page after it that must not be touched."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, PAGE + ROOM + PAGE)
        self.view = memoryview(self._map)[PAGE : PAGE + ROOM]
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map)) + PAGE
        for guard in (self.address - PAGE, self.address + ROOM):
            if _mprotect(guard, PAGE, PROT_NONE) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")

    def at_the_end(self, text: bytes) -> memoryview:
        """`text`, its last byte the last one that may be read."""
        start = ROOM - len(text)
        self.view[start:] = text
        return self.view[start:]

    def at_the_start(self, text: bytes) -> memoryview:
        """`text`, its first byte the first one that may be read."""
        self.view[: len(text)] = text
        return self.view[: len(text)]

    def address_of(self, view: memoryview) -> int:
        """Where a view that this gave begins; of an empty one, the end."""
        return ctypes.addressof(ctypes.c_char.from_buffer(view)) if view else self.address + ROOM


_mprotect = ctypes.CDLL(None, use_errno=True).mprotect
_mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def texts() -> Iterator[bytes]:
    """Every fixture with all its beginnings and endings, and what the generator makes."""
    for text in frames.corpus():
        for at in range(len(text) + 1):
            yield text[:at]
            yield text[at:]
    for case in generator.Generator(1).cases(20_000):
        if len(case.data) <= ROOM:
            yield case.data


def main(action: str) -> int:
    """Do one of the three."""
    guarded = Guarded()
    if action == "overrun":
        return ctypes.string_at(guarded.address + ROOM, 1)[0]
    if action == "underrun":
        return ctypes.string_at(guarded.address - 1, 1)[0]
    count = 0
    builder = BatchBuilder()
    decoder = CDecoder(TickDecoder(["31", "84", "_updated", "7059", "87_raw", "server_id"]))
    for text in texts():
        expected = classify_bytes(text)
        row = decoder.walk_bytes(text)
        for view in (guarded.at_the_end(text), guarded.at_the_start(text)):
            answer = classify_bytes(view)
            builder.append(view)
            same = (answer.verdict, answer.kind, answer.conid) == (expected.verdict, expected.kind, expected.conid)
            if not same or classify(view).raw != text:
                raise AssertionError(f"{text!r} is classified in another way where it touches a guard page")
            if decoder.walk(guarded.address_of(view), len(text)) != row:
                raise AssertionError(f"{text!r} has other columns where it touches a guard page")
            count += 1
    batch = builder.finish(0)
    if batch is None or len(batch) != count:
        raise AssertionError("the batch does not hold what was appended")
    print(count)  # noqa: T201 - the answer to the process that started this one
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
