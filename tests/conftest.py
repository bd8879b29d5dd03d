"""Fixtures for all tests, the event loops of async tests, and the rule that nothing is skipped where all must run.

Async tests are plain `async def test_...` functions. Each runs on a loop of its own, uvloop where it is installed.

- Mark `each_loop`: run the test on every loop, uvloop and asyncio. Mark `asyncio_loop`: only on asyncio's own.
- Mark `time_limit(seconds)`: what the test may take, instead of 90 s. A test that hangs fails.
- A test fails when it leaves a task behind, or when the loop reports an error that nothing handled.

Fixtures that build on each other:

- `enter(context)`: enters an async context manager for the rest of the test.
- `start_gateway(**options)`: starts a `SimulatedGateway`.
- `gateway`: a running one. The mark `gateway(**options)` changes its options.
- `client`: a `Client` of `gateway`. `feed`: a running `Feed` of `client`. `ws`: a `WsClient` of `client`.
- `clock`: the clock of the gateway and its clients. `gateway_options`: what `start_gateway` begins with. A folder or
  a module overrides these two.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, TypeVar

import pytest
from hypothesis import HealthCheck, settings

import cpapi_fast as cf
from cpapi_fast.simulator import SimulatedGateway, SimulatorOptions
from tests.support.compiled import compile_in, load
from tests.support.loops import LOOPS, TIMEOUT_S, new_loop

T = TypeVar("T")

#: How long a test waits for cancelled tasks to end before they count as left.
LEFT_TASKS_S = 10.0
#: Set by `.ci/run`: a skip is then a failure, because something that should have run was missing.
REQUIRE_ALL = os.environ.get("CPAPI_FAST_REQUIRE_ALL", "0") not in ("", "0")
#: The variables of the tests and of the build. No name of them is that of an option of `collect`, or resembles one.
OWN_VARIABLES = frozenset(
    f"CPAPI_FAST_{name}"
    for name in (
        "ANNOTATE", "BASELINE", "CASES", "CLOCK_STEP", "COVERAGE", "DEBUG", "KAFKA_FOLDER", "PLANTED", "PROMETHEUS",
        "PYTHON2", "PYTHONS", "REQUIRE_ALL", "SANITIZE", "TESTED", "TEST_SEED", "TRACEBACK",
    )
)  # fmt: skip


# Neither one example nor the making of one has a time limit: the machine may be busy, and a sanitized build is slow.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CPAPI_FAST_REQUIRE_ALL forbids it: {call.excinfo}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    report = yield
    if REQUIRE_ALL and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} was skipped, and CPAPI_FAST_REQUIRE_ALL forbids it"
    return report


@pytest.fixture(scope="session")
def sinks(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """tests/native/sinks.pyx, compiled."""
    folder = tmp_path_factory.mktemp("sinks")
    shutil.copy(Path(__file__).parent / "native" / "sinks.pyx", folder)
    compile_in(folder, "-m", "Cython.Build.Cythonize", "-q", "-3", "-i", "sinks.pyx")
    return load(folder, "sinks")


# --- event loops -----------------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "each_loop: run an async test on every event loop")
    config.addinivalue_line("markers", "asyncio_loop: run an async test on asyncio's own event loop")
    config.addinivalue_line("markers", "gateway(**options): options of the gateway that the fixture `gateway` starts")
    config.addinivalue_line("markers", "time_limit(seconds): how long an async test may take")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("each_loop"):
        names = LOOPS
    else:
        names = ["asyncio"] if item.get_closest_marker("asyncio_loop") else LOOPS[:1]
    return {name: functools.partial(new_loop, name) for name in names}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        mark = item.get_closest_marker("time_limit")
        item.obj = _limited(item.obj, TIMEOUT_S if mark is None else mark.args[0])


def _limited(test: Callable[..., Awaitable[None]], timeout_s: float) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def limited(**arguments: Any) -> None:
        async with asyncio.timeout(timeout_s):
            await test(**arguments)

    return limited


@pytest.fixture(autouse=True)
def _loop_is_left_clean(request: pytest.FixtureRequest) -> None:
    # Before any other fixture, so that its check comes after their teardown.
    if inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("_clean_loop")


@pytest.fixture
async def _clean_loop() -> AsyncIterator[None]:
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
    yield
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        # Cancelled tasks end in the next rounds of the loop, on a busy machine later than on an idle one.
        _, tasks = await asyncio.wait(tasks, timeout=LEFT_TASKS_S)
    assert not tasks, f"tasks are left: {tasks}"
    assert not unhandled, unhandled


@pytest.fixture(autouse=True)
def _no_option_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    # The command `collect` takes options from the environment, and no test may depend on that of its user.
    for name in os.environ:
        if name.startswith("CPAPI_FAST_") and name not in OWN_VARIABLES:
            monkeypatch.delenv(name)


# --- a gateway and its clients ---------------------------------------------------------------------------------------


class Enter(Protocol):
    """The type of `enter`."""

    def __call__(self, context: AbstractAsyncContextManager[T]) -> Awaitable[T]: ...


@pytest.fixture
async def enter() -> AsyncIterator[Enter]:
    """Enter an async context manager; the last one entered exits first, at the end of the test."""
    stack = contextlib.AsyncExitStack()
    yield stack.enter_async_context
    async with asyncio.timeout(TIMEOUT_S):
        await stack.aclose()


@pytest.fixture
def clock() -> cf.Clock:
    """The clock of the gateway and its clients."""
    return cf.Clock()


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    """The options that `start_gateway` begins with."""
    return {"tls": False}


StartGateway = Callable[..., Awaitable[SimulatedGateway]]


@pytest.fixture
def start_gateway(enter: Enter, clock: cf.Clock, gateway_options: dict[str, Any]) -> StartGateway:
    """Start a simulated gateway with these `SimulatorOptions`; `speed` gives it a clock of its own."""

    async def start(**options: Any) -> SimulatedGateway:
        given = gateway_options | options
        own_clock = None if "speed" in given else clock
        return await enter(SimulatedGateway(SimulatorOptions(**given), clock=own_clock))

    return start


@pytest.fixture
async def gateway(start_gateway: StartGateway, request: pytest.FixtureRequest) -> SimulatedGateway:
    """A running gateway with the default options and those of the mark `gateway`."""
    mark = request.node.get_closest_marker("gateway")
    return await start_gateway(**({} if mark is None else mark.kwargs))


@pytest.fixture
async def client(enter: Enter, gateway: SimulatedGateway) -> cf.Client:
    """A REST client of `gateway`, on its clock."""
    return await enter(cf.Client(gateway.url, clock=gateway.clock))


@pytest.fixture
async def feed(enter: Enter, client: cf.Client) -> cf.Feed:
    """A running feed of `client` with the default options."""
    return await enter(cf.Feed(client))


@pytest.fixture
async def ws(enter: Enter, client: cf.Client) -> cf.WsClient:
    """An open WebSocket of `client`."""
    return await enter(await cf.WsClient.connect(client))
