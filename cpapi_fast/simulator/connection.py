"""One client's WebSocket as the gateway sees it: handshake, ready gate, control frames, texts."""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from dataclasses import dataclass
from typing import Final

from aiohttp import WSMsgType, web

from . import frames, replay
from .outbox import Counters, Outbox
from .subscriptions import Subscriptions
from .wire import OPCODE_CLOSE, OPCODE_PONG, encode_close, encode_frame
from .world import ReceivedRequest, World

#: How long a client may take to answer a CLOSE before the connection is cut, in real seconds.
_CLOSE_PATIENCE_S: Final = 2.0
#: How much of what a client sent is remembered.
_MOST_TEXTS: Final = 100_000
_MOST_CONTROLS: Final = 1_000
#: No status in a CLOSE frame, as RFC 6455 numbers it.
_NO_STATUS: Final = 1005


@dataclass(frozen=True)
class ReceivedText:
    """A text that a client sent.

    Attributes:
        time_ns: when it arrived, on the gateway's clock.
        text: the text; the handshake's holds the session.
    """

    time_ns: int
    text: str


def cookie_session(header: str | None) -> str | None:
    """The session in `api={"session":"..."}` (with or without a space after the colon) or `api=...`."""
    for part in (header or "").split(";"):
        name, _, value = part.partition("=")
        if name.strip() == "api":
            return _session_of(value.strip()) or value.strip() or None
    return None


def _session_of(text: str) -> str | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    session = value.get("session") if isinstance(value, dict) else None
    return session if isinstance(session, str) else None


