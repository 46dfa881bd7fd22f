"""`lakehouse init`."""

from __future__ import annotations

from pathlib import Path

import click

from lakehouse.cli.output import json_option, show


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@json_option
def init(folder: Path, *, as_json: bool) -> None:
    """Make a project in DIR: settings, two sample entities and notebooks; overwrites nothing.

    DIR need not exist. A file that is there is left as it is, and named; so are all of your
    entities, to which no sample is added. It may therefore be run again at any time, also after it
    was killed, and ends with 0 as soon as every file is there.

    Example: `lakehouse init pipeline`

    JSON: `{folder, written: [NAME], left_alone: [NAME]}`; `folder` is the whole path.
    """
    from lakehouse.project import make

    made = make(folder)
    lines = [f"  new        {name}" for name in made.written]
    lines += [f"  as it was  {name}" for name in made.left_alone]
    head = f"{folder} is a project: {len(made.written)} files are new"
    if made.left_alone:
        head += f", and what was there is as it was: {len(made.left_alone)} named below"
    show(
        {
            "folder": folder.absolute(),
            "written": made.written,
            "left_alone": made.left_alone,
        },
        "\n".join([head, *lines, *_next(folder)]),
        as_json=as_json,
    )


def _next(folder: Path) -> list[str]:
    """Return what one would type now."""
    return [
        "now:",
        f"  cd {folder}",
        "  lakehouse check          # the settings and the entities, without Kafka",
        "  lakehouse doctor         # this machine, Kafka and the lake",
        "  lakehouse demo --keep    # the whole pipeline on a broker of its own",
    ]
