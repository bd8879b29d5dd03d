"""Snapshots of quotes over REST: the rows of several responses, and whether they are complete. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from cpapi_fast.errors import SubscriptionError

from .members import check_error, rows_of
from .shape import ShapeError
from .topics import Fields, MarketDataFields

#: The documented number of fields in one request.
MAX_SNAPSHOT_FIELDS: Final = 50

#: The field that the gateway may send before any value.
_AVAILABILITY: Final = "6509"


def check_fields(fields: Fields | None) -> tuple[str, ...]:
    """Return the codes of the fields of a snapshot.

    Raises:
        SubscriptionError: a field is invalid, or there are too many.
    """
    if fields is None:
        fields = MarketDataFields.default_l1()
    codes = (fields if isinstance(fields, MarketDataFields) else MarketDataFields(fields)).as_slice()
    if len(codes) > MAX_SNAPSHOT_FIELDS:
        raise SubscriptionError(
            f"a snapshot has at most {MAX_SNAPSHOT_FIELDS} fields, not {len(codes)}. Request fewer."
        )
    return codes


class SnapshotRows:
    """The rows of the responses to one request that is repeated.

    Args:
        conids: the requested conids.
        codes: the codes of the requested fields.

    Attributes:
        by_conid: the merged row of each requested conid.
    """

    def __init__(self, conids: Iterable[int], codes: Iterable[str]) -> None:
        self.by_conid: Final[dict[int, dict[str, Any]]] = {conid: {"conid": conid} for conid in conids}
        self._codes: Final = frozenset(codes)
        self._known: int | None = None
        self._is_settled = False

    def add(self, payload: object) -> list[str]:
        """Merge the rows of one decoded response.

        Returns:
            The names of members with an unexpected type.

        Raises:
            ShapeError: the body is not an array.
            ErrorBodyError: it is an error of the gateway.
        """
        check_error(payload)
        if not isinstance(payload, list):
            raise ShapeError("the body is not a JSON array")
        odd: list[str] = []
        for row in rows_of(payload, odd, "the rows"):
            conid = row.id("conid")
            merged = None if conid is None else self.by_conid.get(conid)
            if merged is not None:
                merged.update(row.payload, conid=conid)
        known = sum(len(self._codes & row.keys()) for row in self.by_conid.values())
        # The first response has only what the gateway knew before.
        self._is_settled = known == self._known
        self._known = known
        return odd

    @property
    def are_complete(self) -> bool:
        """Whether nothing more is to be expected: every field is there, or each conid has values and no more come."""
        if self._known == len(self._codes) * len(self.by_conid):
            return True
        values = self._codes - {_AVAILABILITY} or self._codes
        return self._is_settled and all(values & row.keys() for row in self.by_conid.values())
