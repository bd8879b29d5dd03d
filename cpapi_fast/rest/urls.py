"""The rules for the one URL a user gives, and the addresses that follow from it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from cpapi_fast.errors import ConfigError

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}\.?$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)
_EXAMPLE: Final = "such as 'https://localhost:5000/v1/api'"


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """A gateway's REST base, taken apart: `scheme://host:port/path`, all in one spelling.

    Attributes:
        scheme: `http` or `https`.
        host: lower case, without brackets.
        port: always a number.
        path: empty, or starting with a slash and not ending with one.
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> BaseUrl:
        """Check and normalise a base URL.

        Raises:
            ConfigError: it cannot be the base of a gateway; the message names the reason and never repeats user info
                or a query, which may hold secrets.
        """
        if not isinstance(url, str):
            raise ConfigError(f"a base URL is text {_EXAMPLE}, not {type(url).__name__}")
        # urlsplit drops tabs and line ends without a word, so whatever is not printable ASCII ends here.
        if not all("!" <= character <= "~" for character in url) or "\\" in url:
            raise ConfigError(f"a base URL is printable ASCII without spaces or backslashes, {_EXAMPLE}")
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ConfigError(
                f"the base URL has a host that is neither a name nor an address; give one {_EXAMPLE}"
            ) from None
        # Of a text such as `localhost:5000` the host is taken for the scheme.
        if parts.scheme not in _DEFAULT_PORTS or "://" not in url:
            raise ConfigError(f"a base URL starts with https:// or http://, {_EXAMPLE}")
        if "@" in parts.netloc:
            raise ConfigError(f"a base URL has no user name or password in it; give one {_EXAMPLE}")
        if "?" in url:
            raise ConfigError(f"a base URL has no query (nothing from '?' on); give one {_EXAMPLE}")
        if "#" in url:
            raise ConfigError(f"a base URL has no fragment (nothing from '#' on); give one {_EXAMPLE}")
        # Some versions of urlsplit take brackets anywhere in the host.
        if re.fullmatch(r"[^\[\]]*|\[[^\[\]]+\](:[^\[\]]*)?", parts.netloc) is None:
            raise ConfigError(f"the base URL has a host that is neither a name nor an address; give one {_EXAMPLE}")
        return cls(parts.scheme, _host(parts.hostname), _port(parts.netloc, parts.scheme), parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """Host and port as a URL has them: brackets around IPv6, no port where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """What a browser on a page of the gateway sends as Origin."""
        return f"{self.scheme}://{self.authority}"

    @property
    def ws_url(self) -> str:
        """Where the gateway's WebSocket is."""
        return f"{'wss' if self.scheme == 'https' else 'ws'}://{self.authority}{self.path}/ws"

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"


def ws_url_from_base(base_url: str) -> str:
    """The WebSocket's URL for a REST base: https becomes wss, http becomes ws, and `/ws` is appended.

    Raises:
        ConfigError: another scheme, no host, a bad port, user info, a query or a fragment.
    """
    return BaseUrl.parse(base_url).ws_url


def _host(host: str | None) -> str:
    if not host:
        raise ConfigError(f"the base URL has no host; give one {_EXAMPLE}")
    if ":" in host:
        try:
            # A zone, which Python would take, is no part of a URL that a header can carry.
            if "%" in host:
                raise ValueError
            return ipaddress.IPv6Address(host).compressed
        except ValueError:
            raise ConfigError(f"the base URL has an IPv6 address that is none; give one {_EXAMPLE}") from None
    if _HOST_NAME.fullmatch(host) is None:
        raise ConfigError(f"the base URL has a host that is neither a name nor an address; give one {_EXAMPLE}")
    return host.lower()


def _port(netloc: str, scheme: str) -> int:
    _, separator, text = netloc.rpartition("]")[2].rpartition(":")
    if not separator or not text:
        return _DEFAULT_PORTS[scheme]
    if re.fullmatch(r"[0-9]{1,5}", text) is None or not 1 <= int(text) <= 65535:
        raise ConfigError(f"the base URL has a port that is not a number from 1 to 65535; give one {_EXAMPLE}")
    return int(text)
