"""The main job: from a gateway to files. Connects, waits until ready, subscribes, keeps alive, writes, ends cleanly.

One connection, from its start to its end: a lost one ends the run with an error, after the files were finished.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from .capture import CAPTURE_SUFFIX, CaptureWriter
from .clock import Clock
from .connection import WsClient
from .errors import ConfigError, CpapiError, MalformedPayloadError, OutputError, TransportError, UsageError
from .kinds import FrameKind
from .options import WsOptions
from .outputs import leftovers, make_folder
from .quotes import QuotesWriter
from .recorder import Recorder
from .redaction import preview
from .reports import OutputSummary, Status, Summary
from .topics import KEEPALIVE_INTERVAL_S, TIC_TEXT, MarketDataFields, market_data_target

if TYPE_CHECKING:
    from .batch import Frame
    from .gateway import Client
    from .session import SessionTicket

_SYSTEM: Final = bytes([FrameKind.SYSTEM])
_OTHER: Final = bytes([FrameKind.OTHER])


@dataclass(frozen=True, kw_only=True)
class CollectOptions:
    """What to collect and where to put it. Durations are seconds of the client's clock.

    Args:
        conids: the instruments; repeated ones count once.
        out: the folder for the files; made when it is not there.
        fields: what to subscribe to. Whatever it is, the capture has all of it and the quotes the L1 fields.
        duration_s: when to stop; None for never.
        ready_timeout_s: how long to wait for `system` with `success` before subscribing all the same.
        keepalive_interval_s: how often to send `tic` on the socket and `/tickle` over REST.
        silence_limit_s: without any frame for this long the connection counts as dead.
        renew_after_s: when a subscription is renewed; the gateway ends each in silence after 15 minutes.
        send_interval_s: the pause between two subscribes, so that hundreds do not go out in one burst.
        flush_interval_s: how old a frame may get before it is in the capture.
        roll_interval_s: how long one file of quotes is written to before it is finished.
        max_queue_bytes: how much may wait for the disk before the socket is held back.
        ws: limits and timeouts of the connection.

    Raises:
        ConfigError: a duration or size that is not above zero.
        SubscriptionError: something that is no conid.
    """

    conids: tuple[int, ...]
    out: Path
    fields: MarketDataFields = field(default_factory=MarketDataFields.default_l1)
    duration_s: float | None = None
    ready_timeout_s: float = 5.0
    keepalive_interval_s: float = KEEPALIVE_INTERVAL_S
    silence_limit_s: float = 30.0
    renew_after_s: float = 480.0
    send_interval_s: float = 0.05
    flush_interval_s: float = 1.0
    roll_interval_s: float = 300.0
    max_queue_bytes: int = 64 * 1024 * 1024
    ws: WsOptions = field(default_factory=WsOptions)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name.endswith(("_s", "_bytes")) and value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} must be a finite number above zero, not {value!r}")
        for conid in self.conids:
            market_data_target(conid)
        object.__setattr__(self, "conids", tuple(dict.fromkeys(self.conids)))


class Collector:
    """One run of the main job.

    Args:
        client: the gateway. It stays open.
        options: what to collect.
        on_notice: told in words what a person should know: not ready in time, keepalive failing, and so on.
    """

    def __init__(
        self, client: Client, options: CollectOptions, *, on_notice: Callable[[str], object] | None = None
    ) -> None:
        self.options: Final = options
        #: What the run did; None until it has connected and ended.
        self.summary: Summary | None = None
        self._client = client
        self._clock: Final[Clock] = client.clock
        self._on_notice = on_notice
        self._state = "connecting"
        self._started_s = self._clock.monotonic_s()
        self._ws: WsClient | None = None
        self._recorder: Recorder | None = None
        self._quotes: QuotesWriter | None = None
        self._renewals = 0
        self._sts: dict[str, Any] = {}

    def status(self) -> Status:
        """Where the run stands."""
        return Status(
            state=self._state,
            elapsed_s=self._clock.monotonic_s() - self._started_s,
            connection=self._ws.stats if self._ws else None,
            queued_bytes=self._recorder.queued_bytes if self._recorder else 0,
            outputs=tuple((output.name, output.counts) for output in self._recorder.outputs) if self._recorder else (),
            # One call into C: the writing thread may add to it meanwhile.
            latest=tuple(self._quotes.latest.values()) if self._quotes else (),
        )

    async def run(self, stop: asyncio.Event | None = None) -> Summary:
        """Collect until `stop` is set, the duration is over, or something fails. The files are finished either way.

        Raises:
            OutputError: a folder or file cannot be written, at the start or later.
            NotAuthenticatedError, SessionError, TransportError: no connection came about.
            TransportError: the connection ended before it was told to. `summary` is there all the same.
            UsageError: called twice.
        """
        if self._ws is not None or self._state != "connecting":
            raise UsageError("a Collector runs once")
        self._state = "logging in"
        make_folder(self.options.out)
        for path in leftovers(self.options.out):
            self._notice(f"left unfinished by an earlier run, and not touched: {path}")
        tickets = _TicketKeeper(self._client)
        self._ws = ws = await self._connect_unless(stop, tickets)
        self._started_s = self._clock.monotonic_s()
        try:
            recorder = self._open_recorder()
        except BaseException:
            await ws.close()
            raise
        run = _Run(self, ws, recorder, tickets.session)
        error: CpapiError | None = None
        reason = "cancelled"
        try:
            reason = await run.until_over(stop)
        except CpapiError as exc:
            error, reason = exc, str(exc)
        finally:
            self._state = "finishing the files"
            elapsed_s = self._clock.monotonic_s() - self._started_s
            output_error = await run.finish()
            if output_error is not None:
                error, reason = output_error, str(output_error)
            self._state = "ended"
            self.summary = Summary(
                reason=reason,
                duration_s=elapsed_s,
                connection=ws.stats,
                outputs=tuple(_summary_of(output) for output in recorder.outputs),
                renewals=self._renewals,
            )
        if error is not None:
            raise error
        return self.summary

    def _notice(self, text: str) -> None:
        if self._on_notice is not None:
            self._on_notice(text)

    async def _connect_unless(self, stop: asyncio.Event | None, tickets: _TicketKeeper) -> WsClient:
        connecting = asyncio.create_task(self._connect(tickets))
        stopping = asyncio.create_task((stop or asyncio.Event()).wait())
        try:
            await asyncio.wait((connecting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                return connecting.result()
            raise CpapiError("stopped before the gateway was connected; nothing was collected")
        finally:
            stopping.cancel()
            if not connecting.done():
                connecting.cancel()
                (outcome,) = await asyncio.gather(connecting, return_exceptions=True)
                if isinstance(outcome, WsClient):  # It was quicker than its cancellation.
                    await outcome.close()

    async def _connect(self, tickets: _TicketKeeper) -> WsClient:
        await self._open_brokerage_session()
        return await WsClient.connect(tickets, options=self.options.ws)

    async def _open_brokerage_session(self) -> None:
        """Quotes need the brokerage session. One that is not open is opened; one that another login holds is left."""
        status = await self._client.auth_status()
        if status.authenticated:
            return
        if status.connected:
            self._notice("the brokerage session is not open; asking the gateway to open it")
            await self._client.init_brokerage_session(compete=False)
        await self._client.health()

    def _open_recorder(self) -> Recorder:
        options, clock = self.options, self._clock
        capture, stem = _new_capture(options, clock)
        self._quotes = QuotesWriter(options.out, f"quotes-{stem}", roll_interval_s=options.roll_interval_s, clock=clock)
        self._recorder = Recorder((capture, self._quotes), max_queue_bytes=options.max_queue_bytes, clock=clock)
        return self._recorder


class _Run:
    """The tasks of one connection, and how they end."""

    def __init__(self, owner: Collector, ws: WsClient, recorder: Recorder, session: str | None) -> None:
        self._owner = owner
        self._options = owner.options
        self._clock = owner._clock
        self._ws = ws
        self._recorder = recorder
        self._session = session
        self._ready = asyncio.Event()
        self._session_changed = asyncio.Event()
        self._keepalive = owner._client.spawn_keepalive(self._options.keepalive_interval_s, self._on_ticket)
        self._receiver = asyncio.create_task(self._receive(), name="cpapi_fast receive")
        self._others = [
            asyncio.create_task(coroutine, name=f"cpapi_fast {name}")
            for name, coroutine in (
                ("subscribe", self._keep_subscribed()),
                ("tic", self._keep_alive()),
                ("silence", self._watch_silence()),
                ("session", self._watch_session()),
                ("disk", recorder.failed()),
            )
        ]

    async def until_over(self, stop: asyncio.Event | None) -> str:
        """Wait for the first reason to end; an error is raised."""
        ends: dict[asyncio.Task[Any], str] = {}
        if stop is not None:
            ends[asyncio.create_task(stop.wait())] = "stopped"
        if self._options.duration_s is not None:
            ends[asyncio.create_task(self._clock.sleep(self._options.duration_s))] = "the duration is over"
        self._others += ends
        done, _ = await asyncio.wait({self._receiver, *self._others}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        for task in done:
            if task in ends:
                return ends[task]
        raise TransportError(
            f"the gateway closed the connection (code {self._ws.close_code}, "
            f"reason {preview((self._ws.close_reason or '').encode())!r}); start again when it is back"
        )

    async def finish(self) -> CpapiError | None:
        """Close the connection, have everything written that it brought, finish the files. An output's error."""
        for task in self._others:
            task.cancel()
        await asyncio.gather(*self._others, self._keepalive.stop(), return_exceptions=True)
        await self._ws.close()
        # What was received before the close still comes; then the iteration ends.
        await asyncio.gather(self._receiver, return_exceptions=True)
        try:
            await self._recorder.close()
        except CpapiError as exc:
            return exc
        return None

    async def _receive(self) -> None:
        async for batch in self._ws.batches():
            kinds = bytes(batch.kinds)
            if _OTHER in kinds or (_SYSTEM in kinds and not self._ready.is_set()):
                for index, kind in enumerate(kinds):
                    if kind in (FrameKind.SYSTEM, FrameKind.OTHER):
                        self._look_at(batch[index])
            await self._recorder.put(batch)

    def _look_at(self, frame: Frame) -> None:
        """Learn from the frames that speak of the connection itself; there are a few per minute."""
        try:
            # Decodes a frame without a topic: an error may come without one.
            channel = frame.channel
            if channel not in ("system", "sts", "error"):
                return
            payload = frame.payload
        except MalformedPayloadError:
            return
        if channel == "system":
            if "success" in payload:
                self._ready.set()
        elif channel == "error":
            self._owner._notice(f"the gateway reports an error: {preview(frame.raw)}")
        elif isinstance(payload.get("args"), dict):
            self._on_auth_flags(payload["args"])

    def _on_auth_flags(self, flags: dict[str, Any]) -> None:
        """`sts` comes whole at first and in fragments later, so what it says is merged, and changes are told."""
        owner = self._owner
        for name, bad in (("authenticated", False), ("competing", True)):
            value = flags.get(name)
            if not isinstance(value, bool):
                continue
            if value != owner._sts.get(name, not bad):
                effect = "no quotes come until that changes" if value is bad else "all is well again"
                owner._notice(f"the gateway says {name}: {str(value).lower()}; {effect}")
            owner._sts[name] = value

    async def _keep_subscribed(self) -> None:
        """Subscribe to everything once ready, then renew each in its turn, for ever."""
        owner, options, clock, ws = self._owner, self._options, self._clock, self._ws
        owner._state = "waiting until ready"
        try:
            await asyncio.wait_for(self._ready.wait(), clock.real_s(options.ready_timeout_s))
        except asyncio.TimeoutError:
            owner._notice(
                f"the gateway did not say that it is ready within {options.ready_timeout_s:g} s; subscribing all the "
                "same. If no quotes come: is it logged in?"
            )
        due: deque[tuple[float, int]] = deque()
        with suppress(TransportError):  # The end of the connection is told by what receives.
            owner._state = "subscribing"
            for conid in options.conids:
                await ws.subscribe_market_data(conid, options.fields)
                due.append((clock.monotonic_s() + options.renew_after_s, conid))
                await clock.sleep(options.send_interval_s)
            owner._state = "collecting"
            while due:
                due_s, conid = due.popleft()
                await clock.sleep(max(due_s - clock.monotonic_s(), options.send_interval_s))
                await ws.unsubscribe_market_data(conid)
                await ws.subscribe_market_data(conid, options.fields)
                owner._renewals += 1
                due.append((clock.monotonic_s() + options.renew_after_s, conid))
        await _for_ever()

    async def _keep_alive(self) -> None:
        with suppress(TransportError):
            while True:
                await self._clock.sleep(self._options.keepalive_interval_s)
                await self._ws.send_text(TIC_TEXT)
        await _for_ever()

    def _on_ticket(self, result: SessionTicket | Exception) -> None:
        if isinstance(result, Exception):
            self._owner._notice(f"/tickle failed, and is tried again: {result}")
        elif result.session != self._session:
            self._session_changed.set()
        else:
            flags = {"authenticated": result.authenticated, "competing": result.competing}
            self._on_auth_flags(flags)

    async def _watch_session(self) -> NoReturn:
        await self._session_changed.wait()
        raise TransportError(
            "the gateway has begun a new session; a socket of the old one gets heartbeats but no data. Start again"
        )

    async def _watch_silence(self) -> NoReturn:
        """A gateway says something every 10 s. Time in which we ourselves hold the socket back does not count."""
        limit_s, clock = self._options.silence_limit_s, self._clock
        heard, heard_s = -1, clock.monotonic_s()
        while True:
            await clock.sleep(min(1.0, limit_s / 10))
            stats = self._ws.stats
            if stats.frames_received != heard or stats.pending or self._recorder.is_full:
                heard, heard_s = stats.frames_received, clock.monotonic_s()
            elif clock.monotonic_s() - heard_s >= limit_s:
                raise TransportError(
                    f"nothing was received for {limit_s:g} s, not even a heartbeat: the connection is dead. Start again"
                )


