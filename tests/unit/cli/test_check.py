"""`collect --check`: whether a run can start, without a connection and without leaving anything behind."""

from __future__ import annotations

import importlib
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
