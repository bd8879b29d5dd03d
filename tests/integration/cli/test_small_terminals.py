"""`collect` and `tail` on terminals of several sizes, which change while they run: the screen stays readable."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.simulator import SimulatedGateway

COMBINATION = "28812380;;;8314/1,8894/-1"
CONIDS = f"265598,265598@OVERNIGHT,{COMBINATION},8314"


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    """A gateway without TLS that is ready at once."""
    return {"tls": False, "ready_delay_s": 0.0}


if sys.platform != "win32":
    from tests.support.terminal import Terminal

    def arguments(command: str, gateway: SimulatedGateway, folder: Path) -> tuple[object, ...]:
        out = ("--out", folder / "out") if command == "collect" else ()
        return (command, "--url", gateway.url, "--conids", CONIDS, *out)

    def row(terminal: Terminal, start: str) -> str:
        return next((line for line in terminal.seen.lines if line.startswith(start)), "")

    def is_whole(terminal: Terminal, width: int, rows: int) -> bool:
        """Whether the screen has one state, one head and at least so many rows, each complete or with an ellipsis."""
        lines = terminal.seen.lines
        heads = [number for number, line in enumerate(lines) if line.startswith("conid")]
        if len(heads) != 1 or len([line for line in lines if line.startswith("STREAMING")]) != 1:
            return False
        table = [line for line in lines[heads[0] + 1 :] if line]
        named = [line for line in table if line.startswith(("265598", "28812380", "8314"))]
        if [line for line in table if line not in named and " more" not in line]:
            return False
        # The age of a row, or what follows it, is at its end.
        ends = (" s", " !", "delayed", "live", "frozen", "streaming")
        is_complete = width >= 100 or all(line.endswith(ends) for line in named)
        return is_complete and len(named) >= rows and all(len(line) <= width for line in lines)

    @pytest.mark.parametrize("command", ["collect", "tail"])
    @pytest.mark.time_limit(120.0)
    async def test_the_screen_stays_readable_in_every_size(
        gateway: SimulatedGateway, tmp_path: Path, command: str
    ) -> None:
        async with Terminal(
            *arguments(command, gateway, tmp_path), columns=80, lines=24, is_err_shown=command == "collect"
        ) as terminal:
            await terminal.until(lambda: is_whole(terminal, 80, 4))
            assert row(terminal, "conid").split()[:1] == ["conid"]
            assert row(terminal, COMBINATION), "a name of 25 characters fits into 80"
            for columns, lines, rows in ((40, 10, 2), (20, 5, 1), (80, 24, 4), (33, 24, 4), (200, 24, 4), (40, 10, 2)):
                terminal.resize(columns, lines)
                drawn = len(terminal.shown)
                await terminal.until(
                    lambda columns=columns, rows=rows, drawn=drawn: (
                        len(terminal.shown) > drawn + 200 and is_whole(terminal, columns, rows)
                    )
                )

            # What a person has to do survives in a small terminal.
            gateway.faults.start_competing()
            await terminal.until(lambda: row(terminal, "COMPETING"))
            await terminal.until(lambda: row(terminal, "action End the other login"))
            assert row(terminal, "action").endswith("…")
            terminal.resize(20, 5)
            await terminal.until(lambda: row(terminal, "COMPETING") and row(terminal, "action End"))
            assert row(terminal, "conid")
            terminal.resize(200, 24)
            await terminal.until(lambda: "or take the session back with --competing reclaim" in row(terminal, "action"))
            assert "competing=" not in terminal.seen.text

            terminal.process.send_signal(signal.SIGINT)
            assert await terminal.ended() == 0
            assert b"\x1b[?25h" in terminal.shown
            if command == "collect":
                assert "ended after" in terminal.seen.text + "\n".join(terminal.seen.scrolled)

    @pytest.mark.parametrize("command", ["collect", "tail"])
    async def test_a_terminal_without_an_ellipsis_gets_three_dots(
        gateway: SimulatedGateway, tmp_path: Path, command: str
    ) -> None:
        async with Terminal(
            *arguments(command, gateway, tmp_path), columns=40, lines=5, is_err_shown=command == "collect",
            PYTHONIOENCODING="ascii",
        ) as terminal:  # fmt: skip
            await terminal.until(lambda: is_whole(terminal, 40, 1) and row(terminal, "... and"))
            assert row(terminal, "28812380") == "" or "..." in row(terminal, "28812380")
            assert bytes(terminal.shown).isascii()
            terminal.process.send_signal(signal.SIGINT)
            assert await terminal.ended() == 0