class _TicketKeeper:
    """The client as a connection sees it, remembering which session the connection was opened with."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.ws_url: Final = client.ws_url
        self.user_agent: Final = client.user_agent
        self.clock: Final = client.clock
        self.session: str | None = None

    async def tickle(self) -> SessionTicket:
        ticket = await self._client.tickle()
        self.session = ticket.session
        return ticket

    async def ssl_context(self) -> ssl.SSLContext | None:
        return await self._client.ssl_context()


async def collect(
    client: Client,
    options: CollectOptions,
    *,
    stop: asyncio.Event | None = None,
    on_notice: Callable[[str], object] | None = None,
) -> Summary:
    """Collect into files until `stop` is set or the duration is over; see `Collector`, which can also be watched."""
    return await Collector(client, options, on_notice=on_notice).run(stop)


def _new_capture(options: CollectOptions, clock: Clock) -> tuple[CaptureWriter, str]:
    """A capture under a name that no other run has, and what to call the run's other files."""
    started = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    number = 1
    while True:
        # Not a dash: `quotes-<stem>-*` of the first run must not match the files of the second.
        stem = started if number == 1 else f"{started}_{number}"
        try:
            path = options.out / f"capture-{stem}{CAPTURE_SUFFIX}"
            return CaptureWriter(path, flush_interval_s=options.flush_interval_s, clock=clock), stem
        except OutputError as exc:
            if not isinstance(exc.__cause__, FileExistsError):
                raise
        number += 1


def _summary_of(output: Any) -> OutputSummary:
    sizes = []
    for path in output.files:
        with suppress(OSError):  # Somebody may have moved a finished file on already.
            sizes.append((path, path.stat().st_size))
    return OutputSummary(output.name, output.unit, output.counts, tuple(sizes))


async def _for_ever() -> NoReturn:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody sets this future")
