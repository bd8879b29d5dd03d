"""LastPrices, a frame sink: C for every frame, Python once per socket read."""

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport int64_t, uint8_t

from cpapi_fast cimport (
    KIND_MALFORMED,
    KIND_MARKET_DATA,
    BorrowedFrame,
    FrameSink,
    TickDecoder,
    decode_payload_ptr,
)

from cpapi_fast import FrameKind


cdef enum:
    KINDS = KIND_MALFORMED + 1


cdef struct Quote:
    int64_t conid
    int64_t received_ns                 # of the last price; 0 before the first
    double price
    bint is_changed                     # since the last publication


cdef class LastPrices(FrameSink):
    """Keeps the last price of some instruments, and counts all frames and bytes by kind.

    Args:
        conids: the instruments to follow; frames of others are counted only.
        publish: called at the end of a socket read that contained prices, with a list of (conid, price, received_ns):
            the last price of each instrument that had one. The prices before it in the same read are passed over.
    """

    cdef:
        readonly int64_t prices         # how many were seen
        int64_t[KINDS] _frames
        int64_t[KINDS] _bytes
        Quote* _quotes                  # ascending by conid
        Py_ssize_t _quote_count
        Py_ssize_t _changed_count
        TickDecoder _decoder
        object _publish

    def __cinit__(self, conids, publish):
        cdef list ordered = sorted(set(conids))
        cdef Py_ssize_t index
        # All bytes zero: no price yet.
        self._quotes = <Quote*>PyMem_Calloc(max(len(ordered), 1), sizeof(Quote))
        if self._quotes == NULL:
            raise MemoryError("no memory for the quotes")
        self._quote_count = len(ordered)
        for index in range(self._quote_count):
            self._quotes[index].conid = ordered[index]
        self._decoder = TickDecoder(["31"])
        self._publish = publish

    def __dealloc__(self):
        PyMem_Free(self._quotes)

    cdef int on_frame(self, const BorrowedFrame* frame) except -1:
        cdef:
            Quote* quote
            double price = 0.0
            uint8_t is_valid = 0
            uint8_t prefix = 0
        self._frames[frame.kind] += 1
        self._bytes[frame.kind] += frame.payload_len
        if frame.kind != KIND_MARKET_DATA:
            return 0
        quote = self._find(frame.conid)
        if quote == NULL:
            return 0
        # A frame holds only the fields that changed; "C187.05" is the prior close, and no trade.
        decode_payload_ptr(self._decoder, frame.payload_ptr, frame.payload_len, &price, &is_valid, &prefix)
        if is_valid and prefix == 0:
            self.prices += 1
            quote.price = price
            quote.received_ns = frame.received_ns
            if not quote.is_changed:
                quote.is_changed = True
                self._changed_count += 1
        return 0

    cdef int on_read_end(self) except -1:
        cdef list changed = []
        cdef Py_ssize_t index
        cdef Quote* quote
        if self._changed_count == 0:
            return 0
        self._changed_count = 0
        for index in range(self._quote_count):
            quote = &self._quotes[index]
            if quote.is_changed:
                quote.is_changed = False
                changed.append((quote.conid, quote.price, quote.received_ns))
        self._publish(changed)
        return 0

    cdef Quote* _find(self, int64_t conid) noexcept:
        cdef:
            Py_ssize_t low = 0
            Py_ssize_t high = self._quote_count
            Py_ssize_t middle
        while low < high:
            middle = (low + high) // 2
            if self._quotes[middle].conid < conid:
                low = middle + 1
            else:
                high = middle
        if low < self._quote_count and self._quotes[low].conid == conid:
            return &self._quotes[low]
        return NULL

    @property
    def latest(self):
        """{conid: (price, received_ns)} of the instruments that have had a price."""
        cdef Py_ssize_t index
        return {
            self._quotes[index].conid: (self._quotes[index].price, self._quotes[index].received_ns)
            for index in range(self._quote_count)
            if self._quotes[index].received_ns
        }

    @property
    def traffic(self):
        """{kind: (frames, bytes)} of the kinds that came."""
        return {kind: (self._frames[kind], self._bytes[kind]) for kind in FrameKind if self._frames[kind]}
