"""`collect --check`: whether a run can start, without a connection and without leaving anything behind."""

from __future__ import annotations

import importlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.certificates import make

#: The module: `cpapi_fast.cli.main` is the function.
cli = importlib.import_module("cpapi_fast.cli.main")


#: Folders of the system in which nobody can create files.
_READ_ONLY = () if sys.platform == "win32" else ("/proc/none/x", "/proc")


@pytest.fixture
def url() -> Iterator[str]:
    """The address of a listener to which nobody connects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/v1/api"
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()


def check(*arguments: object) -> int:
    code: int = cli.main(["collect", "--check", *map(str, arguments)])
    return code


def test_a_run_that_can_start(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'url = "{url}"\nout = "{tmp_path}/data"\nconids = [265598]\n', encoding="utf-8")
    assert check("--config", config, "--flush-interval", "2") == 0
    out, err = capsys.readouterr()
    assert f'url = "{url}"  # {config}:1\n' in out
    assert "flush-interval = 2.0  # command line\n" in out
    assert 'lost-files = "recreate"  # default\n' in out
    assert "# duration is not set\n" in out
    assert err == ""
    assert list(tmp_path.iterdir()) == [config], "it creates nothing"
    (tmp_path / "data").mkdir()
    assert check("--config", config) == 0
    assert list((tmp_path / "data").iterdir()) == []


def test_what_is_wrong(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pem, many = tmp_path / "x.pem", tmp_path / "many.txt"
    pem.write_text("no certificate", encoding="utf-8")
    many.write_text("\n".join(map(str, range(1, 102))), encoding="utf-8")
    config = tmp_path / "c.toml"
    config.write_text("\nfile-mode = '111'\nca-file = '/none'\n", encoding="utf-8")
    base: tuple[Any, ...] = ("--url", url, "--conids", "1", "--out", tmp_path / "data")
    for arguments, code, expected in (
        ((*base[:2], *base[4:]), 2, "give at least one instrument"),
        ((*base, "--ca-file", pem), 2, "contains no certificate"),
        ((*base, "--config", config), 2, f"--file-mode must be a mode that the owner can read and write, such as 0o640 "
         f"(file-mode is set in: {config}:2)"),
        ((*base, "--fingerprint", "00"), 2, "fingerprint"),
        ((*base, "--conids-file", many), 2, "all market data lines are in use"),
        ((*base, "--seed", "1"), 2, "--seed can only be used with --simulate"),
        (("--url", "https://a b", *base[2:]), 2, "base URL"),
        ((*base, "--config", tmp_path / "none"), 2, "cannot read"),
        *(((*base[:4], "--out", folder), 1, f"cannot write to {folder}") for folder in _READ_ONLY),
    ):  # fmt: skip
        assert check(*arguments) == code, arguments
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1), err
        assert expected in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.toml", "many.txt", "x.pem"]


def test_certificates_in_a_file_are_read(url: str, tmp_path: Path) -> None:
    pem = make().write(tmp_path / "x.pem")
    assert check("--url", url, "--conids", "1", "--out", tmp_path, "--ca-file", pem) == 0


def test_more_of_what_is_wrong(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulated = ("--simulate", "--conids", "1")
    base = ("--url", url, "--conids", "1")
    (tmp_path / "c.toml").write_text(f"out = '{tmp_path / ('x' * 300)}'\n", encoding="utf-8")
    for arguments, code, expected in (
        ((*simulated, "--out", tmp_path / "data", "--replay", tmp_path / "none"), 2, "cannot read"),
        ((*base, "--config", tmp_path / "c.toml"), 1,
         f"(--out): File name too long (out is set in: {tmp_path}/c.toml:1)"),
        *(((*base, "--out", tmp_path / "data", "--contract-cache", folder), 1, "(--contract-cache)")
          for folder in _READ_ONLY),
        *(((*base, "--out", tmp_path / "data", "--record-decisions", f"{folder}/x"), 1, "(--record-decisions)")
          for folder in _READ_ONLY[1:]),
    ):  # fmt: skip
        assert check(*arguments) == code, arguments
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1), err
        assert expected in err


def test_each_file_of_instruments_is_counted(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conids, symbols = tmp_path / "conids.txt", tmp_path / "symbols.txt"
    conids.write_bytes(b"265598\r8314\r")
    symbols.write_text("AAPL@NASDAQ # one\n", encoding="utf-8")
    files = ("--conids-file", conids, "--symbols-file", symbols)
    assert check("--url", url, "--out", tmp_path / "data", *files) == 0
    out = capsys.readouterr().out
    assert "# conids-file has 2 instruments\n# symbols-file has 1 symbols\n" in out


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in folders")
@pytest.mark.parametrize("option", ["--config", "--conids-file", "--symbols-file", "--replay"])
def test_a_pipe_is_refused_at_once(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert check("--simulate", "--conids", "1", "--out", tmp_path / "data", option, pipe) == 2
    err = capsys.readouterr().err
    assert f"cannot read {pipe}: not a regular file; write its content to a file" in err
    assert check("--simulate", "--conids", "1", "--out", tmp_path / "data", option, "/dev/null") == 2


def test_a_relative_path_is_shown_with_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.toml").write_text("simulate = true\nconids-file = 'none.txt'\nout = 'data'\n", encoding="utf-8")
    assert check("--config", "c.toml") == 2
    assert capsys.readouterr().err == (
        f"cpapi-fast: error: cannot read none.txt ({tmp_path}/none.txt): No such file or directory (--conids-file) "
        "(conids-file is set in: c.toml:2)\n"
    )
