"""FeedSession: the state of the session, from responses over REST and merged `sts` and `act` messages"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from cpapi_fast.feed.machine import SessionFacts
from cpapi_fast.messages.session import AccountsMessage, StatusMessage, SystemMessage
from cpapi_fast.redaction import repr_without_accounts

from .rows import MAX_BYTES, merged

_STATUS_KEYS: Final = frozenset(member.key for member in StatusMessage.members().values())


@repr_without_accounts
@dataclass(frozen=True, slots=True, eq=False)
class FeedSession:
    """The state of the session at one moment; None for what is not known. It does not change.

    Attributes:
        authenticated: whether the brokerage session is open, by the latest response or message.
        connected: whether the gateway is connected to IB, by the same.
        competing: whether another login of the same user competes for the brokerage session, by the same.
        words: the gateway's words about the session, without secrets; often empty.
        status: the latest `sts` message, merged: the gateway sends the whole status on connect and then only what
            changed. None before the first.
        accounts: the accounts of the login (`act`); empty before they are known.
        selected_account: the selected account.
        is_paper: whether the login is of a paper trading account.
        is_current: whether `status` is of the current connection. The gateway sends it again after a reconnect.
    """

    authenticated: bool | None = None
    connected: bool | None = None
    competing: bool | None = None
    words: str = ""
    status: StatusMessage | None = field(default=None, repr=False)
    accounts: tuple[str, ...] = field(default=(), repr=False)
    selected_account: str | None = field(default=None, repr=False)
    is_paper: bool | None = None
    is_current: bool = False

    def __eq__(self, other: object) -> bool:
        """Whether both say the same. The times at which their messages arrived do not count."""
        return isinstance(other, FeedSession) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content()[1:])

    def _content(self) -> tuple[Any, ...]:
        # A message is compared by what it contains, which cannot be hashed.
        status = None if self.status is None else self.status.raw
        return status, *(getattr(self, name) for name in self.__dataclass_fields__ if name != "status")


class SessionMessages:
    """Merges the messages of the session.

    Attributes:
        left_out: how many messages were left out as a whole or in part because they were too large.
    """

    def __init__(self) -> None:
        # Replaced as a whole, so that other threads read one moment.
        self._known = FeedSession()
        self.left_out = 0

    def session(self, facts: SessionFacts) -> FeedSession:
        """Return the state of the session at this moment.

        Args:
            facts: what the state machine knows, which includes responses over REST.
        """
        known = self._known
        return FeedSession(
            facts.authenticated,
            facts.connected,
            facts.competing,
            facts.words,
            known.status,
            known.accounts,
            known.selected_account,
            known.is_paper,
            known.is_current,
        )

    def update(self, message: StatusMessage | AccountsMessage | SystemMessage) -> bool:
        """Merge a message; return whether something changed."""
        before = self._known
        if isinstance(message, StatusMessage):
            self._update_status(message)
        elif isinstance(message, AccountsMessage):
            accounts, selected = message.accounts, message.selected_account
            if sum(map(len, accounts or ())) + len(selected or "") > MAX_BYTES:
                self.left_out += 1
                return False
            self._replace(
                accounts=before.accounts if accounts is None else accounts,
                selected_account=before.selected_account if selected is None else selected,
                is_paper=before.is_paper if message.is_paper is None else message.is_paper,
            )
        elif message.is_paper is not None:
            self._replace(is_paper=message.is_paper)
        return self._known is not before and self._known != before

    def _update_status(self, message: StatusMessage) -> None:
        known = self._known
        update = message.raw.get("args")
        if not isinstance(update, dict):
            return
        # Not merged across connections: the first status of a connection is complete.
        before = known.status.raw["args"] if known.status is not None and known.is_current else None
        members, is_whole = merged(before, update, _STATUS_KEYS)
        if not is_whole:
            self.left_out += 1
        if not known.is_current or members != before:
            status = StatusMessage({"topic": "sts", "args": members}, message.received_ns)
            self._replace(status=status, is_current=True)

    def interrupt(self) -> bool:
        """Mark the status as not of the current connection; return whether it was."""
        was_current = self._known.is_current
        if was_current:
            self._replace(is_current=False)
        return was_current

    def _replace(self, **changes: Any) -> None:
        values = {name: getattr(self._known, name) for name in FeedSession.__dataclass_fields__}
        self._known = FeedSession(**values | changes)
