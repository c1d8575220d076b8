"""The pictures of docs/report.md: the page of a demo run, photographed in headless Chromium.

Run from the repository: python docs/pictures.py DEMO-RUN FOLDER
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from prm_eval.pages import build_page, read_run  # noqa: E402
from tests.unit.chromium import Chromium  # noqa: E402

LIKED = "; ".join([  # wrong responses, the highest score first, and the first of them unfolded
    "document.getElementById('outcome').value = '0'", "document.getElementById('order').value = 'high'",
    "document.getElementById('filters').dispatchEvent(new Event('input', {bubbles: true}))",
])  # fmt: skip


def main(run: Path, folder: Path) -> list[Path]:
    """Make the page in `folder/demo.html` and four pictures beside it; returns their paths."""
    runs = [read_run(path) for path in (run, run / "judge", run / "tournaments")]
    page = folder / "demo.html"
    page.write_text(build_page(runs, "The demo").html, encoding="utf-8")
    pictures = [folder / f"report-{name}.png" for name in ("page", "phone", "bracket", "response")]
    for path, size, dark, anchor in (
        (pictures[0], (1000, 1250), False, "#summary"),
        (pictures[1], (390, 844), True, "#run-0"),
        (pictures[2], (1000, 1040), False, "#run-2-tournaments"),
        (pictures[3], (1000, 760), False, "#browser"),
    ):
        with Chromium(*size, dark=dark) as browser:
            browser.open(page)
            if anchor == "#browser":
                browser.value(LIKED)
                browser.wait("document.querySelector('#rows .tag.wrong')")
                browser.value("document.querySelector('#rows .row').open = true")
                browser.wait("document.querySelector('#rows .step')")
            browser.value(f"document.querySelector('{anchor}').scrollIntoView()")
            browser.value("new Promise((done) => setTimeout(done, 500))")
            browser.picture(path)
            assert browser.problems == [], browser.problems
    page.unlink()
    return pictures


if __name__ == "__main__":
    for made in main(Path(sys.argv[1]), Path(sys.argv[2])):
        print(f"written: {made}")
