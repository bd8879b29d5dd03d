"""The cookie jar: one cookie per name, as the gateway requires."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.rest.cookies import MAX_COOKIE_LENGTH, MAX_COOKIES, CookieJar


class Time:
    """A clock for both, set by hand."""

    now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


def jar(time: Time | None = None) -> CookieJar:
    clock = Time() if time is None else time
    return CookieJar(monotonic_s=clock, time_s=clock)


def test_a_new_jar_sends_nothing() -> None:
    assert jar().header() is None
    assert len(jar()) == 0


def test_several_cookies_of_one_response_and_their_attributes() -> None:
    cookies = jar()
    cookies.update(
        ["x-sess-uuid=0.5c1.7; Path=/v1/api; HttpOnly; Secure", 'JSESSIONID="a b"; Domain=other.example', "c="]
    )
    assert cookies.header() == 'x-sess-uuid=0.5c1.7; JSESSIONID="a b"; c='


def test_the_name_alone_is_the_key() -> None:
    cookies = jar()
    cookies.update(["a=1; Path=/v1/api; Domain=one.example", "b=2"])
    cookies.update(["a=3; Path=/; Domain=two.example"])
    assert cookies.header() == "a=3; b=2"
    cookies.update(["A=4"])
    assert cookies.header() == "a=3; b=2; A=4"


@pytest.mark.parametrize(
    "attributes",
    [
        "Max-Age=0",
        "max-age = -1",
        "Path=/; Max-Age=0; Secure",
        "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "Expires=Thu, 01 Jan 1970 00:00:00 -0000",
        "Expires=Wed, 01-Jan-2020 00:00:00 GMT",
        "Expires=Thu, 01 Jan 2099 00:00:00 GMT; Max-Age=0",
    ],
)
def test_a_cookie_is_deleted(attributes: str) -> None:
    cookies = jar()
    cookies.update(["a=1", "b=2"])
    cookies.update([f"a=; {attributes}"])
    assert cookies.header() == "b=2"
    cookies.update([f"never=1; {attributes}"])
    assert cookies.header() == "b=2"


@pytest.mark.parametrize(
    "attributes",
    [
        "Max-Age=60",
        "Expires=Thu, 01 Jan 2099 00:00:00 GMT",
        "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60",
        "Max-Age=never",
        "Expires=never",
        "Expires=",
        "Expires=Thu, 99 Jan 1970 00:00:00 GMT",
    ],
)
def test_a_cookie_is_kept(attributes: str) -> None:
    cookies = jar()
    cookies.update([f"a=1; {attributes}"])
    assert cookies.header() == "a=1"


def test_a_cookie_expires() -> None:
    time = Time()
    cookies = jar(time)
    cookies.update(["a=1; Max-Age=60", "b=2"])
    time.now_s += 59.9
    assert cookies.header() == "a=1; b=2"
    time.now_s += 0.2
    assert cookies.header() == "b=2"
    assert cookies.values() == ["2"]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "a",
        ";",
        "=1",
        " =1",
        "a b=1",
        "a\x00=1",
        "a=1\r\nX: y",
        "a=1\x7f",
        "\u00e4=1",
        "a=\u00e4",
        "a=" + "x" * MAX_COOKIE_LENGTH,
    ],
)
def test_invalid_cookies_are_ignored(header: str) -> None:
    cookies = jar()
    cookies.update(["kept=1", header])
    assert cookies.header() == "kept=1"


def test_the_number_of_cookies_is_limited() -> None:
    cookies = jar()
    cookies.update(f"c{i}=1" for i in range(MAX_COOKIES + 5))
    assert len(cookies) == MAX_COOKIES
    cookies.update(["c0=2"])
    assert "c0=2;" in f"{cookies.header()};"


def test_clear_and_repr() -> None:
    cookies = jar()
    cookies.update(["a=geheim"])
    assert cookies.values() == ["geheim"]
    assert "geheim" not in repr(cookies)
    cookies.clear()
    assert cookies.header() is None


@given(st.lists(st.text() | st.from_regex(r"[a-c]=[ -~]{0,5}(; (max-age|expires)=.{0,9})?", fullmatch=True)))
def test_the_cookie_header_is_valid_after_any_set_cookie_headers(headers: list[str]) -> None:
    cookies = jar()
    cookies.update(headers)
    header = cookies.header()
    if header is not None:
        assert all(" " <= character <= "~" for character in header)
        names = [pair.split("=")[0] for pair in header.split("; ")]
        assert len(names) == len(set(names)) == len(cookies)
