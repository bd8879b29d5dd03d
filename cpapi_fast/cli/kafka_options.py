"""The options of `collect` for Kafka, and the `KafkaOptions` that follow from them"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cpapi_fast.errors import ConfigError

from .arguments import tables, whole_number

if TYPE_CHECKING:
    from cpapi_fast.outputs.kafka.options import KafkaOptions


def add_kafka(parser: argparse.ArgumentParser) -> None:
    """Add the options of the output for Kafka."""
    kafka = parser.add_argument_group(
        "Kafka", "Send the frames, events and rows to a Kafka cluster too. While it is away, they are kept in --out."
    )
    kafka.add_argument("--kafka-servers", metavar="HOST:PORT", help="brokers of the cluster, separated by commas")
    kafka.add_argument(
        "--kafka-topic-prefix",
        dest="topic_prefix",
        metavar="TEXT",
        help="start of the names of the topics: TEXTraw, TEXTevents and so on (default: cpapi_fast.)",
    )
    kafka.add_argument(
        "--kafka-tables",
        type=tables,
        default=(),
        metavar="NAMES",
        help="tables to send too, as JSON, one topic each, separated by commas: ticks, quotes (default: none)",
    )
    kafka.add_argument(
        "--kafka-partitions",
        type=whole_number,
        metavar="N",
        help="how many partitions each topic must have at least (default: 1)",
    )
    kafka.add_argument(
        "--kafka-config",
        type=Path,
        metavar="FILE",
        help="properties of librdkafka, such as those for TLS and SASL, one name=value per line",
    )
    kafka.add_argument(
        "--kafka-spill-bytes",
        dest="spill_bytes",
        type=whole_number,
        metavar="N",
        help="how many bytes may be kept on disk while the cluster is away (default: 1073741824)",
    )
    kafka.add_argument(
        "--kafka-start-without-broker",
        dest="start_without_broker",
        action="store_true",
        help="start although no broker can be reached, and keep the frames on disk until then",
    )


def kafka_options(args: argparse.Namespace) -> KafkaOptions | None:
    """Return the options of the output for Kafka; None without `--kafka-servers`.

    Raises:
        ConfigError: a value is invalid, the file of properties cannot be read, or only `--kafka-servers` is missing.
    """
    from cpapi_fast.outputs.kafka.options import KafkaOptions, read_properties

    given = {
        "topic_prefix": args.topic_prefix,
        "tables": args.kafka_tables or None,
        "partitions": args.kafka_partitions,
        "spill_bytes": args.spill_bytes,
        "start_without_broker": args.start_without_broker or None,
        "config": None if args.kafka_config is None else read_properties(args.kafka_config),
    }
    options = {name: value for name, value in given.items() if value is not None}
    if args.kafka_servers is not None:
        return KafkaOptions(servers=args.kafka_servers, **options)
    if options:
        raise ConfigError("options for Kafka need the brokers of the cluster: --kafka-servers HOST:PORT")
    return None
