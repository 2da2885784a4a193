"""Checks of a `report.html` in a browser: nothing cut off, digits with contrast, links to headings, height, pages, axe.

`browser_test.py` runs them; `Browser` is the one of that script.
"""

import base64
import re

# What a report of two tasks may need: pixels at a width of 1280 with its parts folded, and pages in print.
MOST_PIXELS, MOST_PAGES = 6000, 12
# WCAG 2.2, 1.4.3.
LEAST_CONTRAST = 4.5
# The height of digits in a plot, in pixels, also on a phone; a long title may have smaller letters.
LEAST_DIGITS = 8

# axe takes a minute for a long report with its parts open.
OPENED_FOR_AXE = [(1280, "light"), (390, "dark")]

FOLD = "document.querySelectorAll('details').forEach((part) => { part.open = arguments[0]; })"

OVERFLOWING = """
const seen = (selector) => [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility());
const found = seen('.scroll, pre, details, figure').filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.innerText.slice(0, 60));
const cut = seen('svg text').filter((text) => {
    const [inner, outer] = [text.getBoundingClientRect(), text.ownerSVGElement.getBoundingClientRect()];
    return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
}).map((text) => text.textContent);
const over = document.documentElement.scrollWidth - window.innerWidth;
return [...found, ...cut, ...(over > 0 ? [`the page, by ${over} pixels`] : [])];
"""

# What is wider than the window, or cut off by an element that hides what runs over it.
WIDER = """
const unseen = [...document.body.querySelectorAll('*')].filter((one) => getComputedStyle(one).clipPath === 'inset(50%)');
const seen = [...document.body.querySelectorAll('*')].filter((one) => one.checkVisibility() && !unseen.some((hidden) => hidden.contains(one)));
const name = (one) => `${one.tagName.toLowerCase()}${one.id ? '#' + one.id : ''}.${one.className} "${one.textContent.trim().slice(0, 40)}"`;
const wide = seen.filter((one) => {
    const area = one.getBoundingClientRect();
    return area.width > 0 && (area.right > window.innerWidth + 1 || area.left < -1);
});
const cut = seen.filter((one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== 'visible' && one.clientWidth > 0);
const over = document.documentElement.scrollWidth - window.innerWidth;
return [...wide, ...cut].map(name).concat(over > 0 ? [`the page, by ${over} pixels`] : []);
"""

# The least contrast of a visible text on the opaque ground under it, and that text. Disabled buttons are exempt (WCAG 2.2, 1.4.3).
TEXT_CONTRAST = """
const parts = (colour) => colour.match(/[0-9.]+/g).map(Number);
const light = (rgb) => rgb.slice(0, 3).map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + [0.2126, 0.7152, 0.0722][at] * part, 0);
const ancestors = (one) => { const all = []; for (; one; one = one.parentElement) all.push(one); return all; };
let least = [21, ''];
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !one.checkVisibility() || one.closest('.unseen, :disabled, script, noscript, rect, title') || one.closest('svg') && !one.closest('text')) continue;
    const above = ancestors(one);
    const grounds = above.map((each) => parts(getComputedStyle(each).backgroundColor)).filter((each) => (each[3] ?? 1) > 0);
    const sheet = one.closest('svg')?.querySelector('.sheet');
    // Digits on cells have a check of their own.
    if (sheet && /^[0-9,. %]+$/.test(texts.currentNode.data) && one.closest('svg').querySelector('.cell')) continue;
    const ground = sheet ? parts(getComputedStyle(sheet).fill) : grounds.find((each) => (each[3] ?? 1) === 1) ?? [255, 255, 255];
    const opacity = above.reduce((product, each) => product * Number(getComputedStyle(each).opacity), 1);
    if (opacity === 0) continue;
    const style = getComputedStyle(one);
    const ink = parts(one.closest('svg') ? style.fill : style.color).slice(0, 3).map((part, at) => opacity * part + (1 - opacity) * ground[at]);
    const [a, b] = [light(ink), light(ground)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < least[0]) least = [contrast, texts.currentNode.data.trim().slice(0, 60)];
}
return least;
"""

# The least contrast of a digit on the cell under it, of all confusion matrices.
CONTRAST = """
const parts = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map(Number);
const light = (rgb) => rgb.map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + [0.2126, 0.7152, 0.0722][at] * part, 0);
let [least, cells] = [21, 0];
for (const cell of document.querySelectorAll('rect.cell')) {
    const style = getComputedStyle(cell);
    const sheet = parts(getComputedStyle(cell.ownerSVGElement.querySelector('.sheet')).fill);
    const opacity = Number(style.fillOpacity);
    const ground = light(parts(style.fill).map((part, at) => opacity * part + (1 - opacity) * sheet[at]));
    for (let text = cell.nextElementSibling; text && text.tagName === 'text' && cells < 1e6; text = text.nextElementSibling) {
        if (!/^[0-9]/.test(text.textContent) || text.getAttribute('text-anchor') !== 'middle') break;
        const ink = light(parts(getComputedStyle(text).fill));
        least = Math.min(least, (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05));
        cells += 1;
    }
}
return [least, cells];
"""

