# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a transaction: complete, escaped, without anything from outside; and looked at in a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from own_command import make_report

from aptguard.rehearsal.model import Effect, ScriptRun, Unknown
from aptguard.report.model import ChangedPath, Report
from aptguard.report.report_page import report_page

EVIL = (
    b"/srv/</details><script>alert(1)</script>\n\"'>"
    b"<img src=http://127.0.0.1:9/x onerror=alert(2)>\xff\x1b[2J"
)
VOID = {"meta", "br", "img", "link", "hr", "input"}


def changed(
    path: bytes, *kinds: str, owner: str = "unowned", size: int = 0, type: str = "file"
) -> ChangedPath:
    return ChangedPath(path, kinds or ("deleted",), owner, size, "old-statistics", "postrm purge", type)


def full_report() -> Report:
    files = [changed(b"/var/lib/postgresql/15/main/base/%d" % n, size=8192 * n) for n in range(40)]
    return make_report(
        1,
        changed_paths=(
            changed(b"/var/lib/postgresql/15/main", type="directory"),
            changed(b"/var/lib/postgresql/15/main/base", type="directory"),
            *files,
            changed(EVIL),
            changed(b"/etc/" + b"very-long-name-without-a-space" * 8, "content", "mode"),
            changed(b"/usr/share/old-statistics/README", owner="transaction"),
        ),
        unknowns=(Unknown("the mount /mnt/<b>backup</b>", "it is a network file system"),),
        effects=(Effect("service", "systemctl stop postgresql & rm", "postrm purge"),),
        scripts=(
            ScriptRun("old-statistics", "prerm remove", 0.1, 0.2),
            ScriptRun("old-statistics", "postrm purge", 0.4, 1.3),
        ),
        timing={"rehearse": 1.9},
        notes=("a note with <i>markup</i>",),
    )


class Parsed(HTMLParser):
    """What a page is made of; unbalanced tags are an error."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_has_the_verdict_findings_packages_scripts_and_changes() -> None:
    report = full_report()
    words = Parsed(report_page(report)).words
    for word in (
        report.id, "BLOCK", "apt-get purge old-statistics", "alice (sudo)", "/var/lib/postgresql/15/main",
        "rule databases", "10-default.toml:61", "old-statistics:all", "postrm purge of old-statistics",
        "1.30 s", "it is a network file system", "systemctl stop postgresql & rm",
        "a note with <i>markup</i>",
    ):  # fmt: skip
        assert word in words, word


def test_nothing_a_package_wrote_becomes_markup_and_nothing_comes_from_outside() -> None:
    page = report_page(full_report())
    parsed = Parsed(page)
    assert set(parsed.tags) <= {
        "html", "head", "meta", "title", "style", "body", "header", "main", "section", "h1", "h2", "p",
        "span",
        "div", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "b",
    }  # fmt: skip
    assert not any(name.startswith("on") or name in ("src", "href") for name, _ in parsed.attributes)
    assert "\x1b" not in page
    assert not re.search(r"url\(|@import|javascript:", page)
    assert "default-src 'none'" in page


def test_a_tree_of_very_many_paths_stays_a_page_that_can_be_opened() -> None:
    paths = tuple(changed(b"/srv/%d/%d" % (n % 100, n)) for n in range(50_000))
    page = report_page(make_report(1, changed_paths=paths))
    assert len(page) < 8_000_000
    assert "Only 20 000 entries are unfolded here." in page
    assert "50 000 deleted" in page


# ------------------------------------------------------------------ in a real browser


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("the browser chromium is not installed (Debian package chromium)")
    home = tmp_path_factory.mktemp("browser")
    yield [
        program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
        "--disable-dev-shm-usage", "--disable-background-networking", f"--user-data-dir={home}",
        "--virtual-time-budget=1000",
    ]  # fmt: skip


def look(chromium: list[str], page: str, directory: Path, *options: str) -> str:
    """Open ``page`` and return the document as the browser sees it afterwards."""
    file = directory / "page.html"
    file.write_text(page, encoding="utf-8")
    done = subprocess.run(
        [*chromium, *options, "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "HOME": str(directory)},
    )
    return done.stdout


# Put in a copy of the page that has no policy against scripts, to measure what the page does in the browser.
_PROBE = """<pre id="probe"></pre><script>
const wide = [...document.querySelectorAll('body *')].filter(
  one => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(one => one.tagName);
const style = getComputedStyle(document.body);
document.getElementById('probe').textContent = JSON.stringify({
  width: document.documentElement.clientWidth, scroll: document.documentElement.scrollWidth, wide: wide,
  background: style.backgroundColor, color: style.color,
  open: document.querySelectorAll('details[open]').length, all: document.querySelectorAll('details').length,
  bars: [...document.querySelectorAll('.bar')].map(bar => bar.getBoundingClientRect().width)});
</script></body>"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_in_a_browser_the_page_fits_and_can_be_read(
    chromium: list[str], tmp_path: Path, width: int, scheme: str
) -> None:
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", report_page(full_report()))
    # In a frame of the wanted width: a window of chromium is never narrower than 500 pixels.
    inner = tmp_path / "inner.html"
    inner.write_text(page.replace("</body>", _PROBE), encoding="utf-8")
    outer = f"""<!DOCTYPE html><body style="margin:0"><iframe src="inner.html" id="f"
        style="border:0;width:{width}px;height:1500px"></iframe><pre id="told"></pre>
        <script>f.onload = () => {{
        told.textContent = f.contentDocument.getElementById('probe').textContent }}</script>"""
    preferred = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    window = f"--window-size={max(width, 500)},1500"
    dom = look(chromium, outer, tmp_path, "--allow-file-access-from-files", window, preferred)
    found = re.search(r'<pre id="told">(\{.*?\})</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    seen = json.loads(found[1])
    assert seen["width"] == width
    assert seen["scroll"] == width and seen["wide"] == []
    assert 0 < seen["open"] < seen["all"]
    assert len(seen["bars"]) == 2 and seen["bars"][0] < seen["bars"][1]
    assert contrast(seen["background"], seen["color"]) >= 7
    assert (brightness(seen["background"]) < 0.5) == (scheme == "dark")


def test_in_a_browser_no_script_of_a_file_name_runs(chromium: list[str], tmp_path: Path) -> None:
    dom = look(chromium, report_page(full_report()), tmp_path)
    assert "<script" not in dom and "<img" not in dom
    assert "alert(1)" in dom


def brightness(colour: str) -> float:
    """Return the relative luminance of ``rgb(...)``: WCAG 2.2."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21: WCAG 2.2."""
    low, high = sorted((brightness(one), brightness(other)))
    return (high + 0.05) / (low + 0.05)
