"""The shapes of the gateway's responses, and the cookie that opens the WebSocket."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.errors import HeaderRefusedError, NoSessionError
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.shape import ShapeError
from cpapi_fast.rest.session import Accounts, AuthStatus, SessionTicket, parse_logout
from tests.servers.http import SESSION, TICKLE


def ticket(**members: Any) -> SessionTicket:
    return SessionTicket.parse(members, b"raw", 1)


def test_a_ticket_of_a_logged_in_gateway() -> None:
    payload = json.loads(TICKLE)
    parsed = SessionTicket.parse(payload, TICKLE, 5)
    assert parsed.session == SESSION
    assert (parsed.authenticated, parsed.connected, parsed.competing, parsed.established) == (True, True, False, None)
    assert parsed.sso_expires_ms == 415890
    assert parsed.raw == TICKLE
    assert parsed.payload is payload
    assert parsed.received_ns == 5
    assert parsed.cookie_header() == f'api={{"session":"{SESSION}"}}'


def test_a_ticket_with_few_members() -> None:
    for parsed in (
        ticket(),
        ticket(session=None, iserver=None, ssoExpires=None),
        ticket(session="", iserver={"authStatus": None}),
    ):
        assert parsed.session is None
        assert (parsed.authenticated, parsed.connected, parsed.competing, parsed.established) == (None,) * 4
        assert parsed.sso_expires_ms is None
        with pytest.raises(NoSessionError, match="Log in"):
            parsed.cookie_header()
    assert ticket(error="not authenticated").payload == {"error": "not authenticated"}
    assert ticket(iserver={"authStatus": {"established": True}}).established is True


@pytest.mark.parametrize(
    ("payload", "member"),
    [
        ([], "the body"),
        ("text", "the body"),
        (None, "the body"),
        (5, "the body"),
        ({"session": 5}, "session"),
        ({"session": {"id": "x"}}, "session"),
    ],
)
def test_a_ticket_with_an_unexpected_shape(payload: object, member: str) -> None:
    with pytest.raises(ShapeError, match=member):
        SessionTicket.parse(payload, b"", 0)


@pytest.mark.parametrize(
    ("payload", "odd", "expected"),
    [
        ({"iserver": []}, "iserver", None),
        ({"iserver": {"authStatus": "yes"}}, "iserver.authStatus", None),
        ({"iserver": {"authStatus": {"authenticated": "true"}}}, "iserver.authStatus.authenticated", True),
        ({"iserver": {"authStatus": {"authenticated": "False"}}}, "iserver.authStatus.authenticated", False),
        ({"iserver": {"authStatus": {"authenticated": 1}}}, "iserver.authStatus.authenticated", True),
        ({"iserver": {"authStatus": {"authenticated": 2}}}, "iserver.authStatus.authenticated", None),
        ({"iserver": {"authStatus": {"authenticated": "maybe"}}}, "iserver.authStatus.authenticated", None),
        ({"iserver": {"authStatus": {"authenticated": [True]}}}, "iserver.authStatus.authenticated", None),
    ],
)
def test_a_flag_of_another_type_is_read_if_it_is_clear(payload: Any, odd: str, expected: bool | None) -> None:
    parsed = ticket(session=SESSION, **payload)
    assert (parsed.session, parsed.authenticated, parsed.odd) == (SESSION, expected, (odd,))


@pytest.mark.parametrize(
    ("value", "expected", "is_odd"),
    [
        (415890, 415890, False),
        (None, None, False),
        (500000.0, 500000, True),
        (500000.9, 500000, True),
        ("500000", 500000, True),
        ("5e5", 500000, True),
        ("soon", None, True),
        ("nan", None, True),
        (float("inf"), None, True),
        (True, None, True),
        ([], None, True),
        ("9" * 5000, None, True),
    ],
)
def test_a_lifetime_of_another_type_is_read_if_it_is_clear(value: object, expected: int | None, is_odd: bool) -> None:
    parsed = ticket(session=SESSION, ssoExpires=value)
    assert (parsed.sso_expires_ms, parsed.odd) == (expected, ("ssoExpires",) if is_odd else ())


WORDS = "Force compete capability must be used together with compete flag"


@pytest.mark.parametrize(
    ("status", "words", "said", "is_held_elsewhere"),
    [
        ({"authenticated": False, "fail": WORDS}, WORDS, Meaning.COMPETING, True),
        ({"authenticated": False, "message": WORDS, "fail": ""}, WORDS, Meaning.COMPETING, True),
        ({"authenticated": False, "prompts": ["x", WORDS, 5]}, f"x; {WORDS}", Meaning.COMPETING, True),
        ({"fail": WORDS}, WORDS, Meaning.COMPETING, True),
        ({"passed": False, "fail": WORDS}, WORDS, Meaning.COMPETING, True),
        ({"authenticated": False, "competing": True}, "", None, True),
        ({"authenticated": True, "fail": WORDS}, WORDS, Meaning.COMPETING, False),
        ({"authenticated": True, "competing": True}, "", None, False),
        ({"authenticated": False, "fail": "a new text"}, "a new text", None, False),
        ({"authenticated": False, "fail": "a", "message": "a"}, "a", None, False),
        ({"authenticated": False, "fail": None, "message": "  ", "prompts": {}}, "", None, False),
        ({"authenticated": False, "fail": "no bridge"}, "no bridge", Meaning.BROKERAGE_CLOSED, False),
        (
            {"authenticated": False, "fail": "\x1b]0;x\x07 of U1234567\n" + SESSION},
            r"\x1b]0;x\x07 of [redacted] [redacted]",
            None,
            False,
        ),
    ],
)
def test_the_words_of_the_gateway_about_the_session(
    status: dict[str, Any], words: str, said: Meaning | None, is_held_elsewhere: bool
) -> None:
    of_ticket = ticket(session=SESSION, iserver={"authStatus": status})
    of_status = AuthStatus.parse(status)
    for parsed in (of_ticket, of_status):
        assert (parsed.words, parsed.said, parsed.is_held_elsewhere) == (words, said, is_held_elsewhere)
        assert "a new text" not in repr(parsed)


@pytest.mark.parametrize(
    "session",
    ["a\r\nX: y", "a\n", "a\x00b", "a\x7f", 'a"b', "a\\b", "a;b", "a,b", "a b", "\u00e4", "a\ud800", "a" * 4097],
)
def test_a_session_id_that_is_not_valid_in_a_header_is_refused_and_not_shown(session: str) -> None:
    secretive = f"geheim{session}" if len(session) < 4097 else session
    with pytest.raises(HeaderRefusedError, match="Log in to the gateway again") as caught:
        ticket(session=secretive).cookie_header()
    assert "geheim" not in str(caught.value)
    assert "aaaa" not in str(caught.value)
    assert not caught.value.is_retryable


@given(st.text(min_size=1))
def test_every_returned_cookie_header_is_valid(session: str) -> None:
    try:
        header = ticket(session=session).cookie_header()
    except HeaderRefusedError:
        return
    assert all("!" <= character <= "~" for character in header)
    assert json.loads(header.removeprefix("api=")) == {"session": session}
    assert ";" not in header
    assert "," not in header


def test_an_auth_status() -> None:
    status = AuthStatus.parse(
        {
            "authenticated": True,
            "connected": True,
            "competing": False,
            "established": True,
            "message": "hi",
            "fail": None,
        }
    )
    assert (status.authenticated, status.connected, status.competing, status.established) == (True, True, False, True)
    assert (status.message, status.fail) == ("hi", "")
    logged_out = {"authenticated": False, "established": False, "competing": False, "connected": False, "MAC": None}
    assert not AuthStatus.parse(logged_out).connected
    assert AuthStatus.parse({"authenticated": False, "connected": True, "competing": True}).competing
    assert AuthStatus.parse({"authenticated": False, "connected": True}).competing is False


@pytest.mark.parametrize(
    "payload",
    [
        [],
        {},
        {"message": 5},
        {"error": ""},
        {"MAC": "00:11"},
    ],
)
def test_an_auth_status_with_an_unexpected_shape(payload: object) -> None:
    with pytest.raises(ShapeError):
        AuthStatus.parse(payload)


def test_an_auth_status_with_few_or_odd_members() -> None:
    short = AuthStatus.parse({"passed": True, "authenticated": True, "competing": False})
    assert (short.authenticated, short.connected, short.passed, short.odd) == (True, None, True, ())
    assert AuthStatus.parse({"passed": False}).authenticated is False
    assert AuthStatus.parse({"passed": True}).authenticated is None
    odd = AuthStatus.parse({"authenticated": 1, "connected": "x", "competing": None, "message": 5, "fail": ["x"]})
    assert (odd.authenticated, odd.connected, odd.competing, odd.message, odd.fail) == (True, None, False, "", "")
    assert set(odd.odd) == {"authenticated", "connected", "message", "fail"}


def test_accounts() -> None:
    parsed = Accounts.parse({"accounts": ["U1234567", "DU1234567"], "selectedAccount": "U1234567", "aliases": {}})
    assert parsed.ids == ("U1234567", "DU1234567")
    assert parsed.selected == "U1234567"
    assert Accounts.parse({"accounts": []}).selected is None


@pytest.mark.parametrize("payload", [[], {}, {"accounts": "U1234567"}, {"accounts": [5]}, {"accounts": None}])
def test_accounts_with_an_unexpected_shape(payload: object) -> None:
    with pytest.raises(ShapeError):
        Accounts.parse(payload)


def test_logout() -> None:
    assert parse_logout({"status": True}) is True
    assert parse_logout({"status": False}) is False
    assert parse_logout({}) is False
    for payload in ([], None, {"status": "x"}):
        with pytest.raises(ShapeError):
            parse_logout(payload)
    assert parse_logout({"status": "true"}) is True


def test_no_repr_shows_a_secret() -> None:
    shown = [
        repr(SessionTicket.parse(json.loads(TICKLE), TICKLE, 5)),
        repr(AuthStatus.parse({"authenticated": True, "connected": True, "message": "U1234567", "MAC": "00:11"})),
        repr(Accounts.parse({"accounts": ["U1234567"], "selectedAccount": "U1234567"})),
    ]
    for text in shown:
        assert not any(secret in text for secret in (SESSION, "U1234567", "00:11", "123456789"))
    assert "authenticated=True" in shown[0]
    assert shown[2] == "Accounts(1 accounts)"


def test_no_shape_error_shows_a_value() -> None:
    with pytest.raises(ShapeError) as caught:
        ticket(session={"geheim": 1})
    assert "geheim" not in str(caught.value)
