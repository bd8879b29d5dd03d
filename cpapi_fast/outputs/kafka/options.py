"""KafkaOptions: the cluster, the topics and the bounds of the output for Kafka, and files of properties"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, get_args

from cpapi_fast.errors import ConfigError
from cpapi_fast.option_values import check_flag, check_positive, check_whole
from cpapi_fast.outputs.contract.options import OutputOptions
from cpapi_fast.outputs.tables.schema import TableName
from cpapi_fast.redaction import repr_without_accounts, shown

#: Names of topics that every tool accepts.
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{0,200}")

#: What the guarantees of the output depend on, and what replaces it.
_FIXED: Final[Mapping[str, str]] = {
    "bootstrap.servers": "set servers",
    "metadata.broker.list": "set servers",
    "enable.idempotence": "it is always on",
    "acks": "it is always all",
    "request.required.acks": "it is always all",
    "message.timeout.ms": "records are sent until the cluster has them",
    "delivery.timeout.ms": "records are sent until the cluster has them",
    "transactional.id": "the output has no transactions",
    "delivery.report.only.error": "it is always off",
    "message.send.max.retries": "records are sent until the cluster has them",
    "retries": "records are sent until the cluster has them",
}

#: What librdkafka does for throughput; each can be replaced.
_DEFAULTS: Final[Mapping[str, str]] = {
    "compression.type": "lz4",
    "linger.ms": "20",
    "batch.size": "1000000",
    "batch.num.messages": "100000",
    # The same partitions as the Java client, so that topics of other producers can be joined.
    "partitioner": "murmur2_random",
    "queue.buffering.max.messages": "1000000",
    "queue.buffering.max.kbytes": "16384",
    "socket.keepalive.enable": "true",
    # A broker that comes back is used within a second or two.
    "reconnect.backoff.max.ms": "2000",
    "topic.metadata.refresh.interval.ms": "60000",
    "client.id": "cpapi-fast",
}

#: The options of the queue of the output. It waits for a slow cluster for `spill_after_s` at most, because what is
#: older is spilled. So it only holds the stream if the disk of the spill does not respond. What it cannot write is
#: dropped, counted and reported, and the other outputs continue. Its end is bounded by `close_timeout_s`.
OUTPUT_OPTIONS: Final = OutputOptions(policy="block", batch_delay_s=0, on_failure="drop", flush_deadline_s=None)

_SECRET: Final = re.compile(
    r"password|secret|\.pem$|jaas|token|sasl\.oauthbearer\.config|sasl\.username", re.IGNORECASE
)


@repr_without_accounts
@dataclass(frozen=True, kw_only=True)
class KafkaOptions:
    """Options of the output for Kafka. Durations are seconds of the client's clock, unless stated otherwise.

    Args:
        servers: some brokers of the cluster: `host:9092,other:9092`.
        topic_prefix: the start of the names of all topics: `<prefix>raw`, `<prefix>events` and so on.
        tables: the tables of market data to send too, one JSON object per row: `ticks`, `quotes`, or both.
        partitions: how many partitions each topic must have at least. The frames of one conid are in one partition.
        config: properties of librdkafka, such as those for TLS and SASL; see `read_properties`. Not in the `repr`.
        spill_after_s: how long a frame may be unacknowledged before it is written to the spill on disk. After a kill,
            at most the frames of this time are lost.
        spill_bytes: how many bytes the spill may have. Beyond it, new frames count as dropped (`spill full`).
        start_timeout_s: how long the check at the start waits for the cluster, in real seconds.
        start_without_broker: whether a run begins although no broker can be reached. Its frames are then spilled.
        close_timeout_s: how long the end of a run waits for acknowledgements, in real seconds. What is left stays in
            the spill for the next run.

    Raises:
        ConfigError: a value is invalid, or `config` has a property that the guarantees of the output depend on.
    """

    servers: str
    topic_prefix: str = "cpapi_fast."
    tables: tuple[TableName, ...] = ()
    partitions: int = 1
    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    spill_after_s: float = 1.0
    spill_bytes: int = 1024 * 1024 * 1024
    start_timeout_s: float = 15.0
    start_without_broker: bool = False
    close_timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if not isinstance(self.servers, str) or not self.servers.strip():
            raise ConfigError(f"servers must be brokers such as 'host:9092,other:9092', not {shown(self.servers)}")
        if not isinstance(self.topic_prefix, str) or not _PREFIX.fullmatch(self.topic_prefix):
            raise ConfigError(
                f"topic_prefix must have letters, digits, '.', '_' and '-' only, at most 200, "
                f"not {shown(self.topic_prefix)}"
            )
        known = get_args(TableName)
        if isinstance(self.tables, str) or any(table not in known for table in self.tables):
            raise ConfigError(f"tables must be a list with {' or '.join(known)}, not {shown(self.tables)}")
        object.__setattr__(self, "tables", tuple(dict.fromkeys(self.tables)))
        check_whole("partitions", self.partitions)
        check_whole("spill_bytes", self.spill_bytes)
        check_positive("spill_after_s", self.spill_after_s)
        check_positive("start_timeout_s", self.start_timeout_s)
        check_positive("close_timeout_s", self.close_timeout_s)
        check_flag("start_without_broker", self.start_without_broker)
        if not isinstance(self.config, Mapping):
            raise ConfigError(f"config must be a mapping of properties of librdkafka, not {shown(self.config)}")
        for name, value in self.config.items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise ConfigError("the properties in config must be texts, with texts as their values")
            if name in _FIXED:
                raise ConfigError(f"the property {name} cannot be set: {_FIXED[name]}")
        object.__setattr__(self, "config", MappingProxyType(dict(self.config)))

    @property
    def properties(self) -> dict[str, str]:
        """The properties of the producer."""
        return {
            **_DEFAULTS,
            **self.config,
            "bootstrap.servers": self.servers,
            "enable.idempotence": "true",
            # Endless: the output itself decides what becomes of a record.
            "message.timeout.ms": "0",
        }

    @property
    def connection_properties(self) -> dict[str, str]:
        """The properties with which a client connects to the cluster."""
        names = ("sasl.", "ssl.", "security.", "socket.", "broker.", "client.", "api.", "https.", "enable.ssl", "test.")
        given = {name: value for name, value in self.config.items() if name.startswith(names)}
        return {**given, "bootstrap.servers": self.servers}

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values of properties that no text may have."""
        return tuple(value for name, value in self.config.items() if value and _SECRET.search(name))


def read_properties(path: Path) -> dict[str, str]:
    """Read a file of properties of librdkafka: `name=value` lines, empty lines, and comments that begin with `#`.

    Raises:
        ConfigError: the file cannot be read, or a line is invalid. The message has its number, and not its value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        raise ConfigError(f"cannot read {path}: {getattr(exc, 'strerror', None) or 'it is not UTF-8'}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith(("#", "!")):
            continue
        name, separator, value = stripped.partition("=")
        if not separator or not name.strip():
            raise ConfigError(f"line {number} of {path} is not name=value, such as security.protocol=SASL_SSL")
        found[name.strip()] = value.strip()
    return found
