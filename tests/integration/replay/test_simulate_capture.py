"""`simulate --replay CAPTURE`: subscribers get the recorded data, in order and at the recorded pace."""

from __future__ import annotations

from pathlib import Path

import pytest

import cpapi_fast as cf
from cpapi_fast.errors import ConfigError
from cpapi_fast.replay.capture_file import CaptureFile
from cpapi_fast.simulator import SimulatedGateway, SimulatorOptions
from tests.conftest import StartGateway
from tests.integration.collect.harness import client_of
from tests.integration.replay.test_replay import smd
from tests.unit.replay.test_recording import write_capture

_SESSION = [
    b'{"topic":"system","success":"user1234"}',
    b'{"topic":"system","hb":1}',
    b'{"topic":"sts","args":{"authenticated":true}}',
    b'{"topic":"act","args":{}}',
    b'{"topic":"tic","alive":true}',
    b"ech+hb",
]
_DATA = [
    [smd(1, 1.5), smd(2, 2.5)],
    [b'{"topic":"sor","args":[{"orderId":1}]}'],
    [smd(1, 3.5, **{"84": "x" * 300}), b"not JSON", b'{"topic":"ssd+DU1","result":[]}'],
    [smd(2, 4.5)],
]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "capture.arrows"
    reads = [(1_000_000_000 + 200_000_000 * number, [*_SESSION, *frames]) for number, frames in enumerate(_DATA)]
    write_capture(path, [*reads, (2_000_000_000, _SESSION)])
    return path


async def received(gateway: SimulatedGateway, count: int) -> list[cf.Frame]:
    """The data frames that a feed receives, up to the number that the capture has, and what follows at once."""
    frames: list[cf.Frame] = []
    async with client_of(gateway) as client:
        feed = cf.Feed(client, cf.FeedOptions(log_trouble=False))
        feed.on_item(lambda item: frames.append(item) if isinstance(item, cf.Frame) else None)
        await feed.subscribe_market_data(1)
        async with feed:
            await gateway.wait_for(gateway.replay_done.is_set)
            await gateway.wait_for(lambda: len(data(frames)) >= count)
    return frames


def data(frames: list[cf.Frame]) -> list[bytes]:
    return [frame.raw for frame in frames if frame.topic not in ("system", "sts", "act", "tic")]


@pytest.mark.parametrize("of_folder", [False, True])
async def test_a_subscriber_gets_the_recorded_data_at_its_pace(
    start_gateway: StartGateway, capture: Path, of_folder: bool
) -> None:
    gateway = await start_gateway(replay=capture.parent if of_folder else capture)
    whole = [frame for frames in _DATA for frame in frames]
    frames = await received(gateway, len(whole))
    assert data(frames) == whole
    # The session is that of the simulator.
    assert not {frame.raw for frame in frames} & set(_SESSION)
    times = {frame.raw: frame.received_ns for frame in frames}
    assert times[_DATA[3][0]] - times[_DATA[0][0]] >= 0.5e9


async def test_a_rate_replaces_the_pace_and_a_capture_of_it_has_the_same_frames(
    start_gateway: StartGateway, capture: Path, tmp_path: Path
) -> None:
    gateway = await start_gateway(replay=capture, rate=1e6)
    whole = [frame for frames in _DATA for frame in frames]
    frames = await received(gateway, len(whole))
    again = tmp_path / "again.arrows"
    with cf.CaptureWriter(again) as writer:
        builder = cf.BatchBuilder()
        for frame in frames:
            builder.append(frame.raw)
        batch = builder.finish(1)
        assert batch is not None
        writer.write(batch)

    def rows(path: Path) -> list[tuple[int, int, bytes]]:
        table = cf.read_capture(path).read_all()
        found = zip(*(table[name].to_pylist() for name in ("kind", "conid", "raw")), strict=True)
        return [row for row in found if row[2] in whole]

    assert rows(again) == rows(capture)


async def test_what_is_no_capture_is_refused_at_the_start(tmp_path: Path, capture: Path) -> None:
    damaged, foreign, empty = tmp_path / "damaged.arrows", tmp_path / "foreign.arrows", tmp_path / "empty"
    content = bytearray(capture.read_bytes())
    with CaptureFile(capture) as file:
        content[file.messages[-1].offset] = 1
    damaged.write_bytes(content)
    foreign.write_bytes(b"\xff\xff\xff\xff" + b"x" * 50)
    empty.mkdir()
    for path, match in (
        (damaged, "is damaged in the message"),
        (foreign, "is no capture"),
        (empty, "there is no capture in"),
        (tmp_path / "missing", "cannot read the replay file"),
    ):
        with pytest.raises(ConfigError, match=match) as caught:
            await SimulatedGateway(SimulatorOptions(replay=path, tls=False)).start()
        assert str(path) in str(caught.value)
