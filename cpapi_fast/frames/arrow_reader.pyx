"""ArrowReader: exports a sequence of batches as one Arrow stream"""

cimport cython

from .arrow cimport ArrowColumn, schema_capsule, stream_capsule
from .batch cimport Batch
from .tick_decoder cimport TickDecoder
from .ticks cimport Ticks

from cpapi_fast.errors import UsageError

from .dataframes import import_library


@cython.final
cdef class ArrowReader:
    """Exports batches as a stream of Arrow record batches, one for each batch, by the Arrow PyCapsule interface.

    pyarrow, polars, DuckDB and pandas read from it, without pyarrow in between. It can be read once. Batches are taken
    from the iterable as the reader asks for them, in its thread.

    Args:
        batches: an iterable of `Batch`.
        decoder: exports the columns of `Ticks.to_arrow` for each batch; None exports the frames, as `Batch.to_arrow`.
    """

    cdef:
        object _batches
        TickDecoder _decoder

    def __init__(self, batches, TickDecoder decoder=None):
        self._batches = iter(batches)
        self._decoder = decoder

    cdef ArrowColumn _column(self, Batch batch):
        return batch.arrow() if self._decoder is None else (<Ticks>self._decoder.decode(batch)).arrow()

    def _columns(self, batches):
        for batch in batches:
            yield self._column(<Batch?>batch)

    def __arrow_c_schema__(self):
        """Return the schema as an Arrow PyCapsule."""
        return schema_capsule(self._column(Batch.__new__(Batch)))

    def __arrow_c_stream__(self, requested_schema=None):
        """Return the stream as an Arrow PyCapsule. Another schema is not supported.

        An exception of the iterable ends the stream; the consumer raises an error of its own with its text.

        Raises:
            UsageError: the stream was exported before.
        """
        batches, self._batches = self._batches, None
        if batches is None:
            raise UsageError("an ArrowReader is read once; create another one for other batches")
        return stream_capsule(self._column(Batch.__new__(Batch)), self._columns(batches))

    def to_arrow(self):
        """Return the stream as a `pyarrow.RecordBatchReader`. Needs pyarrow."""
        return import_library("pyarrow").RecordBatchReader.from_stream(self)

    def to_pandas(self):
        """Read everything into a `pandas.DataFrame`. Needs pandas and pyarrow."""
        import_library("pandas")
        return self.to_arrow().read_all().to_pandas()

    def to_polars(self):
        """Read everything into a `polars.DataFrame`. Needs polars only."""
        return import_library("polars").DataFrame(self)

    def __reduce__(self):
        raise TypeError("an ArrowReader cannot be copied or pickled")
