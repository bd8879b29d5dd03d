"""Joins the frames of several collectors from Kafka into one table of DuckDB, each frame once.

Each collector sends to topics with a prefix of its own. A record that is there twice, because a collector was killed
before Kafka had acknowledged it, has the same `run` and `sequence`, so the primary key drops it. The positions in the
topics are in the same transaction as the frames: this program can be killed at any moment and continues where it was.

Usage: python examples/kafka_to_duckdb.py HOST:PORT FILE.duckdb PREFIX PREFIX...
With --once as the last argument, it ends when it has read what is there now.
"""

from __future__ import annotations

import sys

import confluent_kafka as kafka
import duckdb
import pyarrow as pa

TABLES = """
CREATE TABLE IF NOT EXISTS frames (
    collector VARCHAR, run VARCHAR, sequence BIGINT, received TIMESTAMP, conid BIGINT, raw VARCHAR,
    PRIMARY KEY (collector, run, sequence)
);
CREATE TABLE IF NOT EXISTS positions (
    topic VARCHAR, number INTEGER, next BIGINT, PRIMARY KEY (topic, number)
);
-- The last price of each instrument, whichever collector had it last.
CREATE OR REPLACE VIEW last_prices AS
SELECT
    conid, max(received) AS received, arg_max(raw ->> '$."31"', received) AS last, count(DISTINCT collector) AS seen_by
FROM frames WHERE conid IS NOT NULL AND raw ->> '$."31"' IS NOT NULL GROUP BY conid;
"""


def store(database: duckdb.DuckDBPyConnection, messages: list[kafka.Message]) -> int:
    """Store messages and the positions after them; returns how many of the frames were there before."""
    headers = [dict(message.headers()) for message in messages]
    batch = pa.table(
        {
            "collector": [message.topic().removesuffix("raw") for message in messages],
            "run": [header["run"].decode() for header in headers],
            "sequence": [int(header["sequence"]) for header in headers],
            "received": pa.array([message.timestamp()[1] for message in messages], pa.timestamp("ms")),
            "conid": [int(key) if (key := message.key()) else None for message in messages],
            "raw": [message.value().decode("utf-8", "replace") for message in messages],
        }
    )
    positions = {(message.topic(), message.partition()): message.offset() + 1 for message in messages}
    database.register("batch", batch)
    database.begin()
    before = database.execute("SELECT count(*) FROM frames").fetchone()[0]
    database.execute("INSERT OR IGNORE INTO frames SELECT * FROM batch")
    after = database.execute("SELECT count(*) FROM frames").fetchone()[0]
    for (topic, number), following in positions.items():
        database.execute("INSERT OR REPLACE INTO positions VALUES (?, ?, ?)", [topic, number, following])
    database.commit()
    return len(messages) - (after - before)


def main(servers: str, path: str, prefixes: list[str], *, is_once: bool) -> None:
    database = duckdb.connect(path)
    database.execute(TABLES)
    known = {(topic, number): following for topic, number, following in database.execute("FROM positions").fetchall()}
    consumer = kafka.Consumer(
        {"bootstrap.servers": servers, "group.id": "kafka_to_duckdb", "enable.auto.commit": False}
    )
    assigned, ends = [], {}
    for topic in (f"{prefix}raw" for prefix in prefixes):
        for number in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
            start = known.get((topic, number), kafka.OFFSET_BEGINNING)
            assigned.append(kafka.TopicPartition(topic, number, start))
            first, end = consumer.get_watermark_offsets(kafka.TopicPartition(topic, number), timeout=30)
            if end > max(first, start):
                ends[topic, number] = end
    consumer.assign(assigned)
    doubles = 0
    try:
        while ends or not is_once:
            messages = consumer.consume(20_000, timeout=1.0)
            for message in messages:
                if message.error():
                    raise kafka.KafkaException(message.error())
                key = message.topic(), message.partition()
                if message.offset() + 1 >= ends.get(key, sys.maxsize):
                    del ends[key]
            if messages:
                doubles += store(database, messages)
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()
    (count,) = database.execute("SELECT count(*) FROM frames").fetchone()
    print(f"{count:,} frames of {len(prefixes)} collectors, {doubles:,} doubles dropped")
    for conid, received, last, seen_by in database.execute("FROM last_prices ORDER BY conid").fetchall():
        print(f"{conid:>12} {last:>12} {received:%H:%M:%S.%f} seen by {seen_by}")
    database.close()


if __name__ == "__main__":
    _, servers, path, *prefixes = sys.argv
    main(servers, path, [one for one in prefixes if one != "--once"], is_once="--once" in prefixes)
