"""The types, numbers and functions of librdkafka that this library uses, as its header rdkafka.h documents them."""

from libc.stdint cimport int32_t, int64_t

cdef enum:
    PRODUCER_TYPE = 0
    PURGE_QUEUE_AND_IN_FLIGHT = 3
    TEXT_BYTES = 512

    # rd_kafka_vtype_t
    V_RKT = 2
    V_PARTITION = 3
    V_VALUE = 4
    V_KEY = 5
    V_OPAQUE = 6
    V_MSGFLAGS = 7
    V_TIMESTAMP = 8
    V_HEADER = 9

    # RD_KAFKA_MSG_F_COPY
    COPY_PAYLOAD = 2

    # rd_kafka_resp_err_t
    ERR_QUEUE_FULL = -184
    ERR_INVALID_MSG = 2
    ERR_INVALID_MSG_SIZE = 4
    ERR_MSG_SIZE_TOO_LARGE = 10
    ERR_INVALID_TIMESTAMP = 32
    ERR_INVALID_RECORD = 87

    # What became of a record; `records.py` has the same numbers.
    NOT_SENT = 0
    IN_FLIGHT = 1
    ACKNOWLEDGED = 2
    REFUSED = 3
    FAILED = 4

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <sys/types.h>
    #ifdef _MSC_VER
    #include <BaseTsd.h>
    typedef SSIZE_T cpk_ssize_t;
    #else
    typedef ssize_t cpk_ssize_t;
    #endif

    /* The public, stable types of librdkafka/rdkafka.h that are needed here. */
    typedef struct {
        int err;
        void *rkt;
        int32_t partition;
        void *payload;
        size_t len;
        void *key;
        size_t key_len;
        int64_t offset;
        void *_private;
    } cpk_message_t;

    typedef struct {
        int vtype;
        union {
            void *ptr;
            int i;
            int32_t i32;
            int64_t i64;
            struct { void *ptr; size_t size; } mem;
            struct { const char *name; const void *val; cpk_ssize_t size; } header;
            char _pad[64];
        } u;
    } cpk_argument_t;

    static void cpk_set_memory(cpk_argument_t *argument, const void *ptr, size_t size) {
        argument->u.mem.ptr = (void *)ptr;
        argument->u.mem.size = size;
    }

    static void cpk_set_header(cpk_argument_t *argument, const char *name, const void *value, size_t size) {
        argument->u.header.name = name;
        argument->u.header.val = value;
        argument->u.header.size = (cpk_ssize_t)size;
    }
    """
    ctypedef struct cpk_message_t:
        int err
        void* _private

    ctypedef struct cpk_argument_t:
        int vtype

    void cpk_set_memory(cpk_argument_t*, const void*, size_t) noexcept nogil
    void cpk_set_header(cpk_argument_t*, const char*, const void*, size_t) noexcept nogil

cdef extern from *:
    """
    #define cpk_set_pointer(argument, value) ((argument)->u.ptr = (value))
    #define cpk_set_int(argument, value) ((argument)->u.i = (value))
    #define cpk_set_int32(argument, value) ((argument)->u.i32 = (value))
    #define cpk_set_int64(argument, value) ((argument)->u.i64 = (value))
    """
    void cpk_set_pointer(cpk_argument_t*, void*) noexcept nogil
    void cpk_set_int(cpk_argument_t*, int) noexcept nogil
    void cpk_set_int32(cpk_argument_t*, int32_t) noexcept nogil
    void cpk_set_int64(cpk_argument_t*, int64_t) noexcept nogil

ctypedef void (*delivery_callback)(void*, const cpk_message_t*, void*) noexcept nogil
ctypedef void (*error_callback)(void*, int, const char*, void*) noexcept nogil
ctypedef void (*log_callback)(const void*, int, const char*, const char*) noexcept nogil

cdef struct Functions:
    # The functions of librdkafka, with the names of rdkafka.h without their `rd_kafka_`.
    void* (*conf_new)() noexcept nogil
    void (*conf_destroy)(void*) noexcept nogil
    int (*conf_set)(void*, const char*, const char*, char*, size_t) noexcept nogil
    void (*conf_set_dr_msg_cb)(void*, delivery_callback) noexcept nogil
    void (*conf_set_error_cb)(void*, error_callback) noexcept nogil
    void (*conf_set_log_cb)(void*, log_callback) noexcept nogil
    void (*conf_set_opaque)(void*, void*) noexcept nogil
    void* (*new)(int, void*, char*, size_t) noexcept nogil
    void (*destroy)(void*) noexcept nogil
    void* (*topic_new)(void*, const char*, void*) noexcept nogil
    void (*topic_destroy)(void*) noexcept nogil
    void* (*produceva)(void*, const cpk_argument_t*, size_t) noexcept nogil
    int (*error_code)(const void*) noexcept nogil
    void (*error_destroy)(void*) noexcept nogil
    int (*poll)(void*, int) noexcept nogil
    int (*outq_len)(void*) noexcept nogil
    int (*fatal_error)(void*, char*, size_t) noexcept nogil
    int (*purge)(void*, int) noexcept nogil
    const char* (*err2name)(int) noexcept nogil
