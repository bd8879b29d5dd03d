"""Findings: what a person reads first, from what the files say. Pure functions"""

from __future__ import annotations

from .intervals import union
from .model import Finding, Level, Report, RunEntry
from .texts import duration_text, percent_text, plural, time_text

#: How many of each kind are named.
_MAX_NAMED = 5

#: The order of findings.
_RANK: dict[Level, int] = {"missing": 0, "check": 1, "good": 2}


def findings_of(report: Report) -> tuple[Finding, ...]:
    """Return the findings, the worst first."""
    found = [
        *_of_coverage(report),
        *_of_holes(report),
        *_of_identities(report),
        *_of_files(report),
        *_of_runs(report),
        *_of_lateness(report),
        *_of_notices(report),
    ]
    return tuple(sorted(found, key=lambda finding: _RANK[finding.level]))


def headline_of(report: Report) -> Finding:
    """Return the answer to the question whether the data is complete."""
    levels = {finding.level for finding in report.findings}
    if "missing" in levels:
        return Finding("missing", "Not complete: data is missing")
    if "check" in levels:
        return Finding("check", "Nothing is missing for certain, but check what is below")
    return Finding("good", "Complete")


def name_of(run: str) -> str:
    """How a run is named in a text."""
    return f"run {run}" if run else "the run without a name"


def _of_coverage(report: Report) -> list[Finding]:
    if not report.instruments:
        return [Finding("check", "The files have no instrument.")]
    incomplete = [one for one in report.instruments if one.missing]
    total_ns = sum(one.span[1] - one.span[0] for one in report.instruments)
    missing_ns = sum(one.missing_ns for one in report.instruments)
    silent = [one for one in report.instruments if not one.frames]
    found = []
    if not incomplete:
        found.append(Finding("good", f"No gap in {plural(len(report.instruments), 'instrument')}."))
    else:
        # The hole between two runs has a finding of its own.
        certain = [gap for gap in report.gaps if gap.is_certain]
        worst = sorted(incomplete, key=lambda one: one.coverage)[:_MAX_NAMED]
        named = ", ".join(
            f"{one.symbol or one.conid} {percent_text(one.coverage)} ({duration_text(one.missing_ns)} missing)"
            for one in worst
        )
        more = f" and {len(incomplete) - len(worst):,} more" if len(incomplete) > len(worst) else ""
        found.append(
            Finding(
                "missing" if certain or report.holes else "check",
                f"{plural(len(incomplete), 'instrument')} of {len(report.instruments):,} "
                f"{'is' if len(incomplete) == 1 else 'are'} not covered all the time; on average "
                f"{percent_text(1 - missing_ns / total_ns if total_ns else 1.0)} is covered. The least covered: "
                f"{named}{more}.",
            )
        )
    if report.gaps:
        causes: dict[str, int] = {}
        for gap in report.gaps:
            causes[gap.cause] = causes.get(gap.cause, 0) + 1
        named = ", ".join(f"{cause} {count:,}" for cause, count in sorted(causes.items(), key=lambda one: -one[1]))
        certain_gaps = sum(gap.is_certain for gap in report.gaps)
        found.append(
            Finding(
                "missing" if certain_gaps else "check",
                f"{plural(len(report.gaps), 'gap')} in the events, by cause: {named}. In {certain_gaps:,} of them "
                "frames are missing for certain; in the others, it is not known.",
            )
        )
        dropped = sum(gap.frames_dropped or 0 for gap in report.gaps)
        if dropped:
            found.append(Finding("missing", f"{plural(dropped, 'frame')} were dropped before they reached the files."))
    if silent:
        names = ", ".join(one.symbol or str(one.conid) for one in silent[:_MAX_NAMED])
        more = f" and {len(silent) - _MAX_NAMED:,} more" if len(silent) > _MAX_NAMED else ""
        found.append(Finding("check", f"{plural(len(silent), 'instrument')} without a single frame: {names}{more}."))
    return found


