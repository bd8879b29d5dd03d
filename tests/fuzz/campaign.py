"""Fuzzes all targets side by side for a while; what it finds is kept in a file, with the command that shows it again.

Runs in the sanitized build, outside of the checkout (tools/sanitized.sh):

    python -m tests.fuzz.campaign --seconds 60 --folder FOLDER
    python -m tests.fuzz.campaign --one FILE

FOLDER keeps the corpus of each target from run to run, the log of the last one, and everything that was found.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.fuzz.planted import compile_into
from tests.fuzz.seeds import dictionary, seeds
from tests.fuzz.targets import TARGETS

#: A target that reaches less of the extensions than this has lost its coverage, and fuzzes blindly.
LEAST_BLOCKS: Final = 100

#: The most that the planted bug may take: it is there to show that the fuzzer sees into compiled code.
PLANTED_S: Final = 60

OPTIONS: Final = ("-max_len=2048", "-timeout=25", "-rss_limit_mb=4096", "-print_final_stats=1")


def engine(target: str, *arguments: str | Path) -> list[str]:
    """The command line of one fuzzer."""
    return [sys.executable, "-m", "tests.fuzz.engine", target, *OPTIONS, *map(str, arguments)]


def shown_again_by(found: Path) -> str:
    """What to type to see a finding again."""
    return f"make fuzz-one FILE={found}"


def one(found: Path) -> int:
    """Run one kept input; returns the exit status of the fuzzer, 0 when nothing happens any more."""
    target = found.name.partition("-")[0]
    if target not in TARGETS:
        print(f"{found.name} does not start with a target and a hyphen; targets: {', '.join(TARGETS)}")
        return 2
    status = subprocess.run(engine(target, found), check=False).returncode
    print(f"{found.name}: {'nothing happens' if status == 0 else f'still fails ({status})'}")
    return status


def check_planted() -> str | None:
    """Find the bug of planted.c, and see it again in the file that was kept; the complaint when that fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {**os.environ, "CPAPI_FAST_PLANTED": str(compile_into(folder))}

        def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
            command = engine("planted", f"-artifact_prefix={folder}/", *arguments)
            return subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )

        search = run(f"-max_total_time={PLANTED_S}")
        kept = list(folder.glob("crash-*"))
        if search.returncode == 0 or len(kept) != 1:
            return f"the planted bug was not found, or not kept ({search.returncode}):\n{search.stdout[-5_000:]}"
        again = run(kept[0])
        if again.returncode == 0 or "planted.c" not in again.stdout:
            return f"the planted bug was found, but its file does not show it again:\n{again.stdout[-5_000:]}"
        runs = re.findall(r"^#(\d+)", search.stdout, re.MULTILINE)
        print(f"fuzz: the planted bug was found after about {int(runs[-1]):,} runs, and again from its file")
    return None


def campaign(seconds: int, folder: Path) -> int:
    """Fuzz every target for `seconds`, all at once; returns the exit status."""
    complaint = check_planted()
    if complaint is not None:
        print(complaint)
        return 1
    found_in = folder / "found"
    found_in.mkdir(parents=True, exist_ok=True)
    tokens = folder / "tokens.dict"
    tokens.write_text(dictionary(), encoding="ascii")
    running = {}
    for target in TARGETS:
        corpus, first = folder / "corpus" / target, folder / "seeds" / target
        for part in (corpus, first):
            part.mkdir(parents=True, exist_ok=True)
        for index, seed in enumerate(seeds(target)):
            (first / f"{index:03}").write_bytes(seed)
        options = (f"-max_total_time={seconds}", f"-dict={tokens}", f"-artifact_prefix={found_in}/{target}-")
        log = (folder / f"{target}.log").open("wb")
        running[target] = (subprocess.Popen(engine(target, *options, corpus, first), stdout=log, stderr=log), log)
    failed = [target for target, (process, log) in running.items() if not _is_clean(target, process, Path(log.name))]
    for _, log in running.values():
        log.close()
    if failed:
        print(f"fuzz: FAILED: {', '.join(failed)}")
    return len(failed)


def _is_clean(target: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    """Wait for one fuzzer, and say how it went."""
    status = process.wait()
    text = log.read_text(encoding="utf-8", errors="replace")
    blocks = max(map(int, re.findall(r"\bcov: (\d+)", text)), default=0)
    runs = int((re.findall(r"^stat::number_of_executed_units: (\d+)", text, re.MULTILINE) or ["0"])[-1])
    print(f"fuzz: {target}: {runs:,} runs, {blocks} blocks of compiled code reached")
    if status != 0:
        kept = re.findall(r"Test unit written to (\S+)", text)
        print(text[-8_000:])
        print(f"fuzz: {target} found something (exit status {status}); the whole report is in {log}")
        for path in kept:
            print(f"    {shown_again_by(Path(path))}")
        return False
    if blocks < LEAST_BLOCKS or runs < 100:
        print(f"fuzz: {target} reached too little for a fuzzer that sees the compiled code; see {log}")
        return False
    return True


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--folder", type=Path, default=Path(".fuzz"))
    parser.add_argument("--one", type=Path)
    arguments = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print(
            "not run: atheris has wheels for CPython 3.11 to 3.13 on Linux; with one of them, make clean and make fuzz"
        )
        return int(os.environ.get("CPAPI_FAST_REQUIRE_ALL", "0") not in ("", "0"))
    if arguments.one is not None:
        return one(arguments.one)
    return campaign(arguments.seconds, arguments.folder)


if __name__ == "__main__":
    sys.exit(main())
