"""MetricsServer: /metrics, /healthz and /readyz over HTTP"""

from __future__ import annotations

import asyncio
import logging
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final

from cpapi_fast.errors import ConfigError, UsageError
from cpapi_fast.option_values import check_whole
from cpapi_fast.printable import printable

from .collector import MetricsCollector, import_prometheus
from .connections import MOST_AGE_S, Connections
from .health import readiness

if TYPE_CHECKING:
    from aiohttp import web
    from prometheus_client import Metric as Family

    from cpapi_fast.collect.collector import Collector
    from cpapi_fast.feed import Feed

#: A text that is younger than this is served again, so that many scrapes cost no more than ten a second.
_FRESH_S: Final = 0.1

#: About how long the loop is busy with a text before other tasks run.
_SLICE_S: Final = 0.0005

_PATHS: Final = "/metrics  /healthz  /readyz\n"

_LOGGER: Final = logging.getLogger("cpapi_fast.metrics")


class MetricsServer:
    """Serves the metrics and the health of a feed or a run over HTTP. Use it as `async with`.

    - `/metrics`: the metrics in the text format of Prometheus, and those of the process.
    - `/healthz`: 200 while the event loop runs.
    - `/readyz`: 200 while the feed is streaming, otherwise 503 with the reason.

    It has no login and no TLS, so it listens on the loopback address unless `host` is another one. No metric has an
    account, a session, a cookie or a URL. A connection is at most 10 s old and sends at most 64 KiB; at most 32 are
    open, and the metrics are read at most ten times a second.

    Args:
        source: a `Feed`, or a `Collector` before its run.
        port: the port to listen on; 0 for a free one.
        host: the address to listen on.
        max_conids: as for `MetricsCollector`.

    Raises:
        ConfigError: an option is invalid.
        MissingDependencyError: prometheus-client is not installed.
    """

    def __init__(
        self, source: Feed | Collector, *, port: int = 0, host: str = "127.0.0.1", max_conids: int = 0
    ) -> None:
        check_whole("port", port, least=0, most=65535)
        if not isinstance(host, str) or not host:
            raise ConfigError("host must be an address to listen on, such as 127.0.0.1")
        check_whole("max_conids", max_conids, least=0)
        import_prometheus()
        self._source: Final = source
        self._host: Final = host
        self._wanted_port: Final = port
        self._max_conids: Final = max_conids
        self._port = 0
        self._collector: MetricsCollector | None = None
        self._server: asyncio.Server | None = None
        self._http: web.Server | None = None
        self._connections: Connections | None = None
        self._text = b""
        self._text_s = -_FRESH_S
        self._rendering: Final = asyncio.Lock()
        self._most_age_s = MOST_AGE_S

    # --- start and end ----------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, and turn the metrics of the source on.

        Raises:
            ConfigError: the port is taken, or the address is none of this machine.
            UsageError: the server was started before, or the source has metrics already.
        """
        from aiohttp import web

        if self._collector is not None:
            raise UsageError("a MetricsServer can be started only once; create a new one")
        loop = asyncio.get_running_loop()
        self._collector = MetricsCollector(self._source, max_conids=self._max_conids)
        self._http = web.Server(self._respond, access_log=None, logger=_LOGGER, keepalive_timeout=self._most_age_s)
        self._connections = Connections(self._http, most_age_s=self._most_age_s)
        try:
            self._server = await loop.create_server(self._connections, self._host, self._wanted_port, backlog=16)
        except (OSError, UnicodeError) as error:
            self._collector.close()
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"cannot serve metrics on {self._host} port {self._wanted_port}: {reason}; choose another port, or 0 "
                "for a free one"
            ) from error
        self._port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop listening, end all connections, and turn the metrics off. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        if self._connections is not None:
            self._connections.end()
        if self._http is not None:
            await self._http.shutdown(0)
        await server.wait_closed()
        if self._collector is not None:
            self._collector.close()

    async def __aenter__(self) -> MetricsServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- state ------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port on which it listens; 0 before `start`."""
        return self._port

    @property
    def url(self) -> str:
        """The URL of the metrics, such as `http://127.0.0.1:9464/metrics`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{printable(host)}:{self._port}/metrics"

    @property
    def refused(self) -> int:
        """How many connections were ended by a limit."""
        return 0 if self._connections is None else self._connections.refused

    # --- requests ---------------------------------------------------------------------------------

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        response: web.Response
        if request.method not in ("GET", "HEAD"):
            response = web.Response(status=405, text="only GET\n", headers={"Allow": "GET, HEAD"})
        elif request.path == "/metrics":
            response = web.Response(body=await self._metrics())
            response.headers["Content-Type"] = "text/plain;version=0.0.4;charset=utf-8"
        elif request.path == "/healthz":
            response = web.Response(text="alive\n")
        elif request.path == "/readyz":
            is_ready, text = readiness(None if self._collector is None else self._collector.feed)
            response = web.Response(status=200 if is_ready else 503, text=text)
        else:
            response = web.Response(status=404, text=_PATHS)
        response.headers["Cache-Control"] = "no-store"
        # A client may not keep one of the few connections.
        response.force_close()
        return response

    async def _metrics(self) -> bytes:
        async with self._rendering:
            if time.monotonic() - self._text_s >= _FRESH_S:
                self._text = await self._render()
                self._text_s = time.monotonic()
            return self._text

    async def _render(self) -> bytes:
        """The text of the metrics. Other tasks of the loop run in between."""
        from prometheus_client import ProcessCollector, generate_latest

        parts: list[bytes] = []
        start_s = time.perf_counter()
        assert self._collector is not None  # noqa: S101 - set before the server listens
        for family in (*self._collector.collect(), *ProcessCollector(registry=None).collect()):
            parts.append(generate_latest(_One(family)))
            if time.perf_counter() - start_s >= _SLICE_S:
                await asyncio.sleep(0)
                start_s = time.perf_counter()
        return b"".join(parts)


class _One:
    """A registry with one metric."""

    def __init__(self, family: Family) -> None:
        self._family: Final = family

    def collect(self) -> tuple[Family, ...]:
        return (self._family,)
