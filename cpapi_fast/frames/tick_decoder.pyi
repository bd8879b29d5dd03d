from collections.abc import Iterable
from typing import final

from .batch import Batch
from .ticks import Ticks

@final
class TickDecoder:
    """Decodes fields of market data frames into typed columns, without a Python object per frame.

    The kind of a field in `cpapi_fast.FIELDS` decides its column. Texts and dates, and codes that the catalogue does
    not contain, become texts: the value if it is a JSON string. Texts are dictionary-encoded: a column of int32 codes,
    and a list of the distinct texts. All other fields become float64. The number of a field is the result of
    `parse_number` for its decoded value: `C4,735.10` is 4735.1 with the prefix C, `12.2M` is 12200000.0, and a JSON
    number is unchanged. `N/A`, null, a list and a missing key are not numbers. If a key is repeated, the last one
    counts. Only keys of the outermost object count.

    Create a decoder once and use it for any number of batches. The cost grows with the length of the frames, and hardly
    with the number of fields. orjson decodes frames that have an escape in a key or in a requested value, or numbers of
    more than 19 digits or beyond 27 powers of ten. That takes about twenty times longer.

    Valid JSON is always decoded as described. For text that is not JSON, there are two cases by default. If the error
    is inside a value that was not requested, or inside a string that is not a number, the fields may have the values
    that the text contains. Otherwise no field of the frame is valid, and `Ticks.malformed` counts the frame. Invalid
    UTF-8 is not an error: it is decoded as U+FFFD, as in `Frame.payload`.

    Args:
        fields: keys of `cpapi_fast.FIELDS` such as `last_price`, or members as in the frames: codes such as `31`, and
            `_updated` or `87_raw`; each at most once, 1 to 32 characters. None decodes
            `cpapi_fast.protocol.fields.DEFAULT_TICK_FIELDS`.
        strict: decode each frame with orjson, so that `Ticks.malformed` counts every frame that orjson rejects. Slow.

    Raises:
        ConfigError: a field is invalid or given twice, or there is no field.
    """

    def __init__(self, fields: Iterable[str] | None = None, *, strict: bool = False) -> None: ...
    @property
    def fields(self) -> tuple[str, ...]:
        """The decoded members as a tuple of str, in the given order: codes, and names such as `_updated`."""
    @property
    def mismatches(self) -> dict[str, int]:
        """How many values of each field were not of its kind: texts in the place of numbers, and the like.

        A dict with an entry for each member of `fields`. `N/A`, `-`, an empty text and null state that there is no
        value, and do not count.
        """
    @property
    def strict(self) -> bool:
        """Whether orjson decodes every frame."""
    def decode(self, batch: Batch) -> Ticks:
        """Decode the fields of all MARKET_DATA frames of a batch.

        Use a decoder in one thread at a time.

        The connection's counters `stats.payload_errors` and `stats.payloads_repaired` include the frames that orjson
        decodes here and that are not JSON or have invalid UTF-8.

        Args:
            batch: a finished batch.

        Returns:
            The columns, which own their memory and keep no reference to the batch.
        """
