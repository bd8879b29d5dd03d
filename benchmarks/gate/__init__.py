"""Whether a change made a path slower: instructions per frame, counted and not timed, against a baseline built here.

`driver.py` runs every path, `native.pyx` is its C, `frames.py` what it feeds; `measure.py` counts with callgrind;
`trees.py` builds copies of the tree, `baseline.py` says which to compare with, `verdict.py` decides; `timing.py` holds
CPU time over a real socket against picows and orjson; `selftest.py` proves that a seeded slowdown is caught.
"""
