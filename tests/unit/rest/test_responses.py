"""HTTP responses: the error for each, its advice, and that no error contains a secret."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.errors import (
    CompetingSessionError,
    CpapiError,
    DecodeError,
    NoSessionError,
    NotAuthenticatedError,
    RedirectError,
    SessionError,
    StatusError,
)
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.response_table import ROWS, Place, advice_for
from cpapi_fast.protocol.shape import ShapeError
from cpapi_fast.rest.responses import RestResponse
from cpapi_fast.rest.session import Accounts, SessionTicket
from tests.servers.http import SESSION
from tests.support.refusals import REFUSALS, Refusal

ORIGIN = "https://localhost:5000"


def an_answer(
    raw: bytes = b"{}", *, status: int = 200, location: str = "", content_type: str = "application/json"
) -> RestResponse:
    headers = {"location": location, "content-type": content_type}
    return RestResponse("/tickle", status, headers, raw, Place(ORIGIN, "/v1/api"), ["geheim"])


def decode(answer: RestResponse) -> Any:
    return answer.decode(lambda payload: payload)


def error_of(answer: RestResponse) -> SessionError:
    with pytest.raises(SessionError) as caught:
        decode(answer)
    assert caught.value.path == "/tickle"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


@pytest.mark.parametrize("status", [200, 201, 204])
@pytest.mark.parametrize("content_type", ["application/json", "application/json;charset=utf-8", "", "text/plain"])
def test_a_success_is_decoded(status: int, content_type: str) -> None:
    assert decode(an_answer(b' {"a": [1.5]}', status=status, content_type=content_type)) == {"a": [1.5]}


@pytest.mark.parametrize(
    "answer",
    [
        an_answer(b"", status=401),
        an_answer(b'{"error":"no"}', status=401),
        an_answer(b"<html>", status=401, content_type="text/html"),
        an_answer(b"", status=302, location="/sso/Login?forwardTo=22&RL=1&ip2loc=on"),
        an_answer(b"", status=302, location="https://localhost:5000/sso/Login?forwardTo=22"),
        an_answer(b"", status=303, location="https://other.example/SSO/login"),
        an_answer(b"", status=307, location="/sso/Login"),
        an_answer(b"<!doctype html><title>IB Key Login</title>", content_type="text/html"),
        an_answer(b"<title>Log in</title>", content_type=""),
        an_answer(b'<a href="/sso/Login?x">here</a>', content_type="text/html"),
        an_answer(b"\xef\xbb\xbf \r\n<input type='password'>", content_type="application/json"),
        an_answer(b"<form><INPUT TYPE = PASSWORD></form>", content_type="TEXT/HTML"),
    ],
)
def test_responses_of_a_gateway_without_a_login(answer: RestResponse) -> None:
    error = error_of(answer)
    assert type(error) is NotAuthenticatedError
    assert not error.is_retryable
    assert error.status == answer.status
    assert f"Log in at {ORIGIN} in a browser" in str(error)


@pytest.mark.parametrize(
    ("status", "is_retryable", "advice"),
    [
        (400, False, "log"),
        (403, False, "ips/allow"),
        (404, False, "/v1/api"),
        (408, True, "later"),
        (410, False, "Log in"),
        (411, False, "log"),
        (500, True, "Wait"),
        (503, True, "Wait"),
        (304, False, "log"),
        (302, False, "log"),
    ],
)
def test_another_status(status: int, is_retryable: bool, advice: str) -> None:
    error = error_of(an_answer(b'{"error":"something new"}', status=status))
    assert type(error) is StatusError
    assert error.status == status
    assert error.is_retryable is is_retryable
    assert advice in str(error)
    assert '"something new"' in str(error)
    assert str(error).endswith(error.advice)


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
@pytest.mark.parametrize("path", ["/tickle", "/iserver/marketdata/history"])
def test_every_response_has_the_error_of_its_meaning(case: Refusal, path: str) -> None:
    response = RestResponse(path, case.status, case.headers, case.body, Place(ORIGIN, "/v1/api"))
    with pytest.raises(SessionError) as caught:
        response.decode(Accounts.parse)
    error = caught.value
    meaning = case.meaning if path == "/tickle" else case.at_brokerage
    assert error.meaning is meaning
    assert error.is_retryable is ROWS[meaning].is_retryable
    assert (error.status, error.path) == (case.status, path)
    assert error.advice == advice_for(meaning, Place(ORIGIN, "/v1/api"))
    assert f"{path} " in str(error)
    assert str(error).endswith(error.advice)
    assert "secret" not in str(error)
    kind = {
        Meaning.LOGIN_REQUIRED: NotAuthenticatedError,
        Meaning.BROKERAGE_CLOSED: NoSessionError,
        Meaning.COMPETING: CompetingSessionError,
        Meaning.REDIRECT: RedirectError,
        Meaning.UNEXPECTED_BODY: DecodeError,
    }
    assert type(error) is kind.get(meaning, StatusError)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://other.example/v1/api?token=geheim", "https://other.example/v1/api,"),
        ("https://user:geheim@other.example/x", "https://other.example/x"),
        ("/elsewhere", "/elsewhere"),
        ("/v1/sso/Login-not", "/v1/sso/Login-not"),
        ("http://[broken", "an invalid URL"),
        (f"/{SESSION}/x", "/[redacted]/x"),
        ("/a\r\nb", "redirect to"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_another_redirect(status: int, location: str, shown: str) -> None:
    error = error_of(an_answer(b"", status=status, location=location))
    assert type(error) is RedirectError
    assert not error.is_retryable
    assert shown in str(error)
    assert "geheim" not in str(error)
    assert "\n" not in str(error)
    assert "base URL" in str(error)


@pytest.mark.parametrize(
    ("raw", "content_type"),
    [
        (b"<html><body>503 at the moment</body></html>", "text/html; charset=utf-8"),
        (b"<html><body>503 at the moment</body></html>", ""),
        (b" \n<html>", "application/json"),
        (b"plain words", "text/html"),
        (b"", "text/html"),
    ],
)
def test_html_instead_of_json(raw: bytes, content_type: str) -> None:
    error = error_of(an_answer(raw, content_type=content_type))
    assert isinstance(error, DecodeError)
    assert "HTML instead of JSON" in str(error)
    assert "check that you are logged in" in str(error)
    assert "logged in" in error.advice
    assert not error.is_retryable


@pytest.mark.parametrize("raw", [b"", b"{", b"nope", b"\xff", b"[NaN]", b"{}{}", b"[" * 3000])
def test_what_is_not_json(raw: bytes) -> None:
    error = error_of(an_answer(raw))
    assert type(error) is DecodeError
    assert "is not JSON" in str(error)
    assert "check that you are logged in" in str(error)


def test_an_unexpected_shape() -> None:
    answer = an_answer(b'{"session":5,"note":"geheim of U1234567"}')
    with pytest.raises(DecodeError, match="session is not a string") as caught:
        answer.decode(lambda payload: SessionTicket.parse(payload, b"", 0))
    assert caught.value.preview == '{"session":[redacted],"note":"[redacted] of [redacted]"}'
    assert caught.value.status == 200


def test_other_errors_of_the_parser_propagate() -> None:
    def fail(_payload: object) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        an_answer().decode(fail)


def test_repr_shows_no_body() -> None:
    assert repr(an_answer(b"geheim")) == "RestResponse('/tickle', status=200, 6 bytes)"


@given(
    raw=st.binary() | st.text().map(lambda text: text.encode("utf-8", "replace")),
    status=st.integers(100, 599),
    location=st.text(),
    content_type=st.sampled_from(["", "application/json", "text/html"]),
)
def test_every_response_is_a_value_or_a_cpapi_error(raw: bytes, status: int, location: str, content_type: str) -> None:
    def parse(payload: object) -> object:
        if not isinstance(payload, dict):
            raise ShapeError("no object")
        return payload

    secret = f'{{"session":"{SESSION}","account":"U1234567","x":"geheim"}}'.encode()
    answer = an_answer(secret + raw, status=status, location=location + "geheim", content_type=content_type)
    try:
        answer.decode(parse)
    except CpapiError as error:
        for text in (str(error), repr(error), getattr(error, "preview", "")):
            assert not any(word in text for word in (SESSION, "U1234567", "geheim"))
