from collections.abc import Iterable
from typing import Final, final

from .batch import Batch

#: What a `TickDecoder` decodes unless told otherwise: last, bid, ask, ask size, bid size, `_updated`.
DEFAULT_FIELDS: Final[tuple[str, ...]]

@final
class TickDecoder:
    """Decodes fields of market data frames into float64 columns, without a Python object per frame.

    What is a number, and which, is exactly what `parse_number` says of the decoded value: `C4,735.10` is 4735.1 with the
    prefix C, `12.2M` is 12200000.0, a JSON number is itself; `N/A`, null, a list, or a key that is not there is no number.
    Of two equal keys the last one counts. Only keys of the outermost object do.

    A decoder is made once and used for any number of batches. Its cost grows with the length of a frame, hardly with the
    number of fields. Frames with escapes in a key or in a wanted text, or with numbers of more than 19 digits or beyond
    27 powers of ten, are decoded by orjson and take some twenty times longer.

    Every valid JSON text is decoded as said. Text that is not JSON, by default: either nothing of the frame is valid and
    `Ticks.malformed` counts it, or, where the fault lies inside of a value that was not asked for or of a text that is no
    number, the fields have what is written in the text. Invalid UTF-8 is no fault: it is read as U+FFFD, as by
    `Frame.payload`.

    Args:
        fields: keys as they stand on the wire: codes such as `31`, and `_updated`, `87_raw`; each at most once, 32
            characters at most. None, the default, is `DEFAULT_FIELDS`.
        strict: decode each frame with orjson, so that `Ticks.malformed` counts every one that it refuses. Slow.

    Raises:
        ConfigError: a field is no key of the wire, is there twice, or there is none.
    """

    def __init__(self, fields: Iterable[str] | None = None, *, strict: bool = False) -> None: ...
    @property
    def fields(self) -> tuple[str, ...]:
        """The keys, in the order that was asked for."""
    @property
    def strict(self) -> bool:
        """Whether every frame is decoded by orjson."""
    def decode(self, batch: Batch) -> Ticks:
        """The fields of all MARKET_DATA frames of a batch, as columns of their own that do not keep the batch alive.

        Frames that go to the decoder and are not JSON, or have invalid UTF-8, are counted by the connection too
        (`stats.payload_errors`, `stats.payloads_repaired`).
        """

@final
class Ticks:
    """Columns over the MARKET_DATA frames of one batch, in their order: one row each.

    All columns are read-only memoryviews over one block of memory that the ticks own: nothing is copied, and a view
    keeps the memory alive. `numpy.asarray(view)` and `pyarrow.py_buffer(view)` take them as they are. A view costs one
    small object. Made by `TickDecoder.decode`; not by calling the class.
    """

    @property
    def fields(self) -> tuple[str, ...]:
        """The keys that `values`, `valid` and `prefixes` take."""
    @property
    def malformed(self) -> int:
        """How many of the frames were found not to be JSON; nothing of such a row is valid."""
    @property
    def rows(self) -> memoryview:
        """int32, n entries: which frame of the batch each row is."""
    @property
    def conids(self) -> memoryview:
        """int64, n entries: the contract ids, from the frames' topics; 0 is a real one."""
    @property
    def received_ns(self) -> memoryview:
        """int64, n entries: ns since the Unix epoch, when the frame was received, from the batch."""
    def values(self, field: str) -> memoryview:
        """float64, n entries: the numbers of a field in the units of the wire (`_updated`: ms since the Unix epoch,
        exact), NaN where `valid` is 0.

        Raises:
            ConfigError: the decoder was not asked for this field.
        """
    def valid(self, field: str) -> memoryview:
        """uint8, n entries: 1 where the frame has the field and it holds a number, else 0. With deltas, 0 mostly means
        that the field did not change.

        Raises:
            ConfigError: the decoder was not asked for this field.
        """
    def prefixes(self, field: str) -> memoryview:
        """uint8, n entries: 67 (`C`) where a price is the prior close and no trade, 72 (`H`) where trading is halted,
        else 0.

        Raises:
            ConfigError: the decoder was not asked for this field.
        """
    def __len__(self) -> int:
        """How many rows there are."""
