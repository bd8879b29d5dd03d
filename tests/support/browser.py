"""Opens a page in a headless browser, and describes what it shows.

`python -m tests.support.browser PAGE FOLDER` writes a JSON object by view (`phone`, `screen`, `dark`, `print`), and
writes a screenshot of each to the folder. It is a program of its own, because a browser must not inherit the sanitizers
of the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

LIMIT_S: Final = 120.0

#: The width and height of each view in px, its colour scheme, and its medium.
VIEWS: Final = {
    "phone": (390, 844, "light", "screen"),
    "screen": (1280, 900, "light", "screen"),
    "dark": (390, 844, "dark", "screen"),
    "print": (800, 1100, "light", "print"),
}

#: Counts the pixels of a plot that are drawn, on all of its canvases, also in shadow trees.
_DESCRIBE: Final = """() => {
  const canvases = [], texts = [];
  const visit = root => root.querySelectorAll("*").forEach(one => {
    if (one.tagName === "CANVAS" && one.width && one.height) { canvases.push(one); }
    if (one.shadowRoot) { visit(one.shadowRoot); }
  });
  const drawn = {};
  document.querySelectorAll(".plot").forEach((plot, at) => {
    canvases.length = 0;
    visit(plot);
    let pixels = 0;
    canvases.forEach(one => {
      const data = one.getContext("2d").getImageData(0, 0, one.width, one.height).data;
      for (let i = 3; i < data.length; i += 4) { if (data[i]) { pixels += 1; } }
    });
    drawn[at] = pixels;
  });
  const style = getComputedStyle(document.body);
  const models = Bokeh.documents.flatMap(one => [...one._all_models.values()]);
  return {
    drawn: Object.values(drawn),
    labels: [...document.querySelectorAll(".plot")].map(one => one.getAttribute("aria-label") || ""),
    overflow_px: document.documentElement.scrollWidth - window.innerWidth,
    ground: style.backgroundColor,
    text: style.color,
    axis_text: models.filter(one => /Axis$/.test(one.type)).map(one => one.major_label_text_color),
    box_zoom: models.filter(one => one.type === "BoxZoomTool").map(one => one.active),
    touch_actions: [...document.querySelectorAll(".plot *")].map(one => one.style.touchAction).filter(one => one),
    evil: typeof window.evil,
    links: [...document.querySelectorAll("[src], link, a[href]:not([href^='#'])")].length,
  };
}"""


def missing() -> str:
    """What the tests in a browser lack; empty if they can run."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    return "" if _chromium() else "there is no Chromium: make browser"


def described(page: Path, folder: Path) -> dict[str, Any]:
    """What the page shows, by view."""
    clean = {key: value for key, value in os.environ.items() if key not in ("LD_PRELOAD", "PYTHONPATH")}
    program = (sys.executable, "-m", "tests.support.browser", page, folder)
    ended = subprocess.run(
        tuple(map(str, program)),
        cwd=Path(__file__).parents[2],
        env=clean,
        capture_output=True,
        text=True,
        timeout=LIMIT_S * 2,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def _view(browser: Any, page: Path, name: str, folder: Path) -> dict[str, Any]:
    width, height, scheme, medium = VIEWS[name]
    is_phone = width < 500
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, is_mobile=is_phone, has_touch=is_phone
    )
    context.set_default_timeout(LIMIT_S * 1000)
    tab = context.new_page()
    messages: list[str] = []
    requests: list[str] = []
    tab.on("console", lambda one: messages.append(one.text) if one.type in ("error", "warning") else None)
    tab.on("pageerror", lambda one: messages.append(str(one)))
    tab.on("request", lambda one: requests.append(one.url))
    tab.goto(page.absolute().as_uri())
    tab.wait_for_function("document.documentElement.dataset.plots === 'drawn'")
    if medium == "print":
        tab.emulate_media(media="print")
    # Two frames later, what has changed is drawn.
    tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    found: dict[str, Any] = tab.evaluate(_DESCRIBE)
    tab.screenshot(path=folder / f"{name}.png", full_page=True)
    context.close()
    return {**found, "messages": messages, "requests": requests}


def main(page: Path, folder: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # The pages are our own, and a container has no sandbox for root.
        browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox", "--disable-gpu"])
        sys.stdout.write(json.dumps({name: _view(browser, page, name, folder) for name in VIEWS}))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
