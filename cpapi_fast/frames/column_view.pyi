# Only for `cimport`: the module has no Python names.
