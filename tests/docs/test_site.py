"""The documentation as a site: it builds without a warning, warns of what is broken, and loads nothing."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.unit.chromium import Chromium

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def build(docs: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", f"{out}.trees"]
    return subprocess.run([*command, str(docs), str(out)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; the build itself is the strict one of `make docs`."""
    out = tmp_path_factory.mktemp("docs") / "site"
    done = build(DOCS, out)
    assert done.returncode == 0, done.stderr
    return out


class Loads(HTMLParser):
    """What a page makes a browser load, and where its images lie."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.images: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "img":
            self.images.append(given["src"] or "")
        if tag in ("img", "script", "iframe", "source", "video", "object", "embed") and given.get("src"):
            self.found.append(given["src"] or "")
        if tag == "link" and given.get("rel") not in ("index", "search", "next", "prev", "canonical"):
            self.found.append(given["href"] or "")


def test_every_page_is_in_the_site(site: Path) -> None:
    """Each Markdown page is a page of the site, and the first page's navigation leads to it."""
    index = (site / "index.html").read_text(encoding="utf-8")
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).with_suffix(".html").as_posix()
        assert (site / name).exists(), name
        assert "decisions/0" in name or f'href="{name}' in index or name == "index.html", name


def test_site_loads_nothing_from_outside(site: Path) -> None:
    """Scripts, sheets, fonts and images are the site's own files, and each of them is there."""
    seen = 0
    for page in site.rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        for url in loads.found:
            assert not re.match(r"(\w+:)?//|\w+:", url), f"{page.name} loads {url}"
            assert (page.parent / url.partition("?")[0]).exists(), (
                f"{page.name} loads {url}, which is not there"
            )
        seen += len(loads.images)
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"""(url\(|@import\s)\s*["']?(https?:)?//""", text), sheet
    assert seen >= 4


def test_search_knows_the_pages(site: Path) -> None:
    """The index of the search is one of the site's files and holds the pages' words."""
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert "knockout" in index and "reproduce/reasonflux" in index


def test_in_a_browser(site: Path) -> None:
    """From disk, at three widths: nothing wider than the window, no error, no request but for files; search finds."""
    for width in (390, 1100, 1500):
        with Chromium(width, 900) as browser:
            for page in ("index", "tutorial", "formats", "cli", "models", "reproduce/rrm"):
                browser.open(site / f"{page}.html", ready=False)
                assert browser.value("document.documentElement.scrollWidth") <= width, (page, width)
                right = "Math.max(...[...document.querySelectorAll('article section > p, article h1')].map(p => p.getBoundingClientRect().right))"
                assert browser.value(right) <= width, (page, width)
            found = "document.querySelectorAll('#search-results li').length"
            browser.call("Page.navigate", {"url": (site / "search.html").resolve().as_uri() + "?q=knockout"})
            browser.wait(f"{found} >= 3")
            assert browser.problems == []
            assert [url for url in browser.asked if not url.startswith(("file:", "data:"))] == []


def test_what_is_broken_fails_the_build(tmp_path: Path) -> None:
    """A heading, a page or a picture that is not there, and a page that nothing leads to, are named."""
    docs = tmp_path / "docs"
    shutil.copytree(DOCS / "static", docs / "static")
    shutil.copy(DOCS / "conf.py", docs)
    links = "[a](formats.md#no-such-heading) [b](no-such-page.md) ![c](images/no-such-picture.png)"
    (docs / "index.md").write_text(f"# Index\n\n{links}\n")
    (docs / "formats.md").write_text("# Formats\n")
    (docs / "lonely.md").write_text("# Lonely\n")
    done = build(docs, tmp_path / "site")
    assert done.returncode != 0
    for said in ("no-such-heading", "'no-such-page.md'", "no-such-picture.png", "lonely.md"):
        assert any("WARNING" in line and said in line for line in done.stderr.splitlines()), said
