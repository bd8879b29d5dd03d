"""Everything a test can do to a simulated gateway while clients are connected."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from . import frames
from .rest import BASE_PATH
from .subscriptions import SUBSCRIBES
from .wire import OPCODE_BINARY, OPCODE_PING, OPCODE_TEXT, encode_frame
from .world import Failure, World

_NO_HEADERS: Final[Mapping[str, str]] = {}
#: A burst is made in parts of so many frames; the loop runs between them.
_BURST_PART: Final = 500
#: How often a client that does not read a burst is looked at again, in real seconds.
_PATIENCE_S: Final = 0.001


class Faults:
    """The part of `SimulatedGateway` that breaks things. All calls take effect at once, on every open socket."""

    _world: World

    def drop_sockets(self, *, reset: bool = False) -> None:
        """End every socket without a CLOSE frame: FIN after what was sent, or RST at once."""
        for connection in self._world.open_connections:
            if reset:
                connection.outbox.reset()
            else:
                connection.outbox.close()

    def close_sockets(self, code: int = 1000, reason: str = "") -> None:
        """Send CLOSE on every socket and wait, a little, for the client's."""
        for connection in self._world.open_connections:
            connection.close(code, reason)

    def stop_answering(self) -> None:
        """Play dead: connections stay open, nothing is read, nothing is sent, REST calls hang."""
        self._world.answering.clear()
        for connection in self._world.open_connections:
            connection.outbox.hold()

    def resume_answering(self) -> None:
        """Live again. What was held back (up to `outbox_limit_bytes`, market data conflated) is sent in order."""
        self._world.answering.set()
        for connection in self._world.open_connections:
            connection.outbox.release()

    def expire_session(self) -> bool:
        """End the brokerage session, as the idle timeout does.

        `connected:true, authenticated:false`; streams that need the brokerage session end in silence, sockets stay open
        and heartbeat, `sts` tells a fragment. `ssodh/init` opens it again; nothing is subscribed then.

        Returns:
            Whether it was open.
        """
        was_open = self._world.session.is_authenticated
        self._world.session.end_brokerage()
        return was_open

    def log_out(self) -> None:
        """End both levels of session, as `POST /logout` does: open sockets fall silent, heartbeats included."""
        self._world.session.log_out()

    def log_in(self, *, has_brokerage: bool = True) -> None:
        """Log in as a user does by browser: a new session id, so that open sockets stay dead."""
        self._world.session.log_in(has_brokerage=has_brokerage)

    def renew_session(self) -> None:
        """The nightly quirk: a new session id under open sockets, which go dead and keep heartbeating."""
        self._world.session.renew()

    def compete(self) -> None:
        """Another login of the same user takes the brokerage session, until `ssodh/init` with `compete:true`."""
        self._world.session.compete()

    def stop_competing(self) -> None:
        """The other login goes away; the brokerage session still has to be opened again."""
        self._world.session.stop_competing()

    def kill_stream(self, target: str) -> int:
        """Let one `smd` stop without a word on every socket, as its expiry does; how many streams that ended.

        Args:
            target: what stands after `smd+`: `265598`, `265598@NYSE`. A subscribe sent again starts it again.
        """
        return sum(connection.topics.kill(target) for connection in self._world.open_connections)

    def swallow_subscribes(self, count: int, *, words: Iterable[str] = SUBSCRIBES) -> None:
        """Drop the next `count` subscribes without a word; 0 stops it.

        Args:
            count: how many.
            words: of which topics, `smd` or `sor`; of any unless given.
        """
        self._world.swallowing = count
        self._world.swallowed_words = frozenset(words)

    def refuse_orders(self, count: int) -> None:
        """Refuse the next `count` `sor` with code 500, as happens after a reconnect; 0 stops it."""
        self._world.refusing_orders = count

    def begin_maintenance(self, status: int = 503) -> None:
        """Drop every socket and answer every REST call and every upgrade with `status` and a page of HTML."""
        self._world.maintenance_status = status
        self.drop_sockets()

    def end_maintenance(self) -> None:
        """Answer again. The session is what it was, unless it ran out: refused calls do not hold it."""
        self._world.maintenance_status = None

    async def reset_nightly(
        self, *, outage_s: float = 600.0, status: int = 503, is_logged_in: bool = True, has_brokerage: bool = True
    ) -> None:
        """The nightly reset: sockets dropped, the session gone, maintenance, and then another session or none.

        Args:
            outage_s: how long the maintenance takes, on the gateway's clock; this call takes as long.
            status: what is answered meanwhile.
            is_logged_in: whether there is a new session afterwards; False leaves the gateway logged out.
            has_brokerage: whether the new session comes with its brokerage session.
        """
        self.begin_maintenance(status)
        self._world.session.log_out()
        await self._world.clock.sleep(outage_s)
        if is_logged_in:
            self._world.session.log_in(has_brokerage=has_brokerage)
        self.end_maintenance()

    async def burst(self, frames_count: int) -> int:
        """Send so many market data frames at once, over the live streams in turn, as fast as the clients read.

        Returns:
            How many were sent; fewer when the streams or their sockets ended meanwhile, or never change.
        """
        sent = 0
        while sent < frames_count:
            updated_ms = self._world.clock.time_ns() // 1_000_000
            ready = [
                connection
                for connection in self._world.open_connections
                if connection.is_ready and connection.is_current and connection.topics.streams
            ]
            if not ready:
                break
            part = 0
            for connection in ready:
                if connection.outbox.is_congested:
                    continue
                streams = list(connection.topics.streams.values())
                share = -(-min(_BURST_PART, frames_count - sent - part) // len(ready))
                made = [streams[turn % len(streams)].forced_delta(updated_ms) for turn in range(share)]
                written = [frame for frame in made if frame is not None]
                if not written:
                    return sent + part
                # Nothing is lost here: the look at the congestion bounds what waits.
                connection.outbox.send(written, may_drop=False)
                part += len(written)
            sent += part
            await asyncio.sleep(0 if part else _PATIENCE_S)
        return sent

    def fragment_frames(self, *, on: bool = True) -> None:
        """Write every data frame in two fragments, cut at every place in turn, the ends included."""
        self._world.is_fragmenting = on
        for connection in self._world.open_connections:
            connection.outbox.is_fragmenting = on

    def send_bytes(self, raw: bytes) -> None:
        """Write raw bytes on every socket, frame or garbage."""
        for connection in self._world.open_connections:
            connection.outbox.send_raw(raw)

    def send_frame(self, payload: bytes, *, opcode: int = OPCODE_BINARY, fin: bool = True) -> None:
        """Send one frame on every socket: a fragment without `fin`, its continuation with opcode 0."""
        payloads = [payload] if fin and opcode in (OPCODE_TEXT, OPCODE_BINARY) else []
        for connection in self._world.open_connections:
            connection.outbox.send_raw(encode_frame(payload, opcode, fin=fin), payloads)

    def ping(self, payload: bytes = b"") -> None:
        """Send PING on every socket; the answers are in `Connection.pongs`."""
        self.send_frame(payload, opcode=OPCODE_PING)

    def send_notification(self, text: str, title: str | None = None, *, identifier: str = "NOTICE") -> None:
        """Send `ntf` on every ready socket."""
        self._tell(frames.notification(text, title, identifier))

    def send_bulletin(self, message: str, *, identifier: int = 1) -> None:
        """Send `blt` on every ready socket."""
        self._tell(frames.bulletin(message, identifier))

    def send_error(self, text: str, code: int, topic: str | None = None) -> None:
        """Send an error frame on every ready socket."""
        self._tell(frames.error(text, code, topic))

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
        """Give the next calls of a path another answer.

        Args:
            path: below the base path, `/tickle`; `/ws` fails the upgrade.
            status: HTTP status of the answer.
            body: its body.
            content_type: its content type.
            headers: further headers.
            delay_s: how long the answer takes, on the gateway's clock.
            times: how many calls; None for all that follow.
        """
        self._world.failures.append(
            Failure(
                path=path.removeprefix(BASE_PATH),
                status=status,
                body=body,
                headers={"Content-Type": content_type, **headers},
                delay_s=delay_s,
                times=times,
            )
        )

    def stop_failing(self) -> None:
        """Forget every `fail_rest`."""
        self._world.failures.clear()

    def _tell(self, frame: bytes) -> None:
        for connection in self._world.open_connections:
            if connection.is_ready:
                connection.send([frame])
