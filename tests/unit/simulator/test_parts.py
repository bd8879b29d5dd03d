"""The simulator's small parts without a socket: wire forms, session, pacing, history, replay, options, certificate."""

from __future__ import annotations

import builtins
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.errors import ConfigError, MissingDependencyError
from cpapi_fast.simulator import Certificate, SimulatorOptions, history, replay, system_frames, wire
from cpapi_fast.simulator.rate_limits import RateLimiter
from cpapi_fast.simulator.rest_routes import has_repeated_cookie
from cpapi_fast.simulator.server_connection import cookie_session
from cpapi_fast.simulator.session import GatewaySession
from cpapi_fast.simulator.topic_streams import IntervalTimer, parameters, texts

# --- wire ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"),
        (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_frame_lengths(length: int, head: bytes) -> None:
    assert wire.encode_frame(b"x" * length) == head + b"x" * length


def test_fragment_and_close_frames() -> None:
    assert wire.encode_frame(b"a", wire.OPCODE_TEXT, fin=False) == b"\x01\x01a"
    assert wire.encode_close(1000, "bye") == b"\x88\x05\x03\xe8bye"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (1.0, "1.0"),
        (-0.56, "-0.56"),
        (0.001, "0.001"),
        (9_999_999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (12_200_000.0, "1.22E7"),
        (-2.0201311791131118e8, "-2.0201311791131118E8"),
        (0.0005, "5.0E-4"),
        (1e300, "1.0E300"),
    ],
)
def test_doubles_are_written_as_in_java(value: float, text: str) -> None:
    assert wire.java_double(value) == text
    assert float(text) == value


def test_payload_is_compact_json() -> None:
    value = {"a": [1, 2.0, None, True, 'q"'], "b": {"c": 2e8}}
    assert wire.payload(value) == b'{"a":[1,2.0,null,true,"q\\""],"b":{"c":2.0E8}}'
    assert json.loads(wire.payload(value)) == value


# --- session and doors -----------------------------------------------------------------------------------------------


def session(**changes: Any) -> tuple[GatewaySession, list[dict[str, Any]]]:
    fragments: list[dict[str, Any]] = []
    made = GatewaySession(**({"seed": 1, "is_logged_in": True, "has_brokerage": True} | changes))
    made.announce = fragments.append
    return made, fragments


def test_session_ids_are_32_hex_digits_and_depend_on_the_seed() -> None:
    one, two = session()[0], session()[0]
    assert len(one.id) == 32
    assert int(one.id, 16) >= 0
    assert one.id == two.id
    before = one.id
    one.change_id()
    assert one.id != before


def test_brokerage_needs_an_outer_session() -> None:
    made, fragments = session(is_logged_in=False)
    made.open_brokerage(compete=True)
    assert (made.is_authenticated, fragments) == (False, [])


def test_only_compete_takes_the_session_back() -> None:
    made, fragments = session()
    made.start_competing()
    made.start_competing()
    made.open_brokerage(compete=False)
    assert (made.is_authenticated, made.is_competing) == (False, True)
    made.open_brokerage(compete=True)
    assert (made.is_authenticated, made.is_competing) == (True, False)
    assert fragments == [{"authenticated": False}, {"competing": True}, {"competing": False}, {"authenticated": True}]


def test_server_ids_count_over_one_brokerage_session() -> None:
    made, _ = session()
    assert [made.next_server_id() for _ in range(3)] == ["q0", "q1", "q2"]
    made.end_brokerage()
    made.open_brokerage(compete=True)
    assert made.next_server_id() == "q0"


def test_more_than_ten_requests_a_second_start_the_penalty() -> None:
    pacer = RateLimiter()
    assert all(pacer.allows("/x", 0.05 * n) for n in range(10))
    assert not pacer.allows("/x", 0.9)
    assert not pacer.allows("/x", 900.0)
    assert pacer.allows("/x", 900.9)


def test_ten_requests_a_second_are_allowed() -> None:
    pacer = RateLimiter()
    assert all(pacer.allows("/x", n * 0.1001) for n in range(1_000))


