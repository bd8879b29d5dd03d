"""Publishes market data on the 500 ms grid or at a rate, other topics and heartbeats, and applies the idle timeout."""

from __future__ import annotations

from typing import Final

from . import system_frames
from .connection_registry import ConnectionRegistry
from .market_data import MarketDataStream
from .server_connection import ServerConnection
from .state import GatewayState
from .topic_streams import Moment

#: The gateway conflates market data on this grid.
GRID_S: Final = 0.5
#: How often frames are written when a rate is set, in real seconds.
_WRITE_S: Final = 0.005
#: After a delay of the event loop, missed frames of at most this much time are sent, in real seconds.
_MAX_CREDIT_S: Final = 0.1
_MAX_FRAMES: Final = 4_096


class Publisher:
    """Sends the frames that time causes, not a request: market data, other topics, heartbeats. Two endless tasks."""

    def __init__(self, state: GatewayState, connections: ConnectionRegistry) -> None:
        self._state = state
        self._connections = connections
        self._clock = state.clock
        self._intervals = state.options.tick_intervals or {}
        self._start_s = state.clock.monotonic_s()
        self._start_ms = state.clock.time_ns() // 1_000_000
        self._credit = 0.0
        self._turn = 0
        self._revisions: list[tuple[int, int]] = []
        self._order: list[tuple[ServerConnection, MarketDataStream]] = []

    async def run_heartbeats(self) -> None:
        """Send `hb` on every ready socket, including those of an earlier session."""
        beat = 0
        while True:
            beat += 1
            due_s = self._start_s + beat * self._state.options.heartbeat_interval_s
            await self._clock.sleep(max(due_s - self._clock.monotonic_s(), 0.0))
            if not self._state.session.is_logged_in:
                continue
            frame = system_frames.heartbeat(self._clock.time_ns() // 1_000_000)
            for connection in self._connections.open:
                if connection.is_ready:
                    connection.send([frame])

    async def run_market(self) -> None:
        """Send market data and every other topic."""
        rate = self._state.options.rate
        done = 0
        last_s = self._clock.monotonic_s()
        while True:
            now_s = self._clock.monotonic_s()
            next_s = self._start_s + (done + 1) * GRID_S
            if rate is None:
                await self._clock.sleep(max(next_s - now_s, 0.0))
            else:
                await self._clock.sleep(max(min(next_s - now_s, _WRITE_S * self._clock.speed), 0.0))
            now_s = self._clock.monotonic_s()
            grid_point = int((now_s - self._start_s) / GRID_S)
            if grid_point > done:
                # Missed grid points are skipped: that is what conflation means.
                done = grid_point
                self._grid_point(grid_point, now_s, has_market=rate is None)
            if rate is not None and not self._state.replays_capture:
                max_credit = rate * _MAX_CREDIT_S * self._clock.speed
                self._credit = min(self._credit + (now_s - last_s) * rate, max(max_credit, 1.0))
                last_s = now_s
                self._spread(now_s)

    def _grid_point(self, grid_point: int, now_s: float, *, has_market: bool) -> None:
        state = self._state
        idle_timeout_s = state.options.idle_timeout_s
        if idle_timeout_s is not None and now_s - state.last_request_s > idle_timeout_s:
            state.session.end_brokerage()
        updated_ms = self._start_ms + round(grid_point * GRID_S * 1000)
        for connection in self._connections.open:
            if not (connection.is_ready and connection.is_current and state.session.is_logged_in):
                continue
            found = connection.socket_subscriptions.poll(Moment(now_s, updated_ms))
            if state.replays_capture:
                continue
            streams = [
                stream
                for stream in connection.socket_subscriptions.streams.values()
                if has_market or stream.instrument.conid in self._intervals
            ]
            if connection.writer.is_congested:
                connection.counters.updates_conflated += len(streams)
            else:
                for stream in streams:
                    frame = self._update(stream, grid_point, updated_ms)
                    if frame is not None:
                        found.append(frame)
            connection.send(found)

    def _update(self, stream: MarketDataStream, grid_point: int, updated_ms: int) -> bytes | None:
        interval_s = self._intervals.get(stream.instrument.conid)
        if interval_s is not None:
            return stream.regular_delta(int(grid_point * GRID_S / interval_s), updated_ms)
        stream.instrument.advance(grid_point)
        return stream.delta(updated_ms)

    def _spread(self, now_s: float) -> None:
        order = self._streams_in_order()
        count = min(int(self._credit), _MAX_FRAMES)
        if not order or not count:
            return
        self._credit -= count
        updated_ms = self._clock.time_ns() // 1_000_000
        found: dict[int, list[bytes]] = {connection.number: [] for connection, _ in order}
        congested = {
            connection.number for connection, _ in order if connection.writer.is_congested or not connection.is_current
        }
        turn = self._turn % len(order)
        for _ in range(count):
            connection, stream = order[turn]
            turn = turn + 1 if turn + 1 < len(order) else 0
            if connection.number in congested:
                connection.counters.updates_conflated += 1
                continue
            frame = stream.forced_delta(updated_ms) if stream.expires_s > now_s else None
            if frame is not None:
                found[connection.number].append(frame)
        self._turn = turn
        for connection in self._connections.open:
            connection.send(found.get(connection.number, []))

    def _streams_in_order(self) -> list[tuple[ServerConnection, MarketDataStream]]:
        """Every active stream. The list is rebuilt only after a subscribe, the end of a stream, or a close."""
        sockets = [connection for connection in self._connections.open if connection.is_ready]
        revisions = [(connection.number, connection.socket_subscriptions.revision) for connection in sockets]
        if revisions != self._revisions:
            self._revisions = revisions
            self._order = [
                (socket, stream)
                for socket in sockets
                for stream in socket.socket_subscriptions.streams.values()
                if stream.instrument.conid not in self._intervals
            ]
        return self._order
