from typing import Any

from cpapi_fast.feed.last_values import LastValues

def quote_values(values: LastValues, slot: int, since_s: float) -> tuple[dict[str, Any], bytes, int, float]:
    """Return the values of a topic that were updated at `since_s` or later.

    Args:
        values: has the values.
        slot: the slot of the topic.
        since_s: a time of the clock that `LastValues.update` was called with.

    Returns:
        By key on the wire, the values as JSON decodes them; for each of them 16 bytes with `received_ns` (int64, ns
        since the Unix epoch) and the time of its update (float64); and both times of the latest one, zeros without
        one. No value if the slot was not added.
    """
