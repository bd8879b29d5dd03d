"""The command line called from a program: in a thread that is not the main one, and inside a running loop."""

from __future__ import annotations

import asyncio
import gc
import signal
import warnings
from pathlib import Path

import pytest

import cpapi_fast as cf
from cpapi_fast.cli import main
from cpapi_fast.doctor import diagnose
from cpapi_fast.simulator import SimulatedGateway

CONIDS = ("--conids", "265598")


async def test_collect_runs_in_another_thread_without_signal_handlers(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    arguments = ["collect", "--simulate", *CONIDS, "--out", str(tmp_path), "--duration", "20", "--speed", "20"]
    assert await asyncio.to_thread(main, arguments) == 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert list(tmp_path.glob("quotes-*.parquet"))


async def test_tail_and_doctor_run_in_another_thread(gateway: SimulatedGateway) -> None:
    where = ["--url", gateway.url] + (["--fingerprint", gateway.fingerprint] if gateway.fingerprint else [])
    assert await asyncio.to_thread(main, ["tail", *where, *CONIDS, "--duration", "3"]) == 0
    assert await asyncio.to_thread(main, ["doctor", *where, "--json"]) in (0, 40)


@pytest.mark.parametrize(
    "arguments",
    [
        ["collect", "--simulate", *CONIDS, "--out", "{folder}"],
        ["tail", "--simulate", *CONIDS],
        ["doctor", "--url", "http://localhost:1/v1/api"],
        ["simulate", "--port", "0"],
    ],
    ids=lambda arguments: arguments[0],
)
async def test_a_command_inside_a_running_loop_says_what_to_do(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main([argument.format(folder=tmp_path) for argument in arguments]) == 2
        gc.collect()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "asyncio.to_thread" in captured.err


async def test_the_library_runs_in_another_thread(gateway: SimulatedGateway, tmp_path: Path) -> None:
    """Gateway, collector, doctor and busy polling need a loop, and not the main thread."""

    async def all_of_them() -> int:
        async with SimulatedGateway() as own:
            tls = cf.Tls.pinned(own.fingerprint or "")
            async with cf.Client(own.url, tls=tls) as client:
                options = cf.CollectOptions(
                    conids=(265598,), out=tmp_path, duration_s=2.0, feed=cf.FeedOptions(ws=cf.WsOptions(busy_poll=True))
                )
                summary = await cf.Collector(client, options, on_notice=lambda _text: None).run()
            await diagnose(own.url, tls=tls, timeout_s=5.0)
            return summary.consumer.received

    assert await asyncio.to_thread(lambda: cf.run(all_of_them())) > 0


async def test_faults_from_another_thread_are_refused(gateway: SimulatedGateway) -> None:
    with pytest.raises(cf.UsageError, match="a simulated gateway belongs to the event loop"):
        await asyncio.to_thread(lambda: gateway.faults.drop_sockets())
    gateway.faults.drop_sockets()


async def test_what_needs_a_loop_says_so(client: cf.Client) -> None:
    for call in (client.spawn_keepalive, lambda: client.clock.call_later(1.0, print)):
        with pytest.raises(cf.UsageError, match="needs a running event loop"):
            await asyncio.to_thread(call)


async def test_a_connection_is_refused_in_another_loop(client: cf.Client) -> None:
    async def wrong(ws: cf.WsClient) -> None:
        with pytest.raises(cf.UsageError, match="a connection belongs to the event loop"):
            await ws.next_message()
        for end in (ws.close, ws.wait_closed):
            with pytest.raises(cf.UsageError, match="a connection belongs to the event loop"):
                await end()

    async with await cf.WsClient.connect(client) as ws:
        # Nothing is pending, so that a reader would wait.
        ws.hold_reading(True)
        ws.on_batch(lambda _batch: None)
        ws.on_batch(None)
        for call in (
            lambda: ws.on_batch(lambda _: None),
            lambda: ws.on_frame(lambda _: None),
            lambda: ws.on_batch(None),
            lambda: ws.hold_reading(False),
            lambda: ws.send_nowait("tic"),
        ):
            with pytest.raises(cf.UsageError, match="a connection belongs to the event loop"):
                await asyncio.to_thread(call)
        await asyncio.to_thread(lambda: asyncio.run(wrong(ws)))
        ws.hold_reading(False)
