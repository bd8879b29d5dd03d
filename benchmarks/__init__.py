"""Measures the cost of the library per frame, beside other clients: `make bench`."""
