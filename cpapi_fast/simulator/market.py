"""Simulated instruments: seeded random walks, with their field values as the JSON text that the gateway sends."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

from . import history
from .contracts import contract_of
from .wire import java_double

#: `6509` as seen on the wire, the commonest first.
_AVAILABILITY: Final = ("DPB", "DPB", "DPB", "DPB", "DpB", "RpB", "RPB", "RB", "ZB")
#: `6508` as seen on the wire, shortened.
_SERVICES: Final = (
    "&serviceID1=122&serviceID2=123&serviceID3=203&serviceID4=775&serviceID5=204&serviceID6=206",
    "&serviceID1=20773&serviceID2=773&serviceID3=1387&serviceID4=108&serviceID5=207",
)
#: Decimals of a price, and the step in which it moves, counted in its last decimal.
_PRECISIONS: Final = ((2, 1), (2, 1), (2, 1), (2, 5), (3, 10), (4, 5))
#: A conid, with an exchange, with the legs of a combination, or with both.
_TARGET: Final = re.compile(r"([0-9]{1,18})(?:@[A-Za-z0-9._-]{1,32})?(?:;;;[0-9A-Za-z@/,._-]{1,512})?", re.ASCII)
_VENUES: Final = "QNPZCEA"
_FIRST_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)

#: The fractions of instruments and moves that produce the rare forms of a price.
_THIN_SHARE: Final = 0.1
_PRIOR_CLOSE_SHARE: Final = 0.12
_HALT_PER_MOVE: Final = 0.002
_HALT_MOVES: Final = 12


def short_volume(volume: int) -> str:
    """A volume in the short form of field 87: `12.2M`, `350K`, `640`."""
    if volume >= 1_000_000:
        return f"{volume / 1e6:.1f}M"
    if volume >= 1_000:
        return f"{volume // 1_000}K"
    return str(volume)


class Instrument:
    """One target (`265598`, `265598@NYSE`, `0;;;legs`) with a moving market.

    Attributes:
        target: the part after `smd+`.
        conid: the number before `@` or `;;;`; 0 for a combination without one.
        availability: field 6509; None for an inactive instrument.
        services: field 6508, sent once per subscription.
        is_thin: whether the first snapshot contains only 6509.
        trade_history: its trades so far.
    """

    def __init__(self, target: str, conid: int, seed: int, now_s: Callable[[], float] = time.time) -> None:
        random = Random(f"{seed}/{target}")
        self._random = random
        self._now_s = now_s
        self.target = target
        self.conid = conid
        self.availability: str | None = random.choice(_AVAILABILITY)
        self.services: str | None = _SERVICES[0] if self.availability != "ZB" else _SERVICES[1]
        self.is_thin = random.random() < _THIN_SHARE
        self._decimals, self._increment = random.choice(_PRECISIONS)
        self._scale = 10**self._decimals
        # Prices are integers in units of the last decimal, so that no rounding error is ever sent.
        self._prior_close = self._on_grid(int(5.0 * 150.0 ** random.random() * self._scale))
        self._bid = self._on_grid(int(self._prior_close * random.uniform(0.97, 1.03)))
        self._ask = self._bid + self._increment * random.randint(1, 4)
        self._last = self._bid
        self._open = self._last
        self._high = self._last + self._increment * random.randint(0, 40)
        self._low = self._last - self._increment * random.randint(0, 40)
        self._bid_size = random.randint(1, 25) * 100
        self._ask_size = random.randint(1, 25) * 100
        self._last_size = random.randint(1, 9) * 100
        self._volume = int(10.0 ** random.uniform(2.5, 7.8))
        self._has_traded = random.random() >= _PRIOR_CLOSE_SHARE
        self._halt_left = 0
        self._activity = random.uniform(0.2, 0.9)
        self._advanced_to = -1
        self._static = self._describe(random)
        self.trade_history = history.TradeHistory(f"{seed}/smh/{target}", self._last, self._decimals, now_s())

    def _on_grid(self, price: int) -> int:
        return max(price - price % self._increment, self._increment)

    def _describe(self, random: Random) -> dict[str, str]:
        _, is_combination, legs = self.target.partition(";;;")
        # The conid of a combination is one for all of a currency. Its symbol is that of the first leg.
        first_leg = _FIRST_NUMBER.match(legs)
        contract = contract_of(int(first_leg[0]) if first_leg else self.conid)
        symbol = contract.symbol
        venue = self.target.partition(";")[0].partition("@")[2] or contract.exchange
        far = self._increment * random.randint(200, 900)
        mean_volume = int(10.0 ** random.uniform(4.0, 7.6))
        texts = {
            "55": symbol,
            "201": "",
            "6004": venue,
            "6070": "BAG" if is_combination else contract.sec_type,
            "7051": contract.name,
            "7058": random.choice(_VENUES),
            "7057": "".join(random.sample(_VENUES, 3)),
            "7068": "".join(random.sample(_VENUES, 2)),
            "7087": f"{random.uniform(8, 60):.1f}%",
            "7094": f"{self.conid}@{venue}",
            "7184": "1",
            "7219": contract.local_symbol or symbol,
            "7220": contract.local_symbol or symbol,
            "7221": contract.exchange,
            "7282": short_volume(mean_volume),
            "7283": f"{random.uniform(8, 60):.1f}%",
            "7290": f"{random.uniform(5, 60):.2f}",
            "7293": self._price(self._high + far),
            "7294": self._price(max(self._low - far, self._increment)),
            "7295": self._price(self._open),
            "7296": self._price(self._prior_close),
            "7636": f"{random.randint(1_000, 9_000_000):,}",
            "7741": self._price(self._prior_close),
        }
        return {code: f'"{text}"' for code, text in texts.items()} | {"6008": str(self.conid)}

    def _price(self, units: int) -> str:
        return f"{units // self._scale}.{units % self._scale:0{self._decimals}d}"

    def advance(self, grid_point: int) -> None:
        """Move the market to a grid point. It moves or stays quiet once per grid point, whatever is subscribed to."""
        if grid_point <= self._advanced_to:
            return
        self._advanced_to = grid_point
        if self._random.random() < self._activity:
            self.move()

    def move(self) -> None:
        """One event: a trade at the bid or the ask, or a change of the quote."""
        draw = self._random.random
        if self._halt_left:
            self._halt_left -= 1
            self._quote(draw(), draw())
        elif draw() < _HALT_PER_MOVE:
            self._halt_left = _HALT_MOVES
        elif draw() < 0.45:
            self._trade(draw(), draw())
        else:
            self._quote(draw(), draw())

    def _trade(self, side: float, size: float) -> None:
        self._has_traded = True
        self._last = self._bid if side < 0.5 else self._ask
        self._last_size = 1 + int(size * size * 1_500)
        self._volume += self._last_size
        self.trade_history.record(self._last, self._last_size, self._now_s())
        self._high = max(self._high, self._last)
        self._low = min(self._low, self._last)
        if side < 0.5:
            self._bid_size = max(self._bid_size - self._last_size, 100)
        else:
            self._ask_size = max(self._ask_size - self._last_size, 100)

    def _quote(self, direction: float, size: float) -> None:
        step = self._increment if direction < 0.5 else -self._increment
        lots = 100 * (1 + int(size * 2_500) // 100)
        if size < 0.4:
            self._bid = max(self._bid + step, self._increment)
            self._bid_size = lots
        elif size < 0.8:
            self._ask += step
            self._ask_size = lots
        else:
            self._bid = max(self._bid + step, self._increment)
            self._ask += step
        if self._ask <= self._bid:
            self._ask = self._bid + self._increment

    def text(self, code: str) -> str | None:
        """The JSON text of a field's current value; None if the instrument has none."""
        moving = _MOVING.get(code)
        return moving(self) if moving is not None else self._static.get(code)

    def history(
        self, server_id: str, parameters: Mapping[str, Any], *, end_ms: int, is_forward: bool = False
    ) -> dict[str, Any]:
        """The bars of a period that ends, or starts, at a given time; see `history.history_response`."""
        return history.history_response(
            self.trade_history,
            server_id,
            parameters,
            end_ms=end_ms,
            symbol=history.decoded(self.text("55")),
            name=history.decoded(self.text("7051")),
            is_forward=is_forward,
        )

    def _change_percent(self) -> str | None:
        if not self._has_traded:
            return None
        # A JSON number, unlike the documentation. Adding 0.0 removes the sign of a zero.
        return repr(round((self._last - self._prior_close) / self._prior_close * 100.0, 2) + 0.0)

    def _change(self) -> str | None:
        if not self._has_traded:
            return None
        difference = self._last - self._prior_close
        return f'"{"-" if difference < 0 else "+"}{self._price(abs(difference))}"'

    def _last_text(self) -> str:
        if self._halt_left:
            return f'"H{self._price(self._last)}"'
        return f'"{self._price(self._last)}"' if self._has_traded else f'"C{self._price(self._prior_close)}"'


