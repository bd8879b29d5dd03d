"""The gateway's side of one WebSocket: authentication, the opening burst, control frames and received texts."""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import WSMsgType, web

from cpapi_fast.errors import ConfigError

from . import capture_replay, replay, system_frames
from .frame_writer import ConnectionCounters, FrameWriter
from .options import MAX_TEXTS
from .state import GatewayState, ReceivedRequest
from .subscriptions import DATA_CHANNELS, SocketSubscriptions, channel_of
from .wire import OPCODE_CLOSE, OPCODE_PONG, encode_close, encode_frame

#: How long a client may take to reply to a CLOSE before the connection is closed, in real seconds.
_CLOSE_TIMEOUT_S: Final = 2.0
#: How many received control frames are kept.
_MAX_CONTROLS: Final = 1_000
#: No status in a CLOSE frame, as RFC 6455 numbers it.
_NO_STATUS: Final = 1005
#: The status of a CLOSE after an error of the gateway, as RFC 6455 numbers it.
_INTERNAL_ERROR: Final = 1011


@dataclass(frozen=True)
class ReceivedText:
    """A text message that a client sent.

    Attributes:
        time_ns: when it arrived, on the gateway's clock.
        text: the text. The one that authenticates contains the session.
    """

    time_ns: int
    text: str


def cookie_session(header: str | None) -> str | None:
    """The session id in a `Cookie` header: `api={"session":"..."}` or `api=...`; None without one."""
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


