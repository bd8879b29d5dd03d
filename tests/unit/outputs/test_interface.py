"""What all writers share: final names, folders, error texts, counts."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cpapi_fast.errors import OutputError
from cpapi_fast.outputs import interface as outputs
from cpapi_fast.outputs.interface import OutputCounts, make_folder, output_error, publish, unfinished_files


def test_publish(tmp_path: Path) -> None:
    part, final = tmp_path / "a.part", tmp_path / "a"
    part.write_bytes(b"whole")
    publish(part, final)
    assert final.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [final]


@pytest.mark.parametrize("has_links", [True, False])
def test_publish_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool) -> None:
    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    part, final = tmp_path / "a.part", tmp_path / "a"
    part.write_bytes(b"new")
    final.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        publish(part, final)
    assert (part.read_bytes(), final.read_bytes()) == (b"new", b"precious")


def test_publish_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", no_links)
    part, final = tmp_path / "a.part", tmp_path / "a"
    part.write_bytes(b"whole")
    publish(part, final)
    assert list(tmp_path.iterdir()) == [final]


def no_links(_source: Path, _target: Path) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def test_make_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_folder(folder)
    make_folder(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/below", "nul\0"])
def test_make_folder_that_cannot_be(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write"):
        make_folder(tmp_path / name)


def test_make_folder_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="choose a folder that exists") as caught:
        make_folder(tmp_path / "file")
    assert "overwritten" not in str(caught.value)


def test_make_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("cpapi_fast.outputs.interface.create_file", refused)
    with pytest.raises(OutputError, match="make it writable") as caught:
        make_folder(tmp_path)
    assert caught.value.path == str(tmp_path)


def test_unfinished_files(tmp_path: Path) -> None:
    for name in ("b.parquet.part", "a.arrows.part", "c.parquet", ".cpapi-fast-1.part"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in unfinished_files(tmp_path)] == ["a.arrows.part", "b.parquet.part"]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EFBIG, "free some space"),
        (errno.EACCES, "make it writable"),
        (errno.EROFS, "make it writable"),
        (errno.EEXIST, "another name"),
        (errno.ENOENT, "a folder that exists"),
        (errno.EIO, "stays readable"),
    ],
)
def test_output_error_has_advice(number: int, advice: str) -> None:
    error = output_error(OSError(number, os.strerror(number)), Path("some/file"))
    assert str(Path("some/file")) in str(error)
    assert os.strerror(number) in str(error)
    assert advice in str(error)
    assert error.path == str(Path("some/file"))
    assert not error.is_retryable


def test_counts() -> None:
    counts = OutputCounts(received=1_234_567, written=1_234_560, pending=3)
    counts.drop(4, "malformed")
    counts.drop(0, "nothing")
    assert counts.dropped == {"malformed": 4}
    assert str(counts) == "1,234,567 received = 1,234,560 written + 4 dropped (malformed: 4) + 3 pending"
    counts.drop_pending("write error")
    assert (counts.pending, counts.dropped_total) == (0, 7)


def test_sync_passes_on_real_errors_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "a").open("wb", buffering=0) as file:
        monkeypatch.setattr(os, "fsync", raising(errno.EINVAL))
        outputs.sync(file)
        monkeypatch.setattr(os, "fsync", raising(errno.EIO))
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            outputs.sync(file)


def raising(number: int):
    def fsync(_fd: int) -> None:
        raise OSError(number, os.strerror(number))

    return fsync