_MOVING: Final[dict[str, Callable[[Instrument], str | None]]] = {
    "31": Instrument._last_text,
    "70": lambda market: f'"{market._price(market._high)}"',
    "71": lambda market: f'"{market._price(max(market._low, 0))}"',
    "82": Instrument._change,
    "83": Instrument._change_percent,
    "84": lambda market: f'"{market._price(market._bid)}"',
    "85": lambda market: f'"{market._ask_size:,}"',
    "86": lambda market: f'"{market._price(market._ask)}"',
    "87": lambda market: f'"{short_volume(market._volume)}"',
    "87_raw": lambda market: java_double(float(market._volume)),
    "88": lambda market: f'"{market._bid_size:,}"',
    "7059": lambda market: f'"{market._last_size:,}"',
    "7635": lambda market: f'"{market._price(min(max(market._last, market._bid), market._ask))}"',
    "7762": lambda market: f'"{market._volume}"',
}


class InactiveInstrument(Instrument):
    """A conid that the gateway does not know or that is no longer traded: `N/A` and a dash, and it never ticks."""

    def __init__(self, target: str, conid: int, seed: int, now_s: Callable[[], float] = time.time) -> None:
        super().__init__(target, conid, seed, now_s)
        self.availability = None
        self.services = None
        self.is_thin = False

    def move(self) -> None:
        """Do nothing."""

    def text(self, code: str) -> str | None:
        """A dash for the symbol, `N/A` for the last price, None for all others."""
        return {"55": '"-"', "31": '"N/A"'}.get(code)


