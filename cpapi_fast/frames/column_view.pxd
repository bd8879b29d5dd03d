"""The C side of column views: the function that makes one."""


# A read-only memoryview over `count` items of `itemsize` bytes. `owner` keeps them unchanged and at their place as long
# as it exists. `format_ptr` is a format of the struct module with static lifetime.
cdef object column_view(object owner, void* data_ptr, const char* format_ptr, Py_ssize_t count, Py_ssize_t itemsize)
