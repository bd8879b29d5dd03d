"""The Arrow C data interface: its structs, and the columns from which arrays are exported."""

from libc.stdint cimport int64_t, uint8_t

# The structs are part of the specification (https://arrow.apache.org/docs/format/CDataInterface.html). The guards are
# the ones that it prescribes, so other headers may define the structs too.
cdef extern from *:
    """
    #include <stdint.h>
    #ifndef ARROW_C_DATA_INTERFACE
    #define ARROW_C_DATA_INTERFACE
    #define ARROW_FLAG_DICTIONARY_ORDERED 1
    #define ARROW_FLAG_NULLABLE 2
    #define ARROW_FLAG_MAP_KEYS_SORTED 4
    struct ArrowSchema {
        const char* format;
        const char* name;
        const char* metadata;
        int64_t flags;
        int64_t n_children;
        struct ArrowSchema** children;
        struct ArrowSchema* dictionary;
        void (*release)(struct ArrowSchema*);
        void* private_data;
    };
    struct ArrowArray {
        int64_t length;
        int64_t null_count;
        int64_t offset;
        int64_t n_buffers;
        int64_t n_children;
        const void** buffers;
        struct ArrowArray** children;
        struct ArrowArray* dictionary;
        void (*release)(struct ArrowArray*);
        void* private_data;
    };
    #endif
    #ifndef ARROW_C_STREAM_INTERFACE
    #define ARROW_C_STREAM_INTERFACE
    struct ArrowArrayStream {
        int (*get_schema)(struct ArrowArrayStream*, struct ArrowSchema* out);
        int (*get_next)(struct ArrowArrayStream*, struct ArrowArray* out);
        const char* (*get_last_error)(struct ArrowArrayStream*);
        void (*release)(struct ArrowArrayStream*);
        void* private_data;
    };
    #endif
    """
    cdef enum:
        ARROW_FLAG_NULLABLE

    cdef struct ArrowSchema:
        const char* format
        const char* name
        const char* metadata
        int64_t flags
        int64_t n_children
        ArrowSchema** children
        ArrowSchema* dictionary
        void (*release)(ArrowSchema*) noexcept nogil
        void* private_data

    cdef struct ArrowArray:
        int64_t length
        int64_t null_count
        int64_t offset
        int64_t n_buffers
        int64_t n_children
        const void** buffers
        ArrowArray** children
        ArrowArray* dictionary
        void (*release)(ArrowArray*) noexcept nogil
        void* private_data

    cdef struct ArrowArrayStream:
        int (*get_schema)(ArrowArrayStream*, ArrowSchema*) noexcept nogil
        int (*get_next)(ArrowArrayStream*, ArrowArray*) noexcept nogil
        const char* (*get_last_error)(ArrowArrayStream*) noexcept nogil
        void (*release)(ArrowArrayStream*) noexcept nogil
        void* private_data


# One column, or the record batch of several. Every exported struct holds a reference to its column, and so to the
# memory.
cdef class ArrowColumn:
    cdef:
        bytes format
        bytes name
        # Encoded as the specification says; None without metadata.
        bytes metadata
        bint is_nullable
        int64_t length
        int64_t null_count
        int buffer_count
        const void* buffers[3]
        # The object that owns the memory of the buffers.
        object owner
        # Memory that the column owns itself: converted values, bitmaps.
        void* memory_ptr
        void* bitmap_ptr
        # The columns of a record batch; empty for a column.
        list children
        # The texts of a dictionary-encoded column, or None.
        ArrowColumn dictionary

    # Memory for `size_bytes` bytes, zeroed, which is freed with the column.
    cdef void* allocate(self, Py_ssize_t size_bytes) except NULL
    # Makes the validity bitmap of the column from bytes that are 0 or 1.
    cdef int set_valid(self, const uint8_t* valid_ptr) except -1


# A column without nulls over `data_ptr`, which belongs to `owner`. Texts are str; metadata is a dict of str or None.
cdef ArrowColumn fixed_column(str name, bytes format, int64_t length, const void* data_ptr, object owner, dict metadata)
# A column of texts or bytes: format `u` or `z`.
cdef ArrowColumn binary_column(
    str name, bytes format, int64_t length, const void* offsets_ptr, const void* bytes_ptr, object owner, dict metadata
)
# The column of these texts, bytes in UTF-8, which are copied.
cdef ArrowColumn text_column(str name, list texts)
# A record batch.
cdef ArrowColumn record_batch(list columns, int64_t length, dict metadata)

# The capsules of the PyCapsule interface.
cdef object schema_capsule(ArrowColumn column)
cdef object array_capsule(ArrowColumn column)
cdef object stream_capsule(ArrowColumn schema, object iterator)
