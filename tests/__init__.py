"""The tests of cpapi_fast.

- `unit`: one module each, without the network or on one local socket.
- `property`: Hypothesis compares the C code with models in Python.
- `integration`: whole features over real sockets, most of them against the simulated gateway.
- `faults`: a feed behind a proxy that breaks connections; each fault, random faults, memory, and a long soak test.
- `simulation`: the feed's state machine in simulated time, without sockets (`make year`).
- `fuzz`: targets and campaigns for libFuzzer (`make fuzz`).
- `meta`: rules about the code itself, such as its layers, exports and release notes.
- `docs`: runs every code block of the documentation, and checks links and the reference.
- `typing`: files that mypy and pyright check, and the allowlist of stubtest.
- `native`: C and Cython sources that tests compile.
- `data`: example frames of each kind, with invented ids.

Helpers that several folders share:

- `oracles`: slow and simple models of the library, and generators of input, for comparison.
- `servers`: servers with scripted bytes, a proxy with faults, and certificates.
- `support`: event loops, clocks, frames, batches, processes and files.

`conftest.py` describes the fixtures.
"""
