"""Checks the cluster at the start: its brokers, credentials, topics and partitions, with the fix in the error"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from cpapi_fast.errors import ConfigError, OutputError
from cpapi_fast.redaction import REDACTED

from .librdkafka import import_kafka
from .options import KafkaOptions

#: The fix for each error of librdkafka that names a wrong set-up, by the name of the error.
_FIXES: Final[Mapping[str, str]] = {
    "_AUTHENTICATION": "check sasl.mechanism, sasl.username and sasl.password in the properties",
    "SASL_AUTHENTICATION_FAILED": "check sasl.mechanism, sasl.username and sasl.password in the properties",
    "UNSUPPORTED_SASL_MECHANISM": "check sasl.mechanism in the properties",
    "_SSL": "check security.protocol, ssl.ca.location and the certificate of the broker",
    "_RESOLVE": "check the host names in servers",
    "CLUSTER_AUTHORIZATION_FAILED": "grant the user IDEMPOTENT_WRITE on the cluster",
    "TOPIC_AUTHORIZATION_FAILED": "grant the user WRITE and DESCRIBE on the topics",
}

#: How long the check waits for the sizes that topics accept, in real seconds. It goes without them.
DESCRIBE_S: Final = 5.0

#: Lines of librdkafka are not logged, because they can contain secrets.
_SILENT: Final = logging.getLogger("cpapi_fast.kafka.librdkafka")
_SILENT.disabled = True


def check_cluster(options: KafkaOptions, topics: Mapping[str, int]) -> None:
    """Check that the cluster can be reached, and that its topics are as the output needs them.

    Args:
        options: the options.
        topics: the topics, each with the length of the longest record that must fit, in bytes.

    Raises:
        ConfigError: credentials, TLS, a topic or a property is wrong. The message states the fix.
        OutputError: no broker can be reached.
        MissingDependencyError: confluent-kafka is not installed.
    """
    kafka = import_kafka()
    from confluent_kafka.admin import AdminClient

    errors: list[Any] = []
    try:
        admin = AdminClient({**options.connection_properties, "error_cb": errors.append}, logger=_SILENT)
    except kafka.KafkaException as exc:
        raise ConfigError(f"a property for Kafka is invalid: {safe_text(str(exc.args[0].str()), options)}") from None
    metadata = _metadata(kafka, admin, options, errors)
    for topic in topics:
        found = metadata.topics.get(topic)
        error = getattr(found, "error", None)
        if found is None or (error is not None and error.code() == kafka.KafkaError.UNKNOWN_TOPIC_OR_PART):
            raise ConfigError(f"the topic {topic} does not exist; create it: {_create(options, topic)}")
        if error is not None:
            fix = _FIXES.get(error.name(), "check the topic")
            raise ConfigError(f"the topic {topic} cannot be used: {safe_text(error.str(), options)}; {fix}")
        if len(found.partitions) < options.partitions:
            raise ConfigError(
                f"the topic {topic} has {len(found.partitions)} partitions, and {options.partitions} are required; "
                f"add some: `kafka-topics.sh --bootstrap-server {options.servers} --alter --topic {topic} "
                f"--partitions {options.partitions}` (before the first record, because a conid then changes its "
                "partition), or lower partitions"
            )
    _check_sizes(kafka, admin, options, topics)


def _metadata(kafka: Any, admin: Any, options: KafkaOptions, errors: list[Any]) -> Any:
    deadline_s = time.monotonic() + options.start_timeout_s
    while True:
        try:
            return admin.list_topics(timeout=min(1.0, options.start_timeout_s))
        except kafka.KafkaException as exc:
            errors.append(exc.args[0])
        # Calls `error_cb`.
        admin.poll(0.1)
        for error in errors:
            # A failed handshake is an error of the transport.
            fix = _FIXES["_SSL"] if "SSL handshake failed" in error.str() else _FIXES.get(error.name())
            if fix is not None:
                raise ConfigError(
                    f"cannot use the Kafka cluster at {options.servers}: {safe_text(error.str(), options)}; {fix}"
                )
        if time.monotonic() >= deadline_s:
            reason = next((error.str() for error in reversed(errors) if error.name() == "_TRANSPORT"), errors[-1].str())
            raise OutputError(
                f"no Kafka broker answers at {options.servers}: {safe_text(reason, options)}; check servers, and that "
                "the broker runs and expects this security.protocol",
                path=options.servers,
            )


def _check_sizes(kafka: Any, admin: Any, options: KafkaOptions, topics: Mapping[str, int]) -> None:
    from confluent_kafka.admin import ConfigResource

    resources = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
    futures = admin.describe_configs(resources, request_timeout=min(DESCRIBE_S, options.start_timeout_s))
    for resource, future in futures.items():
        try:
            found = future.result()
        except kafka.KafkaException:
            # Users without the right to read it can still send.
            continue
        entry = found.get("max.message.bytes")
        if entry is not None and int(entry.value) < topics[resource.name]:
            raise ConfigError(
                f"the topic {resource.name} accepts records of up to {int(entry.value):,} bytes, and frames can have "
                f"{topics[resource.name]:,}; raise it: `kafka-configs.sh --bootstrap-server {options.servers} --alter "
                f"--topic {resource.name} --add-config max.message.bytes={topics[resource.name]}`"
            )


def _create(options: KafkaOptions, topic: str) -> str:
    return (
        f"`kafka-topics.sh --bootstrap-server {options.servers} --create --topic {topic} "
        f"--partitions {options.partitions}`"
    )


def safe_text(text: str, options: KafkaOptions) -> str:
    """Return a text of librdkafka or of a broker without the secrets of the options."""
    for secret in sorted(options.secrets, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return " ".join(text.split())
