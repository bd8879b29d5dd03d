"""Requests: one request to any endpoint, and what the requests of all endpoints share."""

from __future__ import annotations

import abc
import dataclasses
import enum
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar, get_args

import orjson

from cpapi_fast.clock import Clock
from cpapi_fast.errors import ConfigError, StatusError
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.members import check_error
from cpapi_fast.redaction import shown

from .responses import RestResponse

T = TypeVar("T")

#: The HTTP methods of the gateway's endpoints.
Method = Literal["GET", "POST", "PUT", "DELETE"]

#: The value of one query parameter. Those of a sequence are joined by commas.
QueryValue = str | int | float | bool | Sequence[str | int | float | bool]

#: The greatest finite number. NaN is not below it either.
_GREATEST: Final = sys.float_info.max

#: One segment of a path. Without `%`, because an escape could hide a slash or a dot.
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")
#: The usual base path, which belongs to the URL of the client.
_BASE: Final = "/v1/api"


class Requests(abc.ABC):
    """The base of `Client`: a request to any endpoint.

    Args:
        clock: the clock of all timers.
    """

    def __init__(self, clock: Clock) -> None:
        #: The clock of all timers, including those of the WebSocket.
        self.clock: Final = clock

    async def request(
        self, method: Method, path: str, *, json: object = None, params: Mapping[str, QueryValue] | None = None
    ) -> Any:
        """Send one request to any endpoint, and return its decoded JSON. For endpoints without a method of their own.

        Pacing, cookies, headers, redaction and errors are those of all requests. After a lost connection, a GET, PUT or
        DELETE is sent again where that is safe. A POST never is, because it may place an order: after an error of the
        connection, check whether the gateway has received it.

        Args:
            method: `GET`, `POST`, `PUT` or `DELETE`.
            path: the path below the base URL, without query, such as `/iserver/account/orders`.
            json: the body, anything that JSON can represent, without NaN and infinities; None sends no body.
            params: the query parameters. Flags become `true` and `false`, a list is joined by commas, and
                a member of an enum stands for its value.

        Returns:
            The decoded body: a dict, a list, or another JSON value; None for an empty body.

        Raises:
            ConfigError: the method, the path, a parameter or the body is invalid; nothing was sent.
            StatusError: another status than 2xx, or an object with an `error` in place of a result.
            CpapiError: like `tickle`.
        """
        if method not in get_args(Method):
            raise ConfigError(f"method must be one of {', '.join(get_args(Method))}, not {shown(method)}")
        path = check_path(path)
        body, query = _encoded(json), _query(params)
        response = await self._request(method, path, body, query=query, is_repeatable=method != "POST")
        payload = None
        if response.raw.strip():
            payload = response.decode(_checked)
        else:
            response.check()
        self._note_session(path, payload)
        return payload

    @property
    @abc.abstractmethod
    def base_url(self) -> str:
        """The normalized REST base: lower-case host, no default port, no trailing slash."""

    @abc.abstractmethod
    async def _request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        query: Mapping[str, str] | None = None,
        is_body_needed: bool = True,
        is_repeatable: bool = True,
    ) -> RestResponse:
        """Send a request, and return the response with any status except 429."""

    @abc.abstractmethod
    def _note_odd(self, path: str, names: Iterable[str]) -> None:
        """Count members with an unexpected type."""

    @abc.abstractmethod
    def _note_session(self, path: str, payload: object) -> None:
        """Note the session of `/tickle`, and its end by `/logout`."""

    @abc.abstractmethod
    async def prime_accounts(self) -> None:
        """Request the accounts, for a gateway that requires it."""

    async def _get(self, path: str, query: Mapping[str, str] | None, parse: Callable[[Any], T]) -> T:
        """Send a GET and parse its body. If the gateway requires the accounts first, request them and send it again."""
        try:
            return (await self._request("GET", path, query=query)).decode(parse)
        except StatusError as error:
            if error.meaning is not Meaning.ACCOUNTS_FIRST:
                raise
        await self.prime_accounts()
        return (await self._request("GET", path, query=query)).decode(parse)