class ServerConnection:
    """One WebSocket, from its upgrade to its end. It keeps its data after the end.

    Attributes:
        number: its number among the connections of the gateway, from 1.
        request: the upgrade request.
        received: the texts received, oldest first.
        pings: payloads of the client's PING frames.
        pongs: payloads of the client's PONG frames.
        socket_subscriptions: the subscriptions of this socket.
        is_ready: whether `system` with `success` was sent.
        close_code: the code of the client's CLOSE frame; None if it sent none.
        is_replayed: whether the whole replay file was sent on this socket.
    """

    def __init__(
        self,
        state: GatewayState,
        request: ReceivedRequest,
        transport: asyncio.Transport,
        number: int,
        lines_in_use: Callable[[], int],
    ) -> None:
        options = state.options
        self._state = state
        self.number = number
        self._writer = FrameWriter(
            transport,
            limit_bytes=options.write_buffer_limit_bytes,
            keep=options.keep_sent,
            number=self.number,
            log=state.log if options.keep_log else None,
        )
        self._writer.is_fragmenting = state.is_fragmenting
        self.request = request
        self.received: deque[ReceivedText] = deque(maxlen=MAX_TEXTS)
        self.pings: deque[bytes] = deque(maxlen=_MAX_CONTROLS)
        self.pongs: deque[bytes] = deque(maxlen=_MAX_CONTROLS)
        self.socket_subscriptions = SocketSubscriptions(
            number=self.number,
            options=options,
            clock=state.clock,
            session=state.session,
            market=state.market,
            orders=state.orders,
            trades=state.trades,
            lines_in_use=lines_in_use,
            drops_subscribe=state.drops_subscribe,
            refuses_orders=state.refuses_orders,
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
        return f"<ServerConnection {self.number} {state}, {len(self.subscriptions)} subscriptions, {self.counters}>"

    @property
    def writer(self) -> FrameWriter:
        """The writing side."""
        return self._writer

    @property
    def counters(self) -> ConnectionCounters:
        """Counters of the frames sent, dropped and conflated."""
        return self._writer.counters

    @property
    def sent(self) -> deque[bytes]:
        """The payloads of the last data frames sent."""
        return self._writer.sent

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The topics that are subscribed to now: `smd+265598`, `sor`, `ssd+DU1234567`."""
        return self.socket_subscriptions.topics()

    @property
    def ignored(self) -> int:
        """How many texts were ignored without a reply."""
        return self.socket_subscriptions.ignored

    @property
    def is_open(self) -> bool:
        """Whether the transport is open and no CLOSE was sent."""
        return not self._is_closing and not self._writer.is_closed

    @property
    def is_current(self) -> bool:
        """Whether it is authenticated with the current session. Otherwise it gets heartbeats but no data."""
        return self._session_id is not None and self._session_id == self._state.session.id

    def send(self, payloads: list[bytes]) -> None:
        """Send data frames. Does nothing while the socket is closing."""
        if payloads and not self._is_closing:
            self._writer.send(payloads)

    def close(self, code: int, reason: str = "") -> None:
        """Send CLOSE, and end the connection when the client replies or after 2 s."""
        if self.is_open:
            self._writer.send_raw(encode_close(code, reason))
            self._is_closing = True
            asyncio.get_running_loop().call_later(_CLOSE_TIMEOUT_S, self._writer.close)

    async def serve(self, socket: web.WebSocketResponse) -> None:
        """Serve the client until the connection ends."""
        session = self._state.session
        if not session.is_logged_in:
            self.close(1000)
        elif cookie_session(self.request.header("Cookie")) == session.id:
            self._authenticate()
        else:
            self.send([system_frames.WAITING])
        try:
            await self._read(socket)
        finally:
            self._is_closing = True
            if self._ready_timer is not None:
                self._ready_timer.cancel()
            if self._replay_task is not None:
                self._replay_task.cancel()
            self.socket_subscriptions.drop_all()
            # Close the transport before aiohttp can add a CLOSE frame of its own.
            self._writer.close()

    async def _read(self, socket: web.WebSocketResponse) -> None:
        while True:
            message = await socket.receive()
            if message.type is WSMsgType.TEXT:
                self._on_text(message.data)
            elif message.type is WSMsgType.BINARY:
                # The gateway treats the payload as text, whatever the opcode.
                self._on_text(message.data.decode("utf-8", "replace"))
            elif message.type is WSMsgType.PING:
                self.pings.append(bytes(message.data))
                if self._writer.waiting_bytes < self._state.options.write_buffer_limit_bytes:
                    self._writer.send_raw(encode_frame(message.data, OPCODE_PONG))
            elif message.type is WSMsgType.PONG:
                self.pongs.append(bytes(message.data))
            elif message.type is WSMsgType.CLOSE:
                self.close_code = message.data or _NO_STATUS
                if not self._is_closing:
                    echo = encode_close(message.data) if message.data else encode_frame(b"", OPCODE_CLOSE)
                    self._writer.send_raw(echo)
                return
            else:
                return

    def _authenticate(self) -> None:
        self._session_id = self._state.session.id
        delay_s = self._state.options.ready_delay_s
        if delay_s is not None:
            self._ready_timer = self._state.clock.call_later(delay_s, self._become_ready)

    def _become_ready(self) -> None:
        options, session = self._state.options, self._state.session
        burst = {
            "system": system_frames.system(options.user, options.accounts[0]),
            "act": system_frames.act(options.accounts),
            "sts": system_frames.sts(session, options.user),
        }
        # `act` belongs to the brokerage session; without one it is sent later.
        self.send([burst[name] for name in options.opening_burst if name != "act" or session.is_authenticated])
        self.is_ready = True
        if options.replay is not None and not self._state.replays_capture:
            self._replay_task = asyncio.get_running_loop().create_task(self._replay(options.replay))

    async def _replay(self, path: str | os.PathLike[str]) -> None:
        state = self._state
        serve = capture_replay.serve if state.replays_capture else replay.serve
        try:
            self.is_replayed = await serve(path, self._writer, state.clock, state.options.rate)
        except ConfigError as error:
            # A damage that the check at the start could not find.
            context = {"message": "a simulated gateway cannot continue its replay", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            self.close(_INTERNAL_ERROR)
        if self.is_replayed:
            state.replay_done.set()

    def _on_text(self, text: str) -> None:
        state = self._state
        self.received.append(ReceivedText(state.clock.time_ns(), text))
        if self._is_closing:
            return
        if self._is_flooded(state.options.max_texts_per_s):
            self._writer.reset()
            return
        if self._session_id is None:
            self._on_text_before_session(text)
        elif text == "tic":
            reply = system_frames.tic(self._session_id, state.clock.time_ns() // 1_000_000)
            self.send([reply] * state.options.tic_replies)
        elif text == "ech+hb":
            self.send([b"ech+hb"])
        elif not self.socket_subscriptions.knows(text):
            self.send([system_frames.unknown_topic(text)])
        elif self.is_ready and self.is_current:
            replies = self.socket_subscriptions.handle(text)
            if state.replays_capture and channel_of(text) in DATA_CHANNELS:
                self._replay_to_subscriber()
            else:
                self.send(replies)
        else:
            self.socket_subscriptions.ignored += 1

    def _replay_to_subscriber(self) -> None:
        """Start to send the capture at the first subscribe. The frames of a topic are sent whoever subscribes to it."""
        path = self._state.options.replay
        if self._replay_task is None and path is not None:
            self._replay_task = asyncio.get_running_loop().create_task(self._replay(path))

    def _is_flooded(self, limit: int | None) -> bool:
        """Whether the last text is one too many within a second."""
        if limit is None or len(self.received) <= limit:
            return False
        return self.received[-1].time_ns - self.received[-1 - limit].time_ns < 1_000_000_000

    def _on_text_before_session(self, text: str) -> None:
        session = _session_of(text)
        if session is None:
            self.socket_subscriptions.ignored += 1
        elif session == self._state.session.id and self._state.session.is_logged_in:
            self._authenticate()
        else:
            self.send([system_frames.WAITING])
