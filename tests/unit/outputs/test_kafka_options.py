"""Options of the output for Kafka, and files of properties."""

from __future__ import annotations

from pathlib import Path

import pytest

from cpapi_fast import CollectOptions, ConfigError, KafkaOptions
from cpapi_fast.outputs.kafka.cluster_check import safe_text
from cpapi_fast.outputs.kafka.options import read_properties


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"servers": ""}, "servers must be brokers such as"),
        ({"servers": 9092}, "servers must be brokers such as"),
        ({"topic_prefix": "a b"}, "topic_prefix must have letters"),
        ({"tables": ("orders",)}, "tables must be a list with ticks or quotes"),
        ({"tables": "ticks"}, "tables must be a list"),
        ({"partitions": 0}, "partitions must be a whole number"),
        ({"spill_bytes": 1.5}, "spill_bytes must be a whole number"),
        ({"spill_after_s": 0}, "spill_after_s must be"),
        ({"start_timeout_s": -1}, "start_timeout_s must be"),
        ({"close_timeout_s": float("nan")}, "close_timeout_s must be"),
        ({"start_without_broker": 1}, "start_without_broker must be True or False"),
        ({"config": ["x"]}, "config must be a mapping"),
        ({"config": {"linger.ms": 5}}, "must be texts"),
        ({"config": {"acks": "1"}}, "acks cannot be set: it is always all"),
        ({"config": {"enable.idempotence": "false"}}, "enable.idempotence cannot be set: it is always on"),
        ({"config": {"message.timeout.ms": "5"}}, "cannot be set: records are sent until"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        KafkaOptions(**{"servers": "x:9092", **options})  # type: ignore[arg-type]


def test_collect_options_take_kafka_options_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kafka must be KafkaOptions or None"):
        CollectOptions(out=tmp_path, kafka="x:9092")  # type: ignore[arg-type]


def test_properties_are_read_and_secrets_are_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "kafka.properties"
    path.write_text("# a comment\n\nsecurity.protocol = SASL_SSL\nsasl.password=a=b#c\nssl.key.pem=KEY\n")
    config = read_properties(path)
    assert config == {"security.protocol": "SASL_SSL", "sasl.password": "a=b#c", "ssl.key.pem": "KEY"}
    options = KafkaOptions(servers="x:9092", config=config)
    assert set(options.secrets) == {"a=b#c", "KEY"}
    assert "a=b#c" not in repr(options)
    assert safe_text("no user with a=b#c\nhere", options) == "no user with [redacted] here"


def test_a_wrong_file_of_properties_is_an_error_without_its_content(tmp_path: Path) -> None:
    path = tmp_path / "kafka.properties"
    path.write_text("linger.ms=5\nhunter2-is-secret\n")
    with pytest.raises(ConfigError, match=r"line 2 of .* is not name=value") as error:
        read_properties(path)
    assert "hunter2" not in str(error.value)
    with pytest.raises(ConfigError, match=r"cannot read .*absent: No such file"):
        read_properties(tmp_path / "absent")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        read_properties(path)
