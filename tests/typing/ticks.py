"""The types of typed columns."""

from __future__ import annotations

from typing import assert_type

import cpapi_fast as cf


def tick_types(batch: cf.Batch) -> None:
    decoder = cf.TickDecoder()
    assert_type(decoder, cf.TickDecoder)
    assert_type(cf.TickDecoder(cf.MarketDataFields.default_l1(), strict=True), cf.TickDecoder)
    assert_type(cf.TickDecoder(["31"]).fields, tuple[str, ...])
    assert_type(decoder.strict, bool)
    ticks = decoder.decode(batch)
    assert_type(ticks, cf.Ticks)
    assert_type(len(ticks), int)
    assert_type(ticks.fields, tuple[str, ...])
    assert_type(ticks.malformed, int)
    for column in (ticks.rows, ticks.conids, ticks.received_ns, ticks.valid("31"), ticks.prefixes("31")):
        assert_type(column, memoryview[int])
        assert_type(column[0], int)
    values = ticks.values("31")
    assert_type(values, memoryview[float])
    assert_type(values[0], float)
    assert_type([value for value in values], list[float])  # noqa: C416  what iteration yields
