"""Every code block of README and docs/ runs, and ends as it should."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, RUNNING, SHOWING, Block, blocks_of, name_of
from tests.docs.running import Gateway, run_block

#: How many blocks of each page do not run. One more needs a reason in the page, and this number.
NOT_RUN = {
    "README.md": 2,
    "docs/explanation/benchmarks.md": 2,
    "docs/howto/monitor.md": 1,
    "docs/howto/tls.md": 1,
    "docs/tutorials/collect.md": 1,
}

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
RUN = [
    block
    for block in BLOCKS
    if (block.language in RUNNING or "file" in block.directives) and "not run" not in block.directives
]


@pytest.fixture(scope="session")
def gateway() -> Iterator[Gateway]:
    gateway = Gateway()
    yield gateway
    gateway.close()


@pytest.fixture(scope="session")
def page_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, tuple[Path, set[int]]]:
    """Of each page: its folder, and the lines of the blocks that have run in it."""
    return {page: (tmp_path_factory.mktemp("page"), set()) for page in PAGES}


@pytest.mark.parametrize("block", RUN, ids=str)
def test_a_block_runs(
    block: Block, gateway: Gateway, page_folders: dict[Path, tuple[Path, set[int]]], tmp_path: Path
) -> None:
    if "after" not in block.directives:
        for other in RUN:
            if other.page == block.page and "file" in other.directives:
                run_block(other, tmp_path, gateway)
        run_block(block, tmp_path, gateway)
        return
    folder, done = page_folders[block.page]
    for other in RUN:
        if other.page == block.page and other.line <= block.line and other.line not in done:
            run_block(other, folder, gateway)
            done.add(other.line)


def test_every_block_has_a_language_that_is_known() -> None:
    unknown = [str(block) for block in BLOCKS if block.language not in RUNNING | SHOWING]
    assert unknown == []


def test_no_more_blocks_than_counted_do_not_run() -> None:
    counts = Counter(name_of(block.page) for block in BLOCKS if "not run" in block.directives)
    pages = {name_of(page) for page in PAGES}
    assert dict(counts) == {page: count for page, count in NOT_RUN.items() if page in pages}
    for block in BLOCKS:
        assert len(block.directives.get("not run", "a reason")) >= 8, f"{block} needs a reason"