def test_some_paths_have_slower_limits() -> None:
    pacer = RateLimiter()
    assert pacer.allows("/tickle", 0.0)
    assert not pacer.allows("/tickle", 0.5)
    assert pacer.allows("/tickle", 1.0)
    assert pacer.allows("/sso/validate", 1.1)
    assert not pacer.allows("/sso/validate", 60.0)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('api={"session":"abc"}', "abc"),
        ('api={"session": "abc"}', "abc"),
        ('x=1; api={"session": "abc"}; y=2', "abc"),
        ("api=abc", "abc"),
        ("api=", None),
        ("apix=abc", None),
        ('api={"other":"abc"}', '{"other":"abc"}'),
        ("", None),
        (None, None),
    ],
)
def test_session_of_a_cookie_header(header: str | None, found: str | None) -> None:
    assert cookie_session(header) == found


@pytest.mark.parametrize(
    ("header", "is_repeated"), [("", False), ("a=1; b=1", False), ("a=1; a=1", True), ("a=1;b=2;a=3;", True)]
)
def test_repeated_cookie(header: str, is_repeated: bool) -> None:
    assert has_repeated_cookie(header) is is_repeated


def test_unknown_topic_never_repeats_a_possible_secret() -> None:
    assert system_frames.unknown_topic('{"session":"abc"}') == b'{"error":"Topic unknown","code":1}'
    assert system_frames.unknown_topic("shs+exercise+{}") == b'{"error":"Topic unknown shs","code":1}'
    assert system_frames.unknown_topic("0" * 32) == b'{"error":"Topic unknown","code":1}'


# --- feeds and history -----------------------------------------------------------------------------------------------


def test_timer_comes_once_per_interval_and_does_not_catch_up() -> None:
    timer = IntervalTimer(2.0)
    timer.start(10.0)
    assert [timer.is_due(now) for now in (11.9, 12.0, 12.1, 14.0, 25.0, 26.9, 27.0)] == [
        False,
        True,
        False,
        True,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "{", "x", '"a"'])
def test_bad_parameters_count_as_none(text: str) -> None:
    assert parameters(text) == {}


def test_only_strings_of_an_array_count() -> None:
    assert texts(["a", 1, None, "b"]) == ["a", "b"]
    assert texts("ab") == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7_200), ("30min", 1_800), ("31min", 86_400), ("9h", 86_400), (None, 86_400), ("x", 86_400)],
)
def test_history_period(text: Any, seconds: int) -> None:
    assert history.period_s(text) == seconds


@pytest.mark.parametrize(("text", "seconds"), [("1min", 60), ("4min", 300), ("4h", 14_400), ("1d", 86_400), (5, 300)])
def test_history_bar(text: Any, seconds: int) -> None:
    assert history.bar_s(text) == seconds


#: A minute begins here.
NOON_S = 1_700_000_040


def bars_of(trades: history.TradeHistory, period: str, bar: str, *, now_s: float) -> list[dict[str, Any]]:
    given = {"period": period, "bar": bar}
    return history.history_response(trades, "1", given, end_ms=int(now_s * 1000), symbol="S", name="N")["data"]


def test_history_extremes_are_those_of_its_bars() -> None:
    trades = history.TradeHistory("5", 12_345, 2, NOON_S)
    given = {"period": "2h", "bar": "5min"}
    answer = history.history_response(trades, "1", given, end_ms=1_700_000_000_123, symbol="S", name="N")
    bars = answer["data"]
    assert answer["high"].split("/")[0] == str(round(max(bar["h"] for bar in bars) * 100))
    assert answer["low"].split("/")[0] == str(round(min(bar["l"] for bar in bars) * 100))
    assert all(bar["l"] <= min(bar["o"], bar["c"]) <= max(bar["o"], bar["c"]) <= bar["h"] for bar in bars)
    assert [bar["t"] for bar in bars] == [1_699_999_800_000 - 300_000 * n for n in reversed(range(24))]


