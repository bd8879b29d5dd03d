"""What listens on a port by what it does there: the ports of TWS, silence, and bytes that no text may carry on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.doctor.context import DOCTOR_WORDING
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.other_servers import TWS_PORTS
from cpapi_fast.protocol.port_rules import PortAnswer, judge_port
from cpapi_fast.protocol.response_table import Place, advice_for
from tests.support.other_servers import response

SILENT, CLOSED = PortAnswer(b"", False, False), PortAnswer(b"", True, False)


@pytest.mark.parametrize("is_https", [False, True])
@pytest.mark.parametrize("answer", [SILENT, CLOSED])
@pytest.mark.parametrize("port", TWS_PORTS)
def test_the_ports_of_tws(port: int, answer: PortAnswer, is_https: bool) -> None:
    verdict = judge_port(answer, is_https=is_https, port=port)
    assert verdict is not None
    assert verdict.meaning is Meaning.TWS_API
    assert f"{port} is the port of the API of {TWS_PORTS[port]}" in verdict.found
    advice = advice_for(verdict.meaning, Place("http://h", "/v1/api"), DOCTOR_WORDING)
    assert "listenPort" in advice
    assert "restart" not in advice


@pytest.mark.parametrize("is_https", [False, True])
def test_other_ports(is_https: bool) -> None:
    closed, silent = (judge_port(answer, is_https=is_https, port=5000) for answer in (CLOSED, SILENT))
    assert closed is not None
    assert silent is not None
    assert (closed.meaning, silent.meaning) == (Meaning.HANGS_UP, Meaning.NO_ANSWER)
    for meaning in (closed.meaning, silent.meaning):
        assert "7497" in advice_for(meaning, Place("http://h", "/v1/api"))


def test_a_server_that_may_be_a_gateway_is_not_named() -> None:
    for answer in (
        PortAnswer(response(401), False, False),
        PortAnswer(response(302, headers=["Location: /sso/Login"]), False, False),
        PortAnswer(response(404), False, False),
    ):
        assert judge_port(answer, is_https=False, port=5000) is None
    # A server that refuses the TLS of this machine speaks TLS.
    assert judge_port(PortAnswer(b"\x15\x03\x01\x00\x02\x02\x46", False, False), is_https=True, port=5000) is None


def test_the_other_scheme() -> None:
    for answer in (PortAnswer(b"", True, True), PortAnswer(b"\x15\x03\x01\x00\x02\x02\x46", False, False)):
        verdict = judge_port(answer, is_https=False, port=5000)
        assert verdict is not None
        assert verdict.meaning is Meaning.WRONG_SCHEME
    verdict = judge_port(PortAnswer(response(404), False, False), is_https=True, port=5000)
    assert verdict is not None
    assert verdict.meaning is Meaning.WRONG_SCHEME
    assert "http://h:5000/v1/api" in advice_for(Meaning.WRONG_SCHEME, Place("https://h:5000", "/v1/api"))
    assert "https://h:5000/v1/api" in advice_for(Meaning.WRONG_SCHEME, Place("http://h:5000", "/v1/api"))


@given(
    head=st.sampled_from(
        [b"", b"SSH-", b"220 ", b"HTTP/1.1 200 OK\r\nServer: ", b"HTTP/1.1 403 x\r\n\r\n", b"\x15\x03"]
    ),
    noise=st.binary(max_size=200),
    has_closed=st.booleans(),
    speaks_tls=st.booleans(),
    is_https=st.booleans(),
    port=st.integers(1, 65535),
)
def test_any_bytes_have_a_printable_verdict_or_none(
    head: bytes, noise: bytes, has_closed: bool, speaks_tls: bool, is_https: bool, port: int
) -> None:
    answer = PortAnswer(head + noise, has_closed, speaks_tls)
    verdict = judge_port(answer, is_https=is_https, port=port)
    if verdict is not None:
        assert verdict.found.isprintable()
        assert "U1234567" not in verdict.found


def test_airplay_that_answers_in_its_own_protocol() -> None:
    data = b"RTSP/1.0 403 Forbidden\r\nContent-Length: 0\r\nServer: AirTunes/770.8.1\r\n\r\n"
    verdict = judge_port(PortAnswer(data, False, False), is_https=True, port=5000)
    assert verdict is not None
    assert verdict.meaning is Meaning.AIRPLAY
