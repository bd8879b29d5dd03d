"""The page of a report: one HTML file that needs nothing else, and that requests nothing"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from cpapi_fast._version import __version__
from cpapi_fast.report.findings import headline_of
from cpapi_fast.report.model import Finding, Report
from cpapi_fast.report.texts import NONE, duration_text, percent_text, plural, size_text, time_text

from . import sections
from .elements import Html, element, joined
from .plots import Plots
from .style import SCRIPT, STYLE

#: What would end the element of a script.
_END: Final = re.compile("</(script)", re.IGNORECASE)

_LEVELS: Final = {"good": "good", "check": "check", "missing": "missing"}


def page(report: Report, plots: Plots, *, made_at: datetime | None = None) -> str:
    """Return the page.

    Args:
        report: the data.
        plots: its plots.
        made_at: when the report was made; None for now.
    """
    made = (made_at or datetime.now(UTC)).astimezone(UTC)
    parts: list[tuple[str, str, Html]] = [
        (name, title, section)
        for name, title, make in _SECTIONS
        if (section := make(report, lambda plot, text: _figure(plots, plot, text)))
    ]
    links = (element("a", title, href=f"#{name}") for name, title, _ in parts)
    body = joined(
        element("header", element("h1", f"Report of {report.title}"), element("p", _subtitle(report), class_="quiet")),
        element(
            "main",
            _answer(report),
            _key_figures(report),
            element("nav", *links, aria_label="Sections"),
            *_bodies(parts),
        ),
        element(
            "footer",
            f"Made by cpapi-fast {__version__} on {made:%Y-%m-%d %H:%M:%S} UTC. All times are in UTC.",
            class_="quiet",
        ),
    )
    scripts = [in_script(text) for text in (plots.library, plots.script, SCRIPT if plots.places else "") if text]
    head = joined(
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">'),
        element("title", f"Report of {report.title}"),
        Html(f"<style>{STYLE}</style>"),
    )
    drawn = "".join(f"<script>{text}</script>\n" for text in scripts)
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>{body}\n{drawn}</body>\n</html>\n'


def _policy(scripts: Iterable[str]) -> str:
    """The policy that lets a browser run these scripts and no other, and request nothing."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{one}'" for one in hashes) or "'none'"
    rules = (
        "default-src 'none'",
        f"script-src {allowed}",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
    )
    return "; ".join((*rules, "form-action 'none'"))


def in_script(text: str) -> str:
    r"""A script in which no text can end its element. In a text of JavaScript, `\/` is `/`, and `\x21` is `!`."""
    return _END.sub(r"<\\/\1", text).replace("<!--", "<\\x21--")


def _bodies(parts: Sequence[tuple[str, str, Html]]) -> Iterable[Html]:
    for name, title, body in parts:
        yield element("section", element("h2", title, id=name), body)


def _figure(plots: Plots, name: str, text: str) -> Html:
    """The place of a plot with its text, which says the same to a reader that cannot see it."""
    if name not in plots.places:
        return Html("")
    place = element("div", Html(plots.places[name]), class_="plot", role="group", aria_label=text)
    return element("figure", place, element("figcaption", text))


def _subtitle(report: Report) -> str:
    start, end = report.span
    size = sum(file.size_bytes for file in report.files)
    return (
        f"{plural(len(report.runs), 'run')} from {time_text(start)} to {time_text(end)} UTC "
        f"({duration_text(end - start)}): {plural(report.frames, 'frame')} of "
        f"{plural(len(report.instruments), 'instrument')} in {plural(len(report.files), 'file')}, {size_text(size)}."
    )


def _answer(report: Report) -> Html:
    headline = headline_of(report)
    items = (_finding(finding) for finding in report.findings)
    return element(
        "section",
        element("strong", headline.text),
        element("ul", *items),
        class_=f"answer {headline.level}",
        aria_label="What happened, and is the data complete?",
    )


def _finding(finding: Finding) -> Html:
    return element("li", element("span", _LEVELS[finding.level], class_="level"), finding.text, class_=finding.level)


def _key_figures(report: Report) -> Html:
    total_ns = sum(one.span[1] - one.span[0] for one in report.instruments)
    missing_ns = sum(one.missing_ns for one in report.instruments)
    seconds = sum(run.end_ns - run.start_ns for run in report.runs) / 1e9
    figures: Mapping[str, str] = {
        "covered on average": percent_text(1 - missing_ns / total_ns) if total_ns else NONE,
        "frames": f"{report.frames:,}",
        "frames per second": f"{report.frames / seconds:,.1f}" if seconds else NONE,
        "instruments": f"{len(report.instruments):,}",
        "gaps": f"{len(report.gaps):,}",
        "standstills": f"{len(report.standstills):,}",
        "connected again": f"{sum(run.restarts for run in report.runs):,}",
        "runs": f"{len(report.runs):,}",
    }
    return element("dl", *(element("div", element("dt", name), element("dd", text)) for name, text in figures.items()))


#: Returns the element of a plot, by its name, with a text that says the same; empty without the plot.
_SECTIONS: Final[tuple[tuple[str, str, Callable[[Report, sections.FigureOf], Html]], ...]] = (
    ("coverage", "Coverage and gaps", sections.coverage),
    ("states", "States of the feed", sections.states),
    ("rates", "Rates", sections.rates),
    ("instruments", "Instruments", sections.instruments),
    ("lateness", "Lateness", sections.lateness),
    ("identity", "Where every frame is", sections.identity),
    ("files", "Files", sections.files),
)
