"""Messages of the session: `system`, `sts` and `act`, and the replies to `tic`"""

from __future__ import annotations

from typing import Any

from .member import Message, TextMember
from .member_types import (
    FlagMember,
    FunctionMember,
    IdMember,
    IntegerMember,
    ListMember,
    MillisecondsMember,
    ObjectMember,
)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise ValueError("the value is not an array of texts")
    return tuple(value)


class SystemMessage(Message):
    """The first message after the login, and heartbeats (`system`)."""

    __slots__ = ()

    success = TextMember("success", "the user name, once after the login")
    heartbeat = MillisecondsMember("hb", "the time of a heartbeat")
    heartbeat_ms = IntegerMember("hb", "the same, in ms since the Unix epoch")
    is_ft = FlagMember("isFT", "whether the login is of a free trial")
    is_paper = FlagMember("isPaper", "whether the login is of a paper trading account")


class StatusMessage(Message):
    """The status of the brokerage session (`sts`). After the first message, it has only what changed."""

    __slots__ = ()
    body_key = "args"

    connected = FlagMember("connected", "whether the gateway is connected to IB")
    authenticated = FlagMember("authenticated", "whether the brokerage session is logged in")
    established = FlagMember("established", "whether the brokerage session is complete")
    competing = FlagMember("competing", "whether another login holds the brokerage session")
    message = TextMember("message", "a message of the gateway")
    fail = TextMember("fail", "the reason of a failure")
    server_name = TextMember("serverName", "the name of the server")
    server_version = TextMember("serverVersion", "the version of the server")
    username = TextMember("username", "the user name")


class AccountsMessage(Message):
    """The accounts of the login and what they may do (`act`)."""

    __slots__ = ()
    body_key = "args"

    accounts = FunctionMember("accounts", _texts, "the accounts")
    selected_account = TextMember("selectedAccount", "the selected account")
    acct_props = ObjectMember("acctProps", "properties of each account")
    aliases = ObjectMember("aliases", "the alias of each account")
    allow_features = ObjectMember("allowFeatures", "what the login may use")
    chart_periods = ObjectMember("chartPeriods", "the periods of history by asset class")
    groups = ListMember("groups", "groups of accounts")
    profiles = ListMember("profiles", "allocation profiles")
    server_info = ObjectMember("serverInfo", "name and version of the server")
    session_id = IdMember("sessionId", "the id of the session")
    is_ft = FlagMember("isFT", "whether the login is of a free trial")
    is_paper = FlagMember("isPaper", "whether the login is of a paper trading account")


class TicMessage(Message):
    """The reply to a `tic`."""

    __slots__ = ()

    alive = FlagMember("alive", "whether the session is alive")
    session_id = IdMember("id", "the id of the session")
    last_accessed = MillisecondsMember("lastAccessed", "the time of the last request")
    last_accessed_ms = IntegerMember("lastAccessed", "the same, in ms since the Unix epoch")
