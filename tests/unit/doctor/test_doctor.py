"""The doctor's report: what follows from findings, as text and as JSON; and its notes of what a socket says."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from cpapi_fast.clock import Clock
from cpapi_fast.doctor import Diagnosis, Fault, Finding, Status, Step, diagnose, line
from cpapi_fast.doctor.watch import Watch
from cpapi_fast.errors import ConfigError, SubscriptionError
from tests.files import make_batch, quote
from tests.support import run

OK = Finding(Step.URL, Status.OK, "fine", facts={"port": 5000}, elapsed_s=0.01)
WARNING = Finding(Step.DNS, Status.WARNING, "so so", "do this")
SHRUG = Finding(Step.TCP, Status.WARNING, "odd", "")
FAILURE = Finding(Step.TLS, Status.FAILURE, "bad", "do that", Fault.TLS)
SKIPPED = Finding(Step.REST, Status.NOT_REACHED, "")


def test_healthy() -> None:
    diagnosis = Diagnosis("https://localhost:5000/v1/api", (OK,))
    assert (diagnosis.is_healthy, diagnosis.exit_code, diagnosis.failure, diagnosis.warnings) == (True, 0, None, ())
    assert diagnosis.closing_text() == "\nwrong  nothing\nto do  nothing"


def test_warnings_alone_are_healthy() -> None:
    diagnosis = Diagnosis("https://localhost:5000/v1/api", (OK, SHRUG, WARNING))
    assert (diagnosis.is_healthy, diagnosis.exit_code) == (True, 0)
    assert diagnosis.wrong == "nothing stops you; tcp: odd"
    assert diagnosis.advice == "do this"


def test_a_failure_is_the_one_thing() -> None:
    diagnosis = Diagnosis("https://localhost:5000/v1/api", (OK, WARNING, FAILURE, SKIPPED))
    assert (diagnosis.is_healthy, diagnosis.exit_code, diagnosis.failure) == (False, 12, FAILURE)
    assert diagnosis.closing_text() == ("               not reached: rest\n\nwrong  tls: bad\nto do  do that")


def test_lines() -> None:
    assert line(OK) == "url            ok           fine"
    assert line(FAILURE) == "tls            FAILURE      bad"
    assert line(SKIPPED) == "rest           not reached"


def test_json() -> None:
    diagnosis = Diagnosis("https://localhost:5000/v1/api", (OK, FAILURE))
    told = json.loads(json.dumps(diagnosis.as_json()))
    assert {name: told[name] for name in ("url", "healthy", "exit_code", "fault", "wrong", "to_do")} == {
        "url": "https://localhost:5000/v1/api",
        "healthy": False,
        "exit_code": 12,
        "fault": "tls",
        "wrong": "tls: bad",
        "to_do": "do that",
    }
    assert told["steps"][0] == {
        "step": "url", "status": "ok", "found": "fine", "to_do": "", "fault": None, "facts": {"port": 5000},
        "elapsed_s": 0.01,
    }  # fmt: skip
    assert told["steps"][1]["fault"] == "tls"


def test_the_documented_exit_codes_are_the_faults() -> None:
    text = (Path(__file__).parents[3] / "docs" / "reference" / "doctor.md").read_text(encoding="utf-8")
    documented = {int(code): name for code, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", text, re.MULTILINE)}
    assert documented == {int(fault): fault.name.lower() for fault in Fault}
    steps = re.findall(r"^\| `(\w+)` \| [^|]+ \| [\d, ]+", text, re.MULTILINE)
    assert steps == [step.value for step in Step]


@pytest.mark.parametrize("conid", [-1, 2**63])
def test_a_conid_that_is_none(conid: int) -> None:
    with pytest.raises(SubscriptionError):
        run(diagnose("https://localhost:5000", conid=conid))


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("inf"), float("nan")])
def test_a_timeout_that_is_none(timeout_s: float) -> None:
    with pytest.raises(ConfigError, match="timeout_s"):
        run(diagnose("https://localhost:5000", timeout_s=timeout_s))


# The notes


def noted(*frames: bytes) -> Watch:
    watch = Watch(Clock(), "smd+265598")
    watch.on_batch(make_batch(frames))
    return watch


def test_notes_of_the_opening_burst() -> None:
    watch = noted(
        b'{"message":"waiting for session"}',
        b'{"topic":"system","success":"somebody"}',
        b'{"topic":"sts","args":{"authenticated":true,"competing":false}}',
        b'{"topic":"sts","args":{"competing":true}}',
        b'{"topic":"sts","args":[]}',
    )
    assert (watch.is_waiting_for_session, watch.is_ready, watch.frames) == (True, True, 5)
    assert watch.sts == {"authenticated": True, "competing": True}


def test_notes_of_heartbeats_tell_by_how_much_this_clock_is_ahead() -> None:
    watch = noted(b'{"topic":"system","hb":1000}', b'{"topic":"system","hb":"soon"}')
    (lead_s,) = watch.heartbeats
    assert lead_s > 1e9
    assert not watch.is_ready


def test_notes_of_a_quote() -> None:
    watch = noted(quote(8314, _31="1"), quote(_6509="DPB"))
    assert (watch.quotes, watch.has_price, watch.is_unknown) == (1, False, False)
    watch.on_batch(make_batch([quote(_84="H271.55")]))
    assert (watch.quotes, watch.has_price) == (2, True)
    assert (watch.quote or {})["6509"] == "DPB"


def test_notes_of_an_instrument_that_is_not_known() -> None:
    watch = noted(quote(_55="-", _31="N/A"))
    assert (watch.is_unknown, watch.has_price) == (True, False)


def test_notes_of_errors_and_of_what_is_no_object() -> None:
    watch = noted(b'{"topic":"smd+265598","error":"no","code":500}', b"[1]", b"ech+hb", b'{"topic":"smd+265598"')
    assert [error["code"] for error in watch.errors] == [500]
    assert (watch.frames, watch.quote) == (4, None)


def test_waiting_ends_with_the_condition_the_socket_or_the_time() -> None:
    async def scene() -> None:
        watch = Watch(Clock(20.0), "smd+265598")
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        assert not await watch.until(lambda: watch.is_ready, ended, 0.2)
        asyncio.get_running_loop().call_later(
            0.01, watch.on_batch, make_batch([b'{"topic":"system","success":"somebody"}'])
        )
        assert await watch.until(lambda: watch.is_ready, ended, 100.0)
        asyncio.get_running_loop().call_later(0.01, ended.set_result, None)
        assert not await watch.until(lambda: watch.has_price, ended, 1e6)

    run(scene())
