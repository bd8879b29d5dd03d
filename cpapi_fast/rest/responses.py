"""Converts an HTTP response of the gateway to decoded JSON or a typed error. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import orjson

from cpapi_fast.errors import (
    CompetingSessionError,
    CpapiError,
    DecodeError,
    NoSessionError,
    NotAuthenticatedError,
    RedirectError,
    StatusError,
)
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.response_rules import (
    ServerResponse,
    Verdict,
    is_of_gateway,
    judge,
    judge_payload,
    refused,
    step_of,
    unexpected,
)
from cpapi_fast.protocol.response_table import ROWS, Place, advice_for
from cpapi_fast.protocol.shape import ErrorBodyError, ShapeError
from cpapi_fast.redaction import preview

T = TypeVar("T")


class Contact:
    """Whether a gateway has answered at an address, as opposed to any server.

    Attributes:
        has_gateway: whether it has.
        has_succeeded: whether a request has succeeded, so that the base URL is right, and not only host and port.
    """

    __slots__ = ("has_gateway", "has_succeeded")

    def __init__(self, *, has_gateway: bool = False) -> None:
        self.has_gateway = has_gateway
        self.has_succeeded = False


@dataclass(frozen=True, slots=True)
class RestResponse:
    """One HTTP response.

    Attributes:
        path: the requested path, below the base URL.
        status: the HTTP status.
        headers: the headers, by lower-case name.
        raw: the body.
        place: the gateway, for the advice.
        secrets: texts that no error message may contain.
        contact: noted when the response is one of a gateway.
    """

    path: str
    status: int
    headers: Mapping[str, str]
    raw: bytes
    place: Place
    secrets: Sequence[str] = field(default=(), repr=False)
    contact: Contact = field(default_factory=lambda: Contact(has_gateway=True), repr=False)

    def decode(self, parse: Callable[[Any], T]) -> T:
        """Decode the JSON of a successful response and pass it to `parse`.

        Returns:
            The result of `parse`.

        Raises:
            NotAuthenticatedError: status 401, a redirect to the login page, or the login page itself.
            NoSessionError: the brokerage session is not open, in the gateway's words: `no bridge`.
            CompetingSessionError: another login holds the brokerage session, in the gateway's words.
            RedirectError: another redirect.
            StatusError: another status that is not 2xx, or an error in place of a result.
            DecodeError: the body is HTML or not JSON, or `parse` raised a ShapeError.
        """
        contact = self.contact
        response = self._response(is_known=contact.has_gateway)
        verdict = judge(response)
        contact.has_gateway = contact.has_gateway or is_of_gateway(response, verdict)
        if verdict is None:
            try:
                payload = _decoded(self.raw)
                verdict = judge_payload(response, payload)
                if verdict is None:
                    result = parse(payload)
                    contact.has_gateway = contact.has_succeeded = True
                    return result
            except orjson.JSONDecodeError as reason:
                verdict = unexpected(response, f"the body is not JSON ({reason.msg})")
            except ErrorBodyError:
                contact.has_gateway = contact.has_succeeded = True
                verdict = refused(response)
            except ShapeError as reason:
                verdict = unexpected(response, str(reason))
        # Raised outside the except block, because its context would be the decoder's error, which has the whole body.
        raise self._error(verdict)

    def check(self) -> None:
        """Check that a response whose body nobody needs is a success. Reads only the start of a long body.

        Raises:
            CpapiError: like `decode`, except for a body that is not JSON or has an unexpected shape.
        """
        response = self._response(is_known=True)
        verdict = judge(response)
        if verdict is None:
            try:
                verdict = judge_payload(response, orjson.loads(self.raw))
            except orjson.JSONDecodeError:
                # Of a long body only the start is here.
                verdict = None
        if verdict is not None:
            raise self._error(verdict)

    def _response(self, *, is_known: bool) -> ServerResponse:
        return ServerResponse(
            step_of(self.path),
            self.status,
            self.headers,
            self.raw,
            self.secrets,
            is_known=is_known,
            # Every try begins with /tickle, which tells whether the gateway is still there.
            is_base_right=self.contact.has_succeeded and self.path != "/tickle",
        )

    def _error(self, verdict: Verdict) -> CpapiError:
        meaning, status, path = verdict.meaning, self.status, self.path
        advice = advice_for(meaning, replace(self.place, is_known=self.contact.has_gateway))
        subject = f"{self.place.base_path}{path}" if meaning is Meaning.NOT_FOUND else path
        message = f"{subject} {verdict.found}. {advice}"
        if meaning is Meaning.LOGIN_REQUIRED:
            return NotAuthenticatedError(message, status=status, path=path, advice=advice)
        if meaning is Meaning.BROKERAGE_CLOSED:
            return NoSessionError(message, status=status, path=path, meaning=meaning, advice=advice)
        if meaning is Meaning.COMPETING:
            return CompetingSessionError(message, status=status, path=path, advice=advice)
        if 300 <= status < 400 and self.headers.get("location"):
            return RedirectError(message, status=status, path=path, meaning=meaning, advice=advice)
        if 200 <= status < 300 and meaning not in (Meaning.ACCOUNTS_FIRST, Meaning.REFUSED):
            start = preview(self.raw, self.secrets)
            return DecodeError(message, status=status, path=path, meaning=meaning, advice=advice, preview=start)
        is_retryable = ROWS[meaning].is_retryable
        return StatusError(message, status=status, path=path, meaning=meaning, advice=advice, is_retryable=is_retryable)

    def __repr__(self) -> str:
        return f"RestResponse({self.path!r}, status={self.status}, {len(self.raw)} bytes)"


def _decoded(raw: bytes) -> Any:
    """Decode JSON; of an object also if it has bytes that are no UTF-8, or numbers that are too large.

    Such a member is seldom one that anybody needs.

    Raises:
        orjson.JSONDecodeError: the body is not JSON.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        # A reader that tolerates more, and is slower.
        try:
            payload = json.loads(raw.decode("utf-8-sig", "replace"))
        except (ValueError, RecursionError):
            payload = None
        if not isinstance(payload, dict):
            raise
        return payload
