"""What an HTTP answer of the gateway amounts to: the decoded JSON, or the one error that says what to do. No I/O."""

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
    403: "is your address on the gateway's list of allowed ones?",
    404: "is the base URL right? It usually ends in /v1/api",
}


@dataclass(frozen=True, slots=True)
class RestResponse:
    """One answer as it came.

    Attributes:
        path: the path that was asked, below the base URL.
        status: the HTTP status.
        location: where a redirect leads, else empty.
        content_type: as sent, perhaps empty.
        raw: the body.
        origin: of the gateway, for the advice where to log in.
        secrets: texts that must not appear in any message.
        date: the header of this name, perhaps empty: what time it is there.
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
        """The JSON of a successful answer, read by `parse`.

        Raises:
            NotAuthenticatedError: 401, a redirect to the login page, or the page itself.
            RedirectError, StatusError: another redirect, another status than 2xx.
            DecodeError: HTML, no JSON, or `parse` raised a ShapeError.
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
                f"something unexpected: {problem}; is this a Client Portal gateway, and is the base URL right?"
            )
        # Raised out here so that no decoder's error, which holds the whole body, is its context.
        raise error

    @property
    def _login_advice(self) -> str:
        return f"log in at {self.origin} in a browser, then try again"

    def _refusal(self) -> CpapiError | None:
        """The error of a status that is no success."""
        path, status = self.path, self.status
        if status == 401:
            return NotAuthenticatedError(
                f"{path} answered 401, so the gateway wants a login; {self._login_advice}", status=status, path=path
            )
        if 300 <= status < 400 and self.location:
            return self._redirect()
        if not 200 <= status < 300:
            hint = _STATUS_HINTS.get(status) or ("try again later" if status >= 500 else "look into the gateway's log")
            return StatusError(f"{path} answered {status}; {hint}. {self._starting()}", status=status, path=path)
        return None

    def _redirect(self) -> CpapiError:
        path, status = self.path, self.status
        try:
            parts = urlsplit(self.location)
            # Without user info and query, which often hold tokens.
            target = f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.netloc else parts.path
            is_login = parts.path.lower().startswith(_LOGIN_PATH)
        except ValueError:
            target, is_login = "something that is no URL", False
        if is_login:
            return NotAuthenticatedError(
                f"{path} redirected to the login page, so the gateway wants a login; {self._login_advice}",
                status=status,
                path=path,
            )
        return RedirectError(
            f"{path} answered {status} with a redirect to {preview(target.encode(), self.secrets)}, which "
            "is not followed; is the base URL right?",
            status=status,
            path=path,
        )

    def _html(self) -> CpapiError | None:
        """The error of a page in place of JSON: what gateways send with status 200 when nobody is logged in."""
        # An opening angle bracket tells as much as the content type, which some forget.
        start = self.raw[:256].lstrip(b"\xef\xbb\xbf \t\r\n")
        if "html" not in self.content_type.lower() and not start.startswith(b"<"):
            return None
        if _LOGIN_PAGE.search(self.raw) is not None:
            return NotAuthenticatedError(
                f"{self.path} answered with the login page, so the gateway wants a login; {self._login_advice}",
                status=self.status,
                path=self.path,
            )
        return self._decode_error(f"HTML in place of JSON, so the gateway probably wants a login; {self._login_advice}")

    def _decode_error(self, what: str) -> DecodeError:
        return DecodeError(
            f"{self.path} answered with {what}. {self._starting()}",
            status=self.status,
            path=self.path,
            preview=preview(self.raw, self.secrets),
        )

    def _starting(self) -> str:
        text = preview(self.raw, self.secrets)
        return f"The body starts: {text}" if text else "The body is empty"

    def __repr__(self) -> str:
        return f"RestResponse({self.path!r}, status={self.status}, {len(self.raw)} bytes)"
