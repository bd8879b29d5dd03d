"""Helpers that tests in more than one folder use: event loops, clocks, frames, batches and processes."""
