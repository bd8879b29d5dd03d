"""A real Apache Kafka broker: fetched from Maven Central, started, stopped, killed, and started again.

`python -m tests.support.kafka_broker` (`make kafka`) runs one until Ctrl-C, with the topics of `cpapi-fast collect`;
with `fetch` (`make kafka-fetch`) it only fetches the libraries.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

POM = Path(__file__).parents[1] / "data" / "kafka" / "pom.xml"

#: Where the broker is fetched to. Git ignores it.
FOLDER = Path(os.environ.get("CPAPI_FAST_KAFKA_FOLDER") or Path(__file__).parents[2] / ".kafka")

#: A broker starts within a few seconds; a busy machine takes longer.
START_S = 120.0

#: A sanitizer that is loaded into every process would be loaded into Java too.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}

_CLUSTER = "4L6g3nShT-eMCtK--X86sw"

#: Little memory and a quick start are worth more than speed, except for benchmarks.
_SMALL = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class NoBrokerError(Exception):
    """No broker can be had on this machine; the message states why."""


def libraries() -> Path:
    """Return the folder with the libraries of the broker, and fetch them if they are not there yet.

    Raises:
        NoBrokerError: Java or Maven is missing, or Maven cannot fetch them.
    """
    for command, package in (("java", "openjdk-17-jre-headless"), ("mvn", "maven")):
        if shutil.which(command) is None:
            raise NoBrokerError(f"a Kafka broker needs {command}; on Debian and Ubuntu: apt-get install {package}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    target = FOLDER / "lib"
    with _locked(FOLDER / ".lock"):
        if not target.is_dir():
            # Elsewhere first, so that a folder that is there is complete.
            part = FOLDER / "lib.part"
            shutil.rmtree(part, ignore_errors=True)
            done = subprocess.run(
                ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={part}"],
                capture_output=True,
                text=True,
                check=False,
                env=_ENVIRONMENT,
            )
            if done.returncode:
                raise NoBrokerError(f"Maven cannot fetch the Kafka broker: {(done.stdout + done.stderr)[-400:]}")
            part.rename(target)
    return target


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            import fcntl
        except ImportError:
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            found.append(listener.getsockname()[1])
        return found


class Broker:
    """One broker, which is its own controller, with its data in one folder. It has the same port after each start."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        sasl: Mapping[str, str] = MappingProxyType({}),
        settings: Mapping[str, str] = MappingProxyType({}),
        java: Iterable[str] = _SMALL,
    ) -> None:
        self.folder = folder
        self._libraries = libraries()
        self._java = ["java", *java, "-cp", f"{self._libraries}/*"]
        broker, controller, sasl_port = free_ports(3)
        self.port = port or broker
        self.servers = f"127.0.0.1:{self.port}"
        self._properties = folder / "server.properties"
        self._process: subprocess.Popen[bytes] | None = None
        given = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"CLIENT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"CLIENT://127.0.0.1:{self.port}",
            "inter.broker.listener.name": "CLIENT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(folder / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": "1",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            **settings,
        }
        if sasl:
            self.sasl_servers = f"127.0.0.1:{sasl_port}"
            users = " ".join(f'user_{user}="{password}"' for user, password in sasl.items())
            given["listeners"] += f",SASL://{self.sasl_servers}"
            given["advertised.listeners"] += f",SASL://{self.sasl_servers}"
            given["listener.security.protocol.map"] += ",SASL:SASL_PLAINTEXT"
            given["listener.name.sasl.sasl.enabled.mechanisms"] = "PLAIN"
            given["listener.name.sasl.plain.sasl.jaas.config"] = (
                f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
            )
        folder.mkdir(parents=True, exist_ok=True)
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in given.items()))
        self._run_tool("kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(self._properties))

    def _run_tool(self, *arguments: str) -> None:
        done = subprocess.run([*self._java, *arguments], capture_output=True, text=True, check=False, env=_ENVIRONMENT)
        if done.returncode:
            raise NoBrokerError(f"{arguments[0]} failed: {done.stdout}{done.stderr}")

    def start(self) -> None:
        """Start the broker, and wait until it answers."""
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java, "kafka.Kafka", str(self._properties)],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=_ENVIRONMENT,
            )
        end_s = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
                return
            if self._process.poll() is not None or time.monotonic() > end_s:
                self.kill()
                raise NoBrokerError(f"the broker did not start: {(self.folder / 'broker.log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the broker in an orderly way. Idempotent."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the broker, as a crash does. Idempotent."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait()

    def create_topics(self, topics: Iterable[str], partitions: int = 3, **config: str) -> None:
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient({"bootstrap.servers": self.servers})
        new = [
            NewTopic(topic, partitions, 1, config={k.replace("_", "."): v for k, v in config.items()})
            for topic in topics
        ]
        for future in admin.create_topics(new, request_timeout=60).values():
            future.result()
        # The controller answers before the broker has read of them.
        end_s = time.monotonic() + START_S
        while True:
            found = admin.list_topics(timeout=60).topics
            if all(topic.topic in found and len(found[topic.topic].partitions) == partitions for topic in new):
                return
            assert time.monotonic() < end_s
            time.sleep(0.05)


def read_all(servers: str, topic: str, **config: str) -> list[Any]:
    """Return all messages of a topic, ordered by partition and offset."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": servers, "group.id": "tests", "enable.auto.commit": "false", **config})
    try:
        partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
        ends = {one: consumer.get_watermark_offsets(TopicPartition(topic, one), timeout=60)[1] for one in partitions}
        consumer.assign([TopicPartition(topic, one, OFFSET_BEGINNING) for one in partitions])
        found: list[Any] = []
        left = sum(ends.values())
        end_s = time.monotonic() + 120
        while len(found) < left and time.monotonic() < end_s:
            for message in consumer.consume(10_000, timeout=1.0):
                assert message.error() is None, message.error()
                found.append(message)
        assert len(found) == left, f"{len(found)} of {left} messages"
        return sorted(found, key=lambda message: (message.partition(), message.offset()))
    finally:
        consumer.close()


def main() -> int:
    """Run a broker until Ctrl-C, or only fetch it."""
    if sys.argv[1:] == ["fetch"]:
        try:
            print(f"Apache Kafka is in {libraries()}.")  # noqa: T201
        except NoBrokerError as exc:
            print(exc, file=sys.stderr)  # noqa: T201
            return 1
        return 0
    prefix = "cpapi_fast."
    topics = [f"{prefix}{name}" for name in ("raw", "events", "ticks", "quotes")]
    with tempfile.TemporaryDirectory(prefix="cpapi-fast-kafka-") as folder:
        try:
            broker = Broker(Path(folder), port=9092, java=("-Xmx1g",))
            broker.start()
        except NoBrokerError as exc:
            print(exc, file=sys.stderr)  # noqa: T201
            return 1
        try:
            broker.create_topics(topics, 4)
            print(f"Apache Kafka runs at {broker.servers}, with the topics {', '.join(topics)}.")  # noqa: T201
            print("Its data is deleted at the end. End it with Ctrl-C.", flush=True)  # noqa: T201
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
        finally:
            broker.stop()
    return 0


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    sys.exit(main())
