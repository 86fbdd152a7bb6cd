"""The report's page in a real browser: what it loads, how it is worked with, how it looks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.report.html import to_html
from tests.lab.browser import Browser
from tests.unit.report import pages, samples
from tests.unit.tools import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nornir_etcd.report.model import Report

SHOWN = "[...document.querySelectorAll('table.findings tbody tr')].filter(row => row.checkVisibility())"
SEVERITIES = f"{SHOWN}.map(row => row.dataset.severity)"
HEADING = "table.findings thead th:nth-of-type({}) button"
CONTRAST = """
(() => {
  // WCAG 2.2, 1.4.3: every text against the ground that it stands on, as the browser computes both.
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const style = getComputedStyle(element);
      const image = style.backgroundImage.match(/^linear-gradient\\((\\w+\\([^)]*\\))/);
      if (image) return rgba(image[1]);
      const colour = rgba(style.backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (walker.nextNode()) {
    const [text, element] = [walker.currentNode.data.trim(), walker.currentNode.parentElement];
    if (!text || !element.checkVisibility() || element.closest("style, script, option")) continue;
    seen += 1;
    const [a, b] = [light(rgba(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${element.className} ${text.slice(0, 40)}`);
  }
  return [seen, [...new Set(poor)]];
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of this file."""
    with Browser(need("chromium", "chromium"), tmp_path_factory.mktemp("browser")) as made:
        yield made


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Callable[[Report], Browser]:
    """Show a report."""

    def shown(report: Report) -> Browser:
        path = tmp_path / "report.html"
        path.write_text(to_html(report), encoding="utf-8")
        browser.look()
        browser.open(path)
        return browser

    return shown


Show = "Callable[[Report], Browser]"


@pytest.mark.parametrize("made", [*pages.PAGES.values(), samples.second_deploy, samples.dry_run])
def test_a_page_loads_without_a_complaint_and_asks_for_nothing(made: samples.Maker, show: Show) -> None:
    page = show(made())
    assert page.complaints == []
    assert len(page.requests) == 1, "the page itself"
    assert page.run("performance.getEntriesByType('resource').length") == 0
    assert page.run("document.title").startswith("etcd ")


def test_the_browser_tells_of_what_a_page_must_not_do(browser: Browser, tmp_path: Path) -> None:
    """Else the test above could not fail."""
    path = tmp_path / "bad.html"
    text = to_html(samples.second_deploy())
    path.write_text(text.replace("</main>", '<img src="file:///nothing.png"><b style="color: red">x</b></main>'))
    browser.open(path)
    assert len(browser.complaints) == 2, "its own policy keeps it from both"
    path.write_text(re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", path.read_text()))
    browser.open(path)
    assert len(browser.requests) == 2


def test_hostile_text_runs_nothing(show: Show) -> None:
    page = show(pages.hostile())
    assert not any(event["method"] == "Page.javascriptDialogOpening" for event in page.events)
    assert page.run("document.images.length") == 0
    assert page.run("document.scripts.length") == 1


def test_findings_are_sorted_by_a_click_and_by_a_key(show: Show) -> None:
    page = show(pages.everything())
    assert page.run(SEVERITIES) == ["critical", "critical", "unknown", "warning", "warning", "waived"]
    codes = f"{SHOWN}.map(row => row.dataset.code)"
    state = "[...document.querySelectorAll('table.findings th')].map(one => one.ariaSort)"
    page.click(HEADING.format(3))
    up = page.run(codes)
    assert up == sorted(up)
    assert page.run(state) == [None, None, "ascending", None]
    page.click(HEADING.format(3))
    assert page.run(codes) == up[::-1]
    assert page.run(state) == [None, None, "descending", None]
    page.run(f"document.querySelector({HEADING.format(3)!r}).focus()")
    page.press("Enter")
    assert page.run(codes) == up
    page.press(" ")
    assert page.run(codes) == up[::-1]
    page.run(f"document.querySelector({HEADING.format(2)!r}).focus()")
    page.press("Tab")
    assert page.run("document.activeElement.textContent") == "check", "headings are reached in their order"
    page.click(HEADING.format(1))
    assert page.run(SEVERITIES)[0] == "critical"


def test_numbers_are_sorted_as_numbers(show: Show) -> None:
    page = show(pages.fleet())
    button = "table.overview thead th:nth-of-type(3) button"
    cells = "[...document.querySelectorAll('table.overview tbody tr')].map(row => row.cells[2].textContent.trim())"
    page.click(button)
    assert page.run(cells)[:3] == ["0 of 3", "2 of 3", "3 of 3"]
    page.click(button)
    assert page.run(cells)[-2:] == ["2 of 3", "0 of 3"]


def test_findings_are_filtered_by_severity_check_subject_and_text(show: Show) -> None:
    page = show(pages.everything())
    told = "document.querySelector('form.filters output').textContent"
    assert page.run(told) == "6 of 17 shown", "what is ok is not shown until asked for"
    page.click("input[value=ok]")
    assert page.run(told) == "17 of 17 shown"
    page.click("input[value=critical]")
    assert "critical" not in page.run(SEVERITIES)
    page.run("document.querySelector('input[name=text]').focus()")
    page.type("SNAPSHOT-count")
    assert page.run(told) == "1 of 17 shown", "evidence is searched as well, in any case"
    page.press("Enter")
    page.run("new Promise(done => setTimeout(done, 50))")
    assert page.run("location.search") == ""
    assert page.complaints == [], "nothing is sent anywhere, and nothing is tried"
    page.run("document.querySelector('input[name=text]').value = ''")
    for name, value in (("subject", "master-3"), ("code", "version.floor")):
        page.run(
            f"(one => {{ one.value = {value!r}; one.dispatchEvent(new Event('input', {{bubbles: true}})) }})"
            f"(document.querySelector('select[name={name}]'))"
        )
        assert page.run(f"{SHOWN}.every(row => row.dataset.{name} === {value!r}) && {SHOWN}.length > 0")
    assert page.run(SEVERITIES) == ["waived"]
    page.click("input[value=waived]")
    assert page.run(told) == "0 of 17 shown"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("made", [pages.everything, pages.fleet, samples.dry_run])
def test_every_text_has_contrast(made: samples.Maker, theme: str, show: Show) -> None:
    page = show(made())
    page.look(theme=theme)
    page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.run("document.querySelectorAll('[type=checkbox]:not(:checked)').forEach(one => one.click())")
    seen, poor = page.run(CONTRAST)
    assert seen > 50
    assert poor == []


def test_both_themes_are_drawn_and_differ(show: Show) -> None:
    page = show(pages.everything())
    ground = "getComputedStyle(document.body).backgroundColor"
    pictures, grounds = [], []
    for theme in ("light", "dark"):
        page.look(theme=theme)
        pictures.append(page.picture())
        grounds.append(page.run(ground))
    assert all(len(one) > 50_000 for one in pictures), "an empty page is a tenth of that"
    assert pictures[0] != pictures[1]
    page.click("#theme")
    assert page.run(ground) == grounds[0], "the button turns the system's dark into light"
    assert page.run("document.getElementById('theme').textContent") == "dark theme"
    page.click("#theme")
    assert page.run(ground) == grounds[1]


@pytest.mark.parametrize("width", [400, 800, 1280, 1900])
@pytest.mark.parametrize("made", [pages.everything, pages.fleet, samples.long_addresses, pages.hostile])
def test_no_page_is_wider_than_its_window(made: samples.Maker, width: int, show: Show) -> None:
    page = show(made())
    page.look(width=width)
    page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.run("document.documentElement.scrollWidth") <= width


def test_a_link_to_a_folded_cluster_opens_it(show: Show) -> None:
    page = show(pages.fleet())
    folded = "document.querySelector('#cluster-9 > details').open"
    assert page.run(folded) is False
    page.click("table.overview tbody tr:nth-of-type(9) a")
    page.run("new Promise(done => setTimeout(done, 50))")
    assert page.run(folded) is True


def test_paper_shows_what_the_window_folds_and_no_controls(show: Show) -> None:
    page = show(pages.fleet(3))
    assert page.paper().startswith(b"%PDF-")
    opened = "document.querySelectorAll('.certificates[open]').length"
    assert page.run(opened) == 0, "folded again after printing"
    page.run(
        "addEventListener('beforeprint', () => window.seen = document.querySelectorAll('.certificates[open]').length)"
    )
    page.paper()
    assert page.run("window.seen") == 3
    page.look(media="print", theme="dark")
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)", "whatever the theme"
    assert not page.run("document.getElementById('theme').checkVisibility()")
    assert not page.run("document.querySelector('form.filters').checkVisibility()")


def test_thousands_of_findings_are_worked_with_at_once(show: Show) -> None:
    page = show(pages.many_findings())
    took = page.run(
        "(() => { const start = performance.now(); document.querySelector('input[value=ok]').click();"
        f" document.querySelector({HEADING.format(4)!r}).click(); document.body.offsetHeight;"
        " return performance.now() - start })()"
    )
    assert page.run("document.querySelector('form.filters output').textContent") == "4000 of 4000 shown"
    first = page.run(f"{SHOWN}.slice(0, 3).map(row => row.cells[3].textContent.trim())")
    assert first == ["finding number 0", "finding number 1", "finding number 2"], "numbers in text too"
    assert took < 10_000
