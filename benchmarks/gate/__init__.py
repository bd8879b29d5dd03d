"""The performance gate: compares instructions per frame, counted by callgrind, with an earlier commit.

`driver.py` runs every path on the frames of `frames.py`, with `native.pyx` as its C part, and `measure.py` counts the
instructions. `baseline.py` chooses the commit to compare with, `trees.py` builds it next to the work tree, and
`verdict.py` compares. `timing.py` compares CPU time on a real socket, and `selftest.py` checks that seeded slowdowns
fail.
"""
