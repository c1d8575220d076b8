"""The documentation is true: its commands run, its code blocks work, its generated pages are current.

How a page marks its blocks is said in docs/notebook.py, which runs them.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))

import notebook  # noqa: E402

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/reproduce").glob("*.md")),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "tutorial.md"], ids=lambda page: page.name
)
def test_page_runs(page: Path, tmp_path: Path) -> None:
    """Every command and file of the page, in its order, in an empty folder, as a reader would."""
    run_page(page, tmp_path)


def run_page(page: Path, folder: Path) -> None:
    """The page runs, prints what it shows, and makes the pictures that it names."""
    shown = notebook.run_page(page, folder)
    assert [line for one in shown for line in notebook.differences(one)] == []
    for file, image in notebook.pictures(page.read_text(encoding="utf-8")):
        assert size_of_png(folder / file) == size_of_png(page.parent / image), f"{page.name}: {image}"


def size_of_png(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG"), path
    return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])


@pytest.mark.slow
def test_tutorial(tmp_path: Path) -> None:
    """The tutorial runs, and its demo shows what the page says, beyond the paired intervals."""
    run_page(ROOT / "docs" / "tutorial.md", tmp_path)
    results = json.loads((tmp_path / "demo-run" / "results.json").read_text(encoding="utf-8"))
    best = {"metric": "best_of_n", "reward_model": "demo-prm", "aggregation": "product"}
    for other in ({"metric": "majority"}, {"metric": "mean"}):
        assert lead(results, best, other)[0] > 0
    assert lead(results, {"metric": "pass_at_k"}, best)[0] > 0
    curve = {row["k"]: row["value"] for row in results["metrics"] if best.items() <= row.items()}
    assert curve[1] < curve[4] < curve[16]
    last = [
        row["value"] for row in results["metrics"] if (best | {"aggregation": "last"}).items() <= row.items()
    ]
    assert last[-1] < last[0], "the page says that `last` falls"
    check_judge(tmp_path / "demo-run")


def check_judge(run: Path) -> None:
    """What the tutorial says of the judge and its tournaments."""
    judged = json.loads((run / "judge" / "results.json").read_text(encoding="utf-8"))
    accuracy = {row["metric"]: row for row in judged["metrics"] if row["judge"] == "demo-judge"}[
        "game_accuracy"
    ]
    assert accuracy["ci"][0] > 0.75
    played = json.loads((run / "tournaments" / "results.json").read_text(encoding="utf-8"))
    calls, picks = {}, {}
    for kind in ("knockout", "adaptive", "round_robin"):
        name = f"{kind}:judge=demo-judge"
        calls[kind] = played["cost"][name]["games"] + played["cost"][name]["cached"]
        best = {"metric": "best_of_n", "reward_model": name}
        assert lead(played, best, {"metric": "majority"})[0] > 0, f"{kind} beats voting"
        picks[kind] = next(
            row["value"] for row in played["metrics"] if (best | {"k": 8}).items() <= row.items()
        )
    assert calls["knockout"] < calls["adaptive"] < calls["round_robin"]
    assert picks["round_robin"] <= max(picks["knockout"], picks["adaptive"])


def lead(results: dict[str, Any], one: dict[str, str], other: dict[str, str]) -> tuple[float, float]:
    """The interval of one selector minus another at the largest k."""
    for c in results["comparisons"]:
        for a, b, sign in ((c["a"], c["b"], 1), (c["b"], c["a"], -1)):
            if one.items() <= a.items() and other.items() <= b.items():
                low, high = sorted(sign * value for value in c["ci"])
                return low, high
    raise AssertionError(f"no comparison of {one} and {other}")


def test_generated_pages_are_current() -> None:
    """docs/cli.md, docs/hooks.md and docs/models.md are what the code says now."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "page", [*PAGES, *sorted((ROOT / "docs" / "decisions").glob("*.md"))], ids=lambda page: page.name
)
def test_links(page: Path) -> None:
    """Every relative link leads to a file."""
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_every_hook_is_on_the_hooks_page() -> None:
    """Each hook that pluggy knows has its heading, its signature and its documentation there, and no other."""
    import pluggy

    from prm_eval import hooks

    manager = pluggy.PluginManager("prm_eval")
    manager.add_hookspecs(hooks)
    known = {name for name in vars(manager.hook) if name.startswith("prm_eval_")}
    text = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    parts = dict(re.findall(r"^## (\w+)\n(.+?)(?=^## |\Z)", text, re.M | re.S))
    assert set(parts) == known and len(known) >= 6
    for name, part in parts.items():
        assert f"def {name}() ->" in part
        words = " ".join((getattr(hooks, name).__doc__ or "").split())
        assert words and words in " ".join(part.split()), name


def test_every_command_is_on_the_commands_page() -> None:
    """Each command and group, at any depth, has its heading, and each of its options stands below it."""
    import click

    from prm_eval.cli import group

    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    parts = dict(re.findall(r"^## (prm-eval[^\n]*)\n(.+?)(?=^## |\Z)", text, re.M | re.S))

    def walk(command: click.Command, path: str) -> int:
        context = click.Context(command)
        shown = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
        assert [name for one in shown for name in one.opts if name not in parts[path]] == [], path
        if not isinstance(command, click.Group):
            return 1
        children = {name: command.get_command(context, name) for name in command.list_commands(context)}
        return 1 + sum(walk(child, f"{path} {name}") for name, child in children.items() if child is not None)

    assert walk(group, "prm-eval") == len(parts)


