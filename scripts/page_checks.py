"""Checks of the page of `facefold serve` in each of its states, at two widths, light and dark: nothing wider than the window or
cut off, text with contrast, no violation that axe-core finds.

`browser_test.py` runs them; `Browser` and `Served` are those of that script.
"""

import base64
import re

from report_checks import LEAST_CONTRAST, TEXT_CONTRAST, WIDER, violations

SIZES = [(1280, 900), (390, 844)]
SCHEMES = ("light", "dark")

# Gives the page a picture that a canvas draws: of `count` faces side by side, or none.
DRAW = """
const [sources, name, done] = arguments;
Promise.all(sources.map(async (source) => {
    const image = new Image();
    image.src = `data:image/jpeg;base64,${source}`;
    await image.decode();
    return image;
})).then((images) => {
    const canvas = document.createElement('canvas');
    canvas.height = 400;
    canvas.width = Math.max(400, 400 * images.length);
    const brush = canvas.getContext('2d');
    brush.fillStyle = '#8a97a3';
    brush.fillRect(0, 0, canvas.width, canvas.height);
    images.forEach((image, at) => brush.drawImage(image, 400 * at, 0, 400, 400));
    canvas.toBlob((blob) => done(tellAll([new File([blob], name, { type: 'image/png' })])), 'image/png');
});
"""

# Changes what the server replies to a picture: the untrained network looks for no face, so that it finds one in every picture.
REPLY = """
const [status, change] = [arguments[0], new Function('reply', arguments[1])];
const real = window.fetch;
window.fetch = async (path, options) => {
    const reply = await real(path, options);
    if (!path.startsWith('v1/predict') || path.includes('aligned=true')) return reply;
    return new Response(JSON.stringify(change(await reply.json())), { status: status ?? reply.status });
};
"""

THREE_FACES = """
const [picture] = reply.pictures;
const [face] = picture.faces;
picture.faces = [0, 1, 2].map((at) => ({ ...face, index: at, box: [400 * at + 90, 80, 400 * at + 310, 340], score: 0.8 - 0.1 * at }));
picture.faces_found = 5;
return reply;
"""

NO_FACE = "return { type: 'about:blank', title: 'Unprocessable Entity', status: 422, code: 'no-face', detail: 'best score 0.12, expected at least 0.50' }"

UNFAMILIAR = """
for (const prediction of reply.pictures[0].faces.flatMap((face) => face.predictions)) {
    prediction.familiarity = { score: 0.001, distance: 1.7, unfamiliar: true };
    for (const at of prediction.thresholds) at.decision = 'undecided';
}
return reply;
"""


UNFOLD = "document.querySelectorAll('details').forEach((part) => { part.open = true; })"


