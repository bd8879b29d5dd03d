"""The Kafka output with a real broker, which is stopped, killed and started again in the middle of a run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast import CaptureWriter, ConfigError, KafkaOptions, KafkaOutput, read_capture
from tests.integration.kafka.conftest import PASSWORD, USER
from tests.support.batches import numbered
from tests.support.kafka_broker import Broker, read_all

WAIT_S = 120.0

#: Runs until it is killed, and says when the first frames are in the spill.
_KILLED = """
import sys, time
from cpapi_fast import KafkaOptions, KafkaOutput
from tests.support.batches import numbered
servers, prefix, folder = sys.argv[1:]
options = KafkaOptions(servers=servers, topic_prefix=prefix, spill_after_s=0.2)
output = KafkaOutput(folder, options)
print("ready", flush=True)
while True:
    output.write(numbered(1, 20, time.time_ns()))
    output.poll()
    stats = output.stats
    print(output.counts.written, stats.spilled, flush=True)
    time.sleep(0.01)
"""


def topics_of(broker: Broker, prefix: str, **config: str) -> KafkaOptions:
    broker.create_topics([f"{prefix}raw", f"{prefix}events"], **config)
    return KafkaOptions(servers=broker.servers, topic_prefix=prefix, partitions=3, spill_after_s=0.3)


def wait_for(condition: Callable[[], object], output: KafkaOutput, write: Callable[[], None]) -> None:
    end_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end_s, output.stats
        write()
        time.sleep(0.01)


def headers_of(message: Any) -> tuple[str, int]:
    headers = dict(message.headers())
    return headers["run"].decode(), int(headers["sequence"])


def check_order(messages: list[Any]) -> None:
    """Check that the records of each key are in order."""
    last: dict[bytes, int] = {}
    for message in messages:
        sequence = headers_of(message)[1]
        assert sequence > last.get(message.key(), -1)
        last[message.key()] = sequence


def test_every_frame_is_there_once_although_the_broker_stops_and_is_killed(broker: Broker, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    options = topics_of(broker, "outage.")
    notices: list[str] = []
    output = KafkaOutput(tmp_path / "kafka", options, on_notice=notices.append)
    capture = CaptureWriter(tmp_path / "capture.arrows")
    written = 0
    # A broker that starts again forgets producers whose last record is older than a day (producer.id.expiration.ms).
    now_ns = time.time_ns()

    def write() -> None:
        nonlocal written
        batch = numbered(265598 + written % 5, 40, now_ns + written)
        written += 1
        capture.write(batch)
        output.write(batch)
        output.poll()

    wait_for(lambda: output.counts.written > 2_000, output, write)
    for end in (broker.stop, broker.kill):
        end()
        before = output.stats.spilled
        wait_for(lambda: output.stats.is_away and output.stats.spilled > before, output, write)  # noqa: B023
        assert output.files
        # It works on while the broker is away.
        sent = output.counts.received
        wait_for(lambda: output.counts.received > sent + 2_000, output, write)  # noqa: B023
        broker.start()
        wait_for(lambda: not output.stats.is_away, output, write)
    output.close()
    capture.close()

    assert output.counts.written == output.counts.received == 40 * written
    assert output.counts.dropped_total == output.counts.pending == 0
    assert output.files == []
    messages = read_all(broker.servers, "outage.raw")
    assert output.stats.producers == 1, notices
    check_order(messages)
    frames = read_capture(capture.path).read_all()
    by_sequence = {headers_of(message)[1]: message for message in messages}
    assert len(messages) == len(by_sequence) == frames.num_rows
    rows = zip(*(frames.column(name).to_pylist() for name in ("received_ns", "conid", "raw")), strict=True)
    for sequence, (received_ns, conid, raw) in enumerate(rows):
        message = by_sequence[sequence]
        assert (message.value(), message.key()) == (raw, str(conid).encode())
        assert message.timestamp()[1] == received_ns // 1_000_000
    # A short return may be over before it is reported.
    for text in ("acknowledges nothing", "acknowledges records again"):
        assert any(text in notice for notice in notices)


def test_the_spill_of_a_killed_run_is_sent_by_the_next_one(broker: Broker, tmp_path: Path) -> None:
    options = topics_of(broker, "killed.")
    arguments = [sys.executable, "-c", _KILLED, broker.servers, "killed.", str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        least = None
        while True:
            written, spilled = map(int, process.stdout.readline().split())
            if least is None and written >= 200:
                broker.kill()
                # What is written is never spilled later.
                least = written - spilled
                before = spilled
            elif least is not None and spilled > before + 1000:
                break
        process.kill()
    broker.start()
    notices: list[str] = []
    output = KafkaOutput(tmp_path, options, on_notice=notices.append)
    output.write(numbered(1, 20))
    output.close()
    assert output.counts.written == 20
    assert output.stats.recovered > 0
    assert list(tmp_path.iterdir()) == []
    assert any("records that an earlier run did not send" in text for text in notices)
    messages = read_all(broker.servers, "killed.raw")
    runs = {headers_of(message)[0] for message in messages}
    (old,) = runs - {output.run.decode()}
    sequences = [sequence for run, sequence in map(headers_of, messages) if run == old]
    # Without a hole, up to what was younger than the delay of the spill; some may be there twice.
    assert sorted(set(sequences)) == list(range(max(sequences) + 1))
    assert max(sequences) + 1 >= least + spilled


def test_a_topic_that_is_deleted_and_created_again_gets_all_frames(broker: Broker, tmp_path: Path) -> None:
    from confluent_kafka.admin import AdminClient

    broker.create_topics(["deleted.raw", "deleted.events"])
    config = {"topic.metadata.propagation.max.ms": "100", "topic.metadata.refresh.interval.ms": "200"}
    notices: list[str] = []
    options = KafkaOptions(servers=broker.servers, topic_prefix="deleted.", config=config, spill_after_s=0.3)
    output = KafkaOutput(tmp_path, options, on_notice=notices.append)

    def write() -> None:
        output.write(numbered(1, 20, time.time_ns()))
        output.poll()

    wait_for(lambda: output.counts.written > 100, output, write)
    admin = AdminClient({"bootstrap.servers": broker.servers})
    admin.delete_topics(["deleted.raw"], request_timeout=60)["deleted.raw"].result()
    wait_for(lambda: output.stats.producers > 1 or output.stats.is_away, output, write)
    before, received = output.counts.written, output.counts.received
    broker.create_topics(["deleted.raw"])
    wait_for(lambda: output.counts.written > before + 1000, output, write)
    output.close()
    assert output.counts.written == output.counts.received
    sequences = {headers_of(message)[1] for message in read_all(broker.servers, "deleted.raw")}
    # Some earlier ones were acknowledged by the topic that was deleted, each partition at its own time.
    assert sequences >= set(range(received, output.counts.received))


def test_a_topic_whose_records_may_be_too_short_is_an_error(broker: Broker, tmp_path: Path) -> None:
    options = topics_of(broker, "short.", max_message_bytes="50000")
    fix = r"accepts records of up to 50,000 bytes.*--add-config max\.message\.bytes=1000000"
    with pytest.raises(ConfigError, match=fix):
        KafkaOutput(tmp_path, options)


def test_credentials_are_checked_and_never_shown(broker: Broker, tmp_path: Path) -> None:
    broker.create_topics(["sasl.raw", "sasl.events"])

    def options(user: str, password: str, mechanism: str = "PLAIN") -> KafkaOptions:
        config = {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": mechanism,
            "sasl.username": user,
            "sasl.password": password,
        }
        return KafkaOptions(servers=broker.sasl_servers, topic_prefix="sasl.", config=config)

    wrong = options(USER, "wrong-password")
    with pytest.raises(ConfigError, match=r"check sasl\.mechanism, sasl\.username and sasl\.password") as error:
        KafkaOutput(tmp_path, wrong)
    for text in (str(error.value), repr(error.value), repr(wrong), repr(options(USER, PASSWORD))):
        assert "wrong-password" not in text
        assert PASSWORD not in text
        assert USER not in text
    output = KafkaOutput(tmp_path, options(USER, PASSWORD))
    output.write(numbered(1, 10))
    output.close()
    assert output.counts.written == 10


def test_tls_to_a_listener_without_it_is_an_error(broker: Broker, tmp_path: Path) -> None:
    options = KafkaOptions(servers=broker.servers, config={"security.protocol": "SSL"}, start_timeout_s=2.0)
    with pytest.raises(ConfigError, match=r"check security\.protocol, ssl\.ca\.location"):
        KafkaOutput(tmp_path, options)
