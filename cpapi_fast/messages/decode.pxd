"""The C interface of decode.pyx, for `Frame.message`."""

from libc.stdint cimport int64_t


# The message of a decoded payload; None if the payload is not an object. `is_market_data`: the channel is known to be
# `smd`.
cdef object message_of(object payload, bint is_market_data, int64_t received_ns)

# Decodes bytes that orjson rejects, or that were not decoded. None: they are not a JSON object.
cdef object decode_object(bytes raw)
