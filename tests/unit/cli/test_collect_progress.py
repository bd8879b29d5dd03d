"""Progress of `collect`: the texts of the line and the table, when each is used, and failures of the stream."""

from __future__ import annotations

import errno
import io
import sys
import threading
import time

import pytest

from cpapi_fast.cli import collect_progress
from cpapi_fast.cli.collect_progress import Progress, plain_line, table
from cpapi_fast.cli.rates import Rates
from cpapi_fast.cli.table import ellipsis_of, plain
from cpapi_fast.collect.reports import CollectStatus
from cpapi_fast.events import FeedState
from cpapi_fast.feed import SubscriptionStatus
from cpapi_fast.outputs.interface import OutputCounts
from cpapi_fast.outputs.tables.latest_quote import LatestQuote
from cpapi_fast.ws.stats import WsStats


def status(frames: int = 10, **changes: object) -> CollectStatus:
    stats = WsStats(
        frames_received=frames, bytes_received=frames * 150, delivered=frames, dropped=0, pending=0, reads=1,
        malformed=0, payload_errors=0, payloads_repaired=0, callback_errors=0, pings=0, pongs=0, fragments=0,
        frames_after_end=0,
    )  # fmt: skip
    latest = (
        LatestQuote("265598", time.time_ns() - 2_000_000_000, 271.81, 271.8, None, "DPB", 7),
        LatestQuote("8314@NYSE", time.time_ns(), None, 1234.5, 0.25, None, 3),
    )
    known: dict[str, object] = {
        "state": "collecting",
        "elapsed_s": 12.5,
        "connection": stats,
        "queued_bytes": 0,
        "outputs": (("capture", OutputCounts()),),
        "latest": latest,
    }
    return CollectStatus(**(known | changes))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of a known kind, independent of the one that runs the tests."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "40")


def test_rates_over_the_last_second() -> None:
    rates = Rates()
    assert rates.update(0.0, 0, 0) == (0.0, 0.0)
    assert rates.update(0.5, 50, 5000) == (100.0, 10_000.0)
    for number in range(2, 40):
        rates.update(number / 2, 50, 5000)
    assert rates.update(20.0, 50, 5000) == (0.0, 0.0)
    assert rates.update(20.5, 150, 5000) == (100.0, 0.0)
    assert len(rates._samples) < 6


def test_symbols_stand_beside_conids() -> None:
    now_ns = time.time_ns()
    known = status(symbols={"265598": "AAPL@NASDAQ"})
    assert "2 instruments, oldest AAPL@NASDAQ 2.0 s ago" in plain_line(known, 0.0, 0.0, now_ns)
    lines = [plain(line) for line in table(known, 0.0, 0.0, now_ns, width=120, height=20)]
    head = next(line for line in lines if "conid" in line)
    assert head.split()[:2] == ["symbol", "conid"]
    assert any(line.split()[:2] == ["AAPL@NASDAQ", "265598"] for line in lines)
    assert any(line.split()[:1] == ["8314@NYSE"] for line in lines)
    # Without symbols there is no such column, and on a narrow terminal it is left out before the conid.
    assert not any("symbol" in plain(line) for line in table(status(), 0.0, 0.0, now_ns, width=120, height=20))
    narrow = [plain(line) for line in table(known, 0.0, 0.0, now_ns, width=20, height=20)]
    assert any("265598" in line for line in narrow)


def test_plain_line() -> None:
    now_ns = time.time_ns()
    line = plain_line(status(1234), 100.4, 15_000.0, now_ns)
    assert "12.5 s  collecting  1,234 frames (100/s)  185.1 kB (15.0 kB/s)" in line
    assert "2 instruments, oldest 265598 2." in line
    assert "waiting for the disk" not in line
    assert "1.0 MB waiting for the disk" in plain_line(status(queued_bytes=1_000_000), 0, 0, now_ns)
    early = plain_line(status(connection=None, latest=(), state="logging in"), 0, 0, now_ns)
    assert "logging in  0 frames (0/s)  0 B (0 B/s)" in early


def test_plain_line_of_a_feed_in_trouble() -> None:
    known = {name: subscription(name, FeedState.STALE) for name in ("1", "2", "3", "4")}
    known["5"] = subscription("5", FeedState.STREAMING)
    line = plain_line(
        status(subscriptions=known, gaps=1200, dropped=7, advice="log in", state="login_required"), 0, 0, time.time_ns()
    )
    for part in ("login_required", "4 stale (1, 2, 3 …)", "1,200 gaps", "7 dropped", "action: log in"):
        assert part in line
    well = plain_line(status(subscriptions={"5": known["5"]}), 0, 0, time.time_ns())
    for part in ("stale", "gaps", "dropped", "action"):
        assert part not in well


