"""The two levels of session: the outer one (somebody logged in) and the brokerage one inside it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any


class Session:
    """Who is logged in, and whether the brokerage session is open. Pure state: telling the sockets is `announce`'s job.

    Attributes:
        id: the outer session's id, 32 hex digits; a secret as far as logs are concerned.
        is_logged_in: the outer session lives.
        is_authenticated: the brokerage session is open and ours.
        is_competing: another login of the same user holds the brokerage session.
        has_read_accounts: `/iserver/accounts` was called in this brokerage session.
        announce: called with each `sts` fragment that the change of state sends.
        on_brokerage_end: called when the brokerage session ends, before the announcement.
    """

    def __init__(self, *, seed: int, is_logged_in: bool, has_brokerage: bool) -> None:
        self._random = Random(f"{seed}/session")
        self.announce: Callable[[dict[str, Any]], None] = lambda _fragment: None
        self.on_brokerage_end: Callable[[], None] = lambda: None
        self.on_brokerage_open: Callable[[], None] = lambda: None
        self.is_logged_in = is_logged_in
        self.is_authenticated = is_logged_in and has_brokerage
        self.is_competing = False
        self.has_read_accounts = False
        self._next_stream = 0
        self._next_history = 340_000
        self.id = ""
        self.renew()

    def renew(self) -> None:
        """A new session id; nobody is told."""
        self.id = f"{self._random.getrandbits(128):032x}"

    def next_server_id(self) -> str:
        """`q0`, `q1`, ...: counts up over the whole brokerage session, across sockets."""
        self._next_stream += 1
        return f"q{self._next_stream - 1}"

    def next_history_id(self) -> str:
        """The `serverId` of an `smh`."""
        self._next_history += 1
        return str(self._next_history)

    def log_in(self, *, has_brokerage: bool = True) -> None:
        """Somebody logs in by browser: a new session, usually with its brokerage session."""
        self.renew()
        self.is_logged_in = True
        self.is_competing = False
        if has_brokerage:
            self.open_brokerage(compete=True)

    def log_out(self) -> None:
        """Both levels end."""
        self.end_brokerage()
        self.is_logged_in = False
        self.is_competing = False

    def open_brokerage(self, *, compete: bool) -> None:
        """What ssodh/init does. Against another login only with `compete`."""
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
        """The brokerage session ends: its streams stop without a word of their own."""
        if self.is_authenticated:
            self.is_authenticated = False
            self.on_brokerage_end()
            self.announce({"authenticated": False})

    def compete(self) -> None:
        """Another login of the same user takes the brokerage session."""
        self.end_brokerage()
        if self.is_logged_in and not self.is_competing:
            self.is_competing = True
            self.announce({"competing": True})

    def stop_competing(self) -> None:
        """The other login goes away. The brokerage session stays closed until ssodh/init."""
        if self.is_competing:
            self.is_competing = False
            self.announce({"competing": False})
