"""examples/c_sink is built outside the tree, as its text describes, and works."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.ws.connection import WsClient
from tests.servers.raw import Peer, RawServer
from tests.support.compiled import compile_in, load
from tests.support.files import quote
from tests.support.frames import smd, ws_close, ws_frames

EXAMPLE = Path(__file__).parents[3] / "examples" / "c_sink"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, compiled."""
    copy = tmp_path_factory.mktemp("example") / "c_sink"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("build", "*.c", "*.so", "*.pyd", "__pycache__"))
    compile_in(copy, "setup.py", "-q", "build_ext", "--inplace")
    return copy


@pytest.fixture(scope="module")
def example(folder: Path) -> ModuleType:
    return load(folder, "last_prices")


def test_it_prints_prices_from_the_simulator(folder: Path) -> None:
    line = [sys.executable, "-W", "error", "run.py", "2"]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    prices = re.findall(r"\b(265598|8314): (\d+\.\d+)", done.stdout)
    assert {conid for conid, _ in prices} == {"265598", "8314"}
    assert all(float(price) > 0 for _, price in prices)
    market_data = re.search(r"^market_data: (\d+) frames, (\d+) bytes$", done.stdout, re.MULTILINE)
    assert market_data is not None
    assert 2 <= int(market_data[1]) < int(market_data[2])


@pytest.mark.each_loop
async def test_it_counts_every_frame_and_publishes_once_per_read(example: ModuleType) -> None:
    first = [
        quote(265598, _31="187.05"),
        quote(8314, _31="C264.20"),  # the prior close
        quote(265598, _31="187.06"),
        quote(8314, _84="264.1"),
        quote(1, _31="5.5"),  # of an instrument that is not followed
        b"",
        b"ech+hb",
    ]
    second = [b"{}", quote(8314, _31="1,264.25"), smd(265598)]

    async def script(peer: Peer) -> None:
        await peer.read_frame()
        await peer.send(ws_frames(first))
        await peer.read_frame()
        await peer.send(ws_frames(second) + ws_close())
        await peer.read_frame()

    published: list[list[tuple[int, float, int]]] = []
    sink = example.LastPrices([8314, 265598, 76792991], published.append)
    assert (sink.latest, sink.traffic) == ({}, {})
    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        ws.use_sink(sink)
        await ws.send_text("go")
        while not published:  # noqa: ASYNC110  a list, not an event
            await asyncio.sleep(0.001)
        await ws.send_text("go on")
        await ws.wait_closed()
    prices = [[(conid, price) for conid, price, _ in changed] for changed in published]
    assert prices[0] == [(265598, 187.06)]
    assert [conid for conid, _ in prices[1]] == [8314, 265598]
    assert prices[1][0] == (8314, 1264.25)
    assert len(published) == 2
    assert all(received_ns > 0 for changed in published for _, _, received_ns in changed)
    assert sink.latest == {conid: (price, received_ns) for conid, price, received_ns in published[1]}
    assert sink.prices == 4
    sizes = {FrameKind.HEARTBEAT: [0, 2], FrameKind.MALFORMED: [6]}
    sizes[FrameKind.MARKET_DATA] = [len(text) for text in first[:5] + second[1:]]
    assert sink.traffic == {kind: (len(lengths), sum(lengths)) for kind, lengths in sizes.items()}


def test_invalid_arguments_are_refused(example: ModuleType) -> None:
    with pytest.raises(TypeError):
        example.LastPrices(["265598"], print)
    with pytest.raises(OverflowError):
        example.LastPrices([1 << 64], print)