def subscription(name: str, state: FeedState, *, is_in_gap: bool = False) -> SubscriptionStatus:
    return SubscriptionStatus(f"smd+{name}", state, 1, 1, 1, 0.5, None, 0, is_in_gap)


def test_the_table_has_the_state_of_every_subscription() -> None:
    known = {
        "265598": subscription("265598", FeedState.STREAMING),
        "4711": subscription("4711", FeedState.STALE, is_in_gap=True),
    }
    stream = Terminal()
    with Progress(lambda: status(subscriptions=known), stream):
        pass
    shown = stream.getvalue()
    for text in ("265598", "streaming", "4711", "stale, gap", "8314@NYSE"):
        assert text in shown, text


def test_plain_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    frames = iter(range(1_000_000))
    with Progress(lambda: status(next(frames)), stream, interval_s=0.01) as progress:
        progress.notice("a notice [bold]")
        wait_until(lambda: stream.getvalue().count("collecting") >= 3)
    lines = stream.getvalue().splitlines()
    # A line of the progress may precede it, if the interval was over before.
    lines.remove("a notice [bold]")
    assert all("frames" in line for line in lines)
    assert "\x1b" not in stream.getvalue()
    assert not threading.enumerate()[1:] or all("screen" not in thread.name for thread in threading.enumerate())


def wait_until(condition) -> None:
    started_s = time.monotonic()
    while not condition():
        assert time.monotonic() - started_s < 60
        time.sleep(0.005)


def test_table_on_a_terminal() -> None:
    stream = Terminal()
    with Progress(status, stream) as progress:
        progress.notice("a notice [bold]")
        wait_until(lambda: stream.getvalue().count("8314@NYSE") >= 2)
    shown = stream.getvalue()
    for text in ("a notice [bold]", "265598", "271.81", "271.8", "1,234.5", "0.25", "delayed", "COLLECTING", "2.0 s"):
        assert text in shown, text
    assert shown.endswith("\x1b[?25h"), "the cursor is back"


def test_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "20")
    latest = tuple(LatestQuote(f"conid{number:03d}", time.time_ns()) for number in range(100))
    stream = Terminal()
    with Progress(lambda: status(latest=latest), stream):
        pass
    shown = stream.getvalue()
    assert "conid014" in shown
    assert "conid015" not in shown
    assert "… and 85 more" in shown


TROUBLE = {
    "subscriptions": {
        "265598": subscription("265598", FeedState.STREAMING),
        "28812380;;;8314/1,8894/-1": subscription("28812380;;;8314/1,8894/-1", FeedState.DISCONNECTED),
        "265598@OVERNIGHT": subscription("265598@OVERNIGHT", FeedState.STALE, is_in_gap=True),
    },
    "state": "login_required",
    "advice": "Log in to the gateway in a browser. The feed continues automatically.",
    "gaps": 1200,
    "dropped": 7,
    "queued_bytes": 1_000_000,
}


def texts(width: int, height: int, ellipsis: str = "…", **changes: object) -> list[str]:
    found = table(status(**changes), 100.4, 15_000.0, time.time_ns(), width=width, height=height, ellipsis=ellipsis)
    return [plain(line) for line in found]


def test_a_wide_table() -> None:
    found = texts(200, 40, **TROUBLE)
    assert found[0] == "cpapi-fast collect"
    assert found[1] == (
        "LOGIN REQUIRED  12.5 s  1 stale (265598@OVERNIGHT)  1,200 gaps  7 dropped  1.0 MB waiting for the disk  "
        "10 frames (100/s)  1.5 kB (15.0 kB/s)"
    )
    assert found[2] == "action Log in to the gateway in a browser. The feed continues automatically."
    assert found[3].split() == ["conid", "state", "last", "bid", "ask", "frames", "age", "6509"]
    assert found[4].split() == ["265598", "streaming", "271.81", "271.8", "7", "2.0", "s", "delayed"]
    assert [line.split()[0] for line in found[5:]] == ["28812380;;;8314/1,8894/-1", "265598@OVERNIGHT", "8314@NYSE"]
    assert len(texts(200, 40)) == 5, "no line for an action if there is none"


@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 9, 10, 23, 24])
@pytest.mark.parametrize("width", [1, 2, 7, 20, 33, 40, 80, 200])
def test_a_table_is_never_larger_than_the_terminal(width: int, height: int) -> None:
    many = tuple(LatestQuote(str(number), time.time_ns(), 1.0, rows=1) for number in range(50))
    for changes in ({}, TROUBLE, {"latest": many}, {"latest": ()}, {**TROUBLE, "latest": many}):
        found = texts(width, height, **changes)
        assert 1 <= len(found) <= height
        assert all(len(line) <= width for line in found)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (40, 9), (20, 5), (20, 4)])
