from collections.abc import Mapping, Sequence
from typing import Any, Final, final

#: The names of the functions, in the order of `Functions`.
FUNCTIONS: Final[tuple[str, ...]] = ...

@final
class RecordProducer:
    """An idempotent producer for some topics. Not thread-safe.

    Args:
        functions: the addresses of the functions in `FUNCTIONS`, in their order.
        properties: the properties of librdkafka.
        topics: the names of the topics.

    Raises:
        ValueError: a property is invalid. The message is that of librdkafka.
    """

    error_code: int
    def __init__(self, functions: Sequence[int], properties: Mapping[str, str], topics: Sequence[str]) -> None: ...
    def close(self) -> None:
        """Forget all records in flight, and release the producer. Idempotent."""
    def produce(
        self,
        topic: int,
        run: bytes,
        first_sequence: int,
        sequences: Any,
        received_ns: Any,
        conids: Any,
        offsets: Any,
        payloads: Any,
        fates: bytearray,
        start: int = 0,
    ) -> int:
        """Pass records to the queue of librdkafka, as long as it has room. Records that were sent before are left out.

        Args:
            topic: the index of the topic.
            run: the value of the header `run`, in ASCII.
            first_sequence: the sequence number of the first record, if `sequences` is None.
            sequences: the sequence number of each record.
            received_ns: the receive time of each record, in ns since the Unix epoch.
            conids: the contract id of each record, whose text is its key. A record with -1 has no key, and is in
                partition 0, so that all of these are in order.
            offsets: the start of each record in `payloads`, and the end of the last one.
            payloads: the bytes of all records.
            fates: a bytearray with what became of each record. It must not be resized until `release`.
            start: the index of the first record to send.

        Returns:
            The index of the first record that was not sent; `error_code` is 0 unless another reason than a full queue
            was the cause.

        Raises:
            ValueError: the columns have different lengths, or the producer is closed.
        """
    def release(self, fates: bytearray) -> None:
        """Forget records that have all been acknowledged or refused."""
    def poll(self, timeout_s: float = 0.0) -> None:
        """Count what was acknowledged since the last call, and wait up to `timeout_s` for the first of it."""
    def purge(self) -> None:
        """Take all records from the queues of librdkafka; each that is not acknowledged counts as failed in `poll`."""
    @property
    def queued(self) -> int:
        """How many records are in the queues of librdkafka, or are acknowledged and not counted yet."""
    @property
    def acknowledged(self) -> int:
        """How many records the cluster has acknowledged."""
    @property
    def refused(self) -> int:
        """How many records were refused, because they are too large or invalid."""
    @property
    def failed(self) -> int:
        """How many records failed for another reason."""
    @property
    def refusal(self) -> str:
        """The name of the last reason for a refusal; empty without one."""
    @property
    def failure(self) -> str:
        """The name of the last reason for a failure; empty without one."""
    @property
    def last_error(self) -> tuple[str, str]:
        """The name and text of the last error of librdkafka, which may contain secrets; empty without one."""
    @property
    def fatal_error(self) -> str:
        """The name of the error after which nothing more can be sent; empty without one."""
    def name_of(self, code: int) -> str:
        """The name of an error code; empty for 0."""