def test_history_has_the_trades_that_were_made() -> None:
    trades = history.TradeHistory("5", 10_000, 2, NOON_S)
    for price, size, second in ((10_010, 3, 1), (10_030, 1, 20), (9_990, 2, 59), (10_020, 5, 60), (10_000, 7, 200)):
        trades.record(price, size, NOON_S + second)
    first, second, third, fourth = bars_of(trades, "4min", "1min", now_s=NOON_S + 230)
    assert first == {"o": 100.1, "h": 100.3, "l": 99.9, "c": 99.9, "v": 6, "t": NOON_S * 1000}
    assert second == {"o": 100.2, "h": 100.2, "l": 100.2, "c": 100.2, "v": 5, "t": NOON_S * 1000 + 60_000}
    assert third == {"o": 100.2, "h": 100.2, "l": 100.2, "c": 100.2, "v": 0, "t": NOON_S * 1000 + 120_000}
    assert fourth["o"] == fourth["c"] == 100.0
    (late,) = bars_of(trades, "1min", "1min", now_s=NOON_S + 3_600)
    assert (late["o"], late["v"]) == (100.0, 0)


def test_history_before_the_first_trade_leads_up_to_it_and_stays_what_it_was() -> None:
    trades = history.TradeHistory("5", 10_000, 2, NOON_S)
    past = bars_of(trades, "30min", "1min", now_s=NOON_S - 1)
    assert past[-1]["c"] == 100.0
    assert [bar["o"] for bar in past[1:]] == [bar["c"] for bar in past[:-1]]
    assert len({bar["c"] for bar in past}) > 5
    trades.record(10_500, 1, NOON_S + 1)
    assert bars_of(trades, "30min", "1min", now_s=NOON_S - 1) == past
    coarse = bars_of(trades, "30min", "10min", now_s=NOON_S - 1)
    by_time = {bar["t"]: bar["o"] for bar in past}
    assert [bar["o"] for bar in coarse if bar["t"] in by_time] == [by_time[b["t"]] for b in coarse if b["t"] in by_time]


def test_history_forgets_the_oldest_trades_and_goes_on_from_there() -> None:
    trades = history.TradeHistory("5", 10_000, 2, NOON_S)
    for minute in range(3_100):
        trades.record(10_000 + minute, 1, NOON_S + minute * 60)
    assert len(trades._minutes) == 3_000
    (first,) = bars_of(trades, "1min", "1min", now_s=NOON_S + 100 * 60)
    (before,) = bars_of(trades, "1min", "1min", now_s=NOON_S + 99 * 60)
    assert (first["c"], before["c"]) == (101.0, 100.99)


def test_a_long_history_is_generated_quickly() -> None:
    trades = history.TradeHistory("5", 10_000, 2, NOON_S)
    trades.record(10_100, 4, NOON_S)
    bars = bars_of(trades, "15y", "1m", now_s=NOON_S)
    assert len(bars) == 182
    assert (bars[-1]["c"], bars[-1]["h"] >= 101.0) == (101.0, True)
    assert all(bar["l"] > 0.0 for bar in bars)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("20231114-22:14:00", NOON_S * 1000), (None, 5), ("", 5), ("2023-11-14", 5), ("20231399-00:00:00", 5)],
)
def test_history_start_time(text: str | None, expected: int) -> None:
    assert history.time_ms(text, 5) == expected


# --- files, options, certificate -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a", [b"a"]),
        (b"a\n", [b"a"]),
        (b"a\n\n", [b"a", b""]),
        (b"a\r\n\r\nb", [b"a", b"", b"b"]),
        (b"a\rb\n", [b"a\rb"]),
        (b"a\r\r\n", [b"a\r"]),
        (b"\xff\x0b\x0c\x85\n", [b"\xff\x0b\x0c\x85"]),
    ],
)
def test_lines_of_a_replay_file(tmp_path: Path, content: bytes, expected: list[bytes]) -> None:
    file = tmp_path / "frames"
    file.write_bytes(content)
    assert list(replay.lines(file)) == expected


FRAME = b'{"topic":"smd+265598","conid":265598,"31":"271.81"}'


