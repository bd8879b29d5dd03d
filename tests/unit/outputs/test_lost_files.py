"""Written means readable: what other programs do to open files is noticed, told once, and never counted as written."""

from __future__ import annotations

import os
import shutil
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpapi_fast.errors import ConfigError, OutputError
from cpapi_fast.events import Cause, Gap
from cpapi_fast.new_file import create_file
from cpapi_fast.outputs.capture import CaptureWriter, read_capture
from cpapi_fast.outputs.event_log import EventLog
from cpapi_fast.outputs.file_names import FileNames
from cpapi_fast.outputs.tables.market_data import QuotesWriter
from tests.support.batches import batch_of
from tests.support.files import quote

pytestmark = pytest.mark.skipif(os.name == "nt", reason="an open file cannot be deleted there")


class Rig(ABC):
    """One output, with the number of items that can be read from its files."""

    writer: Any
    #: How many items the open file has, which are not in a finished one.
    open_items = 0

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder

    @abstractmethod
    def put(self, count: int) -> None:
        """Write items, and pass them to the operating system."""

    @abstractmethod
    def readable(self, path: Path) -> int:
        """How many items a file has."""

    def open_file(self) -> Path:
        """The file that is being written."""
        path: Path = self.writer.files[-1]
        return path

    def check(self) -> None:
        counts = self.writer.counts
        assert counts.received == counts.written + counts.taken_away + counts.dropped_total + counts.pending
        assert counts.written == sum(self.readable(path) for path in self.writer.files)


class Capture(Rig):
    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(folder)
        self.writer = CaptureWriter(FileNames(folder, "capture", ".arrows"), **options)

    def put(self, count: int) -> None:
        for _ in range(count):
            self.writer.write(batch_of([b"{}"]))
            self.writer.flush()

    def readable(self, path: Path) -> int:
        rows: int = read_capture(path).read_all().num_rows
        return rows


class Events(Rig):
    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(folder)
        self.writer = EventLog(FileNames(folder, "events", ".jsonl"), **options)

    def put(self, count: int) -> None:
        for number in range(count):
            self.writer.write_event(Gap(None, number, None, Cause.CONNECTION_LOST), 0)

    def readable(self, path: Path) -> int:
        return path.read_bytes().count(b"\n")


class Quotes(Rig):
    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(folder)
        self.writer = QuotesWriter(folder, group_rows=1, **options)

    def put(self, count: int) -> None:
        for number in range(count):
            self.writer.write(batch_of([quote(number)]))

    def readable(self, path: Path) -> int:
        rows: int = pq.read_metadata(path).num_rows
        return rows

    def open_file(self) -> Path:
        (path,) = self.folder.glob("*.part")
        return path


RIGS: tuple[type[Rig], ...] = (Capture, Quotes, Events)


def delete(rig: Rig) -> None:
    rig.open_file().unlink()


def delete_folder(rig: Rig) -> None:
    shutil.rmtree(rig.folder)


def replace(rig: Rig) -> None:
    path = rig.open_file()
    path.unlink()
    path.write_bytes(b"of another program")


def replace_by_a_folder(rig: Rig) -> None:
    path = rig.open_file()
    path.unlink()
    path.mkdir()


def rename_over(rig: Rig) -> None:
    other = rig.folder / "other"
    other.write_bytes(b"of another program")
    other.rename(rig.open_file())


def empty(rig: Rig) -> None:
    os.truncate(rig.open_file(), 0)


def move(rig: Rig) -> None:
    rig.open_file().rename(rig.folder.parent / "moved")


def move_folder(rig: Rig) -> None:
    rig.folder.rename(rig.folder.parent / "moved-folder")


def link_and_delete(rig: Rig) -> None:
    path = rig.open_file()
    os.link(path, rig.folder.parent / "moved")
    path.unlink()


