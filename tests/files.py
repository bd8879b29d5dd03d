"""Helpers for tests of what is written to disk: batches made by hand, and a disk that is full."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from cpapi_fast.frames.batch import Batch, BatchBuilder


def make_batch(frames: Sequence[bytes], received_ns: int = 1) -> Batch:
    builder = BatchBuilder()
    for frame in frames:
        builder.append(frame)
    batch = builder.finish(received_ns)
    assert batch is not None
    return batch


def quote(conid: int = 265598, **fields: object) -> bytes:
    """An `smd` delta as the gateway writes it; a field code is written as `_31`."""
    import orjson

    codes = {name.lstrip("_"): value for name, value in fields.items()}
    head = {"server_id": "q1", "conidEx": str(conid), "conid": conid, "_updated": 1777552119103, "6119": "q1"}
    return orjson.dumps({**head, **codes, "topic": f"smd+{conid}"})


@contextlib.contextmanager
def file_size_limit(limit_bytes: int) -> Iterator[None]:
    """No file of this process can grow past `limit_bytes`: to the writer the same as a full disk (POSIX only).

    Python ignores the signal that goes with it, so a write comes back short and the next one fails.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