# The smallest digits in plots, in pixels of the screen.
SMALLEST = """
const texts = [...document.querySelectorAll('svg text')].filter((one) => one.checkVisibility() && /^[0-9]/.test(one.textContent));
const size = (one) => { const matrix = one.getScreenCTM(); return parseFloat(getComputedStyle(one).fontSize) * Math.hypot(matrix.a, matrix.b); };
return Math.min(99, ...texts.map(size));
"""

# Whether what is reached by hovering can be seen where there is none.
ANCHORS = """
const anchors = [...document.querySelectorAll('h2 > .anchor, h3 > .anchor, .fold > .anchor')].filter((one) => one.checkVisibility());
return anchors.filter((one) => getComputedStyle(one).opacity === '0').map((one) => one.getAttribute('href'));
"""

LINKS = """
const headings = [...document.querySelectorAll('h2, h3')];
const dead = [...document.querySelectorAll('a[href^="#"]')].filter((link) => !document.getElementById(link.getAttribute('href').slice(1)));
const without = headings.filter((heading) => !heading.id || !(heading.closest('.fold') ?? heading).querySelector('a.anchor'));
return [headings.length, [...dead, ...without].map((one) => one.textContent)];
"""


def violations(browser, axe):
    """What axe-core finds wrong with the page."""
    browser.ask("POST", "/timeouts", {"script": 100_000})
    browser.run(axe)
    found = browser.ask("POST", "/execute/async", {
        "script": "axe.run(document).then(({violations}) => arguments[0](violations.map((one) => "
                  "`${one.id}: ${one.nodes.length} × ${one.help}: ${one.nodes[0].html.slice(0, 160)}`)))", "args": []})
    return found


def check_report(browser, path, axe, screenshots):
    """Checks a report, and gives what was measured."""
    measured = {}
    contrasts = []
    for width in (1280, 390):
        for scheme in ("light", "dark"):
            browser.look(width, 900, scheme)
            browser.open(path.as_uri())
            browser.wait("the whole report", "return document.readyState === 'complete' && document.getElementById('licence-and-limitations')")
            pixels = browser.run("return document.documentElement.scrollHeight")
            measured[width] = max(pixels, measured.get(width, 0))
            for is_open in (False, True):
                browser.run(FOLD, is_open)
                over = browser.run(OVERFLOWING)
                assert not over, f"{path}: {width} pixels wide: {len(over)} parts run over or are cut off: {over[:5]}"
                wide = browser.run(WIDER)
                assert not wide, f"{path}: {width} pixels wide: {len(wide)} elements are wider than the window or cut off: {wide[:5]}"
                smallest = browser.run(SMALLEST)
                assert smallest >= LEAST_DIGITS, f"{path}: {width} pixels wide: digits of {smallest:.1f} pixels in a plot"
                if width < 600:
                    hidden = browser.run(ANCHORS)
                    assert not hidden, f"{path}: links that a finger cannot find: {hidden[:5]}"
                contrast, text = browser.run(TEXT_CONTRAST)
                assert contrast >= LEAST_CONTRAST, f"{path}: {scheme}: a contrast of {contrast:.2f}: {text!r}"
                if axe and (not is_open or (width, scheme) in OPENED_FOR_AXE):
                    found = violations(browser, axe)
                    assert not found, f"{path}: {width} pixels wide, {scheme}: axe: {found}"
            browser.run(FOLD, False)
            least, digits = browser.run(CONTRAST)
            assert least >= LEAST_CONTRAST, f"{path}: {scheme}: digits with a contrast of {least:.2f}"
            contrasts += [least] if digits else []
            if screenshots:
                browser.look(width, min(pixels, 6000), scheme)
                browser.screenshot(screenshots / f"{path.parent.name}-{width}-{scheme}.png")
    headings, broken = browser.run(LINKS)
    assert headings and not broken, f"{path}: links to nothing, or headings without one: {broken}"
    fold = browser.run("return document.querySelector('.fold .anchor').getAttribute('href')")
    browser.open(path.as_uri() + fold)
    assert browser.run("return document.querySelector(arguments[0]).closest('details').open", fold), f"{fold} does not open"
    tasks = browser.run("return document.querySelectorAll('#summary + ul li').length")
    printed = base64.b64decode(browser.ask("POST", "/print", {}))
    measured["pages"] = len(re.findall(rb"/Type\s*/Page[^s]", printed))
    measured["contrast"] = round(min(contrasts), 2) if contrasts else None
    if tasks <= 2:
        assert measured[1280] <= MOST_PIXELS, f"{path}: {measured[1280]} pixels tall, expected at most {MOST_PIXELS}"
        assert measured["pages"] <= MOST_PAGES, f"{path}: {measured['pages']} pages in print, expected at most {MOST_PAGES}"
    return f"{path.parent.name}: {tasks} tasks, {measured}"
