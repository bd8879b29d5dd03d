"""RecordProducer: passes records to librdkafka and counts what the cluster acknowledges, in C without the GIL

The Python client takes 1.5 to 3 us per record with headers, and holds the GIL, which the event loop needs. So this
module calls the C functions of the librdkafka that `confluent-kafka` has loaded. Their interface is stable.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset, strlen

from .c_interface cimport (
    ACKNOWLEDGED,
    COPY_PAYLOAD,
    ERR_INVALID_MSG,
    ERR_INVALID_MSG_SIZE,
    ERR_INVALID_RECORD,
    ERR_INVALID_TIMESTAMP,
    ERR_MSG_SIZE_TOO_LARGE,
    ERR_QUEUE_FULL,
    FAILED,
    IN_FLIGHT,
    NOT_SENT,
    PRODUCER_TYPE,
    PURGE_QUEUE_AND_IN_FLIGHT,
    REFUSED,
    TEXT_BYTES,
    V_HEADER,
    V_KEY,
    V_MSGFLAGS,
    V_OPAQUE,
    V_PARTITION,
    V_RKT,
    V_TIMESTAMP,
    V_VALUE,
    Functions,
    cpk_argument_t,
    cpk_message_t,
    cpk_set_header,
    cpk_set_int,
    cpk_set_int32,
    cpk_set_int64,
    cpk_set_memory,
    cpk_set_pointer,
)

#: The names of the functions, in the order of `Functions`.
FUNCTIONS = (
    "rd_kafka_conf_new", "rd_kafka_conf_destroy", "rd_kafka_conf_set", "rd_kafka_conf_set_dr_msg_cb",
    "rd_kafka_conf_set_error_cb", "rd_kafka_conf_set_log_cb", "rd_kafka_conf_set_opaque", "rd_kafka_new",
    "rd_kafka_destroy", "rd_kafka_topic_new", "rd_kafka_topic_destroy", "rd_kafka_produceva", "rd_kafka_error_code",
    "rd_kafka_error_destroy", "rd_kafka_poll", "rd_kafka_outq_len", "rd_kafka_fatal_error", "rd_kafka_purge",
    "rd_kafka_err2name",
)

cdef struct State:
    # Written by the callbacks, which `poll` calls.
    int64_t acknowledged
    int64_t refused
    int64_t failed
    int refusal
    int failure
    int last_error
    char text[TEXT_BYTES]


cdef void _on_delivery(void* _producer, const cpk_message_t* message_ptr, void* state_ptr) noexcept nogil:
    cdef:
        State* state = <State*>state_ptr
        uint8_t* fate_ptr = <uint8_t*>message_ptr._private
    if message_ptr.err == 0:
        state.acknowledged += 1
        fate_ptr[0] = ACKNOWLEDGED
    elif _is_refusal(message_ptr.err):
        state.refused += 1
        state.refusal = message_ptr.err
        fate_ptr[0] = REFUSED
    else:
        state.failed += 1
        state.failure = message_ptr.err
        fate_ptr[0] = FAILED


cdef void _on_error(void* _producer, int code, const char* reason, void* state_ptr) noexcept nogil:
    cdef:
        State* state = <State*>state_ptr
        size_t length = min(strlen(reason), <size_t>(TEXT_BYTES - 1))
    state.last_error = code
    memcpy(state.text, reason, length)
    state.text[length] = 0


cdef void _on_log(const void* _producer, int _level, const char* _source, const char* _text) noexcept nogil:
    return  # Called in any thread of librdkafka. Its lines can contain secrets, and what matters are errors too.


cdef bint _is_refusal(int code) noexcept nogil:
    # The record itself is the cause, so that another attempt has the same result.
    return code in (
        ERR_INVALID_MSG, ERR_INVALID_MSG_SIZE, ERR_MSG_SIZE_TOO_LARGE, ERR_INVALID_TIMESTAMP, ERR_INVALID_RECORD
    )


cdef int _write_number(char* out_ptr, int64_t number) noexcept nogil:
    # Writes a number of at least zero in decimal, and returns the number of its digits.
    cdef:
        char digits[20]
        int count = 0
        int index
    while True:
        digits[count] = <char>(48 + number % 10)
        number //= 10
        count += 1
        if number == 0:
            break
    for index in range(count):
        out_ptr[index] = digits[count - 1 - index]
    return count


@cython.final
cdef class RecordProducer:
    """An idempotent producer for some topics. Not thread-safe.

    Args:
        functions: the addresses of the functions in `FUNCTIONS`, in their order.
        properties: the properties of librdkafka.
        topics: the names of the topics.

    Raises:
        ValueError: a property is invalid. The message is that of librdkafka.
    """

    cdef:
        Functions functions
        State* state
        void* producer
        void* topics[16]
        int topic_count
        # The fates of records in flight, which librdkafka has addresses of.
        object _held
        readonly int error_code

    def __cinit__(self, functions, properties, topics):
        cdef:
            char text[TEXT_BYTES]
            void* conf = NULL
            void** table = <void**>&self.functions
            Py_ssize_t index
        if len(functions) * sizeof(void*) != sizeof(Functions):
            raise ValueError(f"{len(functions)} functions instead of {sizeof(Functions) // sizeof(void*)}")
        if len(topics) > 16:
            raise ValueError(f"{len(topics)} topics; a producer has at most 16")
        for index in range(len(functions)):
            table[index] = <void*><uintptr_t>functions[index]
        self._held = {}
        self.state = <State*>calloc(1, sizeof(State))
        if self.state == NULL:
            raise MemoryError()
        conf = self.functions.conf_new()
        for name, value in properties.items():
            if self.functions.conf_set(conf, name.encode(), value.encode(), text, sizeof(text)) != 0:
                self.functions.conf_destroy(conf)
                raise ValueError(text.decode("utf-8", "replace"))
        self.functions.conf_set_dr_msg_cb(conf, _on_delivery)
        self.functions.conf_set_error_cb(conf, _on_error)
        self.functions.conf_set_log_cb(conf, _on_log)
        self.functions.conf_set_opaque(conf, self.state)
        self.producer = self.functions.new(PRODUCER_TYPE, conf, text, sizeof(text))
        if self.producer == NULL:
            self.functions.conf_destroy(conf)
            raise ValueError(text.decode("utf-8", "replace"))
        for name in topics:
            self.topics[self.topic_count] = self.functions.topic_new(self.producer, name.encode(), NULL)
            if self.topics[self.topic_count] == NULL:
                raise ValueError(f"the name of the topic is invalid: {name}")
            self.topic_count += 1

    def __dealloc__(self):
        self._destroy()
        free(self.state)

    cdef void _destroy(self) noexcept:
        cdef int index
        if self.producer == NULL:
            return
        with nogil:
            for index in range(self.topic_count):
                self.functions.topic_destroy(self.topics[index])
            self.functions.destroy(self.producer)
        self.producer = NULL

    def close(self):
        """Forget all records in flight, and release the producer. Idempotent."""
        self._destroy()
        self._held.clear()

    def produce(
        self,
        int topic,
        bytes run not None,
        int64_t first_sequence,
        const int64_t[::1] sequences,
        const int64_t[::1] received_ns not None,
        const int64_t[::1] conids not None,
        const int32_t[::1] offsets not None,
        const uint8_t[::1] payloads not None,
        fates not None,
        Py_ssize_t start=0,
    ):
        """Pass records to the queue of librdkafka, as long as it has room. Records that were sent before are left out.

        Args:
            topic: the index of the topic.
            run: the value of the header `run`, in ASCII.
            first_sequence: the sequence number of the first record, if `sequences` is None.
            sequences: the sequence number of each record.
            received_ns: the receive time of each record, in ns since the Unix epoch.
            conids: the contract id of each record, whose text is its key. A record with -1 has no key, and is in
                partition 0, so that all of these are in order.
            offsets: the start of each record in `payloads`, and the end of the last one.
            payloads: the bytes of all records.
            fates: a bytearray with what became of each record. It must not be resized until `release`.
            start: the index of the first record to send.

        Returns:
            The index of the first record that was not sent; `error_code` is 0 unless another reason than a full queue
            was the cause.

        Raises:
            ValueError: the columns have different lengths, or the producer is closed.
        """
        cdef:
            uint8_t[::1] fate = fates
            Py_ssize_t count = received_ns.shape[0]
            Py_ssize_t index
            Py_ssize_t run_len = len(run)
            const char* run_ptr = run
            const int64_t* sequences_ptr = NULL
            const int64_t* received_ns_ptr
            const int64_t* conids_ptr
            const int32_t* offsets_ptr
            const uint8_t* payloads_ptr = NULL
            uint8_t* fates_ptr
            Py_ssize_t payload_len = payloads.shape[0]
            size_t value_len
            cpk_argument_t arguments[9]
            char key[20]
            char sequence[20]
            int64_t conid
            void* error
            int code = 0
        if self.producer == NULL or not 0 <= topic < self.topic_count:
            raise ValueError("the producer is closed, or has no such topic")
        if (
            conids.shape[0] != count or offsets.shape[0] != count + 1 or fate.shape[0] != count or start < 0
            or (sequences is not None and sequences.shape[0] != count)
            or offsets[0] < 0 or offsets[count] > payloads.shape[0]
        ):
            raise ValueError("the columns of the records have different lengths")
        if count == 0:
            return 0
        if sequences is not None:
            sequences_ptr = &sequences[0]
        received_ns_ptr, conids_ptr, offsets_ptr = &received_ns[0], &conids[0], &offsets[0]
        fates_ptr = &fate[0]
        if payload_len > 0:
            payloads_ptr = &payloads[0]
        self._held[id(fates)] = fates
        self.error_code = 0
        memset(arguments, 0, sizeof(arguments))
        with nogil:
            arguments[0].vtype = V_RKT
            cpk_set_pointer(&arguments[0], self.topics[topic])
            arguments[1].vtype = V_MSGFLAGS
            cpk_set_int(&arguments[1], COPY_PAYLOAD)
            arguments[2].vtype = V_PARTITION
            arguments[3].vtype = V_VALUE
            arguments[4].vtype = V_KEY
            arguments[5].vtype = V_TIMESTAMP
            arguments[6].vtype = V_OPAQUE
            arguments[7].vtype = V_HEADER
            cpk_set_header(&arguments[7], b"run", run_ptr, <size_t>run_len)
            arguments[8].vtype = V_HEADER
            for index in range(start, count):
                if fates_ptr[index] != NOT_SENT:
                    continue
                if offsets_ptr[index] > offsets_ptr[index + 1] or offsets_ptr[index + 1] > payload_len:
                    code = ERR_INVALID_MSG
                    break
                conid = conids_ptr[index]
                if conid < 0:
                    cpk_set_int32(&arguments[2], 0)
                    cpk_set_memory(&arguments[4], NULL, 0)
                else:
                    cpk_set_int32(&arguments[2], -1)
                    cpk_set_memory(&arguments[4], key, <size_t>_write_number(key, conid))
                value_len = <size_t>(offsets_ptr[index + 1] - offsets_ptr[index])
                if value_len == 0:
                    cpk_set_memory(&arguments[3], b"", 0)
                else:
                    cpk_set_memory(&arguments[3], payloads_ptr + offsets_ptr[index], value_len)
                cpk_set_int64(&arguments[5], received_ns_ptr[index] // 1000000)
                cpk_set_pointer(&arguments[6], &fates_ptr[index])
                cpk_set_header(
                    &arguments[8],
                    b"sequence",
                    sequence,
                    <size_t>_write_number(
                        sequence, first_sequence + index if sequences_ptr == NULL else sequences_ptr[index]
                    ),
                )
                fates_ptr[index] = IN_FLIGHT
                error = self.functions.produceva(self.producer, arguments, 9)
                if error == NULL:
                    continue
                code = self.functions.error_code(error)
                self.functions.error_destroy(error)
                if _is_refusal(code):
                    fates_ptr[index] = REFUSED
                    self.state.refused += 1
                    self.state.refusal = code
                    code = 0
                    continue
                fates_ptr[index] = NOT_SENT
                break
            else:
                index = count
        self.error_code = 0 if code == ERR_QUEUE_FULL else code
        return index

    def release(self, fates not None):
        """Forget records that have all been acknowledged or refused."""
        self._held.pop(id(fates), None)

    def poll(self, double timeout_s=0.0):
        """Count what was acknowledged since the last call, and wait up to `timeout_s` for the first of it."""
        cdef int timeout_ms = <int>(timeout_s * 1000)
        if self.producer != NULL:
            with nogil:
                self.functions.poll(self.producer, timeout_ms)

    def purge(self):
        """Take all records from the queues of librdkafka; each that is not acknowledged counts as failed in `poll`."""
        if self.producer != NULL:
            with nogil:
                self.functions.purge(self.producer, PURGE_QUEUE_AND_IN_FLIGHT)

    @property
    def queued(self):
        """How many records are in the queues of librdkafka, or are acknowledged and not counted yet."""
        return 0 if self.producer == NULL else self.functions.outq_len(self.producer)

    @property
    def acknowledged(self):
        """How many records the cluster has acknowledged."""
        return self.state.acknowledged

    @property
    def refused(self):
        """How many records were refused, because they are too large or invalid."""
        return self.state.refused

    @property
    def failed(self):
        """How many records failed for another reason."""
        return self.state.failed

    @property
    def refusal(self):
        """The name of the last reason for a refusal; empty without one."""
        return self._name_of(self.state.refusal)

    @property
    def failure(self):
        """The name of the last reason for a failure; empty without one."""
        return self._name_of(self.state.failure)

    @property
    def last_error(self):
        """The name and text of the last error of librdkafka, which may contain secrets; empty without one."""
        return self._name_of(self.state.last_error), self.state.text.decode("utf-8", "replace")

    @property
    def fatal_error(self):
        """The name of the error after which nothing more can be sent; empty without one."""
        cdef char text[TEXT_BYTES]
        if self.producer == NULL:
            return ""
        return self._name_of(self.functions.fatal_error(self.producer, text, sizeof(text)))

    def name_of(self, int code):
        """The name of an error code; empty for 0."""
        return self._name_of(code)

    cdef str _name_of(self, int code):
        return "" if code == 0 else self.functions.err2name(code).decode()

    def __reduce__(self):
        raise TypeError("RecordProducer cannot be copied or pickled")
