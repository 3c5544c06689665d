"""``make screenshot``: open GraphiQL as a person would, check that it works, and keep a picture of the first query's answer.

Starts a gateway on embedded stores with demo data, unless ``--url`` names one that runs.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.browser.chromium import Page, page

WIDTH, HEIGHT = 1_440, 1_080
START_S = 90.0
EDITOR = "document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror"
RESULT = "document.querySelector('.result-window .CodeMirror').CodeMirror.getValue()"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a gateway that runs already, in development")
    parser.add_argument("--output", type=Path, default=Path("docs/graphiql.png"))
    options = parser.parse_args()
    with running(options.url) as url, page() as browser:
        check(browser, url, options.output)
    sys.stdout.write(f"{options.output}\n")
    return 0


def check(browser: Page, url: str, output: Path) -> None:
    browser.open(url, WIDTH, HEIGHT)
    first_query = browser.wait(f"document.querySelector('.graphiql-query-editor .CodeMirror') && {EDITOR}.getValue()")
    browser.wait("!!document.querySelector('.graphiql-un-styled[aria-label=\"Re-fetch GraphQL schema\"]')")

    browser.click(".graphiql-execute-button")
    answer = json.loads(browser.wait(RESULT, lambda text: text and text.rstrip().endswith("}")))
    assert set(answer) == {"data"}, answer
    assert browser.evaluate(f"{EDITOR}.getValue()") == first_query
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=WIDTH / 2, y=HEIGHT - 5)
    time.sleep(0.5)  # animations
    browser.screenshot(output)

    show_documentation(browser)
    type_a_query(browser)
    assert browser.complaints == [], browser.complaints
    elsewhere = [a for a in browser.addresses if urlsplit(a).scheme in ("http", "https", "ws") and not a.startswith(url)]
    assert elsewhere == [], elsewhere


def show_documentation(browser: Page) -> None:
    browser.click("button[aria-label='Show Documentation Explorer']")
    browser.wait("document.querySelector('.graphiql-doc-explorer')?.innerText", lambda text: text and "Query" in text)
    browser.click(".graphiql-doc-explorer-type-name")
    browser.wait("document.querySelector('.graphiql-doc-explorer')?.innerText", lambda text: text and "Fields" in text)


def type_a_query(browser: Page) -> None:
    """Type into the editor: it offers fields of the schema, and Ctrl-Enter runs what was typed."""
    browser.click(".graphiql-query-editor .CodeMirror-lines")
    browser.press("a", 65, modifiers=2)
    browser.type("{ __typ")
    browser.wait("document.querySelector('.CodeMirror-hints')?.innerText", lambda text: text and "__typename" in text)
    browser.press("Escape", 27)
    browser.type("ename")  # the editor has closed the brace
    browser.wait("document.querySelector('.graphiql-tab-button').innerText", lambda name: name == "<untitled>")  # no longer FirstQuery
    browser.press("Enter", 13, modifiers=2)
    browser.wait(RESULT, lambda text: "".join(text.split()) == '{"data":{"__typename":"Query"}}')


@contextmanager
def running(url: str | None) -> Iterator[str]:
    """Hand out the address of a gateway: the given one, or one of our own that ends with us."""
    if url is not None:
        yield url.rstrip("/")
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as data:
        environment = {**os.environ, "GATEWAY_DATA_DIR": data, "GATEWAY_ENVIRONMENT": "development"}
        command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
        gateway = subprocess.Popen(command, env=environment)
        try:
            wait_for(f"http://127.0.0.1:{port}/health/ready", gateway)
            yield f"http://127.0.0.1:{port}"
        finally:
            gateway.terminate()
            gateway.wait(timeout=30)


def wait_for(url: str, gateway: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            if gateway.poll() is not None or time.monotonic() > end:
                raise SystemExit("the gateway did not start") from None
            time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
