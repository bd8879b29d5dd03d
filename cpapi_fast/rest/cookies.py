"""A cookie jar keyed by name only, because the gateway rejects two cookies with one name as a session mismatch.

Other jars also key by domain and path, and drop cookies of hosts that are IP addresses. This jar is for one gateway, so
it ignores Domain, Path and Secure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

#: The limits for the number of cookies and the length of each. Others are ignored, which bounds the `Cookie` header.
MAX_COOKIES: Final = 64
MAX_COOKIE_LENGTH: Final = 4096

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The characters of RFC 6265, and also double quotes, commas, spaces and backslashes, because servers send them.
_VALUE: Final = re.compile(r"[ !-:<-~]*")


class CookieJar:
    """The cookies to send, one per name.

    Args:
        monotonic_s: the clock for Max-Age, in seconds.
        time_s: the clock for Expires, in seconds since the Unix epoch.
    """

    __slots__ = ("_cookies", "_monotonic_s", "_time_s")

    def __init__(self, *, monotonic_s: Callable[[], float], time_s: Callable[[], float]) -> None:
        self._monotonic_s: Final = monotonic_s
        self._time_s: Final = time_s
        #: name -> (value, expiry by `monotonic_s`, or None)
        self._cookies: dict[str, tuple[str, float | None]] = {}

    def update(self, set_cookie_headers: Iterable[str]) -> None:
        """Store the cookies of the `Set-Cookie` headers of a response. Invalid headers are ignored."""
        for header in set_cookie_headers:
            pair, *attributes = header.split(";")
            name, separator, value = pair.partition("=")
            name, value = name.strip(" \t"), value.strip(" \t")
            if not separator or len(pair) > MAX_COOKIE_LENGTH:
                continue
            if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
                continue
            lifetime_s = self._lifetime_s(attributes)
            if lifetime_s is not None and lifetime_s <= 0:
                self._cookies.pop(name, None)
            elif name in self._cookies or len(self._cookies) < MAX_COOKIES:
                ends_s = None if lifetime_s is None else self._monotonic_s() + lifetime_s
                self._cookies[name] = (value, ends_s)

    def header(self) -> str | None:
        """Return the value of the `Cookie` header; None if there is no cookie."""
        now_s = self._monotonic_s()
        self._cookies = {name: c for name, c in self._cookies.items() if c[1] is None or c[1] > now_s}
        return "; ".join(f"{name}={value}" for name, (value, _) in self._cookies.items()) or None

    def values(self) -> list[str]:
        """Return the values of all cookies, for redaction."""
        return [value for value, _ in self._cookies.values()]

    def clear(self) -> None:
        """Remove all cookies."""
        self._cookies.clear()

    def _lifetime_s(self, attributes: list[str]) -> float | None:
        """Return the lifetime of a cookie in seconds; None if it does not expire. Max-Age overrides Expires."""
        expires: float | None = None
        for attribute in attributes:
            name, _, value = attribute.partition("=")
            name, value = name.strip().lower(), value.strip()
            if name == "max-age" and re.fullmatch(r"-?[0-9]{1,18}", value):
                return float(value)
            if name == "expires":
                try:
                    when = parsedate_to_datetime(value)
                except ValueError:
                    continue
                if when.tzinfo is None:
                    when = when.replace(tzinfo=UTC)
                expires = when.timestamp() - self._time_s()
        return expires

    def __len__(self) -> int:
        return len(self._cookies)

    def __repr__(self) -> str:
        return f"CookieJar({len(self._cookies)} cookies)"
