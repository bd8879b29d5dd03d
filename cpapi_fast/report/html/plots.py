"""Plots of a report, drawn by Bokeh: time lines that share one axis, and histograms"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cpapi_fast.report.intervals import Interval, union
from cpapi_fast.report.model import InstrumentEntry, Report
from cpapi_fast.report.packages import import_bokeh, import_numpy
from cpapi_fast.report.sources.lateness import quantile_ns

from . import palette

#: The most instruments that a plot shows: a canvas has at most 32,767 pixels.
MAX_LANES: Final = 200
#: The most rectangles of one plot. The longest are shown.
_MAX_SPANS: Final = 20_000
#: Rectangles of one lane and group with less than this part of the time between them become one.
_JOINED: Final = 1 / 3_000

_LANE_PX: Final = 16
_MS: Final = 1_000_000

#: The lowest lateness on a logarithmic axis, in ms: below the resolution of event times.
_LOWEST_MS: Final = 0.5


@dataclass(frozen=True)
class Plots:
    """The plots of a page.

    Attributes:
        script: JavaScript that draws them.
        places: the element of each plot, by its name.
        library: the JavaScript of Bokeh.
    """

    script: str
    places: Mapping[str, str]
    library: str


def draw(report: Report) -> Plots:
    """Return the plots that the data of a report allows: `coverage`, `states`, `rates`, `heat`,
    `lateness`, `histogram`.

    Raises:
        MissingDependencyError: Bokeh is not installed.
    """
    embed, resources = import_bokeh("bokeh.embed"), import_bokeh("bokeh.resources")
    drawing = _Drawing(report)
    figures = {"coverage": drawing.coverage(), "states": drawing.states(), "rates": drawing.rates()}
    if report.instruments:
        figures["heat"] = drawing.heat()
    if report.lateness is not None:
        figures["lateness"], figures["histogram"] = drawing.lateness(), drawing.histogram()
    figures = {name: figure for name, figure in figures.items() if figure is not None}
    if not figures:
        return Plots("", {}, "")
    script, places = embed.components(figures, wrap_script=False)
    library = "\n".join(resources.Resources(mode="inline", components=["bokeh"]).js_raw)
    return Plots(script, places, library)


def lanes_of(report: Report) -> list[InstrumentEntry]:
    """Return the instruments that plots show: all, or the least covered ones; in order of their names."""
    chosen = sorted(report.instruments, key=lambda one: (one.coverage, -one.frames))[:MAX_LANES]
    return sorted(chosen, key=lambda one: (one.symbol or "~", one.conid))


class _Drawing:
    """Draws the figures of one report."""

    def __init__(self, report: Report) -> None:
        self._np: Final = import_numpy()
        self._models: Final = import_bokeh("bokeh.models")
        self._plotting: Final = import_bokeh("bokeh.plotting")
        self._report: Final = report
        self._lanes: Final = lanes_of(report)
        self._span: Final = report.span
        start, end = (time_ns / _MS for time_ns in self._span)
        margin = max((end - start) / 100, 500.0)
        self._x_range: Final = self._models.Range1d(
            start - margin, end + margin, bounds=(start - margin, end + margin), min_interval=1_000
        )
        symbols = [one.symbol for one in self._lanes]
        self._names: Final = [
            one.symbol if one.symbol and symbols.count(one.symbol) == 1 else f"{one.symbol} {one.conid}".strip()
            for one in self._lanes
        ]

    def coverage(self) -> Any:
        """The covered time of each instrument, with gaps by cause, and standstills."""
        if not self._lanes:
            return None
        figure = self._figure(len(self._lanes) * _LANE_PX + 60, y_range=self._factors(self._names))
        covered: list[tuple[str, Interval, str, str]] = []
        missing: list[tuple[str, Interval, str, str]] = []
        gaps: dict[int | None, list[tuple[Interval, str]]] = {}
        for gap in self._report.gaps:
            if gap.topic is None or gap.conid is not None:
                gaps.setdefault(gap.conid, []).append(((gap.start_ns, gap.end_ns), gap.cause))
        holes = [(hole, palette.BETWEEN_RUNS[0]) for hole in self._report.holes]
        for name, one in zip(self._names, self._lanes, strict=True):
            covered += [(name, span, "covered", palette.COVERED) for span in self._without(one)]
            by_cause: dict[str, list[Interval]] = {}
            for span, cause in (*gaps.get(one.conid, ()), *gaps.get(None, ()), *holes):
                by_cause.setdefault(cause, []).append(span)
            for cause, spans in by_cause.items():
                colour = palette.BETWEEN_RUNS[1] if cause == palette.BETWEEN_RUNS[0] else palette.group_of(cause)[1]
                missing += [(name, span, cause, colour) for span in self._joined(spans)]
        self._spans(figure, covered, height=0.5, alpha=0.55)
        # The outline keeps a gap of a second visible in a week.
        self._hover(figure, self._spans(figure, missing, height=0.9, alpha=0.9, line_px=2), "cause")
        for still in self._report.standstills[:_MAX_SPANS]:
            figure.add_layout(
                self._models.BoxAnnotation(
                    left=still.start_ns / _MS,
                    right=still.end_ns / _MS,
                    fill_color=palette.STANDSTILL,
                    fill_alpha=0.25,
                    line_color=palette.STANDSTILL,
                    line_alpha=0.6,
                    level="underlay",
                )
            )
        return figure

    def states(self) -> Any:
        """The state of the feed of each run."""
        if not self._report.states:
            return None
        runs = [run.run or "run" for run in self._report.runs][-MAX_LANES:]
        figure = self._figure(len(runs) * (_LANE_PX + 6) + 60, y_range=self._factors(runs))
        by_state: dict[tuple[str, str], list[Interval]] = {}
        for span in self._report.states:
            by_state.setdefault((span.run or "run", span.state), []).append((span.start_ns, span.end_ns))
        spans = [
            (run, one, state, palette.STATES.get(state, palette.OTHER_STATE))
            for (run, state), intervals in by_state.items()
            if run in runs
            for one in self._joined(intervals)
        ]
        self._hover(figure, self._spans(figure, spans, height=0.8, alpha=0.9, line_px=1), "state")
        return figure

    def rates(self) -> Any:
        """Frames per second over time."""
        left, right = self._edges()
        per_s = self._report.rates.sum(axis=0) / (self._report.width_ns / 1e9)
        source = self._models.ColumnDataSource({"left": left, "right": right, "rate": per_s})
        figure = self._figure(220, y_axis_label="frames per second")
        bars = figure.quad(
            left="left", right="right", top="rate", bottom=0, source=source, fill_color=palette.RATE, line_color=None
        )
        figure.y_range.start = 0
        figure.add_tools(
            self._models.HoverTool(
                renderers=[bars],
                tooltips=[("from", "@left{%F %T}"), ("frames/s", "@rate{0,0.00}")],
                formatters={"@left": "datetime"},
            )
        )
        return figure

    def heat(self) -> Any:
        """The frames of each instrument over time."""
        np, models = self._np, self._models
        places = {one.conid: at for at, one in enumerate(self._report.instruments)}
        rows = [places[one.conid] for one in reversed(self._lanes)]
        counts = self._report.rates[rows]
        # 16 bits keep the page small. Beyond them, the exact numbers are in the table only.
        image = np.minimum(counts, 65_535).astype(np.uint16)
        figure = self._figure(len(self._lanes) * _LANE_PX + 60, y_range=self._factors(self._names))
        left, right = self._edges()
        mapper = models.LogColorMapper(
            palette=list(palette.HEAT), low=1, high=max(int(image.max(initial=1)), 2), low_color="rgba(0,0,0,0)"
        )
        names = list(reversed(self._names))
        source = models.ColumnDataSource(
            {"image": [image[at : at + 1] for at in range(len(names))], "y": list(range(len(names))), "name": names}
        )
        drawn = figure.image(
            image="image",
            x=float(left[0]),
            dw=float(right[-1] - left[0]),
            y="y",
            dh=1,
            source=source,
            color_mapper=mapper,
        )
        figure.add_tools(
            models.HoverTool(
                renderers=[drawn],
                tooltips=[("", "@name"), ("time", "$x{%F %T}"), ("frames", "@image{0,0}")],
                formatters={"$x": "datetime"},
            )
        )
        return figure

    def lateness(self) -> Any:
        """The median, the 99th percentile and the maximum of the lateness over time."""
        lateness = self._report.lateness
        assert lateness is not None  # noqa: S101 - the caller has checked it
        left, right = self._edges()
        figure = self._figure(240, y_axis_type="log", y_axis_label="ms")
        figure.yaxis.formatter = self._models.NumeralTickFormatter(format="0,0.[0]")
        middle = (left + right) / 2
        columns = lateness.over_time.T.tolist()
        for name, part, colour, dash in palette.QUANTILES:
            values = [self._ms(quantile_ns(lateness.edges_ns, column, part)) for column in columns]
            source = self._models.ColumnDataSource({"x": middle, "y": values})
            figure.line("x", "y", source=source, line_color=colour, line_dash=dash, line_width=2)
            # A bin between two without rows has no line.
            dots = figure.scatter("x", "y", source=source, size=4, fill_color=colour, line_color=None)
            figure.add_tools(
                self._models.HoverTool(
                    renderers=[dots],
                    tooltips=[(name, "@y{0,0.0} ms or less"), ("time", "@x{%F %T}")],
                    formatters={"@x": "datetime"},
                )
            )
        return figure

    def histogram(self) -> Any:
        """The number of rows by lateness."""
        lateness = self._report.lateness
        assert lateness is not None  # noqa: S101 - the caller has checked it
        edges = [_LOWEST_MS, *(edge / _MS for edge in lateness.edges_ns[1:])]
        counts = list(lateness.counts[1:])
        filled = [at for at, count in enumerate(counts) if count]
        if not filled:
            return None
        edges.append(edges[-1] * 10)
        low, high = filled[0], filled[-1] + 1
        figure = self._figure(220, x_axis_type="log", x_axis_label="ms", y_axis_label="rows", x_range=None)
        source = self._models.ColumnDataSource(
            {"left": edges[low:high], "right": edges[low + 1 : high + 1], "rows": counts[low:high]}
        )
        bars = figure.quad(
            left="left", right="right", top="rows", bottom=0, source=source, fill_color=palette.RATE, line_color=None
        )
        figure.y_range.start = 0
        figure.x_range.range_padding = 0.02
        figure.xaxis.formatter = self._models.NumeralTickFormatter(format="0,0.[0]")
        figure.yaxis.formatter = self._models.NumeralTickFormatter(format="0.[0]a")
        tooltips = [("lateness", "@left{0,0.0} to @right{0,0.0} ms"), ("rows", "@rows{0,0}")]
        figure.add_tools(self._models.HoverTool(renderers=[bars], tooltips=tooltips))
        return figure

    def _figure(self, height: int, **options: Any) -> Any:
        given: dict[str, Any] = {"x_range": self._x_range, "x_axis_type": "datetime", **options}
        if given["x_range"] is None:
            del given["x_range"]
        models = self._models
        # None of them is active: a finger scrolls the page. The script of the page lets a mouse zoom by dragging.
        tools = [
            models.BoxZoomTool(dimensions="width"),
            models.PanTool(dimensions="width"),
            models.WheelZoomTool(dimensions="width"),
            models.ZoomInTool(dimensions="width"),
            models.ZoomOutTool(dimensions="width"),
            models.ResetTool(),
        ]
        toolbar = {"active_drag": None, "active_scroll": None, "active_tap": None, "toolbar_location": "above"}
        figure = self._plotting.figure(
            height=height, sizing_mode="stretch_width", tools=tools, min_border_right=12, **toolbar, **given
        )
        figure.toolbar.logo = None
        figure.background_fill_color = figure.border_fill_color = None
        figure.xgrid.grid_line_alpha = figure.ygrid.grid_line_alpha = 0.5
        for axis in figure.yaxis:
            axis.major_label_text_font_size = "11px"
        return figure

    def _factors(self, names: Sequence[str]) -> Any:
        # The first one is on top.
        return self._models.FactorRange(factors=list(reversed(names)), range_padding=0)

    def _edges(self) -> tuple[Any, Any]:
        number = self._report.rates.shape[1]
        left = (self._report.start_ns + self._np.arange(number, dtype=self._np.int64) * self._report.width_ns) / _MS
        return left, left + self._report.width_ns / _MS

    def _joined(self, spans: Sequence[Interval]) -> list[Interval]:
        """Few intervals for the eye. An empty one stays, as the shortest that there is."""
        join_ns = int((self._span[1] - self._span[0]) * _JOINED)
        return union(((start, max(end, start + 1)) for start, end in spans), join_ns=join_ns)

    def _without(self, one: InstrumentEntry) -> list[Interval]:
        starts = [one.span[0], *(end for _, end in one.missing)]
        ends = [*(start for start, _ in one.missing), one.span[1]]
        return self._joined([span for span in zip(starts, ends, strict=True) if span[0] < span[1]])

    def _spans(
        self,
        figure: Any,
        spans: Sequence[tuple[str, Interval, str, str]],
        *,
        height: float,
        alpha: float,
        line_px: int = 0,
    ) -> Any:
        chosen = sorted(spans, key=lambda one: one[1][0] - one[1][1])[:_MAX_SPANS]
        source = self._models.ColumnDataSource(
            {
                "y": [name for name, *_ in chosen],
                "left": [span[0] / _MS for _, span, *_ in chosen],
                "right": [span[1] / _MS for _, span, *_ in chosen],
                "text": [text for *_, text, _ in chosen],
                "colour": [colour for *_, colour in chosen],
            }
        )
        return figure.hbar(
            y="y",
            left="left",
            right="right",
            height=height,
            source=source,
            fill_color="colour",
            fill_alpha=alpha,
            line_color="colour" if line_px else None,
            line_width=line_px,
        )

    def _hover(self, figure: Any, drawn: Any, name: str) -> None:
        figure.add_tools(
            self._models.HoverTool(
                renderers=[drawn],
                tooltips=[("", "@y"), (name, "@text"), ("from", "@left{%F %T}"), ("to", "@right{%F %T}")],
                formatters={"@left": "datetime", "@right": "datetime"},
            )
        )

    def _ms(self, lateness_ns: int | None) -> float:
        return float("nan") if lateness_ns is None else max(lateness_ns / _MS, _LOWEST_MS)
