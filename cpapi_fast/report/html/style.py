"""The style and the script of the page of a report: for phones and screens, light and dark, and for printers"""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root {
  color-scheme: light dark;
  --ground: #ffffff; --panel: #f5f7f9; --line: #d5dae0; --text: #1c2329; --quiet: #55606b;
  --good: #1f7a4d; --check: #8a5a00; --missing: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14181c; --panel: #1e242a; --line: #39424b; --text: #e6eaee; --quiet: #a3afba;
    --good: #6fd0a0; --check: #f0c060; --missing: #ff9a8f;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 1180px; padding: 12px; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; margin: 0.2rem 0; } h2 { font-size: 1.1rem; margin: 1.6rem 0 0.4rem; }
p { margin: 0.4rem 0; } .quiet, caption, figcaption { color: var(--quiet); font-size: 0.87rem; }
nav a { display: inline-block; padding: 6px 10px 6px 0; color: inherit; }
.answer { border: 1px solid var(--line); border-left-width: 8px; border-radius: 6px; padding: 8px 14px;
  background: var(--panel); margin: 10px 0; }
.answer strong { font-size: 1.25rem; } .answer ul { margin: 0.5rem 0; padding-left: 0; list-style: none; }
.answer li { margin: 0.35rem 0; padding-left: 5.2rem; text-indent: -5.2rem; }
.level { display: inline-block; width: 4.8rem; margin-right: 0.4rem; font-weight: 600; text-indent: 0; }
.good { border-color: var(--good); } .check { border-color: var(--check); } .missing { border-color: var(--missing); }
.good > .level, .good > strong { color: var(--good); } .check > .level, .check > strong { color: var(--check); }
.missing > .level, .missing > strong { color: var(--missing); }
@media (max-width: 600px) { .answer li { padding-left: 0; text-indent: 0; } .level { width: auto; } }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(135px, 1fr)); gap: 8px; margin: 10px 0; }
dl div { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 6px 10px; }
dt { color: var(--quiet); font-size: 0.82rem; } dd { margin: 0; font-weight: 600; }
figure { margin: 8px 0; min-width: 0; } .plot { width: 100%; min-width: 0; }
.key { display: flex; flex-wrap: wrap; gap: 2px 14px; padding: 0; margin: 4px 0; list-style: none; font-size: 0.87rem; }
.key span { display: inline-block; width: 0.9em; height: 0.9em; border-radius: 2px; margin-right: 0.35em;
  vertical-align: -0.1em; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.scroll { overflow-x: auto; max-height: 32rem; overflow-y: auto; border: 1px solid var(--line); border-radius: 6px;
  margin: 8px 0; position: relative; }
.scroll:focus-visible { outline: 2px solid var(--quiet); }
table { border-collapse: collapse; width: 100%; font-size: 0.87rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 6px 10px; max-width: calc(100vw - 28px); }
td:not(.n):not(.s) { min-width: 13rem; }
th, td { padding: 4px 10px; border-top: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: normal; font-weight: normal; }
thead th { position: sticky; top: 0; background: var(--panel); font-weight: 600; white-space: nowrap; }
.n, .s { white-space: nowrap; } td.n, th.n { text-align: right; }
summary { cursor: pointer; padding: 6px 0; }
footer { margin: 2rem 0 1rem; border-top: 1px solid var(--line); padding-top: 8px; }
@media print {
  :root {
    color-scheme: light;
    --ground: #ffffff; --panel: #ffffff; --line: #bbbbbb; --text: #000000; --quiet: #444444;
    --good: #1f7a4d; --check: #8a5a00; --missing: #b3261e;
  }
  figure, tr { break-inside: avoid; }
  body { max-width: none; padding: 0; font-size: 11px; }
  table { font-size: 9px; }
  th, td { padding: 2px 4px; }
  .n, .s, thead th { white-space: normal; }
  td:not(.n):not(.s) { min-width: 0; }
  thead th { position: static; }
  .scroll { overflow: visible; max-height: none; }
  .bk-Toolbar, nav { display: none; }
}
"""

#: Colours of the axes follow those of the page, also when it is printed. A mouse zooms by dragging; a finger scrolls.
SCRIPT: Final = """
(function () {
  "use strict";
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  function each(visit) {
    Bokeh.documents.forEach(function (one) { one._all_models.forEach(visit); });
  }
  function recolour(isDark) {
    // The text of the dark ground can be read on paper too: a browser prints before the plots are drawn again.
    var text = isDark ? "#8a96a1" : "#3d4852", line = isDark ? "#56626d" : "#aab4bd";
    var grid = isDark ? "#333c44" : "#e2e6ea";
    each(function (model) {
      var type = model.type;
      if (/Axis$/.test(type)) {
        model.setv({major_label_text_color: text, axis_label_text_color: text, axis_line_color: line,
          major_tick_line_color: line, minor_tick_line_color: line});
      } else if (type === "Grid") {
        model.setv({grid_line_color: grid});
      } else if (type === "Figure") {
        model.setv({outline_line_color: line});
      }
    });
  }
  function start() {
    recolour(dark.matches);
    if (window.matchMedia("(pointer: fine)").matches) {
      each(function (model) { if (model.type === "BoxZoomTool") { model.active = true; } });
    }
    document.documentElement.dataset.plots = "drawn";
  }
  dark.addEventListener("change", function () { recolour(dark.matches); });
  window.addEventListener("beforeprint", function () { recolour(false); });
  window.addEventListener("afterprint", function () { recolour(dark.matches); });
  function wait(left) {
    var places = document.querySelectorAll(".plot").length, drawn = Object.keys(Bokeh.index.roots || {}).length;
    drawn = drawn || (Bokeh.index.size || Object.keys(Bokeh.index).length);
    if (drawn >= places || !left) { start(); } else { setTimeout(wait, 50, left - 1); }
  }
  window.addEventListener("load", function () { wait(200); });
})();
"""
