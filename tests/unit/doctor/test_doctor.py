"""The doctor's report, as text and as JSON, and what its observer records of a socket."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from cpapi_fast.clock import Clock
from cpapi_fast.doctor import Diagnosis, Finding, Outcome, Problem, Step, diagnose, report_line
from cpapi_fast.doctor.observer import SocketObserver
from cpapi_fast.errors import ConfigError, SubscriptionError
from tests.support.batches import batch_of
from tests.support.files import quote

OK = Finding(Step.URL, Outcome.OK, "fine", facts={"port": 5000}, elapsed_s=0.01)
WARNING = Finding(Step.DNS, Outcome.WARNING, "so so", "Do this.")
WITHOUT_ADVICE = Finding(Step.TCP, Outcome.WARNING, "unusual", "")
FAILURE = Finding(Step.TLS, Outcome.FAILURE, "bad", "Do that.", Problem.TLS)
SKIPPED = Finding(Step.REST, Outcome.NOT_REACHED, "")


def test_healthy() -> None:
    diagnosis = Diagnosis("https://localhost:5000/v1/api", (OK,))
    assert (diagnosis.is_healthy, diagnosis.exit_code, diagnosis.failure, diagnosis.warnings) == (True, 0, None, ())
    assert diagnosis.closing_text() == "\nresult  healthy\nadvice  none"


def test_warnings_alone_are_healthy() -> None:
    diagnosis = Diagnosis("https://localhost:5000/v1/api", (OK, WITHOUT_ADVICE, WARNING))
    assert (diagnosis.is_healthy, diagnosis.exit_code) == (True, 0)
    assert diagnosis.summary == "healthy, with a warning: tcp: unusual"
    assert diagnosis.advice == "Do this."


def test_the_result_is_the_failure() -> None:
    diagnosis = Diagnosis("https://localhost:5000/v1/api", (OK, WARNING, FAILURE, SKIPPED))
    assert (diagnosis.is_healthy, diagnosis.exit_code, diagnosis.failure) == (False, 12, FAILURE)
    assert diagnosis.closing_text() == ("               not reached: rest\n\nresult  tls: bad\nadvice  Do that.")


def test_lines() -> None:
    assert report_line(OK) == "url            ok           fine"
    assert report_line(FAILURE) == "tls            FAILURE      bad"
    assert report_line(SKIPPED) == "rest           not reached"


def test_json() -> None:
    diagnosis = Diagnosis("https://localhost:5000/v1/api", (OK, FAILURE))
    report = json.loads(json.dumps(diagnosis.as_json()))
    assert {name: report[name] for name in ("url", "healthy", "exit_code", "problem", "summary", "advice")} == {
        "url": "https://localhost:5000/v1/api",
        "healthy": False,
        "exit_code": 12,
        "problem": "tls",
        "summary": "tls: bad",
        "advice": "Do that.",
    }
    assert report["steps"][0] == {
        "step": "url", "outcome": "ok", "found": "fine", "advice": "", "problem": None, "facts": {"port": 5000},
        "elapsed_s": 0.01,
    }  # fmt: skip
    assert report["steps"][1]["problem"] == "tls"


def test_the_documented_exit_codes_are_the_problems() -> None:
    text = (Path(__file__).parents[3] / "docs" / "reference" / "doctor.md").read_text(encoding="utf-8")
    documented = {int(code): name for code, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", text, re.MULTILINE)}
    assert documented == {int(problem): problem.name.lower() for problem in Problem}
    steps = re.findall(r"^\| `(\w+)` \| [^|]+ \| [\d, ]+", text, re.MULTILINE)
    assert steps == [step.value for step in Step]


@pytest.mark.parametrize("conid", [-1, 2**63])
async def test_an_invalid_conid(conid: int) -> None:
    with pytest.raises(SubscriptionError):
        await diagnose("https://localhost:5000", conid=conid)


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("inf"), float("nan")])
async def test_an_invalid_timeout(timeout_s: float) -> None:
    with pytest.raises(ConfigError, match="timeout_s"):
        await diagnose("https://localhost:5000", timeout_s=timeout_s)


# The observer


def observer_of(*frames: bytes) -> SocketObserver:
    observer = SocketObserver(Clock(), "smd+265598")
    observer.on_batch(batch_of(frames))
    return observer


def test_the_opening_burst() -> None:
    observer = observer_of(
        b'{"message":"waiting for session"}',
        b'{"topic":"system","success":"somebody"}',
        b'{"topic":"sts","args":{"authenticated":true,"competing":false}}',
        b'{"topic":"sts","args":{"competing":true}}',
        b'{"topic":"sts","args":[]}',
    )
    assert (observer.is_waiting_for_session, observer.is_ready, observer.frames) == (True, True, 5)
    assert observer.sts == {"authenticated": True, "competing": True}


def test_heartbeats_give_the_lead_of_this_clock() -> None:
    observer = observer_of(b'{"topic":"system","hb":1000}', b'{"topic":"system","hb":"soon"}')
    (lead_s,) = observer.heartbeat_leads_s
    assert lead_s > 1e9
    assert not observer.is_ready


def test_a_quote() -> None:
    observer = observer_of(quote(8314, _31="1"), quote(_6509="DPB"))
    assert (observer.quotes, observer.has_price, observer.is_unknown) == (1, False, False)
    observer.on_batch(batch_of([quote(_84="H271.55")]))
    assert (observer.quotes, observer.has_price) == (2, True)
    assert (observer.quote or {})["6509"] == "DPB"


def test_an_unknown_instrument() -> None:
    observer = observer_of(quote(_55="-", _31="N/A"))
    assert (observer.is_unknown, observer.has_price) == (True, False)


def test_errors_and_payloads_that_are_not_objects() -> None:
    observer = observer_of(
        b'{"topic":"smd+265598","error":"no","code":500}', b"[1]", b"ech+hb", b'{"topic":"smd+265598"'
    )
    assert [error["code"] for error in observer.errors] == [500]
    assert (observer.frames, observer.quote) == (4, None)


async def test_waiting_ends_with_the_condition_the_socket_or_the_timeout() -> None:
    observer = SocketObserver(Clock(20.0), "smd+265598")
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    assert not await observer.until(lambda: observer.is_ready, ended, 0.2)
    asyncio.get_running_loop().call_later(
        0.01, observer.on_batch, batch_of([b'{"topic":"system","success":"somebody"}'])
    )
    assert await observer.until(lambda: observer.is_ready, ended, 100.0)
    asyncio.get_running_loop().call_later(0.01, ended.set_result, None)
    assert not await observer.until(lambda: observer.has_price, ended, 1e6)
