"""The code of README and examples/ runs unchanged, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_python(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_example_of_the_readme_prints_a_price(tmp_path: Path) -> None:
    blocks = re.findall(r"(?ms)^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"))
    script = tmp_path / "example.py"
    script.write_text(blocks[0], encoding="utf-8")
    assert re.fullmatch(r"265598 \S+\n", run_python(str(script), folder=tmp_path))


def test_the_collecting_example_leaves_finished_files(tmp_path: Path) -> None:
    printed = run_python(str(ROOT / "examples" / "collect.py"), "files", "2", folder=tmp_path)
    names = [path.name for path in (tmp_path / "files").iterdir()]
    assert sorted(Path(name).suffix for name in names) == [".arrows", ".jsonl", ".parquet"]
    assert all(name in printed for name in names)


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


def test_the_example_of_a_feed_reports_the_lost_connection_and_continues(tmp_path: Path) -> None:
    printed = run_python(str(ROOT / "examples" / "feed.py"), folder=tmp_path)
    assert printed.count("feed: connecting -> open") >= 3
    assert "connection_lost" in printed
    assert "smd+265598: streaming -> stale (subscription_silent)" in printed
    frames, gaps, connections = map(int, re.findall(r"(\d+) (?:market data frames|gaps|connections)", printed))
    assert frames > 20
    assert gaps >= 3
    assert connections >= 3
