"""The real broker of the tests for Kafka."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.kafka_broker import Broker, NoBrokerError

#: The user of the listener with SASL, and the password.
USER, PASSWORD = "collector", "hunter2-of-the-tests"


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running broker, with a second listener for SASL. A test may stop and kill it, and starts it again."""
    pytest.importorskip("confluent_kafka")
    try:
        found = Broker(tmp_path_factory.mktemp("kafka"), sasl={USER: PASSWORD})
        found.start()
    except NoBrokerError as exc:
        pytest.skip(str(exc))
    yield found
    found.kill()
