"""The commands on every kind of stdout and stderr: encodings, closed pipes, full disks, and closed descriptors."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.simulator import SimulatedGateway
from tests.support.commands import LIMIT_S, PYTHON, Ended
from tests.support.hostile import assert_harmless

if sys.platform == "win32":
    pytest.skip("the streams of POSIX", allow_module_level=True)
else:
    from tests.support.terminal import SessionTerminal

#: No encoding but UTF-8 has all of these; the last one is a byte that is not valid in any.
NAME = "\N{CYRILLIC SMALL LETTER DE} \N{CJK UNIFIED IDEOGRAPH-6570} \N{EURO SIGN} \N{GRINNING FACE} \udcff"

ENCODINGS = ("utf-8", "cp1252", "cp437", "gbk", "ascii", "utf-16", "shift_jis")

#: Nothing listens there.
NOWHERE = "http://127.0.0.1:1/v1/api"


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    """A gateway without TLS that is ready at once, and where no wait of a command is long."""
    return {"tls": False, "ready_delay_s": 0.0, "heartbeat_interval_s": 0.2}


async def run(
    *arguments: object, redirects: str = "", is_text: bool = True, encoding: str = "utf-8", **environment: str
) -> Ended:
    """Run a command by the shell, with redirections of its streams."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", f'"$@" {redirects}', "bash", *PYTHON, "-m", "cpapi_fast", *map(str, arguments)),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **environment},
    )
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert process.returncode is not None
    return Ended(
        process.returncode,
        assert_harmless(out, encoding=encoding) if is_text else "",
        assert_harmless(err, encoding=encoding) if is_text else "",
    )


def commands(gateway: SimulatedGateway, folder: Path) -> dict[str, tuple[object, ...]]:
    """Commands that succeed, with their names."""
    return {
        "collect": ("collect", "--url", gateway.url, "--conids", "265598", "--out", folder, "--duration", "1"),
        "tail": ("tail", "--url", gateway.url, "--conids", "265598", "--duration", "1", "--interval", "0.1"),
        "doctor": ("doctor", "--url", gateway.url, "--conid", "8314"),
        "doctor --json": ("doctor", "--url", gateway.url, "--json"),
        "help": ("collect", "--help"),
        "version": ("--version",),
    }


NAMES = ("collect", "tail", "doctor", "doctor --json", "help", "version")


def send_symbols(gateway: SimulatedGateway) -> None:
    text = NAME[:-2].encode()
    gateway.faults.send_frame(b'{"topic":"smd+265598","conid":265598,"55":"%b","6509":"RpB","31":"%b"}' % (text, text))
    gateway.faults.send_frame(b'{"topic":"error","error":"%b"}' % text)


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_encodings(gateway: SimulatedGateway, tmp_path: Path, encoding: str) -> None:
    sending = asyncio.get_running_loop().create_task(_repeat(lambda: send_symbols(gateway)))
    try:
        for name, arguments in commands(gateway, tmp_path / NAME).items():
            result = await run(*arguments, PYTHONIOENCODING=encoding, encoding=encoding)
            assert result.code in ((0,) if not name.startswith("doctor") else (0, 40)), (name, result)
            assert "internal error" not in result.err, result
            if name == "collect":
                assert "ended after" in result.out
                assert r"\udcff" in result.out
                assert "the gateway reports an error" in result.err
    finally:
        sending.cancel()
    result = await run(
        "collect", "--url", NOWHERE, "--out", "x", "--slow-disk", NAME, PYTHONIOENCODING=encoding, encoding=encoding
    )
    assert (result.code, result.err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    "environment", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
async def test_the_c_locale(gateway: SimulatedGateway, tmp_path: Path, environment: dict[str, str]) -> None:
    result = await run(*commands(gateway, tmp_path / NAME)["collect"], **environment)
    assert (result.code, result.err) == (0, "")
    assert r"\udcff" in result.out


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp437", "gbk"])
@pytest.mark.parametrize("name", ["collect", "tail"])
async def test_encodings_of_a_terminal(
    gateway: SimulatedGateway, tmp_path: Path, name: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    sending = asyncio.get_running_loop().create_task(_repeat(lambda: send_symbols(gateway)))
    try:
        async with SessionTerminal(*commands(gateway, tmp_path / NAME)[name]) as terminal:
            assert await terminal.ended() == 0
    finally:
        sending.cancel()
    text = assert_harmless(bytes(terminal.shown), is_terminal=True, encoding=encoding)
    assert "265598" in text
    assert "internal error" not in text


async def _repeat(send: Any) -> None:
    while True:
        send()
        await asyncio.sleep(0.1)


#: Redirections, with the exit code of the command, and whether stderr says something.
REDIRECTS = {
    "> /dev/full": (1, True),
    "| true; exit ${PIPESTATUS[0]}": (1, False),
    ">&-": (0, False),
    "2>&-": (0, False),
    ">&- 2>&- <&-": (0, False),
    "2> /dev/full": (0, False),
    "2>&1 | true; exit ${PIPESTATUS[0]}": (1, False),
}


@pytest.mark.parametrize("redirects", list(REDIRECTS))
@pytest.mark.parametrize("name", NAMES)
async def test_streams_that_cannot_be_written(
    gateway: SimulatedGateway, tmp_path: Path, redirects: str, name: str
) -> None:
    code, is_told = REDIRECTS[redirects]
    result = await run(*commands(gateway, tmp_path)[name], redirects=redirects)
    if name in ("help", "version"):
        # argparse ignores it when it cannot write.
        assert result.code in (0, code)
    else:
        assert result.code == code, result
        assert result.err.count("\n") == int(is_told), result
    assert "Exception ignored" not in result.err
    assert "Traceback" not in result.err
    if name == "collect":
        assert len(list(tmp_path.glob("quotes-*.parquet"))) == 1


async def test_head_gets_its_line(gateway: SimulatedGateway) -> None:
    for arguments in (("tail", "--url", gateway.url, "--conids", "265598", "--interval", "0.1"), ("collect", "--help")):
        result = await run(*arguments, redirects="| head -1")
        assert (result.code, result.err) == (0, "")
        assert result.out.count("\n") == 1