#: What is done to the open file: whether its items are lost, and what is told.
ACTIONS: list[tuple[Callable[[Rig], None], bool, str]] = [
    (delete, True, "deleted"),
    (delete_folder, True, "deleted"),
    (replace, True, "deleted"),
    (replace_by_a_folder, True, "deleted"),
    (rename_over, True, "deleted"),
    (empty, True, "changed"),
    (move, False, "moved"),
    (move_folder, False, "moved"),
    (link_and_delete, False, "moved"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


@pytest.mark.parametrize("at_close", [False, True], ids=["while it runs", "right before the end"])
@pytest.mark.parametrize(("act", "is_lost", "told"), ACTIONS, ids=[action[0].__name__ for action in ACTIONS])
@pytest.mark.parametrize("kind", RIGS)
def test_what_is_lost_is_told_and_the_rest_goes_on(
    folder: Path, kind: type[Rig], act: Callable[[Rig], None], is_lost: bool, told: str, at_close: bool
) -> None:
    rig = kind(folder)
    writer = rig.writer
    rig.put(3)
    act(rig)
    if not at_close:
        # It is noticed without another item.
        writer.poll()
        assert len(writer.changes) == 1
        rig.put(2)
    writer.close()
    (change,) = writer.changes
    assert (change.change, change.unit, change.lost, change.policy) == (told, writer.unit, 3 * is_lost, "recreate")
    counts = writer.counts
    assert counts.lost == counts.dropped_total == 3 * is_lost
    assert counts.taken_away == 3 * (not is_lost)
    assert counts.written == (0 if at_close else 2)
    files = [path for path in writer.files if rig.readable(path)] if told != "changed" else writer.files[-1:]
    assert counts.written == sum(rig.readable(path) for path in files if at_close is False)
    # What is in a moved file can be read there.
    for moved in (folder.parent / "moved", *(folder.parent / "moved-folder").glob("*")):
        if moved.is_file():
            assert rig.readable(moved) == 3
    for other in folder.glob("*"):
        if other.is_file() and other.read_bytes() == b"of another program":
            break
    else:
        assert act not in {replace, rename_over}, "files of others stay"


@pytest.mark.parametrize(("act", "is_lost", "told"), ACTIONS, ids=[action[0].__name__ for action in ACTIONS])
@pytest.mark.parametrize("kind", RIGS)
def test_policy_fail(folder: Path, kind: type[Rig], act: Callable[[Rig], None], is_lost: bool, told: str) -> None:
    rig = kind(folder, lost_files="fail")
    rig.put(3)
    act(rig)
    with pytest.raises(OutputError, match=f"another program has {told} it, and {3 * is_lost} "):
        rig.put(1)
    with pytest.raises(OutputError):
        rig.put(1)
    rig.writer.close()
    counts = rig.writer.counts
    assert (counts.received, counts.written, counts.pending) == (5, 0, 0)
    assert counts.lost == 3 * is_lost
    assert counts.received == counts.written + counts.taken_away + counts.dropped_total + counts.pending
    if act in {delete_folder, move_folder}:
        assert not folder.exists()


@pytest.mark.parametrize("kind", RIGS)
def test_a_folder_that_cannot_be_created_again(folder: Path, kind: type[Rig]) -> None:
    rig = kind(folder)
    rig.put(3)
    shutil.rmtree(folder)
    folder.write_bytes(b"a file in its place")
    with pytest.raises(OutputError, match="cannot write"):
        rig.put(1)
    rig.writer.close()
    counts = rig.writer.counts
    assert (counts.received, counts.written, counts.dropped_total, counts.lost) == (4, 0, 4, 3)
    assert folder.read_bytes() == b"a file in its place"


@pytest.mark.parametrize("kind", [Capture, Events])
def test_what_is_left_of_a_truncated_file_counts(folder: Path, kind: type[Rig]) -> None:
    rig = kind(folder)
    rig.put(3)
    path = rig.open_file()
    os.truncate(path, path.stat().st_size - 1)
    rig.put(2)
    rig.writer.close()
    assert (rig.writer.counts.written, rig.writer.counts.lost) == (4, 1)
    rig.check()


@pytest.mark.parametrize("kind", [Capture, Events])
def test_what_others_append_does_not_garble_what_follows(folder: Path, kind: type[Rig]) -> None:
    rig = kind(folder)
    rig.put(3)
    with rig.open_file().open("ab") as file:
        file.write(b"of another program")
    rig.put(2)
    rig.writer.close()
    assert (rig.writer.counts.written, rig.writer.counts.lost) == (5, 0)
    assert len(rig.writer.files) == 2
    rig.check()


@pytest.mark.parametrize("kind", RIGS)
def test_finished_files_that_are_taken_away_are_no_loss(folder: Path, kind: type[Rig]) -> None:
    options = {"roll_rows": 1} if kind is Quotes else {"roll_bytes": 1}
    rig = kind(folder, **options)
    rig.put(4)
    first, second, third, _ = rig.writer.files
    first.unlink()
    second.rename(folder.parent / "archived")
    # Its number may be that of a deleted file, unless that one still exists.
    other = folder.parent / "other"
    other.write_bytes(b"of another program")
    other.replace(third)
    rig.writer.close()
    counts = rig.writer.counts
    assert (counts.written, counts.taken_away, counts.lost, rig.writer.changes) == (1, 3, 0, [])
    assert "3 in files that were taken away" in str(counts)
    rig.check()


@pytest.mark.parametrize("kind", RIGS)
def test_finished_files_that_are_truncated_are_a_loss(folder: Path, kind: type[Rig]) -> None:
    options = {"roll_rows": 1} if kind is Quotes else {"roll_bytes": 1}
    rig = kind(folder, **options)
    rig.put(3)
    os.truncate(rig.writer.files[1], 10)
    rig.writer.close()
    rig.writer.close()
    counts = rig.writer.counts
    assert (counts.written, counts.lost) == (2, 1)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(RIGS),
    steps=st.lists(
        st.one_of(st.integers(1, 4), st.sampled_from([action[0] for action in ACTIONS] + ["poll"])), max_size=12
    ),
)
def test_whatever_happens_the_counts_add_up(
    tmp_path_factory: pytest.TempPathFactory, kind: type[Rig], steps: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("run") / "out"
    folder.mkdir()
    rig = kind(folder)
    for step in steps:
        if isinstance(step, int):
            rig.put(step)
        elif step == "poll":
            rig.writer.poll()
        else:
            try:
                step(rig)
            except (OSError, IndexError, ValueError):
                # There is no open file, or its other name is taken.
                continue
        counts = rig.writer.counts
        assert counts.received == counts.written + counts.taken_away + counts.dropped_total + counts.pending
    rig.writer.close()
    counts = rig.writer.counts
    assert counts.pending == 0
    assert counts.received == counts.written + counts.taken_away + counts.dropped_total
    assert counts.received == sum(step for step in steps if isinstance(step, int))
    # A truncated file may not be readable at all, and then has no items.
    total = 0
    for path in rig.writer.files:
        try:
            total += rig.readable(path)
        except (ConfigError, OSError, ValueError):
            continue
    assert counts.written == total


@pytest.mark.parametrize("kind", RIGS)
def test_files_are_private(folder: Path, kind: type[Rig]) -> None:
    folder.chmod(0o755)
    before = os.umask(0o022)
    try:
        rig = kind(folder)
        rig.put(1)
        for path in folder.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, "also while it is unfinished"
        rig.writer.close()
        assert {stat.S_IMODE(path.stat().st_mode) for path in rig.writer.files} == {0o600}
        # An explicit mode is exact.
        os.umask(0o077)
        shared = kind(folder, file_mode=0o640)
        shared.put(1)
        shared.writer.close()
        assert {stat.S_IMODE(path.stat().st_mode) for path in shared.writer.files} == {0o640}
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755, "the folder keeps its mode"


def test_an_existing_file_keeps_its_mode_and_content(folder: Path) -> None:
    path = folder / "file"
    path.write_bytes(b"mine")
    path.chmod(0o644)
    with pytest.raises(FileExistsError):
        create_file(path)
    (folder / "link").symlink_to(folder / "missing")
    with pytest.raises(FileExistsError):
        create_file(folder / "link")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"mine", 0o644)
    assert not (folder / "missing").exists()


@pytest.mark.parametrize("kind", RIGS)
def test_unknown_policy(folder: Path, kind: type[Rig]) -> None:
    with pytest.raises(ConfigError, match="lost_files must be one of recreate, fail"):
        kind(folder, lost_files="ignore")
