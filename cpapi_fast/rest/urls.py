"""Parses the base URL of a gateway, and derives its origin and the URL of its WebSocket."""

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
    """The parts of a gateway's REST base `scheme://host:port/path`, normalized.

    Attributes:
        scheme: `http` or `https`.
        host: lower case, without brackets.
        port: the given port, or the default of the scheme.
        path: empty, or a path that starts with a slash and does not end with one.
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> BaseUrl:
        """Parse and normalize a base URL.

        Raises:
            ConfigError: `url` is not a valid base URL. The message contains neither user info nor query, because they
                may contain secrets.
        """
        if not isinstance(url, str):
            raise ConfigError(f"a base URL must be a str {_EXAMPLE}, not {type(url).__name__}")
        # urlsplit silently drops tabs and newlines.
        if not all("!" <= character <= "~" for character in url) or "\\" in url:
            raise ConfigError(f"a base URL must be printable ASCII without spaces or backslashes, {_EXAMPLE}")
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ConfigError(f"the base URL has an invalid host. Use a URL {_EXAMPLE}.") from None
        # In `localhost:5000`, urlsplit takes the host for the scheme.
        if parts.scheme not in _DEFAULT_PORTS or "://" not in url:
            raise ConfigError(f"a base URL must start with https:// or http://, {_EXAMPLE}")
        if "@" in parts.netloc:
            raise ConfigError(f"a base URL must not contain a user name or password. Use a URL {_EXAMPLE}.")
        if "?" in url:
            raise ConfigError(f"a base URL must not have a query (from '?' on). Use a URL {_EXAMPLE}.")
        if "#" in url:
            raise ConfigError(f"a base URL must not have a fragment (from '#' on). Use a URL {_EXAMPLE}.")
        # Some versions of urlsplit accept brackets anywhere in the host.
        if re.fullmatch(r"[^\[\]]*|\[[^\[\]]+\](:[^\[\]]*)?", parts.netloc) is None:
            raise ConfigError(f"the base URL has an invalid host. Use a URL {_EXAMPLE}.")
        return cls(parts.scheme, _host(parts.hostname), _port(parts.netloc, parts.scheme), parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """Host and port as in a URL: with brackets around IPv6, without the scheme's default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def address(self) -> str:
        """Host and port, for messages: with brackets around IPv6."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port: the `Origin` header."""
        return f"{self.scheme}://{self.authority}"

    @property
    def ws_url(self) -> str:
        """The URL of the gateway's WebSocket."""
        return f"{'wss' if self.scheme == 'https' else 'ws'}://{self.authority}{self.path}/ws"

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"


def ws_url_from_base(base_url: str) -> str:
    """Return the WebSocket URL for a REST base: https becomes wss, http becomes ws, and `/ws` is appended.

    Raises:
        ConfigError: the scheme is not http or https, the host or port is invalid, or there is user info, a query or a
            fragment.
    """
    return BaseUrl.parse(base_url).ws_url


def _host(host: str | None) -> str:
    if not host:
        raise ConfigError(f"the base URL has no host. Use a URL {_EXAMPLE}.")
    if ":" in host:
        try:
            # Python accepts a zone index, but a header cannot contain one.
            if "%" in host:
                raise ValueError
            return ipaddress.IPv6Address(host).compressed
        except ValueError:
            raise ConfigError(f"the base URL has an invalid IPv6 address. Use a URL {_EXAMPLE}.") from None
    if _HOST_NAME.fullmatch(host) is None:
        raise ConfigError(f"the base URL has an invalid host. Use a URL {_EXAMPLE}.")
    return host.lower()


def _port(netloc: str, scheme: str) -> int:
    _, separator, text = netloc.rpartition("]")[2].rpartition(":")
    if not separator or not text:
        return _DEFAULT_PORTS[scheme]
    if re.fullmatch(r"[0-9]{1,5}", text) is None or not 1 <= int(text) <= 65535:
        raise ConfigError(f"the base URL must have a port from 1 to 65535. Use a URL {_EXAMPLE}.")
    return int(text)
