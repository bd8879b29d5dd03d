"""The meaning of each response, its row in the table, and that no message shows a secret or a control character."""

from __future__ import annotations

import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.doctor.context import DOCTOR_INIT_WORDING, DOCTOR_WORDING
from cpapi_fast.feed.machine.advice import FEED_WORDING, RECLAIMING_WORDING
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.response_rules import (
    ServerResponse,
    Step,
    judge,
    judge_payload,
    step_of,
    unexpected,
)
from cpapi_fast.protocol.response_table import CLIENT_WORDING, ROWS, Pause, Place, advice_for
from cpapi_fast.protocol.words import meaning_of_words
from tests.servers.http import SESSION
from tests.support.refusals import REFUSALS, Refusal

PLACE = Place("https://localhost:5000", "/v1/api")
WORDINGS = (CLIENT_WORDING, FEED_WORDING, RECLAIMING_WORDING, DOCTOR_WORDING, DOCTOR_INIT_WORDING)
SUCCESSES = [case for case in REFUSALS if case.meaning is Meaning.UNEXPECTED_BODY or case.name == "200 no bridge"]


def response(case: Refusal, step: Step) -> ServerResponse:
    return ServerResponse(step, case.status, case.headers, case.body)


def expected(case: Refusal, step: Step) -> Meaning:
    return {Step.SESSION: case.meaning, Step.BROKERAGE: case.at_brokerage, Step.UPGRADE: case.at_upgrade}[step]


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("case", [case for case in REFUSALS if case not in SUCCESSES], ids=lambda case: case.name)
def test_the_meaning_of_each_response(case: Refusal, step: Step) -> None:
    verdict = judge(response(case, step))
    assert verdict is not None
    assert verdict.meaning is expected(case, step)
    assert verdict.found.isprintable()


@pytest.mark.parametrize("case", SUCCESSES, ids=lambda case: case.name)
def test_a_success_is_left_to_the_reader_of_its_body_except_at_the_upgrade(case: Refusal) -> None:
    verdict = judge(response(case, Step.UPGRADE))
    assert verdict is not None
    assert verdict.meaning is Meaning.UPGRADE_REFUSED
    of_rest = judge(response(case, Step.SESSION))
    assert of_rest is None or of_rest.meaning is case.meaning


@pytest.mark.parametrize(
    ("payload", "step", "meaning"),
    [
        ({"error": "no bridge"}, Step.SESSION, Meaning.BROKERAGE_CLOSED),
        ({"error": "Bad Request: no bridge", "statusCode": 400}, Step.BROKERAGE, Meaning.BROKERAGE_CLOSED),
        ({"error": {"message": "no bridge"}}, Step.BROKERAGE, Meaning.BROKERAGE_CLOSED),
        ({"error": "not authenticated"}, Step.SESSION, Meaning.LOGIN_REQUIRED),
        ({"error": "not authenticated"}, Step.BROKERAGE, Meaning.BROKERAGE_CLOSED),
        ({"error": "Please query /accounts first"}, Step.BROKERAGE, Meaning.ACCOUNTS_FIRST),
        # What is needed is there, so the error beside it decides nothing.
        ({"error": "no bridge", "session": "x"}, Step.SESSION, None),
        ({"hmds": {"error": "no bridge"}}, Step.SESSION, None),
        ({"fail": "Force compete capability"}, Step.SESSION, Meaning.COMPETING),
        ({"message": "not authenticated", "statusCode": 401}, Step.BROKERAGE, Meaning.BROKERAGE_CLOSED),
        ({"competing": False, "message": ""}, Step.SESSION, None),
        ({"error": "something new"}, Step.SESSION, None),
        ({"error": 5}, Step.SESSION, None),
        ([], Step.SESSION, None),
        ("no bridge", Step.SESSION, None),
    ],
)
def test_errors_with_status_200(payload: object, step: Step, meaning: Meaning | None) -> None:
    verdict = judge_payload(ServerResponse(step, 200), payload)
    assert (None if verdict is None else verdict.meaning) is meaning


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("Force compete capability must be used together with compete flag", Meaning.COMPETING),
        ("FORCE COMPETE capability", Meaning.COMPETING),
        ("competing session", Meaning.COMPETING),
        ("Another session is active", Meaning.COMPETING),
        ("You are already logged in", Meaning.COMPETING),
        ("Force\n\tCompete", Meaning.COMPETING),
        ("force-compete capability", Meaning.COMPETING),
        ("COMPETING_SESSION", Meaning.COMPETING),
        ("Trading session is connected from a different IP address", Meaning.COMPETING),
        ("Another brokerage session is open", Meaning.COMPETING),
        ("Existing session detected", Meaning.COMPETING),
        ("no competing session", None),
        ("not competing", None),
        ("competing: false", None),
        ("There is no other session", None),
        ("Bad Request:  No  Bridge", Meaning.BROKERAGE_CLOSED),
        ("Not\u00a0authenticated", Meaning.LOGIN_REQUIRED),
        ("Please re-login", Meaning.LOGIN_REQUIRED),
        ("Bad Request: no bridge", Meaning.BROKERAGE_CLOSED),
        ("Init session first", Meaning.BROKERAGE_CLOSED),
        ("please query /iserver/accounts first", Meaning.ACCOUNTS_FIRST),
        ("user is not logged in", Meaning.LOGIN_REQUIRED),
        ("Market data farm is connecting", None),
        ("a competent message about computers", None),
        ("", None),
    ],
)
def test_the_words_of_the_gateway(text: str, meaning: Meaning | None) -> None:
    assert meaning_of_words(text) is meaning


