"""Headless Chromium by its DevTools protocol over a pipe: no driver and no network are needed.

Chromium reads commands from file descriptor 3 and writes answers to 4, JSON that ends with a zero byte (--remote-debugging-pipe).
"""
import base64
import json
import os
import select
import shutil
import subprocess
import time

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)


class Browser:
    """One page. `folder`: for the profile and for what the page saves. Use it in `with`."""

    def __init__(self, folder, width=1280, height=900, dark=False):
        self.folder, self.next, self.buffer, self.errors, self.asked = folder, 0, b"", [], []
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()
        # 3 and 4 may be taken here, so the shell moves the ends of the pipes to these numbers.
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run", "--disable-extensions",
                   "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}"]
        self.process = subprocess.Popen(["sh", "-c", f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}' if max(to_browser, from_browser) < 10 else
                                         f'exec 3<"/dev/fd/{to_browser}" 4>"/dev/fd/{from_browser}"; exec "$0" "$@"', CHROMIUM, *options],
                                        pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.session = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.send(f"{domain}.enable")
        self.saved = folder / "saved"
        self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.saved), eventsEnabled=False)
        self.look(width, height, dark)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.session = None
            self.send("Browser.close", seconds=10)
            self.process.wait(10)
        except (OSError, TimeoutError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.write_end)
        os.close(self.read_end)

    def look(self, width, height, dark=False):
        """The size of the window and the scheme of colours that the system asks for."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def send(self, method, seconds=120, **parameters):
        self.next += 1
        message = {"id": self.next, "method": method, "params": parameters} | ({"sessionId": self.session} if self.session else {})
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + seconds
        while True:
            answer = self.receive(end)
            if answer.get("id") == self.next:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def receive(self, end):
        while b"\0" not in self.buffer:
            if not select.select([self.read_end], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            data = os.read(self.read_end, 1 << 20)
            if not data:
                raise OSError("Chromium has ended")
            self.buffer += data
        text, _, self.buffer = self.buffer.partition(b"\0")
        answer = json.loads(text)
        if answer.get("method") == "Runtime.exceptionThrown":
            self.errors.append(answer["params"]["exceptionDetails"].get("exception", {}).get("description", str(answer)))
        if answer.get("method") == "Network.requestWillBeSent":
            self.asked.append(answer["params"]["request"]["url"])
        return answer

    def run(self, script):
        """The value of an expression of JavaScript; waits for promises."""
        result = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, script, seconds=60):
        """Waits until an expression is true; returns its value."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"never true: {script}; errors: {self.errors}"
            time.sleep(0.02)
        return value

    def open(self, page, ready="document.readyState === 'complete'", query=""):
        self.load(ready, "Page.navigate", url=page.as_uri() + query)

    def reload(self, ready):
        self.load(ready, "Page.reload")

    def load(self, ready, method, **parameters):
        """Waits until the new page is ready: the page before, which is marked, may answer until the new one is there."""
        self.run("window.left = true")
        self.send(method, **parameters)
        self.wait(f"!window.left && ({ready})")

    def move(self, x, y):
        for step in (8, 0):
            self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x - step, y=y)

    def click(self, x, y):
        self.move(x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def click_on(self, selector):
        """Clicks into the middle of an element, as a mouse does, once the element does not move any more."""
        x, y = self.run(f"""(async () => {{
          let before = "", now = [];
          for (let i = 0; i < 200; i++) {{
            const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{block: "center", behavior: "instant"}});
            await new Promise(next => setTimeout(next, 20));
            const r = e.getBoundingClientRect();
            now = [r.left + r.width / 2, r.top + r.height / 2];
            if (String(now) === before && e.contains(document.elementFromPoint(...now))) break;
            before = String(now);
          }}
          return now; }})()""")
        self.click(x, y)

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def choose(self, selector, value):
        """Chooses an option of a list, or a place of a slider, as a reader does."""
        self.run(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.value = {json.dumps(str(value))}; "
                 "e.dispatchEvent(new Event('input', {bubbles: true})); e.dispatchEvent(new Event('change', {bubbles: true})); })()")

    def saved_file(self, ending, seconds=30):
        """The one file with this ending that the page has saved."""
        end = time.monotonic() + seconds
        while not (found := [p for p in self.saved.glob(f"*{ending}") if p.stat().st_size]):
            assert time.monotonic() < end, f"the page saved no *{ending}"
            time.sleep(0.05)
        return found[0]

    def picture(self, path, whole=False):
        options = {"captureBeyondViewport": True, "clip": {**dict(zip(("width", "height"), self.run(
            "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"))), "x": 0, "y": 0, "scale": 1}} if whole else {}
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png", **options)["data"]))
        return path
