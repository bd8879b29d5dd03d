"""Servers and a proxy for tests, which send scripted bytes or cause faults on the network."""
