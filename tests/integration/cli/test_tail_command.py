"""`cpapi-fast tail` as a process, on a terminal and without one: what it shows, also while the gateway is gone."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from typing import Any

import pytest

from cpapi_fast.simulator import Certificate, SimulatedGateway
from tests.conftest import Enter, StartGateway
from tests.support.commands import LIMIT_S, PYTHON, Ended, command, ended, start

CONIDS = ("--conids", "265598,8314")


def tail(gateway: SimulatedGateway, *more: object) -> tuple[object, ...]:
    pin = ("--fingerprint", gateway.fingerprint) if gateway.fingerprint else ()
    return ("tail", "--url", gateway.url, *CONIDS, *pin, *more)


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    """A gateway without TLS that is ready at once."""
    return {"tls": False, "ready_delay_s": 0.0}


# Bad input


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--url", "localhost:5000", *CONIDS), "http"),
        (("--url", "http://localhost:5000"), "give at least one conid"),
        (("--url", "http://localhost:5000", *CONIDS, "--seed", "1"), "--seed can only be used with --simulate"),
        (("--simulate", *CONIDS, "--fingerprint", "0" * 64), "TLS options cannot be used"),
        (("--url", "https://localhost:5000", *CONIDS, "--ca-file", "missing.pem"), "missing.pem"),
        (("--simulate", *CONIDS, "--interval", "0"), "not a number above zero"),
        (("--simulate", "--conids", ",".join(map(str, range(1, 103)))), "100"),
        (CONIDS, "--url --simulate"),
    ],
)
async def test_invalid_arguments(arguments: tuple[str, ...], expected: str) -> None:
    result = await command("tail", *arguments)
    err = re.sub(r"cpapi-fast: simulated gateway at .*\n", "", result.err)
    assert (result.code, result.out) == (2, ""), result
    assert expected in err
    assert err.count("\n") == 1


# Without a terminal


async def test_it_ends_by_itself_when_its_time_is_over() -> None:
    result = await command("tail", "--simulate", *CONIDS, "--duration", "40", "--speed", "10")
    assert (result.code, result.err.count("\n")) == (0, 1)


@pytest.mark.gateway(ready_delay_s=None)
async def test_a_tail_that_never_got_a_quote_fails_with_the_cause(gateway: SimulatedGateway) -> None:
    result = await command(*tail(gateway, "--duration", "2"))
    assert result.code == 1
    assert re.fullmatch(
        r"cpapi-fast: error: the command ended before any quote arrived: the feed is open, .* To do: .*\n", result.err
    )


@pytest.mark.gateway(ready_delay_s=None)
async def test_give_up_after_ends_it_with_the_cause(gateway: SimulatedGateway) -> None:
    result = await command(*tail(gateway, "--give-up-after", "0.5"))
    assert result.code == 1
    assert re.fullmatch(r"cpapi-fast: error: no data for 0.5 s: the feed is open, .* To do: .*\n", result.err)


async def test_a_wrong_certificate_fails_with_what_to_do(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(tls=True)
    result = await command("tail", "--url", gateway.url, *CONIDS, "--duration", "2")
    assert result.code == 1
    assert re.search(r"error: the command ended before any quote arrived: .*certificate", result.err)


if sys.platform != "win32":
    from tests.support.terminal import Terminal

    async def run_until(pattern: str, *arguments: object, first: str | None = None) -> Ended:
        """Run the command until its output matches `pattern`, then send Ctrl-C."""
        process = await start(*arguments, first=first)
        assert process.stdout is not None
        output = ""
        while re.search(pattern, output) is None:
            line = (await asyncio.wait_for(process.stdout.readline(), LIMIT_S)).decode()
            assert line, f"the command ended without {pattern}: {output}"
            output += line
        process.send_signal(signal.SIGINT)
        result = await ended(process)
        return Ended(result.code, output + result.out, result.err)

    async def test_lines_where_there_is_no_terminal() -> None:
        quote = r"\d\d:\d\d:\d\d 265598 \S+ bid=\S+ ask=\S+ \w+ age "
        result = await run_until(quote, "tail", "--simulate", *CONIDS, "--fields", "84,86", "--interval", "0.1")
        assert result.code == 0
        assert re.fullmatch(r"cpapi-fast: simulated gateway at .*\n", result.err)
        assert "\x1b" not in result.out
        lines = [line.split(" ", 1)[1] for line in result.out.splitlines()[:2]]
        assert lines[0] == "feed connecting: started"
        assert "last=" not in result.out

    async def test_unreachable_gateway() -> None:
        """The command reconnects and reports the cause."""

        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1/api"
            result = await run_until("DISCONNECTED for", "tail", "--url", url, *CONIDS, "--interval", "0.1")
        assert result.code == 1
        assert re.fullmatch(
            r"cpapi-fast: error: .* before any quote .*, unreachable .* Start the gateway.*\n", result.err
        )
        assert "feed disconnected: unreachable" in result.out
        assert re.search(
            r"DISCONNECTED for .*: unreachable, (next attempt in|trying now).*; Start the gateway", result.out
        )

    @pytest.mark.time_limit(90.0)
    @pytest.mark.gateway(is_logged_in=False)
    async def test_a_login_is_needed(gateway: SimulatedGateway) -> None:
        result = await run_until("LOGIN REQUIRED", *tail(gateway, "--interval", "0.1"))
        assert gateway.session_id not in result.out
        assert result.code == 1
        assert re.fullmatch(
            r"cpapi-fast: error: .* before any quote .*Log in to the gateway in a browser.*\n", result.err
        )
        assert "Log in to the gateway in a browser" in result.out

    @pytest.mark.time_limit(90.0)
    async def test_a_competing_login_is_observed_or_reclaimed(gateway: SimulatedGateway) -> None:
        gateway.faults.start_competing()
        waiting = await run_until("COMPETING for", *tail(gateway, "--interval", "0.1"))
        assert (waiting.code, "last=" in waiting.out) == (1, False)
        assert not [request for request in gateway.requests if "init" in request.path]
        taking = await run_until("265598 .*last=", *tail(gateway, "--competing", "reclaim"))
        assert taking.code == 0

    async def test_a_closed_pipe_ends_the_command_without_a_traceback(gateway: SimulatedGateway) -> None:
        readable, writable = os.pipe()
        process = await asyncio.create_subprocess_exec(
            *PYTHON, "-m", "cpapi_fast", *map(str, tail(gateway, "--interval", "0.05")),
            stdout=writable, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        os.close(writable)
        os.close(readable)
        _, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
        assert (process.returncode, err.decode()) == (1, "")

    # On a terminal

    @pytest.mark.parametrize("more", [(), ("--asyncio",)])
    @pytest.mark.time_limit(90.0)
    async def test_a_table_that_stays_readable_while_the_gateway_is_gone(
        start_gateway: StartGateway, enter: Enter, more: tuple[str, ...]
    ) -> None:
        certificate = Certificate.make()
        gateway = await start_gateway(tls=True, certificate=certificate)
        port = gateway.port
        terminal = await enter(Terminal(*tail(gateway, *more)))
        await terminal.until(lambda: "streaming" in terminal.row("8314"))
        assert "STREAMING for" in terminal.screen
        last = terminal.row("265598").split()[2:5]
        assert all(re.fullmatch(r"[CH]?[0-9,.]+", price) for price in last), terminal.screen

        # The gateway closes: the values stay with marked ages, and the cause and the next attempt are shown.
        await gateway.aclose()
        await terminal.until(lambda: "cut off" in terminal.row("265598"))
        await terminal.until(lambda: re.search(r"cause .*, next attempt in ", terminal.screen))
        assert re.search(r"^(DISCONNECTED|CONNECTING) for", terminal.screen, re.MULTILINE)
        kept = terminal.row("265598").split()[2:5]
        assert all(re.fullmatch(r"[CH]?[0-9,.]+", price) for price in kept), terminal.screen
        assert " !" in terminal.row("265598")
        age = terminal.row("265598")
        await terminal.until(lambda: terminal.row("265598") != age)

        # The gateway starts again, on the same port.
        again = await start_gateway(tls=True, certificate=certificate, port=port)
        await terminal.until(lambda: "streaming" in terminal.row("265598") + terminal.row("8314"))
        await terminal.until(lambda: "2 connections" in terminal.screen)
        await terminal.until(lambda: re.search(r"[1-9]\d* gaps?  ", terminal.screen))

        terminal.process.send_signal(signal.SIGINT)
        assert await terminal.ended() == 0
        assert terminal.err == ""
        shown = bytes(terminal.shown)
        assert gateway.session_id.encode() not in shown
        assert again.session_id.encode() not in shown
        # One screen was taken and given back, the cursor is there again, and what was last seen stays.
        assert (shown.count(b"\x1b[?1049h"), shown.count(b"\x1b[?1049l")) == (1, 1)
        assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")
        assert "265598" in terminal.left
        assert "\x1b" not in terminal.left
        await again.wait_for(lambda: not again.open_connections)

    @pytest.mark.time_limit(90.0)
    async def test_wide_narrow_and_low_terminals(gateway: SimulatedGateway) -> None:
        async with Terminal(*tail(gateway), columns=140) as terminal:
            await terminal.until(lambda: "streaming" in terminal.row("8314"))
            await terminal.until(lambda: "volume" in terminal.row("conid"))
            terminal.resize(44, 12)
            await terminal.until(lambda: terminal.row("conid").split() == ["conid", "last", "bid", "ask", "age"])
            assert all(len(line) <= 44 for line in terminal.screen.splitlines())
            terminal.resize(44, 3)
            await terminal.until(lambda: terminal.screen.startswith("STREAMING for") and not terminal.row("8314"))
            assert len(terminal.screen.splitlines()) <= 3
            terminal.resize(140, 20)
            await terminal.until(lambda: "volume" in terminal.row("conid"))
            terminal.process.terminate()
            assert await terminal.ended() == 0
            assert terminal.err == ""

    @pytest.mark.parametrize(
        ("environment", "has_codes", "has_colours"),
        [({}, True, True), ({"NO_COLOR": "1"}, True, False), ({"TERM": "dumb"}, False, False)],
    )
    async def test_codes_and_colours_only_where_they_are_wanted(
        gateway: SimulatedGateway, environment: dict[str, str], has_codes: bool, has_colours: bool
    ) -> None:
        async with Terminal(*tail(gateway), **environment) as terminal:
            await terminal.until(lambda: b"265598" in terminal.shown and b"delayed" in terminal.shown)
            terminal.process.send_signal(signal.SIGINT)
            assert await terminal.ended() == 0
            shown = bytes(terminal.shown)
        assert (b"\x1b[" in shown) is has_codes
        assert bool(re.search(rb"\x1b\[[0-9;]*3[0-7][0-9;]*m", shown)) is has_colours

    async def test_without_rich_it_is_lines(gateway: SimulatedGateway) -> None:
        """On a terminal, too: the optional packages are not needed to look at quotes."""
        without = "import sys; sys.modules.update(dict.fromkeys(('rich', 'pyarrow', 'cryptography')))"

        result = await run_until("265598", *tail(gateway, "--interval", "0.1"), first=without)
        assert (result.code, result.err) == (0, "")
        assert "265598" in result.out
