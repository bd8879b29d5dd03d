"""Builds the compiled peers into build/peers, with their command lines in build/peers/manifest.json.

Usage: python benchmarks/peers/build.py    (`make peers`)

Without cargo only the C peer is built; with CPAPI_FAST_REQUIRE_ALL=1 that is an error. A second call takes less than a
second, because the C compiler and cargo run only if a source is newer than its program.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
OUT: Final = HERE.parent.parent / "build" / "peers"
RUST_PROGRAM: Final = OUT / "target" / "release" / "peers"

#: Sources without crates. rustc alone builds their tests, which takes a second.
RUST_TESTED: Final = ("number", "route")

NO_CARGO: Final = (
    "peers: no cargo on PATH, so only the C peer is built; for all of them install Rust 1.89 or newer: "
    "https://rustup.rs"
)

# `frames` is the number of 151-byte frames in a timed run: about half a second, and ten million for `collect`.
C_PEER: Final[dict[str, dict[str, Any]]] = {
    "raw_recv": {
        "label": "recv loop in C",
        "group": "limit",
        "jobs": ["bytes", "count", "latency"],
        "tls": False,
        "frames": 3_000_000,
    },
}
RUST_PEERS: Final[dict[str, dict[str, Any]]] = {
    "tungstenite_alone": {
        "label": "tokio-tungstenite, no parse (Rust)",
        "group": "peer",
        "jobs": ["count", "latency"],
        "crate": "tokio-tungstenite",
        "frames": 1_500_000,
    },
    "fastwebsockets_alone": {
        "label": "fastwebsockets, no parse (Rust)",
        "group": "peer",
        "jobs": ["count", "latency"],
        "crate": "fastwebsockets",
        "frames": 1_500_000,
    },
    "fastwebsockets_sonic": {
        "label": "fastwebsockets + sonic-rs (Rust)",
        "group": "peer",
        "jobs": ["route", "dict", "columns", "latency"],
        "crate": "sonic-rs",
        "frames": 800_000,
    },
    "bezant": {
        "label": "bezant-core (Rust)",
        "group": "peer",
        "jobs": ["route", "dict", "columns", "latency"],
        "crate": "bezant-core",
        "frames": 300_000,
    },
    "fastwebsockets_parquet": {
        "label": "fastwebsockets + sonic-rs + parquet (Rust)",
        "group": "peer",
        "jobs": ["collect"],
        "crate": "parquet",
        "tls": False,
        "frames": 10_000_000,
    },
}


def run(*command: str | Path, env: dict[str, str] | None = None) -> None:
    """Run one build step and show its output. Exit if it fails."""
    done = subprocess.run(list(map(str, command)), cwd=HERE, env=env, check=False)
    if done.returncode:
        raise SystemExit(f"peers: failed: {' '.join(map(str, command))}")


def is_older(product: Path, *sources: Path) -> bool:
    if not product.exists():
        return True
    made = product.stat().st_mtime
    return any(source.stat().st_mtime > made for source in (*sources, Path(__file__)))


def build_c() -> Path:
    program, source = OUT / "raw_recv", HERE / "raw_recv.c"
    if is_older(program, source):
        compiler = os.environ.get("CC", "cc").split()
        warnings = ("-Wall", "-Wextra", "-Wshadow", "-Werror")
        run(*compiler, "-std=gnu11", "-O3", "-march=native", *warnings, source, "-o", program)
    return program


def test_rust() -> None:
    for name in RUST_TESTED:
        program, source = OUT / f"test_{name}", HERE / "src" / f"{name}.rs"
        if is_older(program, source):
            tested = OUT / f"test_{name}.new"
            run("rustc", "--edition", "2024", "--test", "-A", "dead_code", source, "-o", tested)
            run(tested, "--quiet")
            tested.replace(program)


def build_rust(cargo: str) -> Path:
    run(cargo, "build", "--release", "--locked", env={**os.environ, "CARGO_TARGET_DIR": str(OUT / "target")})
    return RUST_PROGRAM


def locked_version(crate: str) -> str:
    """Return the version of `crate` in Cargo.lock. If there are two, return the last one, which is newer."""
    entry = re.compile(rf'^name = "{re.escape(crate)}"\nversion = "([^"]+)"', re.MULTILINE)
    found = entry.findall((HERE / "Cargo.lock").read_text())
    return str(found[-1])


def main() -> None:
    if sys.platform != "linux":
        raise SystemExit("peers: they build on Linux only, since they read /proc and Linux clocks")
    OUT.mkdir(parents=True, exist_ok=True)
    manifest: dict[str, dict[str, Any]] = {}
    c_program = build_c()
    for name, entry in C_PEER.items():
        manifest[name] = {"command": [str(c_program)], "version": "", **entry}
    cargo = shutil.which("cargo")
    if cargo is None:
        print(NO_CARGO, file=sys.stderr)
    else:
        test_rust()
        rust_program = build_rust(cargo)
        for name, entry in RUST_PEERS.items():
            plain = {key: value for key, value in entry.items() if key != "crate"}
            version = locked_version(entry["crate"])
            manifest[name] = {"command": [str(rust_program), name], "version": version, "tls": True} | plain
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    if cargo is None and os.environ.get("CPAPI_FAST_REQUIRE_ALL", "0") not in ("", "0"):
        raise SystemExit("peers: CPAPI_FAST_REQUIRE_ALL is set, and cargo is missing")


if __name__ == "__main__":
    main()