@pytest.mark.parametrize("text", ["captive portal", "Guest WiFi", "It works!", "<title>Index of /", "HotSpot"])
def test_texts_of_an_account_do_not_make_a_gateway_another_server(text: str) -> None:
    body = orjson.dumps({"accounts": ["DU1"], "aliases": {"DU1": f"<h1>{text}</h1> {text}"}})
    for step in (Step.SESSION, Step.BROKERAGE):
        assert judge(ServerResponse(step, 200, {"content-type": "application/json"}, body)) is None


def test_the_step_of_a_path() -> None:
    assert step_of("/tickle") is Step.SESSION
    assert step_of("/iserver/auth/ssodh/init") is Step.SESSION
    assert step_of("/iserver/accounts") is Step.BROKERAGE
    assert step_of("/iserver/marketdata/history") is Step.BROKERAGE


def test_every_meaning_has_a_row_and_advice() -> None:
    assert set(ROWS) == set(Meaning)
    for meaning in Meaning:
        for wording in WORDINGS:
            advice = advice_for(meaning, PLACE, wording)
            assert advice.endswith(".")
            assert "{" not in advice
            assert "  " not in advice


def test_what_needs_a_person_is_not_retryable() -> None:
    for meaning, row in ROWS.items():
        if row.pause in (Pause.LOGIN, Pause.LONGEST, Pause.COMPETING):
            assert not row.is_retryable, meaning


def test_nobody_is_sent_to_a_browser_for_another_reason_than_the_login_or_a_wrong_server() -> None:
    for meaning in Meaning:
        sends = "in a browser" in advice_for(meaning, PLACE, FEED_WORDING)
        assert sends is (
            meaning
            in (
                Meaning.LOGIN_REQUIRED,
                Meaning.GONE,
                Meaning.NOT_FOUND,
                Meaning.REDIRECT,
                Meaning.UNEXPECTED_BODY,
                Meaning.CAPTIVE_PORTAL,
            )
        )


def test_advice_does_not_repeat_what_was_chosen() -> None:
    assert "https://h/v1/api" in advice_for(Meaning.NOT_FOUND, Place("https://h", "/portal"))
    assert "https://h/v1/api" not in advice_for(Meaning.NOT_FOUND, Place("https://h", "/ibkr/v1/api"))
    assert "competing='reclaim'" in advice_for(Meaning.COMPETING, PLACE, FEED_WORDING)
    assert "competing='reclaim'" not in advice_for(Meaning.COMPETING, PLACE, RECLAIMING_WORDING)


@pytest.mark.parametrize("step", Step)
def test_every_status_has_a_meaning(step: Step) -> None:
    for status in range(100, 1000):
        verdict = judge(ServerResponse(step, status))
        assert (verdict is None) is (200 <= status < 300 and step is not Step.UPGRADE)
    assert judge(ServerResponse(Step.UPGRADE, None)) is not None


@given(
    step=st.sampled_from(Step),
    status=st.integers(100, 599),
    head=st.sampled_from([b"", b"<html>", b'{"error":"', b"\x1b]0;title\x07", b"<title>Access Denied\r\n"]),
    noise=st.binary(max_size=64),
    filler=st.integers(0, 20_000),
    location=st.text(max_size=20),
)
def test_no_message_shows_a_secret_or_a_control_character(
    step: Step, status: int, head: bytes, noise: bytes, filler: int, location: str
) -> None:
    body = head + noise + b"<b>" * (filler // 3) + f' {{"session":"{SESSION}"}} U1234567 geheim'.encode()
    headers = {"location": location + "geheim", "server": "geheim\x1b[2J"}
    response = ServerResponse(step, status, headers, body, ["geheim"])
    verdict = judge(response) or unexpected(response, "test")
    assert verdict.found.isprintable()
    for secret in (SESSION, SESSION[:20], "U1234567", "geheim"):
        assert secret not in verdict.found


@pytest.mark.parametrize("unit", [b"<script", b"<!--", b"<title>", b"<", b"type=", b'{"error":', b"access "])
def test_a_large_hostile_body_takes_no_long_time(unit: bytes) -> None:
    body = unit * ((20 << 20) // len(unit))
    started_s = time.process_time()
    for status in (200, 403, 503):
        judge(ServerResponse(Step.SESSION, status, {"content-type": "text/html"}, body))
    assert time.process_time() - started_s < 20.0
