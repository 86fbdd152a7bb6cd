"""A real headless Chromium, spoken to over its own DevTools protocol on two pipes.

The pipes (--remote-debugging-pipe) need no driver program, no port that others could reach and no further dependency:
the protocol is JSON with a zero byte at its end, and a test of a page needs ten of its commands. Selenium would bring
a web server and six packages, Playwright a Node.js of 40 MB, for the same ten commands.
https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE = 60
"""Seconds for one answer: two cores may be busy with other things."""
KEYS = {"Enter": 13, "Tab": 9, " ": 32}


def need_chromium() -> str:
    """Return the browser's path; skip where there is none, but in CI that is a failure."""
    if found := shutil.which("chromium"):
        return found
    reason = "the page's tests need Debian's chromium: .ci/packages tests"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class Browser:
    """One browser with one tab, for a `with` statement.

    Args:
        program: path of the browser.
        directory: its profile and its messages go there.
    """

    def __init__(self, program: str, directory: Path) -> None:
        self.events: list[dict[str, Any]] = []
        self._last = 0
        self._rest = b""
        self._session = ""
        commands, self._to = os.pipe()
        self._from, answers = os.pipe()
        flags = [
            *("--headless", "--remote-debugging-pipe", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
            f"--user-data-dir={directory / 'profile'}",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # Chromium's sandbox refuses to work for root
        ]
        self._errors = (directory / "chromium.err").open("w")
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the browser
                # It reads descriptor 3 and writes descriptor 4. (dash, the other sh, knows descriptors up to 9 only.)
                ["/bin/bash", "-c", f'exec "$@" 3<&{commands} 4>&{answers}', "bash", program, *flags],
                pass_fds=(commands, answers),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,
                env={**os.environ, "HOME": str(directory)},
            )
        finally:
            os.close(commands)
            os.close(answers)

    def __enter__(self) -> Browser:  # noqa: PYI034 - Self came with Python 3.11
        try:
            target = self.ask("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.ask(f"{domain}.enable")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and all processes that it started: they are one process group, of our own making."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)
        self._errors.close()
        for descriptor in (self._to, self._from):
            os.close(descriptor)

    def ask(self, method: str, **params: object) -> dict[str, Any]:
        """Give a command and return its result; what happens meanwhile is kept in `events`."""
        self._last += 1
        number = self._last
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        found = self._until(lambda answer: answer.get("id") == number, method)
        assert "error" not in found, f"{method}: {found['error']}"
        result: dict[str, Any] = found["result"]
        return result

    def open(self, path: Path) -> None:
        """Load a file and wait until it is loaded."""
        self.events.clear()
        found = self.ask("Page.navigate", url=path.as_uri())
        assert "errorText" not in found, f"{path}: {found['errorText']}"
        if not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._until(lambda answer: answer.get("method") == "Page.loadEventFired", f"loading {path}")

    def run(self, script: str) -> Any:
        """Return the value of a script in the page."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def click(self, selector: str) -> None:
        """Click on the middle of the first element, where a user would."""
        self.run(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center', behavior: 'instant'}})")
        x, y = self.run(
            f"(r => [r.x + r.width / 2, r.y + r.height / 2])"
            f"(document.querySelector({selector!r}).getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press a key."""
        code = KEYS[key]
        text = {"Enter": "\r", " ": " "}.get(key, "")
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, text=text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def type(self, text: str) -> None:
        """Type a text where the focus is."""
        self.ask("Input.insertText", text=text)

    def look(self, *, width: int = 1280, height: int = 900, theme: str = "light", media: str = "") -> None:
        """Set the size of the window, the system's theme, and the medium."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.ask("Emulation.setEmulatedMedia", media=media, features=features)

    def picture(self) -> bytes:
        """Return a PNG of the whole page."""
        return base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def paper(self) -> bytes:
        """Return the page as PDF, as it prints."""
        return base64.b64decode(self.ask("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])

    @property
    def complaints(self) -> list[str]:
        """What the console shows since the page was opened: errors, warnings, and whatever was logged."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self.events if event["method"] in kinds]

    @property
    def requests(self) -> list[str]:
        """What was asked for since the page was opened; data: URLs are part of the page."""
        sent = [
            event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in sent if not url.startswith("data:")]

    def _until(self, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Return the first message that is wanted; the events among all until then are kept."""
        ends = time.monotonic() + PATIENCE
        while True:
            while b"\0" in self._rest:
                raw, _, self._rest = self._rest.partition(b"\0")
                message: dict[str, Any] = json.loads(raw)
                if "method" in message:
                    self.events.append(message)
                if wanted(message):
                    return message
            left = ends - time.monotonic()
            if left <= 0 or not select.select([self._from], [], [], left)[0]:
                raise AssertionError(f"chromium: {what}: no answer within {PATIENCE} s")
            read = os.read(self._from, 1 << 20)
            if not read:
                raise AssertionError(f"chromium: {what}: it has ended: {self._process.poll()}")
            self._rest += read
