"""The decision record: what it contains, what it leaves out, and how a damaged one is rejected."""

from __future__ import annotations

import datetime as dt
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, TextIO

import pytest

import cpapi_fast as cf
from cpapi_fast.feed.decisions.__main__ import main
from cpapi_fast.feed.decisions.decision_recorder import DecisionRecorder
from cpapi_fast.feed.decisions.record_format import INPUTS
from cpapi_fast.feed.machine import Activity, CallKind, Failure, Machine, Moment, SessionFacts, SubscriptionSpec
from cpapi_fast.protocol.hours import DailyWindow, TradingHours
from tests.support.hostile import HOSTILE_ARGUMENTS, assert_harmless

HOURS = TradingHours.weekdays("09:30", "16:00", "America/New_York", holidays=[dt.date(2026, 12, 25)])
SMD = SubscriptionSpec("smd+1", "smd+1+{}", "umd+1+{}", is_market_data=True, usual_interval_s=0.7, hours=HOURS)
SPL = SubscriptionSpec("spl+U1234567", "spl+U1234567+{}", "upl+U1234567+{}", needs_brokerage=False)
OPTIONS = cf.FeedOptions(market_data_lines=1, nightly=DailyWindow("23:00", "01:00", "UTC"), competing="reclaim")
SESSION = "0123456789abcdef0123456789abcdef"


def moment(s: float) -> Moment:
    return Moment(s, 1_767_614_400_000_000_000 + int(s * 1e9), 1_767_614_400_000_000_000 + int(s * 1e9))


class Recorded:
    """A machine with its recorder."""

    def __init__(self, path: Path, options: cf.FeedOptions = OPTIONS, seed: int = 2**63 + 5) -> None:
        self.machine = Machine(options, seed=seed)
        self.recorder = DecisionRecorder(path, options, seed)
        self.activity: dict[str, Activity] = {}

    def put(self, name: str, *args: object, **kwargs: object) -> None:
        self.machine.observe(self.activity, 1.5)
        method = getattr(self.machine, name)
        try:
            outcome = method(*args, **kwargs)
        except cf.CpapiError as error:
            outcome = error
        self.recorder.record(method, args, kwargs, self.activity, 1.5, outcome)


