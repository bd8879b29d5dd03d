"""Hostile texts in every message of a gateway: what the commands write is printable, and no line can be forged."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

import cpapi_fast as cf
from cpapi_fast.doctor import diagnose, report_line
from cpapi_fast.protocol.fields import FIELDS
from cpapi_fast.simulator import SimulatedGateway
from tests.integration.collect.command_harness import check_events
from tests.support.commands import ended, start
from tests.support.hostile import HOSTILE_TEXTS, assert_harmless

CONIDS = (265598, 8314, 756733, 4815747, 76792991)

#: Responses of a gateway that refuses, with a hostile text in what a message may contain.
REFUSALS: dict[str, Callable[[str], dict[str, Any]]] = {
    "500": lambda text: {"status": 500, "body": text.encode()},
    "403": lambda text: {"status": 403, "body": text.encode(), "content_type": "text/plain"},
    "404": lambda text: {"status": 404, "body": text.encode()},
    "418": lambda text: {"status": 418, "body": orjson.dumps({"error": text, "statusCode": text})},
    "429": lambda text: {"status": 429, "body": text.encode()},
    "error": lambda text: {"status": 200, "body": orjson.dumps({"error": text})},
    "html": lambda text: {"status": 200, "body": f"<html>{text}".encode(), "content_type": "text/html"},
    "redirect": lambda text: {"status": 302, "headers": {"Location": f"/{_header(text)}"}},
    "other redirect": lambda text: {"status": 302, "headers": {"Location": f"https://{_header(text)}/x"}},
    "headers": lambda text: {"status": 500, "headers": dict.fromkeys(("Server", "Date", "X-Error"), _header(text))},
    "texts for all": lambda text: {"status": 200, "body": orjson.dumps(_hostile_session(text))},
    "names": lambda text: {"status": 200, "body": orjson.dumps({text: text})},
}

PATHS = ("/tickle", "/iserver/auth/status", "/iserver/auth/ssodh/init", "/iserver/accounts", "/ws")


def _header(text: str) -> str:
    # The simulator refuses what no header can contain.
    return re.sub("[\r\n\x00]", "", text)


def _hostile_session(text: str) -> dict[str, Any]:
    status = {"authenticated": False, "competing": False, "connected": False, "message": text, "fail": text}
    status["serverInfo"] = {"serverName": text, "serverVersion": text}
    return {
        **status,
        "session": text,
        "ssoExpires": text,
        "userId": text,
        "accounts": [text],
        "selectedAccount": text,
        "iserver": {"authStatus": {**status, "MAC": text}},
    }


def messages(text: str, conid: int) -> Iterator[bytes]:
    """Messages of every kind, with a hostile text as every value that may be one."""
    topic = f"smd+{conid}"
    quote = {**dict.fromkeys(FIELDS, text), "server_id": text, "conidEx": text, "conid": conid, "_updated": 1}
    objects: list[object] = [
        {**quote, "topic": topic},
        {**dict.fromkeys(FIELDS, "1"), "55": text, "6509": text, "conid": conid, "topic": topic},
        {**quote, "topic": f"smd+{text}"},
        {"topic": text, "args": text},
        {"topic": f"{text}+1"},
        {"topic": f"sor+{text}", "args": [{"status": text}]},
        {"topic": f"smh+{text}", "text": text, "error": text},
        {"topic": "error", "args": {"error": text, "code": text}},
        {"topic": "error", "error": text, "code": text},
        {"error": text, "code": 3},
        {"error": text, "code": text, "topic": text},
        {"topic": "ntf", "args": [{"id": text, "text": text, "title": text, "url": text}]},
        {"topic": "blt", "args": [{"id": text, "message": text}]},
        {"topic": "act", "args": {"accounts": [text], "selectedAccount": text, "acctProps": {text: {}}}},
        {"topic": "sts", "args": {"authenticated": True, "connected": True, "competing": False, "message": text}},
        {"topic": "sts", "args": {"authenticated": text, "fail": text, "serverName": text, text: text}},
        {"topic": "system", "success": text, "isFT": text, "hb": text},
        {"topic": "tic", "alive": text, "id": text},
        text,
    ]
    yield from map(orjson.dumps, objects)
    yield text.encode()
    yield b'{"topic":"' + text.encode() + b'","31":"' + text.encode() + b'"}'


@asynccontextmanager
async def hostile(gateway: SimulatedGateway) -> AsyncIterator[None]:
    """While the block runs, the gateway sends hostile messages, and at last refuses subscriptions and closes."""

    async def send() -> None:
        while True:
            for text, conid in zip(HOSTILE_TEXTS, CONIDS, strict=True):
                await asyncio.sleep(0.1)
                for message in messages(text, conid):
                    gateway.faults.send_frame(message)
                gateway.faults.send_notification(text, text, identifier=text)
                gateway.faults.send_bulletin(text)
                gateway.faults.send_error(text, 3)
            for number, text in enumerate(HOSTILE_TEXTS):
                await asyncio.sleep(0.3)
                gateway.faults.send_error(text, 3, f"smd+{CONIDS[number]}")
                gateway.faults.close_sockets(1008, text[:40])
                refusal = list(REFUSALS)[number]
                gateway.faults.fail_rest("/tickle", **REFUSALS[refusal](text))

    task = asyncio.create_task(send())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    return {"tls": False, "ready_delay_s": 0.0, "heartbeat_interval_s": 0.5}


def arguments_of(command: str, gateway: SimulatedGateway, folder: Path) -> list[object]:
    own: dict[str, list[object]] = {
        "collect": ["--conids", ",".join(map(str, CONIDS)), "--out", folder, "--duration", "5"],
        "tail": ["--conids", ",".join(map(str, CONIDS)), "--fields", "31,55,58,6509", "--duration", "5"],
        "doctor": ["--timeout", "2"],
        "doctor --json": ["--json", "--timeout", "2"],
    }
    return [command.partition(" ")[0], "--url", gateway.url, *own[command]]


@pytest.mark.time_limit(60.0)
@pytest.mark.parametrize("command", ["collect", "tail", "doctor", "doctor --json"])
async def test_without_a_terminal(gateway: SimulatedGateway, tmp_path: Path, command: str) -> None:
    async with hostile(gateway):
        result = await ended(await start(*arguments_of(command, gateway, tmp_path)))
    out, err = assert_harmless(result.out.encode()), assert_harmless(result.err.encode())
    assert "Traceback" not in out + err
    assert result.code != 70, err
    assert all(line.startswith("cpapi-fast: ") for line in err.splitlines()), err
    if command == "collect":
        assert r"EVIL\x1b]0;title\x07" in err, "the texts have arrived"
        events = next(tmp_path.glob("events-*.jsonl")).read_bytes()
        assert_harmless(events)
        assert check_events(tmp_path)
    elif command == "tail":
        assert all(re.match(r"\d\d:\d\d:\d\d \S+ ", line) for line in out.splitlines()), out
        assert "EVIL" in out
    elif command == "doctor --json":
        json.loads(out)


if sys.platform != "win32":
    from tests.support.terminal import SessionTerminal

    @pytest.mark.time_limit(60.0)
    @pytest.mark.parametrize("command", ["collect", "tail", "doctor"])
    async def test_on_a_terminal(gateway: SimulatedGateway, tmp_path: Path, command: str) -> None:
        async with hostile(gateway), SessionTerminal(*arguments_of(command, gateway, tmp_path)) as terminal:
            assert await terminal.ended() != 70
        text = assert_harmless(bytes(terminal.shown), is_terminal=True)
        assert "Traceback" not in text
        assert command == "doctor" or "EVIL" in text
        assert "internal error" not in text


@pytest.mark.time_limit(120.0)
@pytest.mark.parametrize("path", PATHS)
async def test_refusals(gateway: SimulatedGateway, path: str) -> None:
    """In the findings of the doctor, and in errors."""
    for number, response in enumerate(REFUSALS.values()):
        text = HOSTILE_TEXTS[(number + PATHS.index(path)) % len(HOSTILE_TEXTS)]
        gateway.faults.clear_rest_failures()
        gateway.faults.fail_rest(path, times=None, **response(text))
        diagnosis = await diagnose(gateway.url, timeout_s=5.0, init=True, clock=gateway.clock)
        for line in (*map(report_line, diagnosis.findings), *diagnosis.closing_text().split("\n")):
            assert_harmless(line.encode())
        async with cf.Client(gateway.url, clock=gateway.clock) as client:
            for call in (client.tickle, client.auth_status, client.accounts):
                try:
                    await call()
                except cf.CpapiError as exc:
                    assert_harmless(str(exc).encode("utf-8", "surrogatepass"))