class States:
    """Brings the page into each of its states."""

    def __init__(self, browser, served, address):
        self.browser, self.served, self.address = browser, served, address
        self.files = served.pictures

    def all(self):
        names = [name for name in vars(States) if name.startswith("state_")]
        return [(name.removeprefix("state_").replace("_", " "), getattr(self, name)) for name in names]

    def open(self, address=None):
        self.browser.look(1280, 900, "light")
        self.browser.open("about:blank")
        self.browser.open(address or self.address)
        self.browser.wait("the page", "return document.readyState === 'complete'")

    def give(self, name, faces, status=None, change="return reply"):
        """Gives the page a picture of so many drawn faces."""
        self.browser.wait("the models", "return !document.getElementById('worth').hidden")
        self.browser.run(REPLY, status, change)
        sources = [base64.b64encode(picture.read_bytes()).decode() for picture in self.files[:faces]]
        self.browser.ask("POST", "/execute/async", {"script": DRAW, "args": [sources, name]})
        self.browser.wait("the end of the processing", "return document.getElementById('status').textContent.match(/^(Done|No prediction)/) !== null")

    def state_start(self):
        self.open()
        self.browser.wait("the models", "return !document.getElementById('worth').hidden")

    def state_token(self):
        self.open(self.served.with_token)
        self.browser.wait("the form for a token", "return !document.getElementById('token-form').hidden")

    def state_camera(self):
        self.open()
        self.browser.click("#camera")
        self.browser.wait("the camera", "return document.getElementById('video').videoWidth > 0 && !document.getElementById('viewfinder').hidden")

    def state_several_faces(self):
        self.open()
        self.give("three people at a table.png", 3, change=THREE_FACES)
        assert self.browser.run("return document.querySelectorAll('.face').length") == 3

    def state_maps(self):
        self.open()
        self.give("explained.png", 1)
        self.browser.click(".prediction .explain")
        self.browser.wait("maps", "return document.querySelectorAll('.maps img').length > 1 && [...document.querySelectorAll('.maps img')].every((map) => map.naturalWidth > 0)")

    def state_no_face(self):
        self.open()
        self.give("wall.png", 0, 422, NO_FACE)

    def state_unreadable_file(self):
        self.open()
        self.browser.run("tellAll([new File(['this is no picture'], 'notes-of-the-last-meeting-with-a-name-that-does-not-end-soon.jpg', { type: 'image/jpeg' })])")
        self.browser.wait("a word on what is no picture", "return document.querySelector('.prediction [role=alert]') !== null")

    def state_age_and_decision(self):
        self.open(self.served.with_ages)
        self.give("how-old.png", 1)

    def state_unfamiliar_face(self):
        self.open(self.served.with_ages)
        self.give("how-old.png", 1, change=UNFAMILIAR)

    def state_two_bundles(self):
        self.state_token()
        self.browser.type("#token", self.served.token)
        self.browser.click("#token-form button")
        self.give("two-bundles.png", 1)
        self.browser.run(UNFOLD)

    def state_what_the_numbers_are_worth(self):
        self.state_start()
        self.browser.run(UNFOLD)

    def state_list_of_reports(self):
        self.open()
        self.browser.wait("reports", "return !document.getElementById('views').hidden")
        self.browser.click("#show-reports")
        self.browser.wait("the list", "return document.querySelectorAll('#list td button').length > 1")

    def state_an_opened_report(self):
        self.open(f"{self.address}/#{self.served.reports[0].parent.name}")
        self.browser.wait("a report", "return document.querySelectorAll('#report table').length > 0 && [...document.querySelectorAll('#report img')].length > 0")
        self.browser.run("document.querySelectorAll('#report img').forEach((image) => { image.loading = 'eager'; })")
        self.browser.wait("its plots", "return [...document.querySelectorAll('#report img')].every((image) => image.complete)")

    def compared(self, first, second, said):
        self.state_list_of_reports()
        self.browser.run("for (const tick of document.querySelectorAll('#list input')) if (arguments[0].includes(tick.value)) tick.click()", [first, second])
        self.browser.click("#compare")
        self.browser.wait("a comparison", "return document.querySelector('#report h2')?.textContent.includes(' and ') && document.getElementById('report').textContent.includes(arguments[0])", said)

    def state_comparison(self):
        self.compared("two-tasks", "one-head", "rows that both have")

    def state_comparison_without_test(self):
        self.compared("only-gender", "only-age-group", "Listed without a test")

    def state_list_of_routes(self):
        self.open(f"{self.address}/docs")


def card(browser):
    return browser.run("return document.querySelector('.prediction').innerText")


def check_interval(browser, states):
    """One interval around an age, the same everywhere, and what a decision means."""
    for state in (states.state_age_and_decision, states.state_two_bundles):
        state()
        label = browser.run("return document.querySelector('.face-label').textContent")
        browser.run(UNFOLD)
        found = re.findall(r"\d+ to \d+", card(browser))
        assert len(found) == 1, f"expected one age interval a person, found {found}"
        age = re.search(r"\d+ years", label).group()
        assert re.search(rf"^{age}, likely {found[0]}$", card(browser), re.MULTILINE), f"the box says {label!r}, the card {card(browser)!r}"
    rows = browser.run("return document.querySelectorAll('.face table tbody tr').length")
    assert rows == 2, f"expected what each of two bundles predicts, found {rows}"


def check_decision(browser, states):
    states.state_age_and_decision()
    words = re.sub(r"\n+", "\n", card(browser))
    assert re.search(r"18 or older: (yes|no|cannot say)\nLooks (clearly|too close)", words), f"no word on what the decision means: {words}"
    assert browser.run("return document.querySelectorAll('.ages .outside').length") > 0, "the chart does not mark the interval"


def check_unfamiliar(browser, states):
    states.state_unfamiliar_face()
    words = card(browser)
    assert "unlike those the model was trained on: the age and gender may be wrong" in words, words
    assert "18 or older: cannot say" in words and "Nothing is decided about a face unlike" in words, words
    assert "norm" not in words, f"a number that only developers know is in sight: {words}"


def check_advice(browser, states):
    """What helps where no face is found, among it the way for a crop that the face fills."""
    states.state_no_face()
    alert = browser.run("return document.querySelector('.prediction [role=alert]').textContent")
    assert alert == "No face was found in this picture.", alert
    for advice in ("Larger", "Upright", "lit", "edge to edge"):
        assert advice in card(browser), f"no advice about {advice!r}: {card(browser)}"
    assert "Done" not in browser.run("return document.getElementById('status').textContent")
    browser.click(".prediction .whole")
    browser.wait("the prediction of a whole picture", "return document.activeElement.classList.contains('face')")
    assert "the whole picture was taken as one aligned face" in card(browser), card(browser)
    browser.click(".prediction .explain")
    browser.wait("maps of a whole picture", "return document.querySelectorAll('.maps img').length > 1")