def lines_not_run(page: Path) -> list[str]:
    """The commands of the excused blocks, with the shell variables that they set put in."""
    found: list[str] = []
    variables: dict[str, str] = {}
    for block in notebook.blocks(page.read_text(encoding="utf-8")):
        for line in notebook.commands(block.body) if block.excused else ():
            variables |= dict(re.findall(r"""^(\w+)=["'](.*)["']$""", line))
            for name, value in variables.items():
                line = re.sub(rf"\$\{{?{name}\b\}}?", lambda _, value=value: value, line)
            found.append(line)
    return found


def test_commands_that_are_not_run_have_known_options() -> None:
    """Every option of every `prm-eval` command in an excused block is one that the command has."""
    import click

    from prm_eval.cli import group

    checked = 0
    for page in PAGES:
        for part in (p for line in lines_not_run(page) for p in re.split(r"; |&&|\||\$\(|\)|\bdo\b|#", line)):
            found = re.search(r"(?:prm-eval|-m prm_eval\.cli) (.*)", part)
            words = found[1].split() if found else []
            command: click.Command = group
            while isinstance(command, click.Group) and words and not words[0].startswith("-"):
                child = command.get_command(click.Context(command), words.pop(0))
                assert child is not None, f"{page.name}: {part}"
                command = child
            known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
            given = {word.partition("=")[0] for word in words if re.match(r"--\w", word)}
            assert given <= known, f"{page.name}: {sorted(given - known)} in {part}"
            checked += len(given)
    assert checked >= 60


def test_references_that_are_not_run_are_accepted() -> None:
    """Every reward model, judge and benchmark named in an excused block is known, with options that it takes."""
    from prm_eval.plugins import load_registry

    registry, checked = load_registry(), set()
    for line in (line for page in PAGES for line in lines_not_run(page)):
        pattern = r"""--(reward-model|judge|benchmark) (?:"([^"]*)"|'([^']*)'|(\S+))"""
        for option, double, single, bare in re.findall(pattern, line):
            # without quotes the shell takes the backslashes away
            reference = double or single or bare.replace("\\", "")
            if option == "judge":
                registry.check_judge(reference)
            else:
                registry.check(option.replace("-", " "), reference)
            checked.add(reference)
    assert len(checked) >= 20 and any(r"\,votes=5" in one for one in checked)


def test_every_picture_is_made_by_a_command() -> None:
    """Each image is made by commands of a page, run or named above it, or by docs/pictures.py in a browser."""
    texts = {page: page.read_text(encoding="utf-8") for page in PAGES}
    made = {Path(image).name for text in texts.values() for _, image in notebook.pictures(text)}
    drawn = set(re.findall(r'"(\w+)"', (ROOT / "docs" / "pictures.py").read_text(encoding="utf-8")))
    for text in texts.values():
        for command, image in re.findall(r"^<!-- drawn by: (.+) -->\n!\[[^\]]*\]\(([^)]+)\)", text, re.M):
            assert any(command in notebook.commands(block.body) for block in notebook.blocks(text)), command
            made.add(Path(image).name)
    for page, text in texts.items():
        for image in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
            name = Path(image).name
            assert name in made or Path(name).stem.removeprefix("report-") in drawn, f"{page.name}: {image}"
    assert len(made) >= 3


def test_pictures_come_from_executed_blocks() -> None:
    """The file that a picture is made from is named by a command of its page, or lies in a folder that one makes."""
    found = 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        typed = " ".join(
            one for block in notebook.blocks(text) if block.kind == "console" and not block.excused
            for one in notebook.commands(block.body)
        )  # fmt: skip
        for file, _ in notebook.pictures(text):
            folder = file.partition("/")[0]
            assert folder in typed or (folder == "demo-run" and "prm-eval demo" in typed), file
            found += 1
    assert found >= 3


def test_outputs_are_compared_within_a_tolerance() -> None:
    """Words and the number of lines must be equal; numbers may part by what two machines do, and no more."""
    said = "mean   0.323  0.295-0.351  ▂▂▃\nn 76 games, p 0.3796, 80.2 s, peak 925 MB\n"

    def against(printed: str) -> list[str]:
        (block,) = notebook.blocks(f"```output\n{notebook.plain(said)}```\n")
        return notebook.differences(notebook.Shown(block, notebook.plain(printed)))

    assert against(said) == []
    assert against("n 74 games, p 0.2001, 9.1 s, peak 30 MB\nmean   0.330  0.299-0.340  ▂▃▃\n") == []
    assert against(said.replace("0.323", "0.400")) and against(said.replace("76", "99"))
    assert against(said.replace("0.3796", "0.9000"))
    assert against(said.replace("mean", "median")) and against(said + "more\n") and against("")


def test_json_examples_parse() -> None:
    """The JSON examples of the formats page are JSON, and follow the schema that ships under their heading."""
    import jsonschema

    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    found = []
    for block in notebook.blocks(text):
        if block.kind == "json" and not block.info:
            name = re.findall(r"^## (\w+)\.json", text[: block.start], re.M)[-1]
            schema = (ROOT / "prm_eval" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")
            jsonschema.validate(json.loads(block.body), json.loads(schema))
            found.append(name)
    assert {"candidates", "scores", "pairs", "verdicts", "results"} <= set(found)
