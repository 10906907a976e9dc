"""A report in headless Chromium, with every request that it makes and error that it logs."""

import contextlib
import os
import shutil
from pathlib import Path

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
AXE = Path(os.environ.get("SKINFLOW_AXE", "axe.min.js"))
"""axe-core's axe.min.js, from npm."""

NO_CHROMIUM = "Chromium is not installed (apt-get install chromium)"
NO_AXE = "SKINFLOW_AXE does not name axe.min.js (npm install axe-core)"


@contextlib.contextmanager
def browser():
    """Headless Chromium of this machine."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()


@contextlib.contextmanager
def opened(browser, path, *, width=1280, height=900, scheme="light"):
    """The page of a file, and the list of what it asked for or complained of."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    tab, heard = context.new_page(), []
    tab.on("console", lambda message: heard.append(message.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.on("request", lambda request: request.url.startswith("data:") or heard.append(request.url))
    tab.goto(path.as_uri())
    heard.remove(path.as_uri())
    try:
        yield tab, heard
    finally:
        context.close()
