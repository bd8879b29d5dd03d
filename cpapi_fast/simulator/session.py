"""The two levels of session: the login, and the brokerage session inside it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any


class GatewaySession:
    """The state of the login and of the brokerage session. It does no I/O: `announce` sends the changes.

    Attributes:
        id: the session id, 32 hex digits. A secret: it must not be logged.
        is_logged_in: whether a user is logged in.
        is_authenticated: whether the brokerage session is open and belongs to this login.
        is_competing: whether another login of the same user has the brokerage session.
        changes_at_tickle: whether each `/tickle` changes the session id.
        has_read_accounts: whether `/iserver/accounts` was called in this brokerage session.
        announce: called with the `sts` fragment of each change.
        on_brokerage_open: called when the brokerage session opens.
        on_brokerage_end: called when the brokerage session ends, before `announce`.
    """

    def __init__(self, *, seed: int, is_logged_in: bool, has_brokerage: bool) -> None:
        self._random = Random(f"{seed}/session")
        self.announce: Callable[[dict[str, Any]], None] = lambda _fragment: None
        self.on_brokerage_end: Callable[[], None] = lambda: None
        self.on_brokerage_open: Callable[[], None] = lambda: None
        self.is_logged_in = is_logged_in
        self.is_authenticated = is_logged_in and has_brokerage
        self.is_competing = False
        self.changes_at_tickle = False
        self.has_read_accounts = False
        self._next_stream = 0
        self._next_history = 340_000
        self.id = ""
        self.change_id()

    def change_id(self) -> None:
        """Change the session id without an `sts` frame."""
        self.id = f"{self._random.getrandbits(128):032x}"

    def next_server_id(self) -> str:
        """The next of `q0`, `q1`, ..., counted over the whole brokerage session and all sockets."""
        self._next_stream += 1
        return f"q{self._next_stream - 1}"

    def next_history_id(self) -> str:
        """The next `serverId` of an `smh`."""
        self._next_history += 1
        return str(self._next_history)

    def log_in(self, *, has_brokerage: bool = True) -> None:
        """Log in with a new session id; with `has_brokerage`, open the brokerage session too."""
        self.change_id()
        self.is_logged_in = True
        self.is_competing = False
        if has_brokerage:
            self.open_brokerage(compete=True)

    def log_out(self) -> None:
        """End the login and the brokerage session."""
        self.end_brokerage()
        self.is_logged_in = False
        self.is_competing = False

    def open_brokerage(self, *, compete: bool) -> None:
        """Open the brokerage session, as `ssodh/init` does. Takes it from another login only with `compete`."""
        if not self.is_logged_in or (self.is_competing and not compete):
            return
        if self.is_competing:
            self.is_competing = False
            self.announce({"competing": False})
        if not self.is_authenticated:
            self.is_authenticated = True
            self.has_read_accounts = False
            self._next_stream = 0
            self.announce({"authenticated": True})
            self.on_brokerage_open()

    def end_brokerage(self) -> None:
        """End the brokerage session. Its streams stop without a frame."""
        if self.is_authenticated:
            self.is_authenticated = False
            self.on_brokerage_end()
            self.announce({"authenticated": False})

    def start_competing(self) -> None:
        """Let another login of the same user take the brokerage session."""
        self.end_brokerage()
        if self.is_logged_in and not self.is_competing:
            self.is_competing = True
            self.announce({"competing": True})

    def stop_competing(self) -> None:
        """End the other login. The brokerage session stays closed until `ssodh/init`."""
        if self.is_competing:
            self.is_competing = False
            self.announce({"competing": False})
