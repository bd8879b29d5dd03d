"""The pages that a reader sees, and the code blocks in them.

A comment right before a block defines how its test runs it. Without one, the block is a program or a list of commands
that ends by itself with exit code 0. The reader does not see the comments. Several are separated by `;`:

    <!-- test: after -->             runs in the folder of all blocks before it on the page, after these
    <!-- test: in NAME -->           is put into the program tests/docs/setups/NAME.txt in place of its line `BLOCK`
    <!-- test: until REGEX -->       is interrupted as by Ctrl-C once its output contains the pattern
    <!-- test: exit CODE -->         ends with this exit code
    <!-- test: file NAME -->         is the text of a file that later blocks of the page use
    <!-- test: not run, REASON -->   cannot run here; test_blocks.py counts these
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

#: CONTRIBUTING.md is no part of the copy outside the checkout.
PAGES: Final = tuple(
    path
    for path in (
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
    if path.exists()
)

#: Languages whose blocks run, and languages that only show something.
RUNNING: Final = frozenset({"python", "sh", "cython"})
SHOWING: Final = frozenset({"text", "json"})

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|:{3,})(?P<info>.*)$")
_COMMENT = re.compile(r"^ *<!-- test: (.+) -->$")


@dataclass(frozen=True)
class Block:
    page: Path
    #: The line of the opening fence, from 1.
    line: int
    language: str
    text: str
    #: Word to argument, from the comment before the block.
    directives: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """Every fenced block of a page that is no directive of MyST."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    comment: dict[str, str] = {}
    index = 0
    while index < len(lines):
        fence = _FENCE.match(lines[index])
        if fence is None:
            if match := _COMMENT.match(lines[index]):
                comment = dict(_directive(text) for text in match[1].split("; "))
            elif lines[index].strip():
                assert not comment, f"{name_of(page)}:{index + 1}: a comment `test:` without a block"
            index += 1
            continue
        start = index
        closing = re.compile(rf"^ *{re.escape(fence['fence'])}\s*$")
        index += 1
        body = []
        while not closing.match(lines[index]):
            body.append(lines[index].removeprefix(fence["indent"]))
            index += 1
        index += 1
        if not fence["info"].strip().startswith("{"):
            text = "\n".join(body) + "\n"
            found.append(Block(page, start + 1, fence["info"].strip(), text, comment))
            comment = {}
    return found


def _directive(text: str) -> tuple[str, str]:
    if text.startswith("not run, "):
        return "not run", text.removeprefix("not run, ")
    word, _, argument = text.partition(" ")
    return word, argument
