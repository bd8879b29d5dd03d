"""`cpapi-fast collect` as a process: bad input is one line, and however it ends, the files open."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow.parquet as pq
import pytest

from cpapi_fast.outputs.capture import read_capture
from cpapi_fast.simulator import Certificate, SimulatedGateway, SimulatorOptions
from tests.commands import Ended, command, ended, start
from tests.support import run

FINGERPRINT = "0" * 64


def gateway_command(gateway: SimulatedGateway, folder: Path, *more: object, tls: bool = True) -> tuple[object, ...]:
    arguments: list[object] = ["collect", "--url", gateway.url, "--conids", "265598,8314", "--out", folder]
    # A gateway that a failed test has left behind is outlived, but not for ever.
    arguments += ["--give-up-after", "20"]
    if tls and gateway.fingerprint:
        arguments += ["--fingerprint", gateway.fingerprint]
    return (*arguments, *more)


def check_bad_input(result: Ended, said: str, code: int) -> None:
    assert result.code == code, result
    assert re.search(said, result.err), result
    assert result.out == ""
    check_lines(result, 1)


def check_gave_up(result: Ended, said: str) -> None:
    """One line for what is wrong, one for the end; and a summary."""
    assert result.code == 1, result
    assert "ended after" in result.out
    check_lines(result, 2)
    assert re.search(said, result.err.splitlines()[0]), result
    assert "error: no data for" in result.err.splitlines()[1]
    assert re.search(said, result.err.splitlines()[1]), result


def check_lines(result: Ended, count: int) -> None:
    lines = result.err.splitlines()
    assert len(lines) == count, result
    assert all(line.startswith("cpapi-fast") for line in lines), result
    assert "Traceback" not in result.err


# Bad input


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--url", "ftp://localhost/v1/api"), "http"),
        (("--url", "localhost:5000"), "http"),
        (("--url", "https://"), "host"),
        (("--url", "https://user:secret@localhost/v1/api"), "user"),
        (("--url", "https://localhost:5000/v1/api", "--fingerprint", "ab12"), "64 hex digits"),
        (("--url", "https://localhost:5000/v1/api", "--ca-file", "missing.pem"), "missing.pem"),
        (("--url", "https://localhost:5000/v1/api", "--seed", "1"), "--seed only goes with --simulate"),
        (("--simulate", "--fingerprint", FINGERPRINT), "give no TLS option"),
        (("--simulate", "--replay", "missing.jsonl"), "cannot read the replay file missing.jsonl"),
        (("--simulate", "--conids", "99999999999999999999"), "a conid is a whole number"),
    ],
)
def test_what_cannot_be_right(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    result = run(command("collect", "--conids", "265598", "--out", tmp_path / "out", *arguments))
    check_bad_input(result, said, 2)
    assert "secret" not in result.err


def test_unreachable_gateway(tmp_path: Path) -> None:
    with socket.socket() as taken:
        # Bound and not listening: nobody else gets the port, and nobody answers.
        taken.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{taken.getsockname()[1]}/v1/api"
        arguments = ("--insecure", "--conids", "1", "--out", tmp_path, "--give-up-after", "1")
        result = run(command("collect", "--url", url, *arguments))
    warning, _, rest = result.err.partition("\n")
    assert warning.startswith("cpapi-fast: warning: TLS certificates are not checked")
    check_gave_up(Ended(result.code, result.out, rest), "Start the gateway")


def test_not_logged_in(tmp_path: Path) -> None:
    async def body() -> Ended:
        async with SimulatedGateway(SimulatorOptions(is_logged_in=False)) as gateway:
            # A login page may be a moment of the nightly reset: it is asked again after 5 s before a human is called.
            return await command(*gateway_command(gateway, tmp_path, "--give-up-after", "8"))

    check_gave_up(run(body()), "Log in to the gateway in a browser")
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("events-")


def test_wrong_fingerprint_sends_nothing(tmp_path: Path) -> None:
    async def body() -> Ended:
        async with SimulatedGateway() as gateway:
            result = await command(*gateway_command(gateway, tmp_path, "--fingerprint", FINGERPRINT, tls=False))
            assert list(gateway.requests) == []
            return result

    check_bad_input(run(body()), "fingerprint", 1)


@pytest.mark.parametrize("policy", ["verify", "ca-file", "fingerprint"])
def test_expired_certificate(tmp_path: Path, policy: str) -> None:
    async def body() -> Ended:
        async with SimulatedGateway(SimulatorOptions(certificate=Certificate.expired())) as gateway:
            choices: dict[str, tuple[object, ...]] = {
                "verify": ("--tls-verify",),
                "ca-file": ("--ca-file", gateway.certificate_path),
                "fingerprint": ("--fingerprint", gateway.fingerprint),
            }
            more = (*choices[policy], "--duration", "0.5")
            return await command(*gateway_command(gateway, tmp_path, *more, tls=False))

    result = run(body())
    if policy == "fingerprint":
        assert (result.code, result.err) == (0, "")
    else:
        assert result.code == 1
        check_lines(result, 1)
        assert "certificate" in result.err


def test_good_ca_file(tmp_path: Path) -> None:
    async def body() -> Ended:
        async with SimulatedGateway() as gateway:
            more = ("--ca-file", gateway.certificate_path, "--duration", "0.5")
            return await command(*gateway_command(gateway, tmp_path, *more, tls=False))

    result = run(body())
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (b"<html><body>down for maintenance</body></html>", "text/html", "HTML|JSON"),
        (b'{"session":', "application/json", "JSON"),
    ],
)
def test_answers_of_another_shape(tmp_path: Path, body: bytes, content_type: str, said: str) -> None:
    async def scene() -> Ended:
        async with SimulatedGateway() as gateway:
            gateway.fail_rest("/tickle", status=200, body=body, content_type=content_type, times=None)
            return await command(*gateway_command(gateway, tmp_path, "--give-up-after", "1"))

    check_gave_up(run(scene()), said)


def test_a_session_that_cannot_be_sent_ends_the_run_at_once(tmp_path: Path) -> None:
    async def scene() -> Ended:
        async with SimulatedGateway() as gateway:
            body = b'{"session":"0123456789abcdef\\r\\nX: y","iserver":{"authStatus":{"authenticated":true}}}'
            gateway.fail_rest("/tickle", status=200, body=body, content_type="application/json", times=None)
            return await command(*gateway_command(gateway, tmp_path))

    result = run(scene())
    assert result.code == 1
    check_lines(result, 1)
    assert "session id that cannot stand in a header" in result.err
    assert "0123456789abcdef" not in result.err + result.out


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    async def body() -> None:
        async with SimulatedGateway() as gateway:
            for folder in (tmp_path / "file", tmp_path / "file" / "below"):
                check_bad_input(await command(*gateway_command(gateway, folder)), "cannot write", 1)
            assert list(gateway.requests) == []

    run(body())


# The ways to end


def check_files(folder: Path, *, may_be_torn: bool = False) -> tuple[list[bytes], int]:
    """Every file opens, in more than one library; the frames of the capture and the number of quotes."""
    (path,) = folder.glob("capture-*.arrows")
    reader = read_capture(path)
    frames: list[bytes] = reader.read_all()["raw"].to_pylist()
    if not may_be_torn:
        assert reader.torn_bytes == 0
    if reader.torn_bytes == 0:
        assert len(pl.read_ipc_stream(path)) == len(frames)
    quotes = 0
    for parquet in folder.glob("*.parquet"):
        quotes += pq.read_table(parquet).num_rows
    return frames, quotes


def check_events(folder: Path, *, may_be_torn: bool = False) -> list[dict[str, Any]]:
    """Every line of the file of events is JSON."""
    (path,) = folder.glob("events-*.jsonl")
    whole, _, torn = path.read_bytes().rpartition(b"\n")
    assert may_be_torn or not torn
    return [orjson.loads(line) for line in whole.splitlines()]


def check_summary(result: Ended, folder: Path) -> None:
    """The printed sums add up and agree with the files."""
    frames, quotes = check_files(folder)
    sums = re.findall(r"([\d,]+) received = ([\d,]+) written \+ ([\d,]+) dropped.* \+ ([\d,]+) pending", result.out)
    received, written = [], []
    for numbers in sums:
        values = [int(number.replace(",", "")) for number in numbers]
        assert values[0] == sum(values[1:])
        received.append(values[0])
        written.append(values[1])
    assert written == [len(frames), quotes, len(check_events(folder))], result.out
    assert "Traceback" not in result.err


def test_simulate_is_one_command(tmp_path: Path) -> None:
    result = run(command("collect", "--simulate", "--conids", "265598,8314", "--out", tmp_path, "--duration", "1.5"))
    assert result.code == 0, result
    assert "the duration is over" in result.out
    check_summary(result, tmp_path)
    assert re.fullmatch(r"cpapi-fast: simulated gateway at https://\S+, fingerprint [0-9a-f]{64}\n", result.err)
    assert len(check_files(tmp_path)[0]) >= 7


@pytest.mark.parametrize("more", [(), ("--asyncio",)])
def test_simulate_fast_forward_and_replay(tmp_path: Path, more: tuple[str, ...]) -> None:
    lines = [b'{"31":"%d","topic":"smd+265598"}' % number for number in range(5000)]
    replay = tmp_path / "lines.jsonl"
    replay.write_bytes(b"\n".join(lines) + b"\n")
    out = tmp_path / "out"
    result = run(
        command(
            *("collect", "--simulate", "--speed", "10", "--replay", replay, "--fields", "31,84"),
            *("--out", out, "--duration", "15", "--roll-interval", "2", "--flush-interval", "0.5", *more),
        )
    )
    assert result.code == 0, result
    check_summary(result, out)
    frames, quotes = check_files(out)
    assert [frame for frame in frames if frame.startswith(b'{"31"')] == lines
    assert quotes == len(lines)


if sys.platform != "win32":

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    @pytest.mark.parametrize("more", [(), ("--asyncio",)])
    def test_a_signal_is_a_clean_stop(tmp_path: Path, number: int, more: tuple[str, ...]) -> None:
        async def body() -> Ended:
            async with SimulatedGateway(SimulatorOptions(rate=500.0)) as gateway:
                process = await start(*gateway_command(gateway, tmp_path, *more))
                await gateway.wait_for(lambda: sent_frames(gateway) > 100, timeout_s=20)
                process.send_signal(number)
                result = await ended(process)
                assert gateway.connections[0].close_code == 1000
                assert gateway.session_id not in result.out + result.err
                return result

        result = run(body())
        assert (result.code, result.err) == (0, "")
        assert "stopped" in result.out
        check_summary(result, tmp_path)
        assert len(check_files(tmp_path)[0]) > 50

    def test_a_signal_while_connecting(tmp_path: Path) -> None:
        async def body() -> Ended:
            asked = asyncio.Event()

            async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                asked.set()
                await reader.read()
                writer.close()

            async with await asyncio.start_server(never_answer, "127.0.0.1", 0) as server:
                url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/api"
                more = ("--conids", "1", "--out", tmp_path, "--give-up-after", "20")
                process = await start("collect", "--url", url, *more)
                await asyncio.wait_for(asked.wait(), 20)
                process.send_signal(signal.SIGINT)
                return await ended(process)

        result = run(body())
        assert result.code == 1
        check_lines(result, 1)
        assert "stopped before anything was received" in result.err
        assert list(tmp_path.glob("capture*")) == []

    def sent_frames(gateway: SimulatedGateway) -> int:
        return sum(connection.counters.frames_sent for connection in gateway.connections)

    def test_kill_9_at_any_moment(tmp_path: Path) -> None:
        """Whenever it comes, what was flushed is readable, in order, and no half file has a final name."""
        moments = random.Random(3)

        async def one(number: int) -> None:
            folder = tmp_path / str(number)
            async with SimulatedGateway(SimulatorOptions(rate=2000.0, seed=number, keep_sent=100_000)) as gateway:
                more = ("--flush-interval", "0.05", "--roll-interval", "0.2")
                process = await start(*gateway_command(gateway, folder, *more))
                # The first ones while it starts up and makes its files, the others anywhere in its life.
                if number % 2:
                    await gateway.wait_for(lambda: list(folder.glob("capture*")), timeout_s=20)
                    await asyncio.sleep(moments.uniform(0.0, 0.05))
                else:
                    await gateway.wait_for(lambda: list(folder.glob("*.parquet")), timeout_s=20)
                    await asyncio.sleep(moments.uniform(0.0, 0.6))
                process.kill()
                await ended(process)
                # The capture is there before the connection is.
                sent = list(gateway.connections[0].sent) if gateway.connections else []
            captures = list(folder.glob("capture-*.arrows"))
            if not captures:
                assert list(folder.glob("capture-*.arrows.part"))
                return
            frames, quotes = check_files(folder, may_be_torn=True)
            assert frames == sent[: len(frames)]
            if list(folder.glob("events-*.jsonl")):
                check_events(folder, may_be_torn=True)
            if number % 2 == 0:
                assert frames
                assert quotes > 0

        async def all_of_them() -> None:
            for first in range(0, 6, 2):
                await asyncio.gather(one(first), one(first + 1))

        run(all_of_them(), timeout_s=90)

    # At 2 kB the first capture message does not fit any more, at 30 kB the capture fails at some later one.
    @pytest.mark.parametrize("limit_bytes", [2_000, 30_000])
    def test_disk_full(tmp_path: Path, limit_bytes: int) -> None:
        async def body() -> tuple[Ended, list[bytes]]:
            async with SimulatedGateway(SimulatorOptions(rate=2000.0, keep_sent=100_000)) as gateway:
                arguments = gateway_command(gateway, tmp_path, "--flush-interval", "0.1", "--roll-interval", "0.5")
                limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_bytes}, {limit_bytes}))"
                result = await ended(await start(*arguments, first=limit))
                assert gateway.session_id not in result.out + result.err
                return result, list(gateway.connections[0].sent)

        result, sent = run(body())
        assert result.code == 1
        error = result.err.splitlines()[-1]
        assert error.startswith("cpapi-fast: error: cannot write ")
        assert "free some space" in error
        check_summary(result, tmp_path)
        frames, _ = check_files(tmp_path)
        assert frames == sent[: len(frames)]
        assert "write error" in result.out
        assert list(tmp_path.glob("*.part")) == []

    def test_on_a_terminal_there_is_a_table(tmp_path: Path) -> None:
        import os
        import pty

        async def body() -> tuple[int, bytes]:
            ours, theirs = pty.openpty()
            shown = bytearray()
            loop = asyncio.get_running_loop()
            loop.add_reader(ours, lambda: shown.extend(os.read(ours, 65536)))
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "cpapi_fast", "collect", "--simulate", "--conids", "265598"),
                    *("--out", tmp_path, "--duration", "1.2"),
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=theirs,
                    env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "30"},
                )
                code = await process.wait()
                await asyncio.sleep(0.1)
            finally:
                loop.remove_reader(ours)
                os.close(ours)
                os.close(theirs)
            return code, bytes(shown)

        code, shown = run(body())
        assert code == 0
        for text in (b"instrument", b"265598", b"streaming", b"\x1b["):
            assert text in shown


def test_a_lost_connection_is_survived(tmp_path: Path) -> None:
    async def body() -> Ended:
        async with SimulatedGateway(SimulatorOptions(rate=500.0)) as gateway:
            process = await start(*gateway_command(gateway, tmp_path, "--duration", "6", "--slow-disk", "drop-oldest"))
            await gateway.wait_for(lambda: gateway.connections and gateway.connections[0].subscriptions, timeout_s=20)
            await asyncio.sleep(0.5)
            gateway.drop_sockets()
            await gateway.wait_for(lambda: gateway.connections[-1].subscriptions, timeout_s=20)
            return await ended(process)

    result = run(body())
    assert result.code == 0, result
    assert "disconnected (connection lost" in result.err
    assert "data comes again" in result.err
    check_summary(result, tmp_path)
    gaps = [line for line in check_events(tmp_path) if line["type"] == "gap"]
    assert {line["subscription"] for line in gaps} == {"smd+265598", "smd+8314"}
    assert f"{len(gaps)} gaps (connection_lost: {len(gaps)})" in result.out
    assert "2 connections" in result.out
    assert check_files(tmp_path)[1] > 10
