from collections.abc import Iterable
from typing import Any, final

from .batch import Batch
from .tick_decoder import TickDecoder

@final
class ArrowReader:
    """Exports batches as a stream of Arrow record batches, one for each batch, by the Arrow PyCapsule interface.

    pyarrow, polars, DuckDB and pandas read from it, without pyarrow in between. It can be read once. Batches are taken
    from the iterable as the reader asks for them, in its thread.

    Args:
        batches: an iterable of `Batch`.
        decoder: exports the columns of `Ticks.to_arrow` for each batch; None exports the frames, as `Batch.to_arrow`.
    """

    def __init__(self, batches: Iterable[Batch], decoder: TickDecoder | None = None) -> None: ...
    def __arrow_c_schema__(self) -> object:
        """Return the schema as an Arrow PyCapsule."""
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the stream as an Arrow PyCapsule. Another schema is not supported.

        An exception of the iterable ends the stream; the consumer raises an error of its own with its text.

        Raises:
            UsageError: the stream was exported before.
        """
    def to_arrow(self) -> Any:
        """Return the stream as a `pyarrow.RecordBatchReader`. Needs pyarrow."""
    def to_pandas(self) -> Any:
        """Read everything into a `pandas.DataFrame`. Needs pandas and pyarrow."""
    def to_polars(self) -> Any:
        """Read everything into a `polars.DataFrame`. Needs polars only."""
