"""Files and packages that a command cannot use: every command ends alike, at once, with one line that says why."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cpapi_fast.cli.main import main
from cpapi_fast.errors import MissingDependencyError

FRAME = b'{"topic":"smd+265598","conid":265598,"31":"271.81"}'

#: What is no list of frames and no certificate either.
CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "text": b"hello\n",
    "binary": bytes(range(256)) * 4,
    "parquet": b"PAR1\x15\x04PAR1",
    "json": b'{"name":"other","version":1}\n',
    "broken.pem": b"-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n",
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one file of each content, and a folder `folder` in it. It is the current folder."""
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    (tmp_path / "frames").write_bytes(FRAME)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line of a command that refuses its options with exit code 2."""
    try:
        code: object = main(argv)
    except SystemExit as exc:
        code = exc.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), (argv, code, out, err)
    assert err.count("\n") == 1, err
    assert err.startswith("cpapi-fast"), err
    return err


COLLECT = ("collect", "--conids", "265598", "--out", "out")
TAIL = ("tail", "--conids", "265598", "--duration", "5")
URL = ("--url", "https://127.0.0.1:9/v1/api")

NAMES = ("missing", "folder", *CONTENTS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "command", [("simulate", "--port", "0"), (*COLLECT, "--simulate"), (*TAIL, "--simulate")], ids=lambda c: c[0]
)
def test_replay_of_what_is_no_list_of_frames(
    files: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], name: str
) -> None:
    line = refused(capsys, *command, "--replay", name)
    # A folder is one of captures.
    assert ("there is no capture in folder" if name == "folder" else f"the replay file {name}") in line
    assert sorted(path.name for path in files.iterdir()) == sorted(["folder", "frames", *CONTENTS]), (
        "nothing is created"
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", [(*COLLECT, *URL), (*TAIL, *URL), ("doctor", *URL)], ids=lambda c: c[0])
def test_a_ca_file_that_is_none(
    files: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], name: str
) -> None:
    assert f"cannot use the CA file '{name}'" in refused(capsys, *command, "--ca-file", name)


@pytest.mark.parametrize("out", ["text", "text/below", "binary/a/b"])
def test_a_folder_that_is_a_file(files: Path, capsys: pytest.CaptureFixture[str], out: str) -> None:
    line = refused(capsys, "collect", "--simulate", "--conids", "1", "--out", out)
    assert f"{out.partition('/')[0]} is a file; give the path of a folder" in line


@pytest.mark.parametrize("command", [(*COLLECT, "--simulate"), (*TAIL, "--simulate")], ids=lambda c: c[0])
def test_a_record_that_exists_or_has_no_folder(
    files: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    for name in ("text", "folder"):
        assert "files are never overwritten" in refused(capsys, *command, "--record-decisions", name)
    for name in ("missing/record", "text/record"):
        assert "is no folder" in refused(capsys, *command, "--record-decisions", name)


@pytest.mark.parametrize("command", [COLLECT, TAIL, ("doctor",)], ids=lambda c: c[0])
@pytest.mark.parametrize(
    "option",
    [("--insecure",), ("--tls-verify",), ("--ca-file", "broken.pem"), ("--fingerprint", "0" * 64)],
    ids=lambda o: o[0],
)
def test_a_certificate_without_tls(
    files: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], option: tuple[str, ...]
) -> None:
    """No option is ignored."""
    argv = (*command, "--url", "http://127.0.0.1:9/v1/api", *option)
    if command == ("doctor",) and option[0] == "--fingerprint":
        assert main(argv) == 2
        assert "an http:// URL uses no certificate" in capsys.readouterr().out
    else:
        assert re.search("an http:// URL uses no certificate|cannot use the CA file", refused(capsys, *argv))


#: Each optional package with the commands that need it.
NEEDED = [
    ("pyarrow", (*COLLECT, "--simulate")),
    ("cryptography", (*COLLECT, "--simulate")),
    ("cryptography", (*TAIL, "--simulate")),
    ("cryptography", ("simulate", "--port", "0")),
]


@pytest.mark.parametrize(
    ("package", "command"), NEEDED, ids=lambda value: value if isinstance(value, str) else value[0]
)
def test_a_missing_package_ends_every_command_alike(tmp_path: Path, package: str, command: tuple[str, ...]) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; from cpapi_fast.cli.main import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert (result.returncode, result.stdout) == (1, ""), result.stderr
    (line,) = result.stderr.splitlines()
    requirement = MissingDependencyError.REQUIREMENTS[package]
    assert re.fullmatch(rf'cpapi-fast: error: .+ needs {package}: pip install "{re.escape(requirement)}"', line)
    assert "--" not in line, "no option that some commands have not"
