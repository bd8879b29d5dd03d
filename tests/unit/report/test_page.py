"""The page: hostile texts of files are only text on it, it contains no account, and it needs no other file."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cpapi_fast.errors import OutputError
from cpapi_fast.events import Cause, Gap
from cpapi_fast.report import write_report
from cpapi_fast.report.gather import gather
from cpapi_fast.report.html import sections
from cpapi_fast.report.html.elements import Html, element, table
from cpapi_fast.report.html.page import in_script, page
from cpapi_fast.report.html.plots import draw
from cpapi_fast.report.model import GapEntry
from cpapi_fast.report.texts import duration_text, percent_text, size_text, time_text
from tests.support.report_runs import NEXT, RUN, hostile_run
from tests.support.runs import START_NS, S, every, started, write_capture, write_events


class Parsed(HTMLParser):
    """The elements of a page, and the texts outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif not self._inside:
            self.texts.append(data)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = hostile_run(tmp_path_factory.mktemp("<b>hostile" if os.name == "posix" else "hostile"))
    report = gather(folder)
    return page(report, draw(report))


def test_hostile_texts_are_only_text(text: str) -> None:
    parsed = Parsed(text)
    assert {tag for tag, _ in parsed.tags} <= {
        *(
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "header",
            "h1",
            "h2",
            "p",
            "main",
            "section",
            "strong",
            "ul",
        ),
        *("li", "span", "dl", "div", "dt", "dd", "nav", "a", "figure", "figcaption", "table", "caption", "thead", "tr"),
        *("th", "tbody", "td", "details", "summary", "footer", "script", "code"),
    }
    assert not any(name.startswith("on") for _, attributes in parsed.tags for name in attributes)
    # Bokeh, the plots and our own: no text has begun another one.
    assert [tag for tag, _ in parsed.tags].count("script") == 3
    shown = "\n".join(parsed.texts)
    for part in ("</script><script>window.evil=1</script>", "<img src=x onerror='window.evil=1'>", "&lt;b&gt; &amp;"):
        assert part in shown
    assert "\\x1b[2J" in shown
    assert not set(map(ord, text)) & {*range(9), *range(11, 32), 0x7F, 0x202E, 0x200B, 0x2028, 0x9B}


def test_no_text_ends_a_script() -> None:
    # Bokeh escapes the texts of plots too; this also holds for its own code.
    made = in_script("x = '</script></SCRIPT ></b><!--<script>'")
    assert made == r"x = '<\/script><\/SCRIPT ></b><\x21--<script>'"
    assert len(Parsed(f"<script>{made}</script>").tags) == 1


def test_the_page_contains_no_account(text: str) -> None:
    assert "DU1234567" not in text
    assert "[redacted]" in text