@pytest.mark.parametrize(
    "content",
    [
        FRAME,
        FRAME + b"\r\n" + FRAME + b"\n",
        b"\n \n\t" + FRAME,
        FRAME + b"\nnot JSON \xff\n\n{}",
        b'{"args":{"authenticated":true},"topic":"sts"}',
        b'{"31":"' + b"1" * 2_000_000 + b'","topic":"smd+1"}',
    ],
)
def test_a_list_of_frames_can_be_replayed(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "frames"
    file.write_bytes(content)
    replay.check(file)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"\n\n \n", "it is empty"),
        (b"PAR1\x15\x04", "it is a Parquet file"),
        (b"ARROW1\0\0", "it is an Arrow file"),
        (b"\xff\xff\xff\xff\x10\1\0\0", "it is a binary file"),
        (b"\x1f\x8b\x08" + FRAME, "a compressed file"),
        (b"\x7fELF\x02\x01\0\0" * 50, "it is a binary file"),
        ('\ufeff{"topic":"smd+1"}'.encode("utf-16"), "it is a binary file"),
        (b"hello\nworld\n", "no JSON object with a topic"),
        (b"conid,last\n265598,271.81\n", "no JSON object with a topic"),
        (b"[" + FRAME + b"]", "no JSON object with a topic"),
        (b"[\n" + FRAME + b"\n]", "no JSON object with a topic"),
        (b'{\n"topic":"smd+1"\n}', "no JSON object with a topic"),
        (b'{"name":"package","version":"1.0"}', "no JSON object with a topic"),
        (b'{"type":"state","time":"2026-01-02T14:30:00.000+00:00","row":0,"state":"ready"}', "no JSON object"),
        (b'{"topic":7}', "no JSON object with a topic"),
        (b"[" * 100_000, "no JSON object with a topic"),
        (b"42", "no JSON object with a topic"),
    ],
)  # fmt: skip
def test_anything_else_cannot_be_replayed(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "other"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        replay.check(file)
    assert str(file) in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_a_pipe_or_device_cannot_be_replayed(tmp_path: Path) -> None:
    """Each client gets the whole file, so it is read more than once; opening a pipe would wait for a writer."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/null")):
        with pytest.raises(ConfigError, match="it is a device or a pipe"):
            replay.check(path)
    for path in (tmp_path, tmp_path / "missing", "a\0b"):
        with pytest.raises(ConfigError, match="cannot read the replay file"):
            replay.check(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"port": -1},
        {"port": 65536},
        {"speed": 0.0},
        {"speed": float("nan")},
        {"rate": 0.0},
        {"rate": float("inf")},
        {"stream_lifetime_s": -1.0},
        {"heartbeat_interval_s": 0.0},
        {"idle_timeout_s": 0.0},
        {"ready_delay_s": -0.1},
        {"logged_out_response": "maybe"},
        {"opening_burst": ("system",)},
        {"opening_burst": ("system", "act", "act")},
        {"accounts": ()},
        {"market_data_lines": -1},
        {"keep_sent": -1},
    ],
)
def test_invalid_options(changes: dict[str, Any]) -> None:
    (name,) = changes
    with pytest.raises(ConfigError, match=name):
        SimulatorOptions(**changes)


def test_certificate_keeps_its_key_out_of_its_repr() -> None:
    certificate = Certificate.make()
    assert "PRIVATE" not in repr(certificate)
    assert len(certificate.fingerprint) == 64
    assert certificate.fingerprint != Certificate.make().fingerprint


def test_certificate_cannot_end_before_it_starts() -> None:
    now = datetime.now(UTC)
    with pytest.raises(ConfigError, match="before it starts"):
        Certificate.make(not_before=now, not_after=now)


def test_missing_cryptography_is_an_error_with_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "cryptography":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match='pip install "cryptography>='):
        Certificate.make()


def test_each_package_to_install_is_one_of_the_project() -> None:
    """In a version that it allows; the name alone works in a checkout too."""
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    for requirement in MissingDependencyError.REQUIREMENTS.values():
        assert f'"{requirement}"' in text
