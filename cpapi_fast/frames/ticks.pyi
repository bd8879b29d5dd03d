from collections.abc import Iterable
from typing import final

from .batch import Batch

@final
class TickDecoder:
    """Decodes fields of market data frames into float64 columns, without a Python object per frame.

    What is a number, and which, is what `parse_number` returns for the decoded value: `C4,735.10` is 4735.1 with the
    prefix C, `12.2M` is 12200000.0, a JSON number is itself. `N/A`, null, a list and a missing key are not numbers. Of
    two equal keys the last one counts. Only keys of the outermost object count.

    Make a decoder once and use it for any number of batches. Its cost grows with the length of a frame, and hardly with
    the number of fields. Frames with an escape in a key or in a wanted text, with numbers of more than 19 digits or
    beyond 27 powers of ten, are decoded by orjson, which takes about twenty times longer.

    Every valid JSON text is decoded exactly as described. Of text that is not JSON, by default one of two things holds:
    no field of the frame is valid and `Ticks.malformed` counts it; or, where the error is inside of a value that was
    not asked for or of a text that is not a number, the fields have what is written in the text. Invalid UTF-8 is not
    an error: it is read as U+FFFD, as by `Frame.payload`.

    Args:
        fields: keys as they stand on the wire: codes such as `31`, and `_updated`, `87_raw`; each at most once, 1 to 32
            characters. None decodes `cpapi_fast.protocol.fields.DEFAULT_TICK_FIELDS`.
        strict: decode each frame with orjson, so that `Ticks.malformed` counts every frame that orjson rejects. Slow.

    Raises:
        ConfigError: a field is not a key of the wire, a field is given twice, or no field is given.
    """

    def __init__(self, fields: Iterable[str] | None = None, *, strict: bool = False) -> None: ...
    @property
    def fields(self) -> tuple[str, ...]:
        """The decoded keys, in the order given."""
    @property
    def strict(self) -> bool:
        """Whether orjson decodes every frame."""
    def decode(self, batch: Batch) -> Ticks:
        """Decode the fields of all MARKET_DATA frames of a batch.

        A frame that goes to the decoder and is not JSON, or has invalid UTF-8, is counted by its connection too
        (`stats.payload_errors`, `stats.payloads_repaired`).

        Args:
            batch: a finished batch.

        Returns:
            Columns of their own memory: they do not keep the batch alive.
        """

@final
class Ticks:
    """Columns over the MARKET_DATA frames of one batch, one row for each, in their order.

    The columns are read-only memoryviews over one block of memory that the ticks own: nothing is copied, and a view
    keeps the memory alive. `numpy.asarray(view)` and `pyarrow.py_buffer(view)` take them as they are. Making a view
    costs one small object. Ticks come from `TickDecoder.decode`; the class cannot be called.
    """

    @property
    def fields(self) -> tuple[str, ...]:
        """The keys that `values`, `valid` and `prefixes` take."""
    @property
    def malformed(self) -> int:
        """How many frames are not JSON; no field of their rows is valid."""
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

        Numbers are in the units of the wire; `_updated` is in ms since the Unix epoch, exactly.

        Raises:
            ConfigError: the decoder does not have this field.
        """
    def valid(self, field: str) -> memoryview[int]:
        """uint8, n entries: 1 where the frame has the field and its value is a number, else 0.

        The gateway sends only fields that changed, so 0 usually means that the field did not change.

        Raises:
            ConfigError: the decoder does not have this field.
        """
    def prefixes(self, field: str) -> memoryview[int]:
        """uint8, n entries: 67 (`C`) where a price is the prior close, 72 (`H`) where trading is halted, else 0.

        Raises:
            ConfigError: the decoder does not have this field.
        """
    def __len__(self) -> int:
        """The number of rows."""
