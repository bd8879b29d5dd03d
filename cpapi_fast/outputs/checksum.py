"""Checksums inside files: the CRC-32 of all bytes, where the checksum itself counts as eight hyphens"""

from __future__ import annotations

import re
import zlib
from typing import Final

#: The entry of the metadata of a message or of a table with its checksum.
CHECKSUM_KEY: Final = "cpapi_fast.checksum"
#: Its value, while the checksum is computed.
CHECKSUM_PLACE: Final = "crc32=--------"

_CHECKSUM: Final = re.compile(rb"crc32=([0-9a-f]{8})")


def with_checksum(data: bytes | memoryview, start: int, end: int, crc_before: int = 0) -> memoryview:
    """Return a copy of bytes with their checksum in the last place for one.

    Args:
        data: the bytes. The last `CHECKSUM_PLACE` from `start` up to `end` is replaced.
        start: where the metadata begins.
        end: where the metadata ends.
        crc_before: the CRC-32 of the bytes before, which belong to the checksum.
    """
    found = bytearray(data)
    place = found.rindex(CHECKSUM_PLACE.encode(), start, end)
    found[place : place + len(CHECKSUM_PLACE)] = b"crc32=%08x" % zlib.crc32(data, crc_before)
    return memoryview(found)


def is_intact(data: bytes, start: int, end: int) -> bool:
    """Whether bytes have the last checksum from `start` up to `end`; False without one."""
    place: re.Match[bytes] | None = None
    for place in _CHECKSUM.finditer(data, start, end):  # noqa: B007 - the last one is used
        pass
    if place is None:
        return False
    view = memoryview(data)
    computed = zlib.crc32(CHECKSUM_PLACE.encode(), zlib.crc32(view[: place.start()]))
    return zlib.crc32(view[place.end() :], computed) == int(place[1], 16)
