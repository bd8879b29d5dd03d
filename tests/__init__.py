"""The tests of cpapi_fast.

- `unit`: one module each, without the network or on one local socket.
- `property`: Hypothesis compares the C code with models in Python.
- `integration`: whole features over real sockets, most of them against the simulated gateway.
- `faults`: a feed behind a proxy that breaks connections; each fault, random faults, memory, and a long soak test.
- `simulation`: the feed's state machine in simulated time, without sockets (`make year`).
- `fuzz`: targets and campaigns for libFuzzer (`make fuzz`).
- `meta`: rules about the code itself, such as its layers, exports and release notes.
- `typing`: files that mypy and pyright check, and the allowlist of stubtest.
- `native`: C and Cython sources that tests compile.
- `data`: example frames of each kind, with invented ids.

The modules beside these folders are helpers that several folders share. `conftest.py` describes the fixtures.
"""
