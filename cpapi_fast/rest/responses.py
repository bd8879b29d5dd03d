"""Converts an HTTP response of the gateway to decoded JSON or a typed error. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import orjson

from cpapi_fast.errors import CpapiError, DecodeError, NotAuthenticatedError, RedirectError, StatusError
from cpapi_fast.protocol.shape import ShapeError
from cpapi_fast.redaction import preview

T = TypeVar("T")

_LOGIN_PATH: Final = "/sso/login"
_LOGIN_PAGE: Final = re.compile(rb"/sso/login|type\s*=\s*[\"']?password|<title>[^<]*\blog\s?-?in\b", re.IGNORECASE)

_STATUS_HINTS: Final = {
    403: "Add your address to the gateway's list of allowed addresses.",
    404: "Check the base URL, which usually ends in /v1/api.",
}


@dataclass(frozen=True, slots=True)
class RestResponse:
    """One HTTP response.

    Attributes:
        path: the requested path, below the base URL.
        status: the HTTP status.
        location: the `Location` header, possibly empty.
        content_type: the `Content-Type` header, possibly empty.
        raw: the body.
        origin: the gateway's origin, for the advice to log in there.
        secrets: texts that no error message may contain.
        date: the `Date` header, possibly empty.
    """

    path: str
    status: int
    location: str
    content_type: str
    raw: bytes
    origin: str
    secrets: Sequence[str]
    date: str = ""

    def decode(self, parse: Callable[[Any], T]) -> T:
        """Decode the JSON of a successful response and pass it to `parse`.

        Returns:
            The result of `parse`.

        Raises:
            NotAuthenticatedError: status 401, a redirect to the login page, or the login page itself.
            RedirectError: another redirect.
            StatusError: another status that is not 2xx.
            DecodeError: the body is HTML or not JSON, or `parse` raised a ShapeError.
        """
        error = self._refusal() or self._html()
        if error is None:
            try:
                return parse(orjson.loads(self.raw))
            except orjson.JSONDecodeError as reason:
                problem = f"the body is not JSON ({reason.msg})"
            except ShapeError as reason:
                problem = str(reason)
            error = self._decode_error(
                f"an unexpected body: {problem}", "Check that the base URL is that of a Client Portal gateway."
            )
        # Raised outside the except block, because its context would be the decoder's error, which has the whole body.
        raise error

    @property
    def _login_advice(self) -> str:
        return f"Log in at {self.origin} in a browser, then try again."

    def _refusal(self) -> CpapiError | None:
        """Return the error for a status other than 2xx; None for 2xx."""
        path, status = self.path, self.status
        if status == 401:
            return NotAuthenticatedError(
                f"{path} returned status 401, so nobody is logged in. {self._login_advice}", status=status, path=path
            )
        if 300 <= status < 400 and self.location:
            return self._redirect()
        if not 200 <= status < 300:
            hint = _STATUS_HINTS.get(status) or ("Try again later." if status >= 500 else "Check the gateway's log.")
            return StatusError(
                f"{path} returned status {status}. {hint} {self._body_start()}", status=status, path=path
            )
        return None

    def _redirect(self) -> CpapiError:
        path, status = self.path, self.status
        try:
            parts = urlsplit(self.location)
            # Without user info and query, which often contain tokens.
            target = f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.netloc else parts.path
            is_login = parts.path.lower().startswith(_LOGIN_PATH)
        except ValueError:
            target, is_login = "an invalid URL", False
        if is_login:
            return NotAuthenticatedError(
                f"{path} redirected to the login page, so nobody is logged in. {self._login_advice}",
                status=status,
                path=path,
            )
        return RedirectError(
            f"{path} returned status {status}, a redirect to {preview(target.encode(), self.secrets)}, which is not "
            "followed. Check the base URL.",
            status=status,
            path=path,
        )

    def _html(self) -> CpapiError | None:
        """Return the error for an HTML page, which gateways send with status 200 without a login; None for others."""
        # Some responses have no content type, so a leading angle bracket counts as well.
        start = self.raw[:256].lstrip(b"\xef\xbb\xbf \t\r\n")
        if "html" not in self.content_type.lower() and not start.startswith(b"<"):
            return None
        if _LOGIN_PAGE.search(self.raw) is not None:
            return NotAuthenticatedError(
                f"{self.path} returned the login page, so nobody is logged in. {self._login_advice}",
                status=self.status,
                path=self.path,
            )
        return self._decode_error("HTML instead of JSON, so probably nobody is logged in", self._login_advice)

    def _decode_error(self, problem: str, advice: str) -> DecodeError:
        return DecodeError(
            f"{self.path} returned {problem}. {advice} {self._body_start()}",
            status=self.status,
            path=self.path,
            preview=preview(self.raw, self.secrets),
        )

    def _body_start(self) -> str:
        text = preview(self.raw, self.secrets)
        return f"The body starts with: {text}" if text else "The body is empty."

    def __repr__(self) -> str:
        return f"RestResponse({self.path!r}, status={self.status}, {len(self.raw)} bytes)"