def test_the_page_needs_nothing_else_and_may_run_nothing_else(text: str) -> None:
    parsed = Parsed(text)
    for tag, attributes in parsed.tags:
        assert "src" not in attributes, tag
        assert tag != "link"
        assert attributes.get("href", "#").startswith("#")  # type: ignore[union-attr]
    assert "url(http" not in text
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert allowed == [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert len(text) < 2_000_000


def test_each_plot_has_a_text_and_each_table_a_caption(text: str) -> None:
    parsed = Parsed(text)
    plots = [attributes for _, attributes in parsed.tags if attributes.get("class") == "plot"]
    assert len(plots) == 6
    assert all(attributes["aria-label"] and attributes["role"] == "group" for attributes in plots)
    assert text.count("<table>") == text.count("<caption>") >= 6


def test_elements_escape_everything_else() -> None:
    assert element("td", "<a>", 5, class_='"') == '<td class="&quot;">&lt;a&gt;5</td>'
    assert element("p", Html("<b>x</b>"), None, hidden=True, id=None) == "<p hidden><b>x</b>None</p>"
    made = table("a & b", ("x",), [("\x1b<",)])
    assert "a &amp; b" in made
    assert html.escape("\\x1b<") in made


def test_gaps_at_the_same_time_are_one_group() -> None:
    def gap(conid: int, start_s: float, end_s: float, cause: str = "connection_lost") -> GapEntry:
        return GapEntry(RUN, f"smd+{conid}", conid, cause, int(start_s * S), int(end_s * S), frames_dropped=2)

    gaps = [gap(1, 100, 160), gap(2, 101, 161), gap(2, 102, 161, "other"), gap(3, 103, 300), gap(1, 400, 460)]
    found = [
        (len(group.topics), group.start_ns // S, group.end_ns // S, group.frames_dropped)
        for group in sections.grouped(gaps)
    ]
    assert found == [(2, 100, 161, 4), (1, 102, 161, 2), (1, 103, 300, 2), (1, 400, 460, 2)]


def test_a_run_without_frames_has_a_page(tmp_path: Path) -> None:
    write_events(tmp_path, RUN, [*started(START_NS)][:1])
    report = gather(tmp_path)
    made = page(report, draw(report))
    assert "has no frame" in made
    (tmp_path / "mine.arrows").write_bytes(b"x")
    report = gather(tmp_path / "mine.arrows")
    assert "it does not begin as a capture" in page(report, draw(report))


def test_the_file_is_private_and_never_overwrites(tmp_path: Path) -> None:
    write_capture(tmp_path, RUN, every(1.0, 0, 5, 8314))
    out = tmp_path / "page.html"
    _, nbytes = write_report(tmp_path, out)
    assert out.stat().st_size == nbytes
    assert os.name != "posix" or out.stat().st_mode & 0o777 == 0o600
    data = out.read_bytes()
    with pytest.raises(OutputError, match="exist"):
        write_report(tmp_path, out)
    assert out.read_bytes() == data
    with pytest.raises(OutputError, match="choose a folder"):
        write_report(tmp_path, tmp_path / "none" / "page.html")


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (time_text(START_NS + 5_000_000), "2026-01-02 14:30:00"),
        (time_text(START_NS + 5_000_000, has_ms=True), "2026-01-02 14:30:00.005"),
        (time_text(None), "-"),
        (time_text(-1), "1969-12-31 23:59:59"),
        (duration_text(1_000_000), "1 ms"),
        (duration_text(59_960_000_000), "60.0 s"),
        (duration_text(60 * S), "1 min"),
        (duration_text(3_599_600_000_000), "1 h"),
        (duration_text(3_700 * S), "1 h 1 min"),
        (duration_text(90_000 * S), "1 d 1 h"),
        (duration_text(-5 * S), "-5.0 s"),
        (percent_text(1.0), "100 %"),
        (percent_text(0.9999999), "99.99 %"),
        (percent_text(0.5), "50 %"),
        (percent_text(0.00001), "less than 0.01 %"),
        (percent_text(0.0), "0 %"),
        (size_text(999), "999 B"),
        (size_text(2_200_000), "2.2 MB"),
        (size_text(3e15), "3000.0 TB"),
    ],
)
def test_texts(made: str, expected: str) -> None:
    assert made == expected


@pytest.mark.parametrize("has_first", [True, False])
def test_the_time_between_runs_is_one_group(tmp_path: Path, has_first: bool) -> None:
    if has_first:
        write_capture(tmp_path, RUN, every(1.0, 0, 10, 8314))
    write_capture(tmp_path, NEXT, every(1.0, 60, 70, 8314))
    gap = Gap(None, START_NS + 9 * S, START_NS + 60 * S, Cause.NOT_RUNNING)
    write_events(tmp_path, NEXT, [*started(START_NS + 59 * S), gap])
    found = gather(tmp_path)
    assert bool(found.holes) == has_first
    keys, _, _ = str(sections.coverage(found, lambda _name, _text: element("figure"))).partition("<figure")
    assert keys.count("between runs") == 1
