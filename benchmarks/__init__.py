"""Measures the cost per frame of the library and of other clients: `make bench`."""
