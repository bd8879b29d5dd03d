"""One way to receive per file, each run in a process of its own.

A contender has one function, `connect(url, check)`. It connects, and returns `drain()`, which tells the sender to
begin, receives until the sender closes, and returns what it received as a `corpus.Received`. With `check` it also looks
at every frame, which the timed runs do not.
"""
