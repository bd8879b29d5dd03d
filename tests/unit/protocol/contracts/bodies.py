"""Bodies of the gateway about contracts, in the shapes of its documentation, and changes of them."""

from __future__ import annotations

import copy
from typing import Any, Final

from hypothesis import strategies as st

MATCHES: Final[list[Any]] = [
    {
        "conid": "265598",
        "companyHeader": "APPLE INC - NASDAQ",
        "companyName": "APPLE INC",
        "symbol": "AAPL",
        "description": "NASDAQ",
        "restricted": None,
        "fop": None,
        "opt": "20261218;20270115",
        "war": "20261218",
        "sections": [
            {"secType": "STK"},
            {"secType": "OPT", "months": "DEC26;JAN27", "exchange": "SMART;AMEX;CBOE"},
            {"secType": "IOPT", "conid": "123"},
        ],
    },
    {"issuers": [{"id": "e1", "name": "APPLE INC"}], "bondid": 2, "conid": "-1", "companyHeader": "Corporate Bond",
     "companyName": None, "symbol": None, "description": None, "sections": [{"secType": "BOND"}]},
]  # fmt: skip

STOCKS: Final[dict[str, Any]] = {
    "AAPL": [
        {
            "name": "APPLE INC",
            "chineseName": "&#x82F9;",
            "assetClass": "STK",
            "contracts": [
                {"conid": 265598, "exchange": "NASDAQ", "isUS": True},
                {"conid": 38708077, "exchange": "MEXI", "isUS": False},
            ],
        },
        {
            "name": "LS 1X AAPL",
            "chineseName": None,
            "assetClass": "STK",
            "contracts": [{"conid": 493546048, "exchange": "LSEETF", "isUS": False}],
        },
    ],
    "XYZW": [],
}

FUTURES: Final[dict[str, Any]] = {
    "ES": [
        {
            "symbol": "ES",
            "conid": 649180695,
            "underlyingConid": 11004968,
            "expirationDate": 20261218,
            "ltd": 20261217,
            "shortFuturesCutOff": 20261217,
            "longFuturesCutOff": 20261217,
        }
    ]
}

PAIRS: Final[dict[str, Any]] = {"USD": [{"symbol": "EUR.USD", "conid": 12087792, "ccyPair": "EUR"}]}

INFO: Final[dict[str, Any]] = {
    "cfi_code": "",
    "symbol": "ES",
    "cusip": None,
    "expiry_full": "202612",
    "con_id": 649180695,
    "maturity_date": "20261218",
    "instrument_type": "FUT",
    "trading_class": "ES",
    "valid_exchanges": "CME,QBALGO",
    "local_symbol": "ESZ6",
    "currency": "USD",
    "underlying_con_id": 11004968,
    "r_t_h": False,
    "multiplier": "50",
    "contract_month": "202612",
    "company_name": "E-mini S&P 500",
    "exchange": "CME",
}

SCHEDULE: Final[dict[str, Any]] = {
    "exchange_time_zone": "US/Eastern",
    "schedules": {
        # Out of order on purpose: the order of members means nothing.
        "20261201": {
            "liquid_hours": [{"opening": 1796135400, "closing": 1796158800}],
            "extended_hours": [{"opening": 1796115600, "closing": 1796173200, "cancel_daily_orders": True}],
        },
        "20261130": {
            "liquid_hours": [{"opening": 1796049000, "closing": 1796072400}],
            "extended_hours": [{"opening": 1796029200, "closing": 1796086800, "cancel_daily_orders": True}],
        },
    },
}

#: What stands in place of a member.
ODD: Final = [
    None, True, 0, -1, 1.5, 1e308, float("inf"), 10**400, "", "-", "N/A", "265598", "9" * 400, "20269999", [], {},
    [None], [[]], [{}], {"conid": []}, "\ud800", "a\x00b",
]  # fmt: skip


def _places(value: Any) -> list[tuple[Any, Any]]:
    found = []
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        found.append((value, key))
        found += _places(value[key])
    return found


@st.composite
def changed(draw: st.DrawFn, body: Any) -> Any:
    """A body with some members replaced, removed, written as text, or wrapped; or something else altogether."""

    def an_odd_value() -> Any:
        # A copy, because the next change may be inside of it.
        return copy.deepcopy(ODD[draw(st.integers(0, len(ODD) - 1))])

    root = [copy.deepcopy(body)]
    for _ in range(draw(st.integers(0, 5))):
        places = _places(root)
        container, key = places[draw(st.integers(0, len(places) - 1))]
        change = draw(st.sampled_from(["replace", "text", "remove", "wrap", "add"]))
        if change == "replace":
            container[key] = an_odd_value()
        elif change == "text":
            container[key] = str(container[key])
        elif change == "wrap":
            container[key] = [container[key]]
        elif isinstance(container, dict):
            if change == "remove":
                del container[key]
            else:
                container["error" if draw(st.booleans()) else "new"] = an_odd_value()
        elif len(root) == 1 and container is not root:
            del container[key]
    return root[0]
