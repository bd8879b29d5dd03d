"""The Kafka output with the mock cluster of librdkafka, which every machine has."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast import (
    Client,
    CollectOptions,
    Collector,
    ConfigError,
    KafkaOptions,
    KafkaOutput,
    OutputError,
    OutputOptions,
    UsageError,
)
from cpapi_fast.collect.outputs import check_outputs
from cpapi_fast.files.verify import verify
from tests.support.batches import batch_of, event, numbered
from tests.support.frames import smd
from tests.support.kafka_broker import read_all

confluent_kafka = pytest.importorskip("confluent_kafka")

WAIT_S = 60.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A producer that runs the mock cluster."""
    producer = confluent_kafka.Producer({"bootstrap.servers": "", "test.mock.num.brokers": 2, "log_level": 0})
    yield producer
    producer.close()


@pytest.fixture(autouse=True)
def _no_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mock cluster does not answer the question for the sizes that its topics accept."""
    monkeypatch.setattr("cpapi_fast.outputs.kafka.cluster_check.DESCRIBE_S", 0.05)


@pytest.fixture
def servers(cluster: Any) -> str:
    brokers = cluster.list_topics(timeout=WAIT_S).brokers.values()
    return ",".join(f"{broker.host}:{broker.port}" for broker in brokers)


@pytest.fixture
def prefix(cluster: Any, request: pytest.FixtureRequest) -> str:
    """The prefix of topics of this test. The mock cluster creates each topic that is asked for."""
    found = f"{request.node.name[:60].replace('[', '-').replace(']', '')}."
    for name in ("raw", "events", "ticks", "quotes"):
        cluster.list_topics(f"{found}{name}", timeout=WAIT_S)
    end_s = time.monotonic() + WAIT_S
    while not all(f"{found}{name}" in cluster.list_topics(timeout=WAIT_S).topics for name in ("raw", "quotes")):
        assert time.monotonic() < end_s
    return found


def finish(output: KafkaOutput, is_done: Callable[[], bool]) -> None:
    end_s = time.monotonic() + WAIT_S
    while not is_done():
        assert time.monotonic() < end_s, output.stats
        output.poll()
        time.sleep(0.01)


def headers_of(message: Any) -> tuple[str, int]:
    headers = dict(message.headers())
    return headers["run"].decode(), int(headers["sequence"])


def test_frames_are_sent_unchanged(servers: str, prefix: str, tmp_path: Path) -> None:
    output = KafkaOutput(tmp_path, KafkaOptions(servers=servers, topic_prefix=prefix, partitions=2))
    batch = batch_of([smd(265598), b'{"topic":"system","hb":1}', smd(0), b"", smd(8314)], 1_700_000_000_123_456_789)
    output.write(batch)
    output.write(numbered(1, 500, 1_700_000_001_000_000_000))
    output.close()
    output.close()
    assert (output.counts.received, output.counts.written, output.counts.pending) == (505, 505, 0)
    assert output.stats.queued == 0
    assert output.files == []
    messages = read_all(servers, f"{prefix}raw")
    by_sequence = {headers_of(message)[1]: message for message in messages}
    assert sorted(by_sequence) == list(range(505))
    assert {headers_of(message)[0] for message in messages} == {output.run.decode()}
    assert [by_sequence[n].value() for n in range(5)] == [batch[n].raw for n in range(5)]
    assert [by_sequence[n].key() for n in range(5)] == [b"265598", None, b"0", None, b"8314"]
    assert {by_sequence[n].partition() for n in (1, 3)} == {0}
    assert by_sequence[0].timestamp() == (confluent_kafka.TIMESTAMP_CREATE_TIME, 1_700_000_000_123)
    with pytest.raises(UsageError, match="closed"):
        output.write(batch)


def test_tables_and_events_are_json(servers: str, prefix: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import orjson

    options = KafkaOptions(servers=servers, topic_prefix=prefix, tables=("ticks", "quotes"))
    output = KafkaOutput(tmp_path, options, fields=("volume",))
    output.write(batch_of([smd(265598)], 1_700_000_000_000_000_001))
    output.observe_event(event(1_700_000_000_000_000_002))
    output.write(numbered(10, 5000))
    output.close()
    ticks = [(orjson.loads(m.value()), m) for m in read_all(servers, f"{prefix}ticks")]
    first, message = next(pair for pair in ticks if pair[0]["conid"] == 265598)
    assert first["received"] == "2023-11-14T22:13:20.000000001Z"
    assert first["last_price"] > 0
    assert (message.key(), headers_of(message)) == (b"265598", (output.run.decode(), 0))
    assert sorted(headers_of(m)[1] for _, m in ticks) == list(range(5001))
    quotes = [orjson.loads(m.value()) for m in read_all(servers, f"{prefix}quotes")]
    assert len(quotes) == 5001
    assert all(row["segment"] for row in quotes)
    (line,) = read_all(servers, f"{prefix}events")
    assert orjson.loads(line.value())["type"] == "state"
    assert orjson.loads(line.value())["row"] == 1
    assert line.timestamp()[1] == 1_700_000_000_000
    counts = output.stats.topics
    assert {name: count.written for name, count in counts.items()} == {
        f"{prefix}raw": 5001,
        f"{prefix}events": 1,
        f"{prefix}ticks": 5001,
        f"{prefix}quotes": 5001,
    }


def test_a_record_that_is_too_large_is_dropped_alone(servers: str, prefix: str, tmp_path: Path) -> None:
    options = KafkaOptions(servers=servers, topic_prefix=prefix, config={"message.max.bytes": "20000"})
    output = KafkaOutput(tmp_path, options)
    output.write(batch_of([smd(1), b'{"topic":"x","a":"' + b"y" * 30_000 + b'"}', smd(2)]))
    output.close()
    assert output.counts.dropped == {"refused by Kafka: MSG_SIZE_TOO_LARGE": 1}
    assert (output.counts.written, output.counts.pending) == (2, 0)
    assert len(read_all(servers, f"{prefix}raw")) == 2


def test_a_missing_topic_is_an_error_with_its_command(servers: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"the topic absent\.raw does not exist; create it: `kafka-topics\.sh .*--cre"
    ):
        KafkaOutput(tmp_path, KafkaOptions(servers=servers, topic_prefix="absent."))
    assert list(tmp_path.iterdir()) == []


def test_too_few_partitions_are_an_error(servers: str, prefix: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"has 4 partitions, and 9 are required; add some: `.*--alter .*--partitions 9"
    ):
        KafkaOutput(tmp_path, KafkaOptions(servers=servers, topic_prefix=prefix, partitions=9))


def test_an_unknown_broker_is_an_error(tmp_path: Path) -> None:
    options = {"start_timeout_s": 0.5, "topic_prefix": "x."}
    with pytest.raises(OutputError, match=r"no Kafka broker answers at 127\.0\.0\.1:1: .*; check servers"):
        KafkaOutput(tmp_path, KafkaOptions(servers="127.0.0.1:1", **options))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"check the host names in servers"):
        KafkaOutput(tmp_path, KafkaOptions(servers="nowhere.invalid:9092", **options))  # type: ignore[arg-type]


def test_an_unknown_property_is_an_error(servers: str, prefix: str, tmp_path: Path) -> None:
    for config in ({"linger.mss": "1"}, {"ssl.endpoint": "x"}, {"linger.ms": "-5"}):
        with pytest.raises(ConfigError, match="a property for Kafka is invalid: "):
            KafkaOutput(tmp_path, KafkaOptions(servers=servers, topic_prefix=prefix, config=config))


def test_frames_without_a_broker_are_spilled_and_sent_by_the_next_run(
    servers: str, prefix: str, tmp_path: Path
) -> None:
    notices: list[str] = []
    away = KafkaOptions(
        servers="127.0.0.1:1",
        topic_prefix=prefix,
        start_timeout_s=0.1,
        start_without_broker=True,
        spill_after_s=0.01,
        close_timeout_s=0.1,
        # Little room, so that some frames are only on disk.
        config={"queue.buffering.max.messages": "1000"},
    )
    first = KafkaOutput(tmp_path, away, on_notice=notices.append)
    for number in range(10):
        first.write(numbered(1, 300, number + 1))
        finish(first, lambda: not first._pipeline.has_waiting)
    stats = first.stats
    assert stats.is_away
    assert stats.queued == 1000
    assert stats.spill_waiting == 1800
    first.close()
    assert (first.counts.received, first.counts.pending, first.counts.written) == (3000, 3000, 0)
    assert first.files
    assert all(path.stat().st_mode & 0o077 == 0 for path in first.files)
    assert any("acknowledges nothing" in text for text in notices)
    assert any("has not acknowledged 3,000 records; the next run sends them" in text for text in notices)

    here = KafkaOptions(servers=servers, topic_prefix=prefix)
    second = KafkaOutput(tmp_path, here, on_notice=notices.append)
    second.write(numbered(1, 300))
    second.close()
    assert second.stats.recovered == 3000
    assert (second.counts.received, second.counts.written) == (300, 300)
    assert list(tmp_path.iterdir()) == []
    messages = read_all(servers, f"{prefix}raw")
    found = [headers_of(message) for message in messages]
    assert sorted(sequence for run, sequence in found if run == first.run.decode()) == list(range(3000))
    assert sorted(sequence for run, sequence in found if run == second.run.decode()) == list(range(300))
    by_key: dict[bytes, list[tuple[bool, int]]] = {}
    for message in messages:
        run, sequence = headers_of(message)
        by_key.setdefault(message.key(), []).append((run == second.run.decode(), sequence))
    assert all(order == sorted(order) for order in by_key.values())


def test_a_full_spill_drops_new_frames_and_says_so(
    servers: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cpapi_fast.outputs.kafka.pipeline._WAITING_BYTES", 10_000)
    notices: list[str] = []
    away = KafkaOptions(
        servers="127.0.0.1:1",
        topic_prefix=prefix,
        start_timeout_s=0.1,
        start_without_broker=True,
        spill_after_s=0.01,
        spill_bytes=200_000,
        close_timeout_s=0.1,
        config={"queue.buffering.max.messages": "100"},
    )
    output = KafkaOutput(tmp_path, away, on_notice=notices.append)
    for _ in range(30):
        output.write(numbered(1, 100))
        finish(output, lambda: not output._pipeline.has_waiting)
    counts = output.counts
    assert counts.dropped["spill full"] > 0
    assert counts.received == counts.pending + counts.dropped_total == 3000
    assert sum("takes no more records" in text for text in notices) == 1
    assert output.stats.spill_bytes <= 200_000
    output.close()
    assert counts.received == counts.pending + counts.dropped_total


def test_another_run_does_not_take_the_spill_of_a_running_one(servers: str, prefix: str, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    away = KafkaOptions(
        servers="127.0.0.1:1",
        topic_prefix=prefix,
        start_timeout_s=0.1,
        start_without_broker=True,
        spill_after_s=0.01,
        close_timeout_s=0.1,
    )
    first = KafkaOutput(tmp_path, away)
    first.write(numbered(1, 100))
    finish(first, lambda: bool(first.files))
    second = KafkaOutput(tmp_path, KafkaOptions(servers=servers, topic_prefix=prefix))
    second.close()
    assert second.stats.recovered == 0
    first.close()
    third = KafkaOutput(tmp_path, KafkaOptions(servers=servers, topic_prefix=prefix))
    third.close()
    assert third.stats.recovered == 100


@pytest.mark.parametrize("is_own", [False, True], ids=["option", "output of the program"])
async def test_a_run_whose_cluster_is_away_has_all_files_and_a_spill(
    client: Client, tmp_path: Path, is_own: bool
) -> None:
    away = KafkaOptions(
        servers="127.0.0.1:1",
        start_timeout_s=0.5,
        close_timeout_s=0.5,
        spill_after_s=0.1,
        start_without_broker=True,
    )
    options = CollectOptions(conids=(265598,), out=tmp_path, kafka=None if is_own else away, trading_hours=None)
    own = [await asyncio.to_thread(KafkaOutput, tmp_path, away)] if is_own else []
    collector = Collector(client, options, outputs=own)
    stop = asyncio.Event()
    run = asyncio.create_task(collector.run(stop))
    while not any(name == "kafka" and counts.received >= 20 for name, counts in collector.latest_status.outputs):
        assert not run.done(), run.exception()
        await asyncio.sleep(0.05)
    assert collector.latest_status.queues["kafka"].delivered >= 20
    stop.set()
    summary = await run
    counts = {output.name: output.counts for output in summary.outputs}
    assert counts["kafka"].received == counts["kafka"].pending == counts["capture"].written >= 20
    assert not counts["kafka"].dropped
    assert list(tmp_path.glob("unsent-*.kafka-spill"))
    assert verify([tmp_path]).is_proven


async def test_a_run_with_a_wrong_cluster_leaves_no_files(client: Client, servers: str, tmp_path: Path) -> None:
    bad = KafkaOptions(servers=servers, config={"no.such.property": "1"})
    with pytest.raises(ConfigError, match="a property for Kafka is invalid"):
        await Collector(client, CollectOptions(conids=(265598,), out=tmp_path, kafka=bad)).run()
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


def test_the_options_of_its_queue_follow_those_of_the_run(tmp_path: Path) -> None:
    kafka = KafkaOptions(servers="x:9092")
    options = CollectOptions(out=tmp_path, kafka=kafka, slow_disk="drop_newest", max_queue_bytes=4_000_000)
    found = options.options_of("kafka")
    assert found is not None
    assert (found.policy, found.on_failure, found.flush_deadline_s) == ("drop_newest", "drop", None)
    assert found.max_queue_bytes < 4_000_000
    own = OutputOptions(on_failure="stop")
    assert dataclasses.replace(options, output_options={"kafka": own}).options_of("kafka") == own
    # Without the option, it is an output of the program.
    assert CollectOptions(out=tmp_path).options_of("kafka") is None
    with pytest.raises(ConfigError, match="there is no output 'kafka' to set options of"):
        check_outputs([], CollectOptions(out=tmp_path, output_options={"kafka": own}))
    assert check_outputs([], dataclasses.replace(options, output_options={"kafka": own})) == ()
