"""The blocks of a page, run as a reader would: in their order, in an empty folder.

`python docs/notebook.py PAGE...` renews what a page shows: the blocks ```output and the pictures. The
tests run the same blocks and compare. How a page marks them:

* ```console runs each line that starts with `$ `, ```python is run, a block with `file=NAME` is written.
* ```output shows what the block before it printed on standard output; with `until="TEXT"` only up to the
  line that begins with TEXT, and the next ```output goes on from there.
* `<!-- not run: reason -->` above a block excuses it.
* `<!-- picture: FILE -->` above an image names the file, made by the page's commands, that it shows;
  `<!-- drawn by: COMMAND -->` a command of the page that takes too long to be run.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

KINDS = {"console", "python", "output", "json", "jsonl", "toml", "text", "yaml", ""}
_BLOCK = re.compile(
    r"(?P<excuse><!-- not run: .+? -->\n)?^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.M | re.S
)
_PICTURE = re.compile(r"^<!-- picture: (?P<file>\S+) -->\n!\[[^\]]*\]\((?P<image>[^)]+)\)", re.M)
# what a machine decides, and not the work: folders, times, memory
_OWN = [
    (re.compile(r"/[^\s,'\"]*/prm_eval_demo/"), "…/prm_eval_demo/"),
    (re.compile(r"\b[\d,.]+ s\b"), "… s"),
    (re.compile(r"\b[\d,.]+ (?:MB|GB)\b"), "… GB"),
]
_NUMBER = re.compile(r"[-+~]?\d[\d,]*(?:\.\d+)?")


class Block(NamedTuple):
    """One fenced block of a page; `start` and `end` are where its body stands in the text."""

    kind: str
    info: str
    body: str
    excused: bool
    start: int
    end: int

    @property
    def file(self) -> str | None:
        """The file that it is to be written to."""
        return self.info.removeprefix("file=") if self.info.startswith("file=") else None

    @property
    def until(self) -> str | None:
        """Where the part of the output that it shows ends."""
        found = re.fullmatch(r'until="(.+)"', self.info)
        return found[1] if found else None


class Shown(NamedTuple):
    """What an output block says, and what was printed."""

    block: Block
    printed: str


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for match in _BLOCK.finditer(text):
        kind, _, info = match["info"].partition(" ")
        found.append(
            Block(kind, info, match["body"], bool(match["excuse"]), match.start("body"), match.end("body"))
        )
    return found


def commands(body: str) -> list[str]:
    """The commands of a console block; a line that ends in a backslash goes on."""
    return [line[2:] for line in body.replace("\\\n", " ").splitlines() if line.startswith("$ ")]


def pictures(text: str) -> list[tuple[str, str]]:
    """(file that the commands make, image on the page) of every picture that names its file."""
    return [(match["file"], match["image"]) for match in _PICTURE.finditer(text)]


def run_page(page: Path, folder: Path) -> list[Shown]:
    """Run a page's blocks in the folder. Raises AssertionError for one that fails, or is of no known kind."""
    shown: list[Shown] = []
    printed = ""
    for block in blocks(page.read_text(encoding="utf-8")):
        assert block.kind in KINDS, f"{page.name}: ```{block.kind} is no kind of block that is known"
        if block.excused:
            continue
        if block.file:
            (folder / block.file).write_text(block.body, encoding="utf-8")
        elif block.kind == "console":
            assert commands(block.body), f"{page.name}: a console block without a command"
            printed = "".join(_run(page, ["bash", "-c", one], folder) for one in commands(block.body))
        elif block.kind == "python":
            printed = _run(page, [sys.executable, "-c", block.body], folder)
        elif block.kind == "output":
            part, printed = _split(printed, block.until)
            assert part.strip(), f"{page.name}: nothing was printed before the output\n{block.body}"
            shown.append(Shown(block, plain(part)))
    return shown


def differences(shown: Shown) -> list[str]:
    """What an output block says otherwise than what was printed, line by line, in any order of lines.

    Words must be equal. Numbers may differ as two machines do, whose sampled texts part at a few of many
    thousand tokens: fractions by 0.05, p-values (four decimals) by 0.25, others by a tenth, or by 2.
    """
    said, printed = (_lines(text) for text in (shown.block.body, shown.printed))
    if sorted(words for words, _ in said) != sorted(words for words, _ in printed):
        return [f"expected\n{shown.block.body}printed\n{shown.printed}"]
    pairs = zip(sorted(said), sorted(printed), strict=True)
    return [
        f"{words}: {' '.join(one)} against {' '.join(other)}"
        for (words, one), (_, other) in pairs
        if not all(_near(a, b) for a, b in zip(one, other, strict=True))
    ]


def plain(text: str) -> str:
    """The text without what only the machine decides, and without blanks at line ends."""
    for pattern, instead in _OWN:
        text = pattern.sub(instead, text)
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n"


def renew(page: Path) -> None:
    """Run the page and write its outputs and pictures into it."""
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for shown in reversed(run_page(page, folder)):
            text = text[: shown.block.start] + shown.printed + text[shown.block.end :]
        page.write_text(text, encoding="utf-8")
        for file, image in pictures(text):
            shutil.copy(folder / file, page.parent / image)


def environment() -> dict[str, str]:
    """As a reader's, offline, with this Python's commands first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": "."}


def _run(page: Path, command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    said = f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    assert done.returncode == 0, f"{page.name}: $ {command[-1]}\n{said}"
    return done.stdout


def _split(printed: str, until: str | None) -> tuple[str, str]:
    lines = printed.splitlines(keepends=True)
    if until is None:
        return printed, ""
    place = next((place for place, line in enumerate(lines) if place and line.startswith(until)), None)
    assert place is not None, f"no line begins with {until!r} in\n{printed}"
    return "".join(lines[:place]), "".join(lines[place:])


def _lines(text: str) -> list[tuple[str, list[str]]]:
    """(words, numbers) of every line; the bars of a sparkline are neither."""
    found = []
    for line in plain(text).splitlines():
        words = " ".join(_NUMBER.sub("#", re.sub("[▁▂▃▄▅▆▇█]+", "", line)).split())
        if words:
            found.append((words, _NUMBER.findall(line)))
    return found


def _near(one: str, other: str) -> bool:
    a, b = (float(text.lstrip("~").replace(",", "")) for text in (one, other))
    if "." in one and max(abs(a), abs(b)) <= 1.5:
        return abs(a - b) <= (0.25 if len(one.rpartition(".")[2]) == 4 else 0.05)
    return abs(a - b) <= max(2.0, 0.1 * abs(a))


if __name__ == "__main__":
    for given in sys.argv[1:]:
        renew(Path(given))
        print(f"renewed: {given}")
