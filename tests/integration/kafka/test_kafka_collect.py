"""`cpapi-fast collect` with a real broker, and the example that joins the topics of two collectors."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from cpapi_fast import Client, CollectOptions, Collector, KafkaOptions, read_capture
from cpapi_fast.simulator import SimulatedGateway
from tests.integration.kafka.conftest import PASSWORD
from tests.support.commands import command
from tests.support.kafka_broker import Broker, read_all

EXAMPLE = Path(__file__).parents[3] / "examples" / "kafka_to_duckdb.py"


async def test_two_collectors_are_joined_into_one_table(
    broker: Broker, gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    duckdb = pytest.importorskip("duckdb")
    names = [f"{prefix}{name}" for prefix in ("a.", "b.") for name in ("raw", "events", "ticks")]
    await asyncio.to_thread(broker.create_topics, names)
    frames = {}
    for prefix in ("a.", "b."):
        kafka = KafkaOptions(servers=broker.servers, topic_prefix=prefix, tables=("ticks",), partitions=3)
        options = CollectOptions(conids=(265598, 8314), out=tmp_path / prefix, kafka=kafka, trading_hours=None)
        collector = Collector(client, options)
        stop = asyncio.Event()
        run = asyncio.create_task(collector.run(stop))
        while not any(name == "kafka" and counts.written >= 20 for name, counts in collector.latest_status.outputs):
            assert not run.done(), run.exception()
            await asyncio.sleep(0.05)
        stop.set()
        summary = await run
        counts = {output.name: output.counts for output in summary.outputs}
        assert counts["kafka"].received == counts["kafka"].written == counts["capture"].written
        assert "kafka" in str(summary)
        (capture,) = (tmp_path / prefix).glob("capture-*")
        frames[prefix] = read_capture(capture).read_all().column("raw").to_pylist()
        # A double, as after a kill.
        messages = await asyncio.to_thread(read_all, broker.servers, f"{prefix}raw")
        assert len(messages) == len(frames[prefix])
        double = messages[-1]
        import confluent_kafka

        producer = confluent_kafka.Producer({"bootstrap.servers": broker.servers})
        producer.produce(f"{prefix}raw", double.value(), double.key(), headers=double.headers())
        assert await asyncio.to_thread(producer.flush, 60) == 0
        producer.close()
        ticks = await asyncio.to_thread(read_all, broker.servers, f"{prefix}ticks")
        assert len(ticks) == sum(b'"topic":"smd+' in raw for raw in frames[prefix])
        events = await asyncio.to_thread(read_all, broker.servers, f"{prefix}events")
        assert [b'"type":"state"' in event.value() for event in events].count(True) >= 2

    path = tmp_path / "joined.duckdb"
    for doubles in ("2 doubles", "0 doubles"):
        arguments = (str(EXAMPLE), broker.servers, str(path), "a.", "b.", "--once")
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        printed = (await process.communicate())[0].decode()
        assert process.returncode == 0, printed
        total = len(frames["a."]) + len(frames["b."])
        assert printed.startswith(f"{total:,} frames of 2 collectors, {doubles} dropped\n"), printed
        assert printed.count("seen by 2") == 2
    database = duckdb.connect(str(path))
    for prefix, raws in frames.items():
        rows = database.execute("SELECT raw FROM frames WHERE collector = ? ORDER BY sequence", [prefix]).fetchall()
        assert [raw.encode() for (raw,) in rows] == raws
    database.close()


async def test_the_command_sends_to_kafka_and_names_its_own_options(broker: Broker, tmp_path: Path) -> None:
    await asyncio.to_thread(broker.create_topics, ["cli.raw", "cli.events"])
    properties = tmp_path / "kafka.properties"
    properties.write_text(f"# the cluster\nsasl.password={PASSWORD}\nlinger.ms = 5\n")
    common = ("collect", "--simulate", "--conids", "265598", "--out", tmp_path / "data", "--duration", "1")
    kafka = ("--kafka-servers", broker.servers, "--kafka-topic-prefix", "cli.", "--kafka-config", properties)
    ended = await command(*common, *kafka, "--kafka-partitions", "2")
    assert ended.code == 0, ended.err
    assert "kafka" in ended.out
    messages = await asyncio.to_thread(read_all, broker.servers, "cli.raw")
    (capture,) = (tmp_path / "data").glob("capture-*")
    assert len(messages) == read_capture(capture).read_all().num_rows > 0
    ended = await command(*common, *kafka, "--kafka-partitions", "9")
    assert ended.code != 0
    assert "9 are required" in ended.err
    assert PASSWORD not in ended.err
