#!/usr/bin/env python3
"""Drives Chromium through the page of `facefold serve` (pictures in, boxes, labels and bars out) and through reports.

Needs Debian's `chromium` and `chromium-driver` (or a chromedriver that fits the browser), and nothing
else but Python's standard library. It draws its own faces, trains a bundle on them with the untrained
network, serves it on a free port of this machine, and ends all that it began.

    scripts/browser_test.py target/debug/facefold
    scripts/browser_test.py target/debug/facefold --screenshots shots --results results/* --axe node_modules/axe-core/axe.min.js
    scripts/browser_test.py target/debug/facefold --break 'picture.append(box)=void box'

The page is checked in each of its states at two widths, light and dark: nothing wider than the window, text with contrast. So is a
report of two tasks on the drawn faces, folded and open, and in print; with --results also that of each of these directories. axe-core (an npm package)
looks for barriers in all of them where --axe gives its file.

With --break, once or more, the same checks then run on the page with its script changed on its way to the browser, and must fail.
"""

import argparse
import base64
import http.client
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from page_checks import WORDS, States, check_states, table
from report_checks import check_report

# The key under which WebDriver names elements (https://www.w3.org/TR/webdriver2/#elements).
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
# Their code points as WebDriver's keys (https://www.w3.org/TR/webdriver2/#keyboard-actions).
TAB, ENTER = "\ue004", "\ue007"
# Seconds to wait for what a page should show, and for what a broken page may not.
TIMEOUT, BROKEN_TIMEOUT = 30.0, 4.0


