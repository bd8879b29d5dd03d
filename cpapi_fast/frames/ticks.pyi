from typing import Any, final

@final
class Ticks:
    """Decoded columns with one row for each MARKET_DATA frame of a batch, in their order.

    The columns are read-only memoryviews over one block of memory that the object owns. They copy nothing, and each
    view keeps a reference to the object. `numpy.asarray(view)` and `pyarrow.py_buffer(view)` use them without a copy.
    Creating a view costs one small object. Ticks come from `TickDecoder.decode`; the class cannot be called.

    A field is named by its key (`last_price`) or by its name in the frames (`31`).
    """

    @property
    def fields(self) -> tuple[str, ...]:
        """The decoded fields by their names in the frames, as a tuple of str: codes, and members such as `_updated`."""
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
            ConfigError: the decoder was created without this field, or the field is a text.
        """
    def valid(self, field: str) -> memoryview[int]:
        """uint8, n entries: 1 where the frame has the field and its value is a number or text, as its kind is, else 0.

        The gateway sends only fields that changed, so 0 usually means that the field did not change.

        Raises:
            ConfigError: the decoder was created without this field.
        """
    def prefixes(self, field: str) -> memoryview[int]:
        """uint8, n entries: 67 (`C`) where a price is the prior close, 72 (`H`) where trading is halted, else 0.

        Raises:
            ConfigError: the decoder was created without this field, or the field is a text.
        """
    def codes(self, field: str) -> memoryview[int]:
        """int32, n entries: the texts of a field, each as its index in `dictionary`; -1 where `valid` is 0.

        Raises:
            ConfigError: the decoder was created without this field, or the field is a number.
        """
    @property
    def dictionary(self) -> tuple[str, ...]:
        """The texts of all text fields as a tuple of str. A decoder adds to it with each batch; it is copied."""
    def texts(self, field: str) -> list[str | None]:
        """Return the texts of a field as a list with one str per row, or None where `valid` is 0.

        Raises:
            ConfigError: the decoder was created without this field, or the field is a number.
        """
    def __arrow_c_schema__(self) -> object:
        """Return the schema as an Arrow PyCapsule."""
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """Return schema and array of the columns as Arrow PyCapsules; see `to_arrow`. No other schema is supported."""
    def to_arrow(self) -> Any:
        """Return the columns as a `pyarrow.RecordBatch`, without a copy of the numbers.

        The columns are `received` (timestamp in ns, UTC), `conid`, and the decoded fields in their order, named by
        their keys. `_updated` becomes `updated` (timestamp in ms, UTC). Numbers are float64, ids int64, flags bool,
        texts dictionary-encoded strings; null where `valid` is 0, and for an `updated` beyond the years 1 to 9999.
        `last_price_prefix` follows `last_price`. The
        metadata of each column has code, kind, unit and meaning.

        Every library that supports the Arrow PyCapsule interface accepts the object itself, without pyarrow.

        Raises:
            MissingDependencyError: pyarrow is not installed.
        """
    def to_pandas(self) -> Any:
        """Return the columns of `to_arrow` as a `pandas.DataFrame`. Needs pandas and pyarrow."""
    def to_polars(self) -> Any:
        """Return the columns of `to_arrow` as a `polars.DataFrame`. Needs polars only."""
    def __len__(self) -> int:
        """The number of rows."""
