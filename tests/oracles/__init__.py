"""Slow and simple models of the library, and generators of input, which tests compare it with."""
