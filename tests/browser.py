"""A headless browser, spoken to over a pipe in the DevTools protocol: no driver, no port, nothing to install."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--ignore-certificate-errors",  # the workspace's authority is its own
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
# The browser reads commands from its descriptor 3 and answers on 4.
START = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
PATIENCE = 20.0  # seconds


def find_browser() -> str | None:
    """The path of a browser of this machine, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A browser with a profile of its own."""

    def __init__(self, folder: Path) -> None:
        orders, self._send = (_above(descriptor) for descriptor in os.pipe())
        self._receive, answers = (_above(descriptor) for descriptor in os.pipe())
        program = [find_browser(), *FLAGS, f"--user-data-dir={folder}", *(["--no-sandbox"] if os.getuid() == 0 else [])]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", START, str(orders), str(answers), *program],
            pass_fds=(orders, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        os.close(orders)
        os.close(answers)
        self._condition = threading.Condition()
        self._answers: dict[int, dict] = {}
        self._last = 0
        self.events: list[dict] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict:
        """A command's result."""
        with self._condition:
            self._last += 1
            number = self._last
            message = {
                "id": number,
                "method": method,
                "params": parameters,
                **({"sessionId": session} if session else {}),
            }
            os.write(self._send, json.dumps(message).encode() + b"\0")
            if not self._condition.wait_for(lambda: number in self._answers, PATIENCE):
                raise TimeoutError(method)
            answer = self._answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def open(self, url: str, width: int = 1440, height: int = 900, dark: bool = False) -> "Page":
        """A page in a tab of its own, and without the cookies of any other."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        page = Page(self, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"], context)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        page.choose(dark)
        page.go(url)
        return page

    def close(self) -> None:
        """End the browser."""
        self.call("Browser.close")
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        os.close(self._send)
        os.close(self._receive)

    def _read(self) -> None:
        rest = b""
        while chunk := os.read(self._receive, 1 << 16):
            *messages, rest = (rest + chunk).split(b"\0")
            with self._condition:
                for message in map(json.loads, messages):
                    if "id" in message:
                        self._answers[message["id"]] = message
                    else:
                        self.events.append(message)
                self._condition.notify_all()


class Page:
    """A tab."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser = browser
        self._session = session
        self._context = context

    def close(self) -> None:
        """Close the tab."""
        self._browser.call("Target.disposeBrowserContext", browserContextId=self._context)

    def call(self, method: str, **parameters: Any) -> dict:
        """A command to this tab."""
        return self._browser.call(method, self._session, **parameters)

    def go(self, url: str) -> None:
        """Load an address."""
        assert "errorText" not in self.call("Page.navigate", url=url)

    def resize(self, width: int, height: int) -> None:
        """Be a window of that size."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def choose(self, dark: bool) -> None:
        """Prefer dark or light; nothing moves."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.call("Emulation.setEmulatedMedia", features=[scheme, still])

    def run(self, script: str) -> Any:
        """The value of an expression in the page, awaited if it is a promise."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, script: str, patience: float = PATIENCE) -> Any:
        """The value of an expression as soon as it is true."""
        deadline = time.monotonic() + patience
        while not (value := self.run(script)):
            if thrown := self.events("Runtime.exceptionThrown"):
                raise RuntimeError(str(thrown[0]))
            if time.monotonic() > deadline:
                raise TimeoutError(f"{script}\n{self.run('document.body?.innerText')}")
            time.sleep(0.03)
        return value

    def text(self, selector: str) -> str:
        """The text of the first element, as a reader sees it."""
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def click(self, selector: str) -> None:
        """Click the middle of an element, as a pointer does."""
        place = self.wait(
            f"(() => {{ const found = document.querySelector({json.dumps(selector)}); if (!found) return null;"
            "found.scrollIntoView({block: 'nearest', inline: 'nearest'}); const box = found.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def events(self, method: str) -> list[dict]:
        """What has happened in this tab."""
        seen = self._browser.events
        mine = [event for event in seen if event.get("sessionId") == self._session]
        return [event["params"] for event in mine if event["method"] == method]

    def complaints(self) -> list[str]:
        """Errors in the page, refused contents and failed requests."""
        thrown = [event["exceptionDetails"]["text"] + str(event) for event in self.events("Runtime.exceptionThrown")]
        entries = [event["entry"] for event in self.events("Log.entryAdded")]
        said = [event for event in self.events("Runtime.consoleAPICalled") if event["type"] in ("error", "warning")]
        return [
            *thrown,
            *(entry["text"] for entry in entries if entry["level"] in ("error", "warning")),
            *map(str, said),
        ]

    def screenshot(self, file: Path, whole: bool = False) -> None:
        """A picture of what is seen, or of the whole page."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        file.write_bytes(base64.b64decode(data))


def _above(descriptor: int) -> int:
    """The same pipe under a number that is not one of those that the browser expects."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


Open = Callable[..., Page]  # opens the page of a job
