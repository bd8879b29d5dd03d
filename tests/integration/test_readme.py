"""The code of README and examples/ runs unchanged, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cpapi_fast.simulator import Certificate

ROOT = Path(__file__).resolve().parents[2]


def run_python(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def readme_program() -> str:
    blocks = re.findall(r"(?ms)^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"))
    return str(blocks[0])


def readme_program_for(url: str) -> str:
    """The program of the README as the text below it says: without the simulator, with the URL of a gateway."""
    program = readme_program()
    for old, new in (
        ("from cpapi_fast.simulator import SimulatedGateway\n", ""),
        ("        SimulatedGateway() as gateway,\n", ""),
        ("cf.Client(gateway.url, tls=cf.Tls.pinned(gateway.fingerprint))", f"cf.Client({url!r})"),
    ):
        assert program.count(old) == 1, old
        program = program.replace(old, new)
    return program


@contextmanager
def unused_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


class NotFound(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def other_server(certificate: Certificate | None = None) -> Iterator[int]:
    """A server that has nothing of a gateway."""
    server = HTTPServer(("127.0.0.1", 0), NotFound)
    if certificate is not None:
        server.socket = certificate.server_context().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def first_line_of(program: str, folder: Path) -> tuple[str, float]:
    """Run a program that does not end by itself; the first line on stderr, and after how many seconds it came."""
    script = folder / "example.py"
    script.write_text(program, encoding="utf-8")
    started_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    watchdog = threading.Timer(60.0, process.kill)
    watchdog.start()
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        return line, time.monotonic() - started_s
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.communicate()
        watchdog.cancel()


@pytest.mark.skipif(sys.platform == "win32", reason="ends a process with a signal")
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("nothing listens", r"disconnected \(unreachable: .*Start the gateway, or check host, port and network"),
        ("no such host", r"disconnected \(unreachable: .*check host, port and network"),
        ("untrusted certificate", r"disconnected \(refused: .*certificate.*Check the URL, the certificate"),
        ("wrong base path", r"disconnected \(not a gateway: .*404.*Use http://.*/v1/api as the base URL"),
    ],
)
def test_the_program_of_the_readme_against_nothing_says_what_is_wrong(kind: str, expected: str, tmp_path: Path) -> None:
    certificate = Certificate.make(("localhost", "127.0.0.1")) if kind == "untrusted certificate" else None
    with unused_port() as nothing, other_server(certificate) as port:
        url = {
            "nothing listens": f"https://localhost:{nothing}/v1/api",
            "no such host": "https://no-such-host.invalid/v1/api",
            "untrusted certificate": f"https://127.0.0.1:{port}/v1/api",
            "wrong base path": f"http://127.0.0.1:{port}/wrong",
        }[kind]
        line, seconds = first_line_of(readme_program_for(url), tmp_path)
    assert line.startswith(f"feed of {url}: ")
    assert re.search(expected, line)
    # A person waits so long. The message itself comes within milliseconds after the start of Python.
    assert seconds < 30.0


def test_the_program_of_the_readme_ends_with_the_cause_if_it_may_give_up(tmp_path: Path) -> None:
    with unused_port() as nothing:
        program = readme_program_for(f"https://localhost:{nothing}/v1/api")
        assert program.count("cf.Feed(client)") == 1
        program = program.replace("cf.Feed(client)", "cf.Feed(client, cf.FeedOptions(give_up_after_s=5.0))")
        script = tmp_path / "example.py"
        script.write_text(program, encoding="utf-8")
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert re.search(r"TransportError: no data for 5 s: .*unreachable.*To do: Start the gateway", done.stderr)


def test_the_program_of_the_readme_in_a_notebook_says_what_to_do(tmp_path: Path) -> None:
    cell = readme_program().replace("cf.run(main())", "    cf.run(main())")
    assert "\n    cf.run(main())" in cell
    cell = cell.replace(
        "\n    cf.run(main())",
        "\nasync def kernel() -> None:\n    cf.run(main())\n\n\nimport asyncio\nasyncio.run(kernel())",
    )
    script = tmp_path / "cell.py"
    script.write_text(cell, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-X", "dev", str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "Use `await main()` instead of `cf.run(main())`" in done.stderr
    assert "never awaited" not in done.stderr


def test_the_example_of_the_readme_prints_a_quote(tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(readme_program(), encoding="utf-8")
    assert re.fullmatch(r"265598 \d+\.\d+ \d+\.\d+ True\n", run_python(str(script), folder=tmp_path))


def test_the_collecting_example_leaves_finished_files(tmp_path: Path) -> None:
    printed = run_python(str(ROOT / "examples" / "collect.py"), "files", "2", folder=tmp_path)
    names = [path.name for path in (tmp_path / "files").iterdir()]
    assert sorted(Path(name).suffix for name in names) == [".arrows", ".jsonl", ".parquet"]
    assert all(name in printed for name in names)


def test_example_own_output(tmp_path: Path) -> None:
    printed = run_python(str(ROOT / "examples" / "own_output.py"), "files", "2", folder=tmp_path)
    assert re.search(r"sqlite [1-9]\d* received = [1-9]\d* written \+ 0 dropped \+ 0 pending", printed)
    assert (tmp_path / "files" / "frames.sqlite").exists()


def test_the_pushing_example_counts_both_instruments(tmp_path: Path) -> None:
    printed = run_python(str(ROOT / "examples" / "push.py"), "2", folder=tmp_path)
    counts = dict(re.findall(r"(\d+): (\d+)", printed.splitlines()[-1]))
    assert int(counts["265598"]) >= 2
    assert int(counts["8314"]) >= 2


def test_the_example_of_columns_prints_both_spreads(tmp_path: Path) -> None:
    printed = run_python(str(ROOT / "examples" / "columns.py"), "2", folder=tmp_path)
    lines = re.findall(r"^(\d+): mean spread (\d+\.\d{4}) over (\d+) frames$", printed, re.MULTILINE)
    assert {conid for conid, _, _ in lines} == {"265598", "8314"}
    assert all(float(spread) > 0 and int(frames) >= 2 for _, spread, frames in lines)


def test_the_example_of_a_strategy_has_the_same_signals_live_and_replayed(tmp_path: Path) -> None:
    printed = run_python(str(ROOT / "examples" / "strategy.py"), folder=tmp_path)
    assert re.fullmatch(r"live: [1-9]\d* signals, replayed: [1-9]\d*, equal: True\n", printed)


def test_the_example_of_a_feed_reports_the_lost_connection_and_continues(tmp_path: Path) -> None:
    printed = run_python(str(ROOT / "examples" / "feed.py"), folder=tmp_path)
    assert printed.count("feed: connecting -> open") >= 3
    assert "connection_lost" in printed
    assert "smd+265598: streaming -> stale (subscription_silent)" in printed
    frames, gaps, connections = map(int, re.findall(r"(\d+) (?:market data frames|gaps|connections)", printed))
    assert frames > 20
    assert gaps >= 3
    assert connections >= 3
