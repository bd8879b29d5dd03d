"""The faults that a test can inject into a simulated gateway while clients are connected."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from . import system_frames
from .connection_registry import ConnectionRegistry
from .rest_routes import BASE_PATH
from .server_connection import ServerConnection
from .state import GatewayState, RestFailure
from .subscriptions import SUBSCRIBES
from .wire import OPCODE_BINARY, OPCODE_PING, OPCODE_TEXT, encode_frame

_NO_HEADERS: Final[Mapping[str, str]] = {}
#: A burst is written in parts of this many frames; the event loop runs between them.
_BURST_PART: Final = 500
#: How often to check whether a client has read a burst, in real seconds.
_BURST_POLL_S: Final = 0.001


class GatewayFaults:
    """Faults of a `SimulatedGateway`, as its attribute `faults`. Each call takes effect at once, on every open socket.

    ::

        gateway.faults.drop_sockets(reset=True)
        gateway.faults.fail_rest("/tickle", status=503, times=3)
    """

    def __init__(self, state: GatewayState, connections: ConnectionRegistry) -> None:
        self._state: Final = state
        self._connections: Final = connections

    # Sockets

    def drop_sockets(self, *, reset: bool = False) -> None:
        """End every socket without a CLOSE frame.

        Args:
            reset: True sends RST at once; False sends FIN after what was written.
        """
        for connection in self._connections.open:
            if reset:
                connection.writer.reset()
            else:
                connection.writer.close()

    def close_sockets(self, code: int = 1000, reason: str = "") -> None:
        """Send CLOSE on every socket, and end it when the client replies or after 2 s."""
        for connection in self._connections.open:
            connection.close(code, reason)

    def stall(self) -> None:
        """Stop reading and writing. Connections stay open, and REST requests hang."""
        self._state.responding.clear()
        for connection in self._connections.open:
            connection.writer.hold()

    def resume(self) -> None:
        """End a `stall`. Held frames are sent in order, up to `write_buffer_limit_bytes`; market data is conflated."""
        self._state.responding.set()
        for connection in self._connections.open:
            connection.writer.release()

    def fragment_frames(self, *, on: bool = True) -> None:
        """Write every data frame as two fragments, split at each position in turn, both ends included."""
        self._state.is_fragmenting = on
        for connection in self._connections.open:
            connection.writer.is_fragmenting = on

    def send_bytes(self, raw: bytes) -> None:
        """Write raw bytes on every socket, whether or not they are a valid frame."""
        for connection in self._connections.open:
            connection.writer.send_raw(raw)

    def send_frame(self, payload: bytes, *, opcode: int = OPCODE_BINARY, fin: bool = True) -> None:
        """Send one frame on every socket: a fragment without `fin`, its continuation with opcode 0."""
        payloads = [payload] if fin and opcode in (OPCODE_TEXT, OPCODE_BINARY) else []
        for connection in self._connections.open:
            connection.writer.send_raw(encode_frame(payload, opcode, fin=fin), payloads)

    def ping(self, payload: bytes = b"") -> None:
        """Send PING on every socket. The replies are in `ServerConnection.pongs`."""
        self.send_frame(payload, opcode=OPCODE_PING)

    def send_notification(self, text: str, title: str | None = None, *, identifier: str = "NOTICE") -> None:
        """Send `ntf` on every ready socket."""
        self._send(system_frames.notification(text, title, identifier))

    def send_bulletin(self, message: str, *, identifier: int = 1) -> None:
        """Send `blt` on every ready socket."""
        self._send(system_frames.bulletin(message, identifier))

    def send_error(self, text: str, code: int, topic: str | None = None) -> None:
        """Send an error frame on every ready socket."""
        self._send(system_frames.error(text, code, topic))

    # Session

    def end_brokerage_session(self) -> bool:
        """End the brokerage session, as the idle timeout does.

        The status becomes `connected:true, authenticated:false`. Streams that need the brokerage session stop without a
        frame; sockets stay open with heartbeats and receive an `sts` fragment. `ssodh/init` opens the session again
        with no subscriptions.

        Returns:
            Whether it was open.
        """
        was_open = self._state.session.is_authenticated
        self._state.session.end_brokerage()
        return was_open

    def log_out(self) -> None:
        """End both levels of session, as `POST /logout` does. Open sockets get nothing more, not even heartbeats."""
        self._state.session.log_out()

    def log_in(self, *, has_brokerage: bool = True) -> None:
        """Log in, as a user does in a browser. The session id is new, so open sockets get no data."""
        self._state.session.log_in(has_brokerage=has_brokerage)

    def change_session_id(self) -> None:
        """Change the session id without a notice, as happens at night. Open sockets get heartbeats but no data."""
        self._state.session.change_id()

    def change_session_at_tickle(self, *, on: bool = True) -> None:
        """Change the session id at every `/tickle`, so that no socket has the current one for long."""
        self._state.session.changes_at_tickle = on

    def send_status(self, *, authenticated: bool) -> None:
        """Send an `sts` fragment on every ready socket, whatever the session is."""
        self._send(system_frames.sts_fragment({"authenticated": authenticated}))

    def start_competing(self) -> None:
        """Let another login of the same user take the brokerage session, until `ssodh/init` with `compete:true`."""
        self._state.session.start_competing()

    def stop_competing(self) -> None:
        """End the other login. The brokerage session stays closed until `ssodh/init`."""
        self._state.session.stop_competing()

    def begin_maintenance(self, status: int = 503) -> None:
        """Drop every socket, and respond to every REST request and upgrade with `status` and an HTML page."""
        self._state.maintenance_status = status
        self.drop_sockets()

    def end_maintenance(self) -> None:
        """End the maintenance. The session is unchanged, unless it expired: refused requests do not extend it."""
        self._state.maintenance_status = None

    async def run_nightly_reset(
        self, *, outage_s: float = 600.0, status: int = 503, is_logged_in: bool = True, has_brokerage: bool = True
    ) -> None:
        """Run a nightly reset: drop sockets, end the session, be in maintenance, and then log in again or not.

        Args:
            outage_s: duration of the maintenance in seconds of the gateway's clock; this call takes as long.
            status: the status of every response during the maintenance.
            is_logged_in: whether there is a new session afterwards; False leaves the gateway logged out.
            has_brokerage: whether the new session includes its brokerage session.
        """
        self.begin_maintenance(status)
        self._state.session.log_out()
        await self._state.clock.sleep(outage_s)
        if is_logged_in:
            self._state.session.log_in(has_brokerage=has_brokerage)
        self.end_maintenance()

    # Subscriptions

    def end_stream(self, target: str) -> int:
        """End one `smd` stream on every socket without a frame, as its expiry does.

        Args:
            target: the part after `smd+`, such as `265598` or `265598@NYSE`. A new subscribe starts a new stream.

        Returns:
            How many streams ended.
        """
        return sum(connection.socket_subscriptions.end_stream(target) for connection in self._connections.open)

    def freeze_stream(self, target: str) -> int:
        """Send no more ticks of one `smd` stream on every socket, and reply to a repeated subscribe as if it ran.

        The reply is the snapshot of the old stream: `server_id`, `_updated` and values stand still. An unsubscribe ends
        the stream, and the next subscribe starts a new one.

        Args:
            target: the part after `smd+`, such as `265598` or `265598@NYSE`.

        Returns:
            How many streams are frozen.
        """
        return sum(connection.socket_subscriptions.freeze_stream(target) for connection in self._connections.open)

    def drop_subscribes(self, count: int, *, channels: Iterable[str] = SUBSCRIBES) -> None:
        """Drop the next `count` subscribes without a reply; 0 stops it.

        Args:
            count: how many.
            channels: the channels to drop, such as `smd` or `sor`; all of them by default.
        """
        self._state.subscribes_to_drop = count
        self._state.channels_to_drop = frozenset(channels)

    def refuse_order_subscribes(self, count: int) -> None:
        """Refuse the next `count` `sor` subscribes with code 500, as happens after a reconnect; 0 stops it."""
        self._state.order_subscribes_to_refuse = count

    async def send_burst(self, frame_count: int) -> int:
        """Send `frame_count` market data frames over the active streams in turn, as fast as the clients read.

        Returns:
            How many were sent: fewer when all streams or sockets end meanwhile, or when no field can change.
        """
        sent = 0
        while sent < frame_count:
            updated_ms = self._state.clock.time_ns() // 1_000_000
            ready = [connection for connection in self._connections.current if connection.socket_subscriptions.streams]
            if not ready:
                break
            part = 0
            for connection in ready:
                if connection.writer.is_congested:
                    continue
                share = -(-min(_BURST_PART, frame_count - sent - part) // len(ready))
                written = _burst_frames(connection, share, updated_ms)
                if not written:
                    return sent + part
                # Nothing is dropped here: the check for congestion bounds what is buffered.
                connection.writer.send(written, may_drop=False)
                part += len(written)
            sent += part
            await asyncio.sleep(0 if part else _BURST_POLL_S)
        return sent

    # REST

    def fail_rest(
        self,
        path: str,
        *,
        status: int = 500,
        body: bytes = b"",
        content_type: str = "application/json",
        headers: Mapping[str, str] = _NO_HEADERS,
        delay_s: float = 0.0,
        times: int | None = 1,
    ) -> None:
        """Replace the response to the next requests of a path.

        Args:
            path: the path below the base path, such as `/tickle`; `/ws` fails the upgrade.
            status: HTTP status of the response.
            body: its body.
            content_type: its content type.
            headers: further headers.
            delay_s: how long the response takes, in seconds of the gateway's clock.
            times: how many requests; None for all that follow.
        """
        self._state.failures.append(
            RestFailure(
                path=path.removeprefix(BASE_PATH),
                status=status,
                body=body,
                headers={"Content-Type": content_type, **headers},
                delay_s=delay_s,
                times=times,
            )
        )

    def clear_rest_failures(self) -> None:
        """Remove every `fail_rest` response."""
        self._state.failures.clear()

    def _send(self, frame: bytes) -> None:
        for connection in self._connections.open:
            if connection.is_ready:
                connection.send([frame])


def _burst_frames(connection: ServerConnection, count: int, updated_ms: int) -> list[bytes]:
    streams = list(connection.socket_subscriptions.streams.values())
    frames = (streams[turn % len(streams)].forced_delta(updated_ms) for turn in range(count))
    return [frame for frame in frames if frame is not None]