class Connection:
    """A socket from its upgrade to its end, and what became of it.

    Attributes:
        number: counts the connections of a gateway, from 1.
        request: the upgrade request.
        received: the texts of the client, oldest first.
        pings: payloads of the client's PING frames.
        pongs: payloads of the client's PONG frames.
        topics: the subscriptions of this socket.
        is_ready: `system` with `success` was sent.
        close_code: the code of the client's CLOSE frame; None when it sent none.
        is_replayed: the whole replay file was sent on this socket.
    """

    def __init__(self, world: World, request: ReceivedRequest, transport: asyncio.Transport) -> None:
        options = world.options
        self._world = world
        self.number = world.next_number()
        self._outbox = Outbox(
            transport,
            limit_bytes=options.outbox_limit_bytes,
            keep=options.keep_sent,
            number=self.number,
            log=world.log if options.keep_log else None,
        )
        self._outbox.is_fragmenting = world.is_fragmenting
        self.request = request
        self.received: deque[ReceivedText] = deque(maxlen=_MOST_TEXTS)
        self.pings: deque[bytes] = deque(maxlen=_MOST_CONTROLS)
        self.pongs: deque[bytes] = deque(maxlen=_MOST_CONTROLS)
        self.topics = Subscriptions(
            number=self.number,
            options=options,
            clock=world.clock,
            session=world.session,
            market=world.market,
            live_lines=world.live_lines,
            swallows=world.swallows_subscribe,
            refuses_orders=world.refuses_orders,
        )
        self.is_ready = False
        self.close_code: int | None = None
        self.is_replayed = False
        self._session_id: str | None = None
        self._is_closing = False
        self._ready_timer: asyncio.TimerHandle | None = None
        self._replay_task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<Connection {self.number} {state}, {len(self.subscriptions)} subscriptions, {self.counters}>"

    @property
    def outbox(self) -> Outbox:
        """The writing side."""
        return self._outbox

    @property
    def counters(self) -> Counters:
        """What became of the frames sent."""
        return self._outbox.counters

    @property
    def sent(self) -> deque[bytes]:
        """The payloads of the last data frames sent."""
        return self._outbox.sent

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The topics that are live now: `smd+265598`, `sor`, `ssd+DU1234567`."""
        return self.topics.live()

    @property
    def ignored(self) -> int:
        """How many texts were dropped without a word."""
        return self.topics.ignored

    @property
    def is_open(self) -> bool:
        """Whether the connection stands and no CLOSE was sent."""
        return not self._is_closing and not self._outbox.is_closed

    @property
    def is_current(self) -> bool:
        """Whether the socket is authenticated with the session that lives now; otherwise it is dead but heartbeats."""
        return self._session_id is not None and self._session_id == self._world.session.id

    def send(self, payloads: list[bytes]) -> None:
        """Send data frames, unless the socket is closing."""
        if payloads and not self._is_closing:
            self._outbox.send(payloads)

    def close(self, code: int, reason: str = "") -> None:
        """Send CLOSE and end the connection when the client answers, or soon after."""
        if self.is_open:
            self._outbox.send_raw(encode_close(code, reason))
            self._is_closing = True
            asyncio.get_running_loop().call_later(_CLOSE_PATIENCE_S, self._outbox.close)

    async def serve(self, socket: web.WebSocketResponse) -> None:
        """Talk to the client until the connection ends."""
        session = self._world.session
        if not session.is_logged_in:
            self.close(1000)
        elif cookie_session(self.request.header("Cookie")) == session.id:
            self._authenticate()
        else:
            self.send([frames.WAITING])
        try:
            await self._read(socket)
        finally:
            self._is_closing = True
            if self._ready_timer is not None:
                self._ready_timer.cancel()
            if self._replay_task is not None:
                self._replay_task.cancel()
            self.topics.drop_all()
            # The transport closes before aiohttp could add a CLOSE frame of its own.
            self._outbox.close()

    async def _read(self, socket: web.WebSocketResponse) -> None:
        while True:
            message = await socket.receive()
            if message.type is WSMsgType.TEXT:
                self._on_text(message.data)
            elif message.type is WSMsgType.BINARY:
                # The gateway hands the payload on as text, whatever the opcode was.
                self._on_text(message.data.decode("utf-8", "replace"))
            elif message.type is WSMsgType.PING:
                self.pings.append(bytes(message.data))
                if self._outbox.waiting_bytes < self._world.options.outbox_limit_bytes:
                    self._outbox.send_raw(encode_frame(message.data, OPCODE_PONG))
            elif message.type is WSMsgType.PONG:
                self.pongs.append(bytes(message.data))
            elif message.type is WSMsgType.CLOSE:
                self.close_code = message.data or _NO_STATUS
                if not self._is_closing:
                    echo = encode_close(message.data) if message.data else encode_frame(b"", OPCODE_CLOSE)
                    self._outbox.send_raw(echo)
                return
            else:
                return

    def _authenticate(self) -> None:
        self._session_id = self._world.session.id
        delay_s = self._world.options.ready_delay_s
        if delay_s is not None:
            self._ready_timer = self._world.clock.call_later(delay_s, self._become_ready)

    def _become_ready(self) -> None:
        options, session = self._world.options, self._world.session
        burst = {
            "system": frames.system(options.user, options.accounts[0]),
            "act": frames.act(options.accounts),
            "sts": frames.sts(session, options.user),
        }
        # `act` belongs to the brokerage session; without one it comes later.
        self.send([burst[name] for name in options.opening_burst if name != "act" or session.is_authenticated])
        self.is_ready = True
        if options.replay is not None:
            self._replay_task = asyncio.get_running_loop().create_task(self._replay(options.replay))

    async def _replay(self, path: str | os.PathLike[str]) -> None:
        world = self._world
        self.is_replayed = await replay.serve(path, self._outbox, world.clock, world.options.rate)
        if self.is_replayed:
            world.replay_done.set()

    def _on_text(self, text: str) -> None:
        world = self._world
        self.received.append(ReceivedText(world.clock.time_ns(), text))
        if self._is_closing:
            return
        if self._session_id is None:
            self._on_text_before_session(text)
        elif text == "tic":
            reply = frames.tic(self._session_id, world.clock.time_ns() // 1_000_000)
            self.send([reply] * world.options.tic_replies)
        elif text == "ech+hb":
            self.send([b"ech+hb"])
        elif not self.topics.knows(text):
            self.send([frames.unknown_topic(text)])
        elif self.is_ready and self.is_current:
            self.send(self.topics.handle(text))
        else:
            self.topics.ignored += 1

    def _on_text_before_session(self, text: str) -> None:
        session = _session_of(text)
        if session is None:
            self.topics.ignored += 1
        elif session == self._world.session.id and self._world.session.is_logged_in:
            self._authenticate()
        else:
            self.send([frames.WAITING])
