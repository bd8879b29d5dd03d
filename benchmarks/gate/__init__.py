"""Fails a change that makes a path slower: instructions per frame, counted with callgrind, against an earlier commit.

`driver.py` runs every path on the frames of `frames.py`, with `native.pyx` as its C part, and `measure.py` counts.
`baseline.py` chooses the commit to compare with, `trees.py` builds it next to the work tree, and `verdict.py` compares.
`timing.py` compares CPU time over a real socket, and `selftest.py` proves that seeded slowdowns fail.
"""