def test_the_state_and_what_to_do_survive_in_a_small_terminal(width: int, height: int) -> None:
    found = texts(width, height, **TROUBLE)
    wide = texts(500, height, **TROUBLE)
    for start in ("LOGIN REQUIRED", "action Log in"):
        (line,) = [line for line in found if line.startswith(start)]
        assert line in wide or line.endswith("…"), line
    assert any(line.startswith("265598") for line in found)
    assert height < 5 or "… and" in found[-1] or found[-1].startswith("8314@NYSE")
    assert all(len(line) <= width for line in found)


def test_columns_that_do_not_fit_are_left_out() -> None:
    heads = {width: " ".join(texts(width, 24)[2].split()) for width in (80, 60, 48, 40, 30, 22, 8)}
    assert heads == {
        80: "conid state last bid ask frames age 6509",
        60: "conid state last bid ask age 6509",
        48: "conid state last bid ask age",
        40: "conid last bid ask age",
        30: "conid last age",
        22: "conid age",
        8: "conid …",
    }


def test_after_the_end_no_subscription_looks_lost() -> None:
    known = {"265598": subscription("265598", FeedState.DISCONNECTED, is_in_gap=True)}
    for state in ("finishing the files", "ended"):
        found = texts(120, 24, state=state, subscriptions=known)
        assert found[1].startswith(state.upper())
        assert "disconnected" not in "".join(found)
        assert "!" not in "".join(found)
    assert "disconnected, gap" in "".join(texts(120, 24, subscriptions=known))


def test_the_age_of_what_is_not_live_has_a_mark() -> None:
    rows = {line.split()[0]: line for line in texts(40, 10, **TROUBLE)[4:]}
    assert rows["265598"].endswith("2.0 s")
    assert rows["265598@OVERN…"].endswith("never !")
    assert rows["8314@NYSE"].endswith("0.0 s")


def test_the_marks_of_a_last_price_are_shown() -> None:
    """C is the prior close, H a halt. A number alone would look like a trade."""
    quotes = (
        LatestQuote("1", time.time_ns(), 271.81, rows=1, last_prefix="C"),
        LatestQuote("2", time.time_ns(), 4735.1, rows=1, last_prefix="H"),
        LatestQuote("3", time.time_ns(), 5.0, rows=1),
    )
    for width in (200, 40, 25):
        found = [line.split() for line in texts(width, 24, latest=quotes)[-3:]]
        assert [row[1] for row in found] == ["C271.81", "H4,735.1", "5"]


def test_three_dots_where_the_terminal_has_no_ellipsis() -> None:
    assert [ellipsis_of(encoding) for encoding in ("utf-8", "cp1252", "cp437", "ascii", None, "nonsense")] == [
        "…", "…", "...", "...", "…", "...",
    ]  # fmt: skip
    found = texts(30, 6, "...", **TROUBLE)
    assert all(line.isascii() for line in found)
    assert sum(line.endswith("...") for line in found) >= 2


@pytest.mark.parametrize("missing", ["rich.console", "rich.live"])
def test_plain_lines_without_rich(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    stream = Terminal()
    with Progress(status, stream, interval_s=0.01):
        wait_until(lambda: "collecting" in stream.getvalue())
    assert "\x1b" not in stream.getvalue()


def test_plain_lines_on_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    with Progress(status, stream, interval_s=0.01):
        wait_until(lambda: "collecting" in stream.getvalue())
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(errno.EIO, "gone"), ValueError("closed")])
@pytest.mark.parametrize("base", [Terminal, io.StringIO])
def test_a_stream_that_fails_ends_only_the_progress(base: type[io.StringIO], error: Exception) -> None:
    class Gone(base):
        def write(self, text: str) -> int:
            raise error

    with Progress(status, Gone(), interval_s=0.001) as progress:
        progress.notice("lost")
        time.sleep(0.02)
    assert progress.is_ended


def test_samples_four_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    assert collect_progress._TABLE_INTERVAL_S == 0.25
    samples = []
    started_s = time.monotonic()
    with Progress(lambda: samples.append(1) or status(), Terminal()):
        wait_until(lambda: len(samples) >= 3)
    # One at the start, one at the end, and four a second between them, however long it took.
    assert len(samples) <= 2 + (time.monotonic() - started_s) / 0.25
