"""Collects market data: a feed whose frames and events are written to files."""
