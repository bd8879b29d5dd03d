"""The C library librdkafka, which `confluent-kafka` has loaded: the addresses of its functions"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cpapi_fast.errors import MissingDependencyError


def import_kafka() -> Any:
    """Import `confluent_kafka` and return it.

    Raises:
        MissingDependencyError: it is not installed. The message states how to install it.
    """
    try:
        import confluent_kafka
    except ImportError as exc:
        raise MissingDependencyError.of("sending to Kafka", "confluent-kafka") from exc
    return confluent_kafka


def addresses(names: Sequence[str]) -> list[int]:
    """Return the addresses of functions of librdkafka.

    Raises:
        MissingDependencyError: confluent-kafka is not installed, or its librdkafka does not have them.
    """
    import_kafka()
    for library in _libraries():
        try:
            return [ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in names]
        except AttributeError:
            continue
    raise MissingDependencyError.of("sending to Kafka", "confluent-kafka")


def _libraries() -> Iterator[ctypes.CDLL]:
    import confluent_kafka.cimpl

    module = Path(confluent_kafka.cimpl.__file__)
    # The loader also searches the libraries that the module depends on; on Windows it does not, so they are next.
    yield ctypes.CDLL(str(module))
    for path in sorted(module.parent.parent.glob("confluent_kafka.libs/*rdkafka*")):
        yield ctypes.CDLL(str(path))