class Market:
    """All instruments of a gateway, each created on first use.

    Args:
        seed: determines every price.
        conids: the conids that have a market; None for all.
        inactive_conids: conids that have no market, even if `conids` lists them.
        now_s: returns the time of day in seconds since the Unix epoch, for the bars of the past.
    """

    def __init__(
        self,
        *,
        seed: int,
        conids: tuple[int, ...] | None,
        inactive_conids: frozenset[int],
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._seed = seed
        self._now_s = now_s
        self._active = None if conids is None else frozenset(conids)
        self._inactive = inactive_conids
        self._instruments: dict[str, Instrument] = {}

    def instrument(self, target: str) -> Instrument | None:
        """The instrument of an `smd` target; None if the target does not start with a conid."""
        known = self._instruments.get(target)
        if known is not None:
            return known
        match = _TARGET.fullmatch(target)
        if match is None:
            return None
        conid = int(match[1])
        # A combination without a leading conid is always active: its legs are not checked.
        is_inactive = conid in self._inactive or (self._active is not None and conid not in self._active and conid != 0)
        made = (InactiveInstrument if is_inactive else Instrument)(target, conid, self._seed, self._now_s)
        self._instruments[target] = made
        return made

    def with_history(self, target: str, exchange: str | None) -> Instrument | None:
        """The instrument whose history is requested; None if it has no history.

        It is the one on the exchange, if a client has subscribed to it there. Invalid targets, combinations and
        inactive conids have no history.
        """
        there = self._instruments.get(f"{target}@{exchange}")
        instrument = there if there is not None else self.instrument(target)
        if instrument is None or ";;;" in target or isinstance(instrument, InactiveInstrument):
            return None
        return instrument