class Browser:
    """A headless Chromium, through chromedriver's HTTP interface."""

    def __init__(self, chromium, driver, directory):
        self.log = open(directory / "chromedriver.log", "wb")
        self.driver = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.base = None
        for line in self.driver.stdout:
            if "successfully on port " in line:
                self.base = f"http://127.0.0.1:{line.rsplit('on port ', 1)[1].strip().rstrip('.')}"
                break
        assert self.base, "chromedriver did not start"
        threading.Thread(target=self.driver.stdout.read, daemon=True).start()
        arguments = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en",
            "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", f"--user-data-dir={directory / 'profile'}",
        ]
        options = {"binary": chromium, "args": arguments}
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self.timeout = TIMEOUT
        self.session = ""
        self.session = "/session/" + self.begin(capabilities)

    def begin(self, capabilities):
        """A session; on a busy machine Chromium sometimes ends while it starts."""
        for attempt in range(5):
            try:
                return self.ask("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]
            except AssertionError:
                if attempt == 4:
                    raise
                time.sleep(2)

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + self.session + path, data, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def open(self, address):
        self.ask("POST", "/url", {"url": address})

    def run(self, script, *arguments):
        """The value of a script's return."""
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, selector):
        return self.ask("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.ask("POST", f"/element/{self.find(selector)}/click", {})

    def type(self, selector, text):
        self.ask("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def key(self, key):
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def wait(self, what, script, *arguments):
        """Waits until a script's return is true."""
        end = time.monotonic() + self.timeout
        while time.monotonic() < end:
            value = self.run(script, *arguments)
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"waited {self.timeout:.0f} s in vain for {what}")

    def developer(self, command, **parameters):
        self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def look(self, width, height, scheme):
        """A window of this size, light or dark."""
        mobile = width < 600
        self.developer("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.developer("Emulation.setTouchEmulationEnabled", enabled=mobile)
        self.developer("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.ask("GET", "/screenshot")))

    def complaints(self):
        """Errors on the browser's console."""
        return [entry["message"] for entry in self.ask("POST", "/se/log", {"type": "browser"}) if entry["level"] == "SEVERE"]

    def close(self):
        try:
            self.ask("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(timeout=30)
            self.log.close()


class Served:
    """`facefold serve` on free ports, with bundles trained on drawn faces, and reports on them."""

    token = "a-token-for-this-test"

    def __init__(self, facefold, directory, results):
        self.facefold, self.directory, self.processes = facefold, directory, []
        drawn, store, self.bundle = directory / "drawn", directory / "store", directory / "faces.facefold"
        self.run("data", "generate", drawn, "--subjects", 12, "--pictures", 60, "--seed", 3)
        self.run("extract", "adience", drawn, "--store", store, "--model", "untrained")
        shown = directory / "results"
        two_tasks = ("cv", "--store", store, "--task", "gender,age-group")
        self.run(*two_tasks, "--head", "linear,knn", "--out", shown / "two-tasks")
        self.run(*two_tasks, "--head", "svm-linear", "--out", shown / "one-head")
        for task in ("gender", "age-group"):
            self.run("cv", "--store", store, "--task", task, "--head", "knn", "--out", shown / f"only-{task}")
        self.run("train", "--store", store, "--task", "gender,age-group", "--head", "linear", "--out", self.bundle)
        self.reports = [shown / "two-tasks" / "report.html"]
        for result in results:
            assert result.exists(), f"--results: {result} is not there"
            if (result / "report.json").is_file() and "matrix" not in result.name:
                shutil.copytree(result, shown / result.name)
                self.run("report", "render", result, "--out", directory / "rendered" / result.name)
                self.reports.append(directory / "rendered" / result.name / "report.html")
        self.pictures = sorted(drawn.rglob("*.jpg"))[:3]
        self.address = self.serve("--bundle", self.bundle, "--results", shown)

    def run(self, *arguments):
        subprocess.run([self.facefold, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def serve(self, *arguments, token=None):
        """The address of a server; it asks for the token where there is one."""
        command = [self.facefold, "serve", *map(str, arguments), "--listen", "127.0.0.1:0", "--offline"]
        environment = {name: value for name, value in os.environ.items() if name != "FACEFOLD_TOKEN"}
        environment |= {"FACEFOLD_TOKEN": token} if token else {}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
        self.processes.append(process)
        line = process.stdout.readline()
        assert "http://" in line, f"expected an address, found {line!r}"
        return "http://" + line.split("http://", 1)[1].strip()

    def serve_ages(self):
        """A server of a bundle for ages that decides at 18, and one of two bundles that asks for a token."""
        drawn, store, ages = self.directory / "people", self.directory / "people-store", self.directory / "ages.facefold"
        self.run("data", "generate", drawn, "--subjects", 30, "--pictures", 160, "--seed", 5)
        self.run("extract", "adience", drawn, "--store", store, "--model", "untrained")
        self.run("train", "--store", store, "--task", "gender,age", "--head", "mlp", "--set", "mlp.min_steps=100", "--threshold", 18, "--max-false-adult", "10%", "--out", ages)
        self.with_ages = self.serve("--bundle", ages)
        self.with_token = self.serve("--bundle", ages, "--bundle", self.bundle, token=self.token)

    def close(self):
        for process in self.processes:
            process.terminate()
        codes = [process.wait(timeout=60) for process in self.processes]
        assert not any(codes), f"facefold serve did not end well: {codes}"


def meddler(address, change):
    """A proxy that replaces one text by another in the page's script."""
    old, new = change.split("=", 1)
    host, port = address.removeprefix("http://").split(":")

    class Handler(http.server.BaseHTTPRequestHandler):
        def forward(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            upstream = http.client.HTTPConnection(host, int(port))
            # With the browser's `Host`: the server refuses forms whose `Origin` is another.
            upstream.request(self.command, self.path, body, dict(self.headers.items()))
            reply = upstream.getresponse()
            content = reply.read()
            if self.path == "/page.js":
                assert old.encode() in content, f"the script has no {old!r}"
                content = content.replace(old.encode(), new.encode())
            self.send_response(reply.status)
            for name, value in reply.getheaders():
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = forward

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


DROP = """
const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
const transfer = new DataTransfer();
transfer.items.add(new File([bytes], arguments[1], { type: "image/jpeg" }));
const drop = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
document.getElementById("drop").dispatchEvent(drop);
"""

BOX = """
const box = document.querySelector("#predictions .prediction .face-box");
if (!box) return null;
const [inner, outer] = [box.getBoundingClientRect(), box.parentElement.getBoundingClientRect()];
const label = box.querySelector(".face-label").getBoundingClientRect();
return { width: inner.width, height: inner.height, text: box.textContent,
         inside: inner.left >= outer.left - 2 && inner.right <= outer.right + 2 && label.width > 0 };
"""


def check_page(browser, address, pictures):
    browser.look(1280, 900, "light")
    browser.open(address)
    browser.wait("what the numbers are worth", "return !document.getElementById('worth').hidden")
    worth = browser.run("return document.getElementById('worth').innerText")
    assert "Right for" in worth and "recall" in worth, worth
    assert "random weights" in worth, "the terms are missing"

    browser.run(DROP, base64.b64encode(pictures[0].read_bytes()).decode(), "dropped.jpg")
    box = browser.wait("a box over the dropped picture", BOX)
    assert box["width"] > 40 and box["height"] > 40 and box["inside"], f"the box is misplaced: {box}"
    assert "male" in box["text"], f"the label says {box['text']!r}"
    heading = browser.run("return document.querySelector('.prediction h2').textContent")
    assert heading == "dropped.jpg", heading
    shares = browser.run("return [...document.querySelectorAll('.prediction .fill')].map((bar) => parseFloat(bar.style.width))")
    assert len(shares) == 2 + 8, f"expected bars for 2 genders and 8 age groups, found {len(shares)}"
    assert abs(sum(shares) - 200) < 1, f"the bars do not add up: {shares}"
    drawn = browser.run("const [bar] = document.querySelectorAll('.prediction .fill'); return [bar.getBoundingClientRect().width, bar.parentElement.getBoundingClientRect().width]")
    assert abs(100 * drawn[0] / drawn[1] - shares[0]) < 1, "a bar is not as long as it says"


def check_ways_in(browser, pictures, directory):
    """The file chooser, a picture that is none, and the camera."""
    browser.type("#files", "\n".join(map(str, pictures[1:3])))
    browser.wait("two chosen pictures", "return document.querySelectorAll('.prediction .face-box').length === 3")
    noise = directory / "noise.jpg"
    noise.write_bytes(b"this is no picture")
    browser.type("#files", str(noise))
    alert = browser.wait("a word on what is no picture", "return document.querySelector('.prediction [role=alert]')?.textContent")
    assert "no picture" in alert, alert
    assert "not-a-picture" in browser.run("return document.querySelector('.prediction').textContent")
    browser.run("document.querySelector('.prediction:has([role=alert])').remove()")
    browser.click("#camera")
    browser.wait("the camera", "return document.getElementById('video').videoWidth > 0 && !document.getElementById('viewfinder').hidden")
    browser.click("#shoot")
    browser.wait("a prediction for the camera's picture", "return document.querySelectorAll('.prediction .face-box').length === 4")
    browser.click("#stop")
    browser.wait("the camera's end", "return document.getElementById('viewfinder').hidden")
    browser.run("document.querySelector('.prediction').remove()")


def check_maps(browser):
    """Occlusion maps on demand, reached and asked for by keyboard."""
    name = browser.run("const button = document.querySelector('.prediction .explain'); button.focus(); return button.getAttribute('aria-label')")
    assert name == "Explain these predictions (face 1)", name
    browser.key(ENTER)
    maps = browser.wait("a map of each prediction", """
        const maps = [...document.querySelector('.prediction .maps').querySelectorAll('figure')];
        return maps.length && maps.every((map) => map.querySelector('img').naturalWidth > 0)
            && maps.map((map) => [map.innerText, map.querySelector('img').alt]);""")
    assert len(maps) == 2, f"expected maps for gender and age group, found {maps}"
    for (words, alt), task in zip(maps, ("gender", "age-group")):
        assert words.startswith(task) and "spoke for it" in words and "spoke against it" in words, words
        assert "Orange" in alt, alt
    coloured = browser.run("""
        const image = document.querySelector('.prediction .maps img');
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const brush = canvas.getContext('2d');
        brush.drawImage(image, 0, 0);
        const pixels = brush.getImageData(0, 0, canvas.width, canvas.height).data;
        let count = 0;
        for (let at = 0; at < pixels.length; at += 4) count += Math.abs(pixels[at] - pixels[at + 2]) > 40;
        return count;""")
    assert coloured > 500, f"the map has colour on {coloured} pixels only"


def check_neighbours(browser):
    """Labels of faces that stand side by side do not hide each other."""
    hidden = browser.run("""
        const picture = document.createElement('div');
        picture.className = 'picture';
        picture.style.cssText = 'width: 400px; height: 200px';
        for (let at = 0; at < 4; at += 1) {
            const label = make('span', { className: 'face-label' }, `${at + 1} \u00b7 female, 3${at} years`);
            const box = make('button', { className: 'face-box' }, label);
            Object.assign(box.style, { left: `${2 + 25 * at}%`, top: '40%', width: '20%', height: '40%' });
            picture.append(box);
        }
        document.getElementById('predictions').append(picture);
        spreadLabels(picture);
        const areas = [...picture.querySelectorAll('.face-label')].map((label) => label.getBoundingClientRect());
        const words = [...picture.querySelectorAll('.face-label')].map((label) => label.textContent);
        picture.remove();
        const pairs = areas.flatMap((one, at) => areas.slice(0, at).filter((two) =>
            one.left < two.right && one.right > two.left && one.top < two.bottom && one.bottom > two.top));
        return [pairs.length, words];""")
    assert hidden[0] == 0, f"labels of neighbours overlap: {hidden}"
    assert sum("years" in words for words in hidden[1]) >= 3, hidden


def check_keyboard(browser):
    """Everything can be reached with Tab, and a box leads to its predictions."""
    # From the top of the page on.
    browser.run("const top = document.querySelector('h1'); top.tabIndex = -1; top.focus()")
    seen = []
    for _ in range(12):
        browser.key(TAB)
        seen.append(browser.run("const at = document.activeElement; return at.id || at.className"))
        if seen[-1].startswith("face-box"):
            break
    assert "files" in seen and "camera" in seen, f"Tab does not reach the buttons: {seen}"
    assert seen[-1].startswith("face-box"), f"Tab does not reach a box: {seen}"
    browser.key(ENTER)
    browser.wait("the face's predictions in focus", "return document.activeElement.classList.contains('face')")


def check_use(browser, address, pictures, directory):
    """What a visitor does, one thing after another."""
    check_page(browser, address, pictures)
    check_ways_in(browser, pictures, directory)
    check_keyboard(browser)
    check_maps(browser)
    check_neighbours(browser)


def check_broken(browser, served, change, directory):
    """A page whose script is changed must not pass."""
    browser.timeout = BROKEN_TIMEOUT
    try:
        check_use(browser, meddler(served.address, change), served.pictures, directory)
    except AssertionError as complaint:
        print(f"noticed {change!r}: {complaint}")
    else:
        raise AssertionError(f"a page with {change!r} passes")
    finally:
        browser.timeout = TIMEOUT


def check_looks(browser, screenshots):
    """Nothing is cut off or runs over, at two widths, light and dark."""
    for name, width, height in [("wide", 1280, 900), ("phone", 390, 844)]:
        for scheme in ("light", "dark"):
            browser.look(width, height, scheme)
            browser.run("window.scrollTo(0, 0)")
            over = browser.run("return document.documentElement.scrollWidth - window.innerWidth")
            assert over <= 0, f"{name}: the page is {over} pixels too wide"
            ground = browser.run("return getComputedStyle(document.body).backgroundColor")
            bright = sum(int(part) for part in ground.removeprefix("rgb(").rstrip(")").split(",")) > 382
            assert bright == (scheme == "light"), f"{scheme}: the ground is {ground}"
            if screenshots:
                browser.screenshot(screenshots / f"{name}-{scheme}.png")
                browser.run("document.querySelector('.prediction').scrollIntoView()")
                browser.screenshot(screenshots / f"{name}-{scheme}-prediction.png")
                browser.run("document.querySelector('.maps').scrollIntoView()")
                browser.screenshot(screenshots / f"{name}-{scheme}-maps.png")
                browser.run("document.getElementById('worth').scrollIntoView()")
                browser.screenshot(screenshots / f"{name}-{scheme}-worth.png")
    check_reports(browser, screenshots)


def check_reports(browser, screenshots):
    browser.look(1280, 900, "light")
    browser.run("window.scrollTo(0, 0)")
    browser.click("#show-reports")
    names = browser.wait("the list of reports", "return [...document.querySelectorAll('#list td button')].map((button) => button.textContent)")
    browser.click("#list td button")
    browser.wait("a report with its tables and plots", "return document.querySelectorAll('#report table').length > 0 && document.querySelectorAll('#report img').length > 0")
    heading = browser.run("return document.querySelector('#report h2').textContent")
    assert heading == names[0], heading
    if screenshots:
        browser.screenshot(screenshots / "report.png")
    address, whole = browser.run("return [location.href, document.querySelector('#report a').href]")
    assert address.endswith(f"#{names[0]}"), f"a report without an address: {address}"
    browser.open(whole)
    browser.wait("the whole report", "return document.querySelectorAll('table').length > 1 && document.querySelectorAll('svg').length > 1")
    browser.open(address)
    browser.wait("the report that the address names", "return document.querySelector('#report h2')?.textContent === arguments[0]", names[0])
    if len(names) > 1:
        browser.run("document.querySelectorAll('#list input').forEach((tick, at) => { if (at < 2) tick.click(); })")
        browser.click("#compare")
        browser.wait("two reports side by side", "return document.querySelector('#report h2')?.textContent.includes(' and ')")
        # Two reports need not have the same metrics.
        wrong = browser.run("return [...document.querySelectorAll('#report tr')].filter((row) => row.cells.length !== row.closest('table').rows[0].cells.length).length")
        assert wrong == 0, f"{wrong} rows with other cells than their table's head"
        browser.look(390, 844, "dark")
        over = browser.run("return document.documentElement.scrollWidth - window.innerWidth")
        assert over <= 0, f"reports: the page is {over} pixels too wide on a phone"
        if screenshots:
            browser.screenshot(screenshots / "compare-phone.png")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("facefold", help="the program")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("chromium-browser"))
    parser.add_argument("--driver", default=shutil.which("chromedriver"))
    parser.add_argument("--screenshots", type=pathlib.Path, help="directory for screenshots")
    parser.add_argument("--results", type=pathlib.Path, nargs="+", default=[], metavar="RESULT", help="further reports to show and check")
    parser.add_argument("--axe", type=pathlib.Path, help="axe-core's axe.min.js, to look for barriers")
    parser.add_argument("--break", dest="changes", metavar="OLD=NEW", action="append", default=[], help="change the script, which must make the checks fail")
    arguments = parser.parse_args()
    if not arguments.chromium or not arguments.driver:
        sys.exit("no chromium or no chromedriver: apt-get install chromium chromium-driver")
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    facefold = str(pathlib.Path(arguments.facefold).resolve())
    with tempfile.TemporaryDirectory(prefix="facefold-browser-") as temporary:
        directory = pathlib.Path(temporary)
        served = Served(facefold, directory, arguments.results)
        try:
            browser = Browser(arguments.chromium, arguments.driver, directory)
            try:
                served.serve_ages()
                check_use(browser, served.address, served.pictures, directory)
                check_looks(browser, arguments.screenshots)
                # The response to what is no picture is 415, which the console reports as an error.
                complaints = [text for text in browser.complaints() if "415" not in text and "/v1/compare" not in text]
                assert not complaints, complaints
                axe = arguments.axe.read_text() if arguments.axe else None
                for check in WORDS:
                    check(browser, States(browser, served, served.address))
                lines, faults = check_states(browser, served, served.address, axe, arguments.screenshots)
                print(table(lines))
                assert not faults, "\n".join([f"{len(faults)} faults of the page:", *faults])
                for report in served.reports:
                    print(check_report(browser, report, axe, arguments.screenshots))
                for change in arguments.changes:
                    check_broken(browser, served, change, directory)
            finally:
                browser.close()
        finally:
            served.close()
    if not arguments.axe:
        print("skipped: barriers, as --axe does not say where axe-core is")
    print("the page works: dropped, chosen and taken pictures get predictions; keyboard, two widths, light and dark")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(f"browser test failed: {error}")
