"""Frames that belong to no subscription: the opening burst, heartbeats, replies to `tic`, notices and errors."""

from __future__ import annotations

from typing import Any, Final

from .session import GatewaySession
from .wire import payload

SERVER_NAME: Final = "JifN00001"
SERVER_VERSION: Final = "Build 10.45.1a, Apr 22, 2026 1:39:05 PM"
WAITING: Final = b'{"message":"waiting for session"}'

_ASSET_TYPES: Final = "STK,CFD,OPT,FOP,WAR,FUT,BAG,CASH,IND,BOND,BILL,FUND,CMDTY,CRYPTO"


def is_paper(account: str) -> bool:
    """Whether an account is a paper account, whose name starts with `DU`."""
    return account.startswith("DU")


def system(user: str, account: str) -> bytes:
    """`system` with `success`. From here on the gateway accepts subscribes."""
    return payload({"topic": "system", "success": user, "isFT": False, "isPaper": is_paper(account)})


def heartbeat(now_ms: int) -> bytes:
    """`system` with `hb`."""
    return b'{"topic":"system","hb":%d}' % now_ms


def tic(session_id: str, now_ms: int) -> bytes:
    """The reply to `tic`."""
    return payload({"topic": "tic", "alive": True, "id": session_id, "lastAccessed": now_ms})


def account_properties(account: str) -> dict[str, Any]:
    """The properties of one account, as `act` and `/iserver/accounts` return them."""
    return {
        "hasChildAccounts": False,
        "supportsCashQty": True,
        "liteUnderPro": False,
        "noFXConv": False,
        "isProp": False,
        "supportsFractions": not is_paper(account),
        "allowCustomerTime": False,
        "autoFx": False,
    }


def accounts(names: tuple[str, ...]) -> dict[str, Any]:
    """The members that `act` and `/iserver/accounts` share."""
    return {
        "accounts": list(names),
        "acctProps": {name: account_properties(name) for name in names},
        "aliases": {name: name for name in names},
        "allowFeatures": {
            "showGFIS": True,
            "showEUCostReport": False,
            "allowEventContract": True,
            "allowFXConv": True,
            "allowFinancialLens": False,
            "allowMTA": True,
            "allowTypeAhead": True,
            "allowEventTrading": True,
            "snapshotRefreshTimeout": 30,
            "liteUser": False,
            "showWebNews": True,
            "research": True,
            "debugPnl": True,
            "showTaxOpt": True,
            "showImpactDashboard": True,
            "allowDynAccount": False,
            "allowCrypto": False,
            "allowFA": False,
            "allowLiteUnderPro": False,
            "allowedAssetTypes": _ASSET_TYPES,
            "restrictTradeSubscription": False,
            "showUkUserLabels": False,
            "sideBySide": True,
        },
        "chartPeriods": {kind: ["*"] for kind in ("STK", "CFD", "WAR", "IOPT", "FUT", "CASH", "IND", "BOND", "FUND")}
        | {kind: ["2h", "1d", "2d", "1w", "1m"] for kind in ("OPT", "FOP")},
        "groups": [],
        "profiles": [],
        "selectedAccount": names[0],
        "serverInfo": {"serverName": SERVER_NAME, "serverVersion": SERVER_VERSION},
        # Not the session id, and of another form.
        "sessionId": "6a000000.00000001",
        "isFT": False,
        "isPaper": is_paper(names[0]),
    }


def act(names: tuple[str, ...]) -> bytes:
    """`act`, about 1.4 kB."""
    return payload({"topic": "act", "args": accounts(names)})


def sts(session: GatewaySession, user: str) -> bytes:
    """The full `sts`, once per connection; later ones are fragments."""
    return payload(
        {
            "topic": "sts",
            "args": {
                "connected": session.is_logged_in,
                "authenticated": session.is_authenticated,
                "established": session.is_authenticated,
                "competing": session.is_competing,
                "message": "",
                "fail": "",
                "serverName": SERVER_NAME,
                "serverVersion": SERVER_VERSION,
                "username": user,
            },
        }
    )


def sts_fragment(fragment: dict[str, Any]) -> bytes:
    """An `sts` with one member."""
    return payload({"topic": "sts", "args": fragment})


def notification(text: str, title: str | None, identifier: str) -> bytes:
    """`ntf`. Real gateways send an array, unlike the documentation."""
    return payload({"topic": "ntf", "args": [{"id": identifier, "text": text, "title": title, "url": None}]})


def bulletin(message: str, identifier: int) -> bytes:
    """`blt`. An array too, and its id is a number."""
    return payload({"topic": "blt", "args": [{"id": identifier, "exchanges": None, "message": message}]})


def error(text: str, code: int, topic: str | None = None) -> bytes:
    """An error frame. Most have no topic."""
    frame: dict[str, Any] = {"error": text, "code": code}
    if topic is not None:
        frame["topic"] = topic
    return payload(frame)


def unknown_topic(text: str) -> bytes:
    """The reply to an unknown topic. It names the channel and no other part of the text."""
    channel = text.partition("+")[0]
    shown = f" {channel}" if channel.isascii() and channel.isalnum() and len(channel) <= 16 else ""
    return error(f"Topic unknown{shown}", 1)