def check_unreadable(browser, states):
    states.state_unreadable_file()
    alert = browser.run("return document.querySelector('.prediction [role=alert]').textContent")
    assert alert.startswith("This file is no picture that can be read"), alert


def check_token(browser, states):
    states.state_token()
    browser.type("#token", "another")
    browser.click("#token-form button")
    browser.wait("a word on the wrong token", "return document.getElementById('token-form').innerText.includes('refused')")


def check_whole_pictures(browser, states):
    """A bundle that looks for no face says so."""
    states.state_start()
    words = browser.run("return document.getElementById('drop').innerText")
    assert "every picture is taken whole as one face" in words, words


def check_report_words(browser, states):
    """No markup in sight, an opened report in sight, and a comparison as numbers."""
    for state in (states.state_an_opened_report, states.state_comparison):
        state()
        text = browser.run("return document.getElementById('report').innerText")
        assert "`" not in text and "**" not in text, f"markup in sight: {text[:400]}"
        assert browser.run("return document.querySelectorAll('#report code').length") > 0, text[:400]
        browser.wait("the report in sight", "return document.getElementById('report').getBoundingClientRect().top < 500")
    header = browser.run("return [...document.querySelectorAll('#report th[scope=col]')].slice(0, 5).map((one) => one.textContent)")
    assert header == ["first less second", "difference, points", "95 % interval", "p (Holm)", "better"], header


def check_side_by_side(browser, states):
    """Reports whose heads have different metrics: every value stands under its own name."""
    states.state_list_of_reports()
    cells = browser.run("""
        const metric = (name, pooled) => ({ name, share: false, pooled, interval: null });
        const report = (name, metrics) => ({ name, tasks: [{ task: 'age', protocol: 'folds', heads: [{ name: 'mlp', metrics }] }] });
        const parts = sideBySide([report('a', [metric('MAE', 4), metric('RMSE', 6)]), report('b', [metric('RMSE', 7)])]);
        const table = parts.find((part) => part.tagName === 'TABLE') ?? parts.at(-1).querySelector('table');
        return [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent));""")
    assert cells == [["head", "MAE", "RMSE"], ["mlp (a, folds)", "4.00", "6.00"], ["mlp (b, folds)", "–", "7.00"]], cells


WORDS = [check_interval, check_decision, check_unfamiliar, check_advice, check_unreadable, check_token, check_whole_pictures, check_report_words, check_side_by_side]


def check_states(browser, served, address, axe, screenshots):
    """The least contrast and the number of violations, by state, width and scheme; and what is wrong."""
    states, lines, faults = States(browser, served, address), [], []
    for name, bring in states.all():
        bring()
        for width, height in SIZES:
            for scheme in SCHEMES:
                browser.look(width, height, scheme)
                browser.wait("the window's width", "return window.innerWidth === arguments[0]", width)
                where = f"{name}, {width} px, {scheme}"
                wide = browser.run(WIDER)
                if wide:
                    faults.append(f"{where}: {len(wide)} elements are wider than the window or cut off: {wide[:3]}")
                contrast, text = browser.run(TEXT_CONTRAST)
                if contrast < LEAST_CONTRAST:
                    faults.append(f"{where}: a contrast of {contrast:.2f}: {text!r}")
                found = violations(browser, axe) if axe else []
                faults += [f"{where}: axe: {one}" for one in found]
                lines.append((name, width, scheme, len(found) if axe else None, len(wide), contrast))
                if screenshots:
                    tall = browser.run("return document.documentElement.scrollHeight")
                    browser.look(width, max(height, min(tall, 4000)), scheme)
                    browser.screenshot(screenshots / f"{name.replace(' ', '-')}-{width}-{scheme}.png")
    return lines, faults


def table(lines):
    """The measured as a table: a line a state, violations at each width and scheme."""
    columns = [(width, scheme) for width, _ in SIZES for scheme in SCHEMES]
    rows = [["state", *(f"{width} {scheme}" for width, scheme in columns), "least contrast"]]
    for name in dict.fromkeys(line[0] for line in lines):
        own = {line[1:3]: line for line in lines if line[0] == name}
        cells = ["-" if own[column][3] is None else str(own[column][3]) for column in columns]
        rows.append([name, *cells, f"{min(line[5] for line in own.values()):.2f}"])
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