class FullFile:
    """A file on a full disk."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def write(self, text: str) -> None:
        raise OSError("disk full")

    def close(self) -> None:
        self.file.close()


def record(path: Path) -> Recorded:
    """A short run with every kind of argument."""
    run = Recorded(path)
    run.recorder.open()
    run.put("subscribe", SMD, moment(1.0))
    run.put("subscribe", SPL, moment(1.0))
    # No market data line is left.
    run.put("subscribe", SubscriptionSpec("smd+2", "smd+2+{}", "umd+2+{}", is_market_data=True), moment(1.0))
    run.put("start", moment(2.0))
    run.put("on_call_failed", 1, Failure.UNREACHABLE, moment(2.1), detail=f"session={SESSION} of U1234567 is gone")
    run.put("tick", moment(10.0))
    run.put("on_facts", 2, SessionFacts(1, True, True, False), moment(10.1))
    run.put("on_accounts", 3, moment(10.2))
    run.put("on_socket_opened", moment(10.3))
    run.put("on_ready", moment(10.4))
    run.put("on_status", True, None, None, moment(10.5))
    run.activity = {"smd+1": Activity(2, moment(10.6).ns, 10.6, 70), "spl+U1234567": Activity(1, moment(10.6).ns, 10.6)}
    run.put(
        "on_subscription_frame",
        "smd+1",
        moment(10.6).ns,
        moment(10.6),
        is_snapshot=True,
        stream_id="q1",
        late_ns=70,
        is_newer=True,
    )
    run.put("request_orders", moment(10.9))
    run.put("on_paused", True, moment(11.0))
    run.put("on_standstill", 5 * 10**8, cf.StandstillReason.SUSPEND, moment(11.2), suspended_s=0.4)
    run.put("on_refused", "spl+U1234567", moment(11.5))
    run.put("on_socket_ended", cf.Cause.CONNECTION_LOST, moment(12.0), detail="reset")
    run.put("on_socket_failed", Failure.REFUSED, moment(12.1))
    run.put("unsubscribe", "smd+1", moment(12.2))
    del run.activity["smd+1"]
    run.put("stop", moment(13.0))
    run.recorder.close()
    return run


def test_every_input_is_replayed_with_its_actions(tmp_path: Path):
    file = tmp_path / "decisions"
    run = record(file)
    decisions = list(cf.replay_decisions(file))
    assert {decision.input for decision in decisions} == set(INPUTS)
    assert [decision.error for decision in decisions if decision.error] == ["LimitError"]
    assert decisions[0].arguments == {"spec": SMD}
    assert decisions[3].now == moment(2.0)
    assert [action.kind for action in decisions[3].actions if hasattr(action, "kind")] == [CallKind.TICKLE]
    assert run.recorder.error is None


def test_secrets_are_replaced_by_the_same_placeholder_everywhere(tmp_path: Path):
    file = tmp_path / "decisions"
    record(file)
    text = file.read_text(encoding="ascii")
    assert "U1234567" not in text
    assert SESSION not in text
    assert str(tmp_path) not in text
    topics = {decision.arguments.get("topic") for decision in cf.replay_decisions(file)}
    assert topics == {None, "smd+1", "spl+[redacted 1]"}


def test_only_changed_activity_is_written(tmp_path: Path):
    file = tmp_path / "decisions"
    record(file)
    lines = [json.loads(line) for line in file.read_text(encoding="ascii").splitlines()]
    assert [list(line["activity"]) for line in lines if "activity" in line] == [["smd+1", "spl+[redacted 1]"]]


def test_a_last_line_that_is_cut_off_is_accepted(tmp_path: Path):
    file = tmp_path / "decisions"
    record(file)
    count = len(list(cf.replay_decisions(file)))
    data = file.read_bytes()
    file.write_bytes(data[:-20])
    assert len(list(cf.replay_decisions(file))) == count - 1


@pytest.mark.parametrize(
    ("damage", "line", "message"),
    [
        (lambda lines: [], 1, "no complete line"),
        (lambda lines: ['{"format":"else"}', *lines[1:]], 1, "not a decision record"),
        (lambda lines: [lines[0].replace('"version":2', '"version":99'), *lines[1:]], 1, "version 99"),
        (lambda lines: [lines[0].replace('"seed":"9', '"seed":"x'), *lines[1:]], 1, "options are damaged"),
        (lambda lines: [*lines[:3], lines[3][:40], *lines[4:]], 4, "not a JSON object"),
        (lambda lines: [*lines[:3], "[]", *lines[4:]], 4, "not a JSON object"),
        (lambda lines: [*lines[:3], '{"input":"observe"}', *lines[4:]], 4, "not an input"),
        (lambda lines: [*lines[:3], '{"input":["tick"]}', *lines[4:]], 4, "damaged"),
        (lambda lines: [*lines[:4], lines[4].replace('"now"', '"then"'), *lines[5:]], 5, "damaged"),
    ],
)
def test_a_damaged_record_is_rejected_with_its_line(tmp_path: Path, damage, line: int, message: str):
    file = tmp_path / "decisions"
    record(file)
    lines = damage(file.read_text(encoding="ascii").splitlines())
    file.write_text("".join(text + "\n" for text in lines), encoding="ascii")
    with pytest.raises(cf.DecisionRecordError, match=message) as caught:
        list(cf.replay_decisions(file))
    assert caught.value.line == line
    assert not isinstance(caught.value, cf.ReplayMismatchError)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"/tickle",1', '"/tickle",7'), ('"LimitError"', '"UsageError"'), ('"unreachable","', '"refused","')],
)
def test_other_decisions_than_in_the_record_are_reported(tmp_path: Path, old: str, new: str):
    file = tmp_path / "decisions"
    record(file)
    text = file.read_text(encoding="ascii")
    assert old in text
    file.write_text(text.replace(old, new), encoding="ascii")
    with pytest.raises(cf.ReplayMismatchError, match="in the record"):
        list(cf.replay_decisions(file))


def test_an_existing_file_is_not_overwritten(tmp_path: Path):
    file = tmp_path / "decisions"
    file.write_text("mine")
    with pytest.raises(cf.OutputError):
        DecisionRecorder(file, OPTIONS, 1).open()
    assert file.read_text() == "mine"


def test_a_write_that_fails_ends_the_record_and_not_the_feed(tmp_path: Path):
    file = tmp_path / "decisions"
    errors: list[Exception] = []
    run = Recorded(file)
    run.recorder = DecisionRecorder(file, OPTIONS, 1, on_error=errors.append)
    run.recorder.open()
    run.put("start", moment(1.0))
    run.recorder.flush()
    size = file.stat().st_size
    assert run.recorder._file is not None
    run.recorder._file = FullFile(run.recorder._file)
    run.put("tick", moment(2.0))
    run.recorder.flush()
    assert [str(error) for error in errors] == ["disk full"]
    assert run.recorder.error is errors[0]
    run.put("stop", moment(3.0))
    run.recorder.close()
    assert len(errors) == 1
    assert file.stat().st_size == size


def test_an_input_that_cannot_be_written_ends_the_record_and_not_the_feed(tmp_path: Path):
    file = tmp_path / "decisions"
    errors: list[Exception] = []
    run = Recorded(file)
    run.recorder = DecisionRecorder(file, OPTIONS, 1, on_error=errors.append)
    run.recorder.open()
    run.put("start", moment(1.0))
    run.put("subscribe", SubscriptionSpec("smd+1", "smd+1+{}", "umd+1+{}", usual_interval_s=Fraction(1)), moment(2.0))
    assert "smd+1" in run.machine.subscriptions
    run.put("stop", moment(3.0))
    run.recorder.close()
    assert [type(error) for error in errors] == [TypeError]
    assert run.recorder.error is errors[0]
    assert [decision.input for decision in cf.replay_decisions(file)] == ["start"]


async def test_an_interval_of_any_number_type_is_recorded(tmp_path: Path):
    file = tmp_path / "decisions"
    async with cf.Client("http://127.0.0.1:9/v1/api") as client:
        feed = cf.Feed(client, cf.FeedOptions(record_decisions=file))
        subscription = await feed.subscribe_market_data(1, usual_interval_s=Fraction(3, 2))  # type: ignore[arg-type]
        assert subscription.status is not None
        async with feed:
            pass
    assert [decision.input for decision in cf.replay_decisions(file)][:2] == ["subscribe", "start"]


def test_a_file_without_a_complete_line_is_rejected(tmp_path: Path):
    file = tmp_path / "decisions"
    file.write_text("not a record")
    with pytest.raises(cf.DecisionRecordError, match="no complete line"):
        list(cf.replay_decisions(file))


def test_the_command_prints_the_decisions(tmp_path: Path):
    file = tmp_path / "decisions"
    record(file)
    command = [sys.executable, "-m", "cpapi_fast.feed.decisions", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert "Call /tickle 1 False" in result.stdout
    assert result.stdout.endswith("20 inputs replayed; all actions equal those of the record\n")
    file.write_text("{}\n")
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (1, f"{file}: line 1: the file is not a decision record\n")


@pytest.mark.parametrize("text", HOSTILE_ARGUMENTS)
@pytest.mark.parametrize("form", ["{}", "--{}", "file {}"])
def test_the_command_refuses_hostile_arguments_in_one_printable_line(
    text: str, form: str, capfdbinary: pytest.CaptureFixture[bytes]
):
    argv = form.format(text).split(" ", 1) if form.startswith("file") else [form.format(text)]
    try:
        code = main(argv)
    except SystemExit as exc:
        code = exc.code
    out, err = capfdbinary.readouterr()
    # A text with a space is no option, so it is a file that does not exist.
    assert code == (2 if form == "file {}" else 1 if " " in argv[0] or form == "{}" else 2)
    assert out == b""
    assert assert_harmless(err).count("\n") == 1


def test_every_value_of_a_record_may_be_damaged(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    file = tmp_path / "decisions"
    record(file)
    lines = file.read_text().splitlines()
    junk = [None, "\x1b[31m", -1, 1e400, float("nan"), 1e18, 10**30, True, [], [[]], {}]
    cases = [(at, path, value) for at, line in enumerate(lines) for path in _paths(json.loads(line)) for value in junk]
    for at, path, value in random.Random(5).sample(cases, 500):
        damaged = json.loads(lines[at])
        inner = damaged
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        file.write_text("\n".join([*lines[:at], json.dumps(damaged), *lines[at + 1 :], ""]))
        code = main([str(file), "--all"])
        # Some values have no effect.
        assert code in (0, 1), (at, path, value, capfd.readouterr().err)
    assert_harmless(capfd.readouterr().out.encode())


def test_a_record_of_nothing_but_brackets_is_refused(tmp_path: Path):
    file = tmp_path / "decisions"
    file.write_text("[" * 200_000 + "\n")
    with pytest.raises(cf.DecisionRecordError, match="not a JSON object"):
        list(cf.replay_decisions(file))


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from _paths(inner, (*path, key))
