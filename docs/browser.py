"""A headless Chromium, driven over its DevTools protocol: what the checks of the book and of the viewer need of it."""

import json
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from websocket import create_connection

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--remote-debugging-port=0", "--remote-allow-origins=*", "--force-device-scale-factor=1",
)  # fmt: skip


def find_chromium() -> str | None:
    """The path of a Chromium on this machine, or None."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def chromium(profile: Path) -> Iterator["Tab"]:
    """A `Tab` of a fresh Chromium, which ends with the context."""
    with open(profile.parent / "chromium.log", "wb") as log:
        process = subprocess.Popen(
            [find_chromium(), *FLAGS, f"--user-data-dir={profile}", "about:blank"], stdout=log, stderr=log
        )
        try:
            yield Tab(_address(profile, process))
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(profile, process, seconds=60):
    """Where the browser listens on this machine."""
    port = profile / "DevToolsActivePort"
    for _ in range(10 * seconds):
        if port.is_file() and len(lines := port.read_text().splitlines()) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        assert process.poll() is None, "Chromium has ended"
        time.sleep(0.1)
    raise TimeoutError("Chromium does not listen")


class Tab:
    """One page: open, look, click, drag."""

    def __init__(self, address):
        self.socket = create_connection(address, timeout=60)
        self.count, self.session = 0, None
        self.problems, self.requests = [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """One command of the protocol and its result; events of errors and requests are noted on the way."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer)

    def _note(self, event):
        about = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.problems.append(about["exceptionDetails"])
            case "Log.entryAdded" if about["entry"]["level"] == "error":
                self.problems.append(about["entry"])
            case "Runtime.consoleAPICalled" if about["type"] in ("error", "assert"):
                self.problems.append(
                    [given.get("value", given.get("description")) for given in about["args"]]
                )
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"])

    def resize(self, width, height, mobile=False):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=mobile,
        )  # fmt: skip

    def prefer(self, scheme):
        """Let pages see that the user prefers "dark" or "light"."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, address):
        self.call("Page.navigate", url=address)

    def value(self, expression):
        """The value of an expression of JavaScript, awaited."""
        done = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, expression, seconds=30):
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.value(f"!!({expression})"):
            if time.monotonic() > end:
                raise TimeoutError(f"still false: {expression}; {self.problems}")
            time.sleep(0.05)

    def box(self, selector):
        """(left, top, width, height) of the first element, in pixels of the window."""
        return self.value(
            f"(() => {{const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            "return [b.x, b.y, b.width, b.height]})()"
        )

    def at(self, selector, across=0.5, down=0.5):
        """A place inside an element, in pixels of the window."""
        left, top, width, height = self.box(selector)
        return left + across * width, top + down * height

    def mouse(self, kind, x, y, **more):
        buttons = int(kind != "mouseReleased" and more.pop("held", True))
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, buttons=buttons, **more)

    def click(self, x, y):
        self.mouse("mouseMoved", x, y, held=False)
        self.mouse("mousePressed", x, y, button="left", clickCount=1)
        self.mouse("mouseReleased", x, y, button="left", clickCount=1)

    def drag(self, start, end, steps=8):
        """Press at `start`, move to `end`, let go."""
        self.mouse("mouseMoved", *start, held=False)
        self.mouse("mousePressed", *start, button="left", clickCount=1)
        for step in range(1, steps + 1):
            x, y = (a + (b - a) * step / steps for a, b in zip(start, end, strict=True))
            self.mouse("mouseMoved", x, y, button="left")
        self.mouse("mouseReleased", *end, button="left", clickCount=1)

    def wheel(self, x, y, delta):
        self.mouse("mouseWheel", x, y, held=False, deltaX=0, deltaY=delta)

    def screenshot(self, path):
        """The window as a PNG file."""
        Path(path).write_bytes(b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
