"""One active `smd` subscription: its two first snapshots and its deltas, with the key orders of the gateway."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .market import Instrument

#: Fields that frames contain without a request, each by its own rule.
_AUTOMATIC: Final = frozenset({"6119", "6508", "6509"})
#: Order of the fields in deltas and second snapshots. It is neither the order of the request nor of the codes.
_DELTA_ORDER: Final[tuple[str, ...]] = ("84", "85", "6509", "55", "7059", "87", "87_raw", "88", "31", "86", "83")
#: Order of the fields after `server_id` in a first snapshot.
_SNAPSHOT_ORDER: Final[tuple[str, ...]] = ("84", "85", "31", "86", "88", "87", "87_raw", "7059")
#: How many moves without a change of the requested fields a load generator tries.
_MOVES_PER_FRAME: Final = 16


class MarketDataStream:
    """The `smd` stream of one target on one socket, until `expires_s`.

    Args:
        instrument: the market that it shows.
        server_id: its id, which is also the value of 6119.
        fields: the requested field codes.
        expires_s: when it ends, on the gateway's clock.
    """

    def __init__(self, instrument: Instrument, server_id: str, fields: Iterable[str], expires_s: float) -> None:
        self.instrument = instrument
        self.expires_s = expires_s
        self.topic: Final = f"smd+{instrument.target}"
        self._fields: tuple[str, ...] = ()
        self._known: dict[str, str] = {}
        self._tick: int | None = None
        self._updated_ms: int | None = None
        self._frozen: list[bytes] | None = None
        self._services = instrument.services
        self._is_thin = instrument.is_thin
        target, conid = instrument.target, instrument.conid
        self._head = f'{{"server_id":"{server_id}","conidEx":"{target}","conid":{conid},"_updated":'
        self._marker = f',"6119":"{server_id}",'
        self._tail = f'"topic":"smd+{target}"}}'
        self._first_head = f'"conidEx":"{target}","topic":"smd+{target}","conid":{conid},"_updated":'
        self._first_tail = f'"server_id":"{server_id}"'
        self.add_fields(fields)

    def add_fields(self, fields: Iterable[str]) -> None:
        """Add fields; the earlier ones stay."""
        wanted = dict.fromkeys(self._fields)
        for code in fields:
            if code not in _AUTOMATIC:
                wanted[code] = None
            if code == "87":
                wanted["87_raw"] = None
        if self.instrument.availability is None:
            wanted["55"] = None
        ordered = [code for code in _DELTA_ORDER if code in wanted]
        self._fields = (*ordered, *sorted(set(wanted) - set(ordered)))

    def freeze(self, updated_ms: int) -> None:
        """Send no more deltas, and from now on the snapshot of this moment. Idempotent."""
        if self._frozen is None:
            self._frozen = self.snapshots(updated_ms if self._updated_ms is None else self._updated_ms)

    def snapshots(self, updated_ms: int) -> list[bytes]:
        """The snapshot twice with the same `_updated`: in hash-map order with the topic third, then in delta order."""
        if self._frozen is not None:
            return self._frozen
        self._updated_ms = updated_ms
        values = {code: text for code in self._fields if (text := self.instrument.text(code)) is not None}
        if self._is_thin:
            # It contains only 6509; the values follow in the next delta.
            self._is_thin = False
            values = {}
        self._known |= values
        availability = self.instrument.availability
        if availability is not None:
            values["6509"] = f'"{availability}"'
        return [self._hash_order(values, updated_ms), self._delta_order(values, updated_ms)]

    def _hash_order(self, values: dict[str, str], updated_ms: int) -> bytes:
        lead = "6509" if "6509" in values else "55"
        after = [code for code in _SNAPSHOT_ORDER if code in values]
        after += [code for code in values if code not in after and code not in (lead, "83")]
        percent = f'"83":{values["83"]},' if "83" in values else ""
        rest = "".join(f',"{code}":{values[code]}' for code in after)
        lead_text = f'{{"{lead}":{values[lead]},'
        text = f"{lead_text}{self._first_head}{updated_ms}{self._marker}{percent}{self._first_tail}{rest}}}"
        return text.encode()

    def _delta_order(self, values: dict[str, str], updated_ms: int) -> bytes:
        ordered = [code for code in _DELTA_ORDER if code in values]
        ordered += [code for code in values if code not in _DELTA_ORDER]
        fields = "".join(f'"{code}":{values[code]},' for code in ordered)
        return f"{self._head}{updated_ms}{self._marker}{fields}{self._tail}".encode()

    def delta(self, updated_ms: int) -> bytes | None:
        """The fields that changed since the last frame of this stream; None if none did.

        Changes that were not sent because the client did not read are merged into the next delta: conflation.
        """
        if self._frozen is not None:
            return None
        known, text_of = self._known, self.instrument.text
        parts = ""
        for code in self._fields:
            text = text_of(code)
            if text is not None and known.get(code) != text:
                known[code] = text
                parts += f'"{code}":{text},'
        if not parts:
            return None
        self._updated_ms = updated_ms
        if self._services is not None:
            parts += f'"6508":"{self._services}",'
            self._services = None
        return f"{self._head}{updated_ms}{self._marker}{parts}{self._tail}".encode()

    def regular_delta(self, tick: int, updated_ms: int) -> bytes | None:
        """The next frame of an instrument that ticks at fixed intervals; None until its tick number `tick` is new.

        The ticks belong to the instrument: a repeated subscribe does not shift them.
        """
        is_new = self._tick is not None and tick > self._tick
        self._tick = tick
        return self.forced_delta(updated_ms) if is_new else None

    def forced_delta(self, updated_ms: int) -> bytes | None:
        """Move the market until a field of this stream changes, off the 500 ms grid. For load generators.

        None if the requested fields never change.
        """
        for _ in range(_MOVES_PER_FRAME):
            self.instrument.move()
            frame = self.delta(updated_ms)
            if frame is not None:
                return frame
        return None
