from collections.abc import Iterable
from typing import final

from .batch import Batch

@final
class TickDecoder:
    """Decodes fields of market data frames into float64 columns, without a Python object per frame.

    The number of a field is the result of `parse_number` for its decoded value: `C4,735.10` is 4735.1 with the prefix
    C, `12.2M` is 12200000.0, and a JSON number is unchanged. `N/A`, null, a list and a missing key are not numbers. If
    a key is repeated, the last one counts. Only keys of the outermost object count.

    Create a decoder once and use it for any number of batches. The cost grows with the length of the frames, and hardly
    with the number of fields. orjson decodes frames that have an escape in a key or in a requested value, or numbers of
    more than 19 digits or beyond 27 powers of ten. That takes about twenty times longer.

    Valid JSON is always decoded as described. For text that is not JSON, there are two cases by default. If the error
    is inside a value that was not requested, or inside a string that is not a number, the fields may have the values
    that the text contains. Otherwise no field of the frame is valid, and `Ticks.malformed` counts the frame. Invalid
    UTF-8 is not an error: it is decoded as U+FFFD, as in `Frame.payload`.

    Args:
        fields: keys of `cpapi_fast.FIELDS` such as `last_price`, or members as in the frames: codes such as `31`, and
            `_updated` or `87_raw`; each at most once, 1 to 32 characters. None decodes `cpapi_fast.protocol.fields.DEFAULT_TICK_FIELDS`.
        strict: decode each frame with orjson, so that `Ticks.malformed` counts every frame that orjson rejects. Slow.

    Raises:
        ConfigError: a field is invalid or given twice, or there is no field.
    """

    def __init__(self, fields: Iterable[str] | None = None, *, strict: bool = False) -> None: ...
    @property
    def fields(self) -> tuple[str, ...]:
        """The decoded members as a tuple of str, in the given order: codes, and names such as `_updated`."""
    @property
    def strict(self) -> bool:
        """Whether orjson decodes every frame."""
    def decode(self, batch: Batch) -> Ticks:
        """Decode the fields of all MARKET_DATA frames of a batch.

        The connection's counters `stats.payload_errors` and `stats.payloads_repaired` include the frames that orjson
        decodes here and that are not JSON or have invalid UTF-8.

        Args:
            batch: a finished batch.

        Returns:
            The columns, which own their memory and keep no reference to the batch.
        """

@final
class Ticks:
    """Decoded columns with one row for each MARKET_DATA frame of a batch, in their order.

    The columns are read-only memoryviews over one block of memory that the object owns. They copy nothing, and each
    view keeps a reference to the object. `numpy.asarray(view)` and `pyarrow.py_buffer(view)` use them without a copy.
    Creating a view costs one small object. Ticks come from `TickDecoder.decode`; the class cannot be called.
    """

    @property
    def fields(self) -> tuple[str, ...]:
        """The decoded members, as a tuple of str. `values`, `valid` and `prefixes` accept these and their keys."""
    @property
    def malformed(self) -> int:
        """The number of frames that are not JSON. Their rows have no valid fields."""
    @property
    def rows(self) -> memoryview[int]:
        """int32, n entries: the index of each row's frame in the batch."""
    @property
    def conids(self) -> memoryview[int]:
        """int64, n entries: the contract ids, from the topics of the frames. 0 is a real contract id (combos)."""
    @property
    def received_ns(self) -> memoryview[int]:
        """int64, n entries: the receive times, in ns since the Unix epoch."""
    def values(self, field: str) -> memoryview[float]:
        """float64, n entries: the numbers of a field, NaN where `valid` is 0.

        Numbers are in the units of the frames. `_updated` is in ms since the Unix epoch, without rounding.

        Raises:
            ConfigError: the decoder was created without this field.
        """
    def valid(self, field: str) -> memoryview[int]:
        """uint8, n entries: 1 where the frame has the field and its value is a number, else 0.

        The gateway sends only fields that changed, so 0 usually means that the field did not change.

        Raises:
            ConfigError: the decoder was created without this field.
        """
    def prefixes(self, field: str) -> memoryview[int]:
        """uint8, n entries: 67 (`C`) where a price is the prior close, 72 (`H`) where trading is halted, else 0.

        Raises:
            ConfigError: the decoder was created without this field.
        """
    def __len__(self) -> int:
        """The number of rows."""
