"""The sections of the page of a report: each a plot with a text that says the same, and tables"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cpapi_fast.report.model import GapEntry, Report
from cpapi_fast.report.sources.lateness import quantile_ns
from cpapi_fast.report.texts import NONE, duration_text, percent_text, plural, size_text, time_text

from . import palette
from .elements import Html, element, joined, table
from .plots import MAX_LANES

#: Returns the element of a plot, by its name, with a text that says the same; empty without the plot.
FigureOf = Callable[[str, str], Html]

#: The most rows of a table. The page stays small, and what is left out is said.
_MAX_ROWS = 500
_MAX_FILES = 2_000

#: Gaps of several instruments that begin and end within so much of each other are one row.
_TOGETHER_NS = 10_000_000_000


@dataclass
class GapGroup:
    """Gaps of several topics with the same cause, at the same time."""

    first: GapEntry
    start_ns: int
    end_ns: int
    topics: list[str | None]
    frames_dropped: int | None


def coverage(report: Report, figure_of: FigureOf) -> Html:
    """What is covered, with gaps and standstills."""
    gone = sum(1 for one in report.instruments if one.missing)
    text = (
        f"Time line of {plural(len(report.instruments), 'instrument')}: covered time, gaps by cause, and standstills. "
        f"{plural(gone, 'instrument')} with missing time. The table has the same gaps."
    )
    if len(report.instruments) > MAX_LANES:
        text += f" The plot shows the {MAX_LANES} instruments that are covered least."
    keys = [("covered", palette.COVERED)]
    groups = dict.fromkeys(palette.group_of(gap.cause) for gap in report.gaps)
    if report.holes:
        groups[palette.BETWEEN_RUNS] = None
    keys += groups
    keys += [("standstill", palette.STANDSTILL)] if report.standstills else []
    return joined(
        _keys(keys),
        figure_of("coverage", text),
        _gap_table(report),
        _hole_table(report),
        _standstill_table(report),
    )


def grouped(gaps: Iterable[GapEntry]) -> list[GapGroup]:
    """Return gaps by cause and time, in order of their start: a lost connection is a gap of every instrument."""
    found: list[GapGroup] = []
    latest: dict[tuple[str, str, bool, bool], GapGroup] = {}
    for gap in gaps:
        key = (gap.run, gap.cause, gap.is_certain, gap.is_open)
        group = latest.get(key)
        if (
            group is None
            or gap.start_ns - group.first.start_ns > _TOGETHER_NS
            or abs(gap.end_ns - group.first.end_ns) > _TOGETHER_NS
            or gap.topic in group.topics[-1:]
        ):
            group = GapGroup(gap, gap.start_ns, gap.end_ns, [], None)
            latest[key] = group
            found.append(group)
        group.start_ns, group.end_ns = min(group.start_ns, gap.start_ns), max(group.end_ns, gap.end_ns)
        group.topics.append(gap.topic)
        if gap.frames_dropped is not None:
            group.frames_dropped = (group.frames_dropped or 0) + gap.frames_dropped
    return found


def _gap_table(report: Report) -> Html:
    groups = grouped(report.gaps)
    if not groups:
        return element("p", "The events have no gap.")
    shown = sorted(groups, key=lambda group: group.start_ns - group.end_ns)[:_MAX_ROWS]
    names = {f"smd+{one.conid}": f"{one.symbol} ({one.conid})" for one in report.instruments if one.symbol}
    rows = (
        (
            time_text(group.start_ns),
            duration_text(group.end_ns - group.start_ns),
            group.first.cause,
            time_text(group.end_ns) + (" (no frame after it)" if group.first.is_open else ""),
            _topics_text(group.topics, names),
            "certain" if group.first.is_certain else "possible",
            NONE if group.frames_dropped is None else f"{group.frames_dropped:,}",
            group.first.run,
        )
        for group in sorted(shown, key=lambda group: group.start_ns)
    )
    more = f"; the longest {_MAX_ROWS:,} of {len(groups):,}" if len(groups) > _MAX_ROWS else ""
    caption = f"Gaps. Those of several instruments at the same time are one row{more}"
    heads = ("from", "length", "cause", "to", "topics", "missing frames", "dropped", "run")
    return table(caption, heads, rows, numbers=(1, 6))


def _topics_text(topics: Sequence[str | None], names: Mapping[str, str]) -> str:
    if None in topics:
        return "all"
    named = list(dict.fromkeys(names.get(topic, topic.removeprefix("smd+")) for topic in topics if topic is not None))
    return ", ".join(named[:4]) + (f" and {len(named) - 4:,} more" if len(named) > 4 else "")


def _hole_table(report: Report) -> Html:
    if not report.holes:
        return Html("")
    rows = [
        (time_text(start), time_text(end), duration_text(end - start))
        for start, end in sorted(report.holes, key=lambda hole: hole[0] - hole[1])[:_MAX_ROWS]
    ]
    return table(
        "Time between runs, in which nothing was collected", ("from", "to", "length"), sorted(rows), numbers=(2,)
    )


def _standstill_table(report: Report) -> Html:
    if not report.standstills:
        return Html("")
    longest = sorted(report.standstills, key=lambda one: one.start_ns - one.end_ns)[:_MAX_ROWS]
    rows = (
        (time_text(one.start_ns), duration_text(one.end_ns - one.start_ns), one.reason, one.run)
        for one in sorted(longest, key=lambda one: one.start_ns)
    )
    more = f"; the longest {_MAX_ROWS:,} of {len(report.standstills):,}" if len(report.standstills) > _MAX_ROWS else ""
    caption = f"Standstills: nothing was received, and what waited followed late{more}"
    return table(caption, ("from", "length", "reason", "run"), rows, numbers=(1,))


def states(report: Report, figure_of: FigureOf) -> Html:
    """The states of the feed over time, and each change that is a failure."""
    if not report.states:
        return element("p", "The files have no events, so the states of the feed are unknown.")
    lengths: dict[str, int] = {}
    for span in report.states:
        lengths[span.state] = lengths.get(span.state, 0) + span.end_ns - span.start_ns
    total = sum(lengths.values()) or 1
    named = ", ".join(
        f"{state} {percent_text(part / total)}" for state, part in sorted(lengths.items(), key=lambda one: -one[1])
    )
    keys = [(state, palette.STATES.get(state, palette.OTHER_STATE)) for state in lengths]
    changes = [span for span in report.states if span.detail or span.state not in _STEPS]
    changes_shown = changes[-_MAX_ROWS:]
    rows = (
        (
            time_text(span.start_ns),
            span.state,
            span.cause,
            duration_text(span.end_ns - span.start_ns),
            span.detail,
            span.advice,
            span.run,
        )
        for span in changes_shown
    )
    more = f"; the last {_MAX_ROWS:,} of {len(changes):,}" if len(changes) > _MAX_ROWS else ""
    run_rows = (
        (
            run.run or "run",
            time_text(run.start_ns),
            time_text(run.end_ns),
            duration_text(run.end_ns - run.start_ns),
            f"{run.frames:,}",
            f"{run.connections:,}",
            "stopped" if run.is_ended else f"no end; last state {run.state or 'unknown'}",
        )
        for run in report.runs
    )
    heads = ("time", "state", "cause", "length", "error", "what to do", "run")
    return joined(
        _keys(keys),
        figure_of("states", f"Time line of the states of the feed. Part of the time in each: {named}."),
        table(
            "Runs",
            ("run", "first frame", "end", "length", "frames", "connections", "end of the run"),
            run_rows,
            numbers=(3, 4, 5),
        ),
        table(f"Changes to a state without data, and errors{more}", heads, rows, numbers=(3,)) if changes else Html(""),
    )


#: The states on the way to data, which need no row of their own.
_STEPS = frozenset({"connecting", "open", "ready", "authenticated", "streaming"})


def rates(report: Report, figure_of: FigureOf) -> Html:
    """Frames per second, in total and by instrument."""
    width = duration_text(report.width_ns)
    total = report.rates.sum(axis=0)
    highest = int(total.max(initial=0)) / (report.width_ns / 1e9)
    kinds: dict[str, int] = {}
    for run in report.runs:
        for kind, count in run.by_kind.items():
            kinds[kind] = kinds.get(kind, 0) + count
    text = f"Frames per second, as the mean of each {width}. The highest is {highest:,.1f}."
    named = ", ".join(f"{kind} {count:,}" for kind, count in sorted(kinds.items(), key=lambda one: -one[1]))
    other = [run.source for run in report.runs if run.source not in ("capture", "")]
    notes = [f"Frames by kind: {named}."] if named else []
    if other:
        notes.append(
            f"{plural(len(other), 'run')} without a capture: the rows of {', '.join(sorted(set(other)))} are counted."
        )
    return joined(
        figure_of("rates", text),
        figure_of("heat", f"Frames of each instrument in each {width}: the brighter, the more; without colour, none."),
        *(element("p", note, class_="quiet") for note in notes),
    )


def instruments(report: Report, _figure_of: FigureOf) -> Html:
    """A row for each instrument."""
    shown = sorted(report.instruments, key=lambda one: (one.coverage, -one.frames))[: 2 * _MAX_ROWS]
    rows = (
        (
            one.symbol or str(one.conid),
            one.conid,
            percent_text(one.coverage),
            duration_text(one.missing_ns) if one.missing else NONE,
            f"{one.gaps:,}",
            f"{one.frames:,}",
            _rate_text(one.frames, one.span[1] - one.span[0] - one.missing_ns),
            time_text(one.first_ns),
            time_text(one.last_ns),
        )
        for one in shown
    )
    left_out = len(report.instruments) - len(shown)
    more = f"; {left_out:,} are left out" if left_out else ""
    heads = ("instrument", "conid", "covered", "missing", "gaps", "frames", "frames/s", "first frame", "last frame")
    text = f"Instruments, the least covered first{more}. An instrument without frames in a quiet market is covered"
    return table(text, heads, rows, numbers=range(1, 7)) if shown else Html("")


def _rate_text(frames: int, covered_ns: int) -> str:
    return f"{frames / (covered_ns / 1e9):,.2f}" if covered_ns > 0 else NONE


def lateness(report: Report, figure_of: FigureOf) -> Html:
    """Receive time less event time."""
    found = report.lateness
    if found is None:
        return element("p", "No table with event times can be read: `collect --tables ticks` or quotes writes one.")
    total = sum(found.counts)
    parts = (("median", 0.5), ("90 %", 0.9), ("99 %", 0.99), ("99.9 %", 0.999), ("maximum", 1.0))
    values = {name: quantile_ns(found.edges_ns, found.counts, part) for name, part in parts}
    named = ", ".join(f"{name} {duration_text(value)}" for name, value in values.items() if value is not None)
    width = duration_text(report.width_ns)
    rows = [(name, f"{duration_text(value)} or less") for name, value in values.items() if value is not None]
    rows += [
        ("received before the event time", f"{found.counts[0]:,} of {total:,} rows"),
        ("counted as late by the collector", f"{found.late_rows:,} rows, by up to {duration_text(found.max_late_ns)}"),
        ("without an event time", f"{found.without_time:,} rows"),
    ]
    return joined(
        element(
            "p",
            "Receive time less event time (",
            element("code", "updated"),
            "). It has the difference of the two clocks in it, and the age of the "
            "values in the first snapshots, which can be hours.",
            class_="quiet",
        ),
        _keys((name, colour) for name, _, colour, _ in palette.QUANTILES),
        figure_of("lateness", f"Median, 99 % and maximum of the lateness in each {width}. Over all: {named}."),
        figure_of("histogram", f"Number of rows by lateness, ten buckets per decade. Over all: {named}."),
        table("Lateness", ("", "value"), rows),
    )


def identity(report: Report, _figure_of: FigureOf) -> Html:
    """Where the items of each output are."""
    if not report.identities:
        return Html("")
    rows = (
        (
            one.run or "run",
            one.output,
            f"{one.received:,} {one.unit}" if one.received is not None else "unknown",
            f"{one.in_files:,}",
            f"{one.missing:,}" if one.missing is not None else NONE,
            f"{one.lost:,}",
            one.note,
        )
        for one in report.identities[: 2 * _MAX_ROWS]
    )
    text = "For each output, received = in files + missing, as far as the files say"
    heads = ("run", "output", "received", "in files", "missing", "lost with a file", "what the missing ones are")
    return table(text, heads, rows, numbers=range(2, 6))


def files(report: Report, _figure_of: FigureOf) -> Html:
    """The files, by run and kind, then each."""
    groups: dict[tuple[str, str], list[int]] = {}
    for at, file in enumerate(report.files):
        groups.setdefault((file.run, file.kind), []).append(at)
    rows = []
    for (run, kind), places in sorted(groups.items()):
        own = [report.files[at] for at in places]
        unfinished, damaged = (sum(file.state == state for file in own) for state in ("unfinished", "damaged"))
        rows.append(
            (
                kind,
                run,
                f"{len(own):,}",
                size_text(sum(file.size_bytes for file in own)),
                f"{sum(file.rows or 0 for file in own):,}",
                f"{unfinished:,}",
                f"{damaged:,}",
            )
        )
    shown = sorted(report.files, key=lambda file: (file.state == "finished", file.name))[:_MAX_FILES]
    each = (
        (
            file.name,
            size_text(file.size_bytes),
            NONE if file.rows is None else f"{file.rows:,}",
            time_text(file.first_ns),
            time_text(file.last_ns),
            file.state,
            file.note,
        )
        for file in shown
    )
    more = f"; {len(report.files) - len(shown):,} finished ones are left out" if len(report.files) > len(shown) else ""
    heads = ("file", "size", "rows", "first time", "last time", "state", "note")
    others = f"{plural(report.other_files, 'other file')} in the folder." if report.other_files else ""
    return joined(
        table(
            "Files by run and kind",
            ("kind", "run", "files", "size", "rows", "unfinished", "damaged"),
            rows,
            numbers=range(2, 7),
        ),
        element(
            "details",
            element("summary", f"Each of {plural(len(report.files), 'file')}"),
            table(f"Files, those that are not finished first{more}", heads, each, numbers=(1, 2)),
        ),
        element("p", others, class_="quiet") if others else Html(""),
    )


def _keys(keys: Iterable[tuple[str, str]]) -> Html:
    """The meaning of the colours of a plot."""
    items = (
        element("li", element("span", style=f"background:{colour}", aria_hidden="true"), name) for name, colour in keys
    )
    return element("ul", *items, class_="key", aria_label="Colours")