def _of_holes(report: Report) -> list[Finding]:
    if not report.holes:
        return []
    longest = sorted(report.holes, key=lambda hole: hole[0] - hole[1])[:_MAX_NAMED]
    named = "; ".join(
        f"{time_text(start)} to {time_text(end)} ({duration_text(end - start)})" for start, end in sorted(longest)
    )
    more = f"; and {len(report.holes) - len(longest):,} more" if len(report.holes) > len(longest) else ""
    return [Finding("missing", f"Nothing was collected between runs: {named}{more}.")]


def _of_identities(report: Report) -> list[Finding]:
    found = []
    for one in report.identities:
        if one.is_loss and one.missing:
            text = f"{name_of(one.run)}: {one.missing:,} {one.unit} of {one.output} are in no file here; {one.note}."
            found.append(Finding("missing", text[0].upper() + text[1:]))
    return found


def _of_files(report: Report) -> list[Finding]:
    found = []
    for state, level in (("damaged", "missing"), ("unfinished", "check")):
        files = [file for file in report.files if file.state == state]
        if files:
            names = "; ".join(f"{file.name} ({file.note})" for file in files[:_MAX_NAMED])
            more = f"; and {len(files) - _MAX_NAMED:,} more" if len(files) > _MAX_NAMED else ""
            # What a killed run left is in the capture, as far as it was written.
            found.append(Finding(level, f"{plural(len(files), f'{state} file')}: {names}{more}."))  # type: ignore[arg-type]
    if report.unknown_events:
        text = f"{plural(report.unknown_events, 'event')} of a type that this version does not know"
        found.append(Finding("check", f"{text}; a newer version may show more."))
    return found


def _of_runs(report: Report) -> list[Finding]:
    found = []
    for run in report.runs:
        if not run.frames:
            found.append(Finding("missing", f"{_subject(run)} has no frame."))
        if not run.is_ended:
            is_without_data = run.state not in ("", "streaming")
            found.append(Finding("missing" if is_without_data else "check", _open_text(report, run)))
    restarts = sum(run.restarts for run in report.runs)
    if restarts:
        found.append(Finding("good", f"The feed connected again {plural(restarts, 'time')} by itself."))
    return found


def _subject(run: RunEntry) -> str:
    text = name_of(run.run)
    return text[0].upper() + text[1:]


def _open_text(report: Report, run: RunEntry) -> str:
    if not run.state:
        return f"{_subject(run)} has no events, so its gaps are unknown."
    text = (
        f"{_subject(run)} has no end: it is still running, or it was killed. Its last frame or event is of "
        f"{time_text(run.end_ns)} UTC."
    )
    span = next(span for span in reversed(report.states) if span.run == run.run)
    if span.state != "streaming":
        text += f" Its state is {span.state} ({span.cause}) since {time_text(span.start_ns)} UTC. {span.advice}"
    return text.rstrip()


def _of_lateness(report: Report) -> list[Finding]:
    found = []
    if report.standstills:
        spans = union((one.start_ns, one.end_ns) for one in report.standstills)
        total = sum(end - start for start, end in spans)
        longest = max(end - start for start, end in spans) if spans else 0
        found.append(
            Finding(
                "check",
                f"{plural(len(report.standstills), 'standstill')}, {duration_text(total)} in all, the longest "
                f"{duration_text(longest)}: nothing was received, and what waited followed late.",
            )
        )
    if report.lateness is not None and report.lateness.late_rows:
        found.append(
            Finding(
                "check",
                f"{plural(report.lateness.late_rows, 'row')} received late, by up to "
                f"{duration_text(report.lateness.max_late_ns)}.",
            )
        )
    return found


def _of_notices(report: Report) -> list[Finding]:
    lost = [notice for notice in report.notices if notice.is_loss]
    other = len(report.notices) - len(lost)
    found = []
    if lost:
        named = "; ".join(notice.text for notice in lost[:_MAX_NAMED])
        more = f"; and {len(lost) - _MAX_NAMED:,} more" if len(lost) > _MAX_NAMED else ""
        found.append(Finding("missing", f"Files were lost while they were written: {named}{more}."))
    if other:
        found.append(Finding("check", f"{plural(other, 'event')} about a slow disk or files that were moved."))
    return found
