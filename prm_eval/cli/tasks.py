"""`prm-eval tasks list | path | make`: the tasks, for us and for plain lm_eval."""

from pathlib import Path

import click

from prm_eval.cli import options


@click.group()
def tasks() -> None:
    """List the lm-eval tasks, or make your own.

    For plain lm_eval: `lm_eval run --include_path "$(prm-eval tasks path)" --tasks math500_bon`.
    """


@tasks.command("list")
@options.plugin_files
def list_tasks(plugins: tuple[Path, ...]) -> None:
    """Names of all tasks, each with its generation twin and one line of help."""
    from prm_eval.harness.tasks import list_tasks as find
    from prm_eval.plugins import load_registry

    for task in find(load_registry(plugins).task_folders()):
        click.echo(f"{task.name:<22}{task.help}")


@tasks.command()
@click.argument("name", required=False)
def path(name: str | None) -> None:
    """The folder for --include_path; with NAME, that task's YAML file, for `--tasks FILE`."""
    from prm_eval.harness.tasks import task_file, tasks_path

    click.echo(task_file(name) if name else tasks_path())


@tasks.command()
@click.argument("name")
@click.option("--n", type=click.IntRange(1), help="Responses per problem.  [default: the task's own]")
@options.reward_models
@click.option("--strategy", "strategies", multiple=True, help="A selection strategy; repeatable.")
@click.option(
    "--aggregation", "aggregations", multiple=True, help="An aggregation of step scores; repeatable."
)
@click.option("--data", metavar="FILE", help="The problems from a local file.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write here.  [default: standard output]"
)
@options.plugin_files
def make(
    name: str,
    n: int | None,
    reward_models: tuple[str, ...],
    strategies: tuple[str, ...],
    aggregations: tuple[str, ...],
    data: str | None,
    out: Path | None,
    plugins: tuple[Path, ...],
) -> None:
    """Write a small task YAML with your own N and reward models, for plain `lm_eval --tasks FILE`."""
    from prm_eval.harness.tasks import make_stub
    from prm_eval.plugins import load_registry
    from prm_eval.records import write_text

    registry = load_registry(plugins)
    for reference in reward_models:
        registry.check("reward model", reference)
    for kind, names in (("strategy", strategies), ("aggregation", aggregations)):
        for reference in names:
            registry.check(kind, reference)
    text = make_stub(name, n, reward_models, strategies, aggregations, data, folders=registry.task_folders())
    if out is None:
        click.echo(text, nl=False)
    else:
        write_text(out, text)
        click.echo(f"written: {out} (use it with: lm_eval run --tasks {out} ...)", err=True)