def check_path(path: str) -> str:
    """Return a valid path below the base URL unchanged.

    Raises:
        ConfigError: it is none. The message states what is wrong, and does not contain a query.
    """
    if not isinstance(path, str):
        raise ConfigError(f"a path must be a str such as '/iserver/accounts', not {shown(path)}")
    if "://" in path or path.startswith("//"):
        raise ConfigError("a path must not contain a host: give only the part below the base URL, '/iserver/accounts'")
    if "?" in path or "#" in path:
        raise ConfigError("a path must not have a query or a fragment: give the query as params={...}")
    if not path.startswith("/"):
        raise ConfigError(f"a path must start with a slash, such as '/iserver/accounts', not {shown(path)}")
    if path.startswith(f"{_BASE}/"):
        raise ConfigError(f"a path is below the base URL, so leave out {_BASE}: {shown(path.removeprefix(_BASE))}")
    for segment in path[1:].split("/"):
        if segment in (".", ".."):
            raise ConfigError("a path must not contain '.' or '..': give the path that it leads to")
        if _SEGMENT.fullmatch(segment) is None:
            what = (
                "an empty part" if not segment else "other characters than ASCII letters, digits and ._~!$&'()*+,;=:@-"
            )
            raise ConfigError(f"a path must not contain {what}: {shown(path)}")
    return path


def _encoded(json: object) -> bytes | None:
    if json is None:
        return None
    try:
        data = orjson.dumps(json)
    except (TypeError, ValueError, RecursionError) as error:
        # Without its text, which may contain a value.
        kind = type(error).__name__
    else:
        # A price that is no number would be sent as null.
        if b"null" in data and _has_no_number(json):
            raise ConfigError("json must not contain NaN or an infinity: JSON has no such numbers")
        return data
    raise ConfigError(
        f"json must be what JSON can represent ({kind}): dicts with str as keys, lists, str, int up to 64 bits, float, "
        "bool, None"
    )


def _has_no_number(value: object) -> bool:
    """Whether a value that JSON can represent contains NaN or an infinity."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, enum.Enum):
        return _has_no_number(value.value)
    if isinstance(value, dict):
        return any(map(_has_no_number, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_has_no_number, value))
    if dataclasses.is_dataclass(value):
        return any(_has_no_number(getattr(value, field.name, None)) for field in dataclasses.fields(value))
    return False


def _query(params: Mapping[str, QueryValue] | None) -> dict[str, str] | None:
    if params is None:
        return None
    if not isinstance(params, Mapping):
        raise ConfigError(f"params must be a dict such as {{'conids': [265598]}}, not {shown(params)}")
    return {_query_name(name): _query_text(name, value) for name, value in params.items()}


def _query_name(name: object) -> str:
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ConfigError(f"the names in params must be printable str, not {shown(name)}")
    return name


def _query_text(name: str, value: object) -> str:
    """Return the text of a parameter.

    Raises:
        ConfigError: the value is invalid. The message names the parameter.
    """
    parts = value if isinstance(value, (list, tuple)) else [value]
    texts = [_part(part) for part in parts]
    if value is parts and any(text is not None and "," in text for text in texts):
        raise ConfigError(f"a part of the list params[{name[:40]!r}] must not contain a comma, which separates them")
    valid = [text for text in texts if text is not None and text.isprintable()]
    if len(valid) < len(texts):
        raise ConfigError(
            f"params[{name[:40]!r}] must be a printable str, a finite number, a bool, or a list of them, not "
            f"{shown(value)}"
        )
    return ",".join(valid)


def _part(value: object) -> str | None:
    """Return the text of one value; None for an invalid one."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value)
    if not isinstance(value, (int, float)) or not -_GREATEST <= value <= _GREATEST:
        return None
    return str(value)


def _checked(payload: Any) -> Any:
    check_error(payload)
    return payload
