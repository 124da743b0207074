"""The options that several commands share, and how their help is written."""

from __future__ import annotations

from typing import Annotated, Final

import typer

RUN: Final = "Run"
DECIDE: Final = "Decide"
LOOK: Final = "Look"
OPERATE: Final = "Operate"
KEEP: Final = "Set up and keep"

WorkflowId = Annotated[str, typer.Argument(metavar="ID", help="The workflow's id, for example wf_001.")]
Home = Annotated[
    str | None,
    typer.Option("--home", metavar="DIR", help="Folder of the data; by default HANDRAIL_HOME, or ./.handrail."),
]
Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--module",
        metavar="MODULE",
        help="A module with definitions, as in an import; repeatable. By default HANDRAIL_MODULES, comma-separated.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
By = Annotated[str | None, typer.Option("--by", metavar="WHO", help="Who acts; by default the login name.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, for the history.")]
Step = Annotated[str, typer.Option("--step", metavar="STEP", help="The step that it is about.")]
OneOfSteps = Annotated[
    str | None, typer.Option("--step", metavar="STEP", help="Which step, where several wait for an approval.")
]
Controls = Annotated[
    list[str] | None,
    typer.Option("--control", metavar="TEXT", help="A condition of the grant; repeatable. By default those proposed."),
]
Detach = Annotated[bool, typer.Option("--detach", help="Save it and return; `handrail resume` goes on.")]


def in_short(text: str) -> str:
    """What stands beside a command in a list of them: how its help begins, up to where details do."""
    paragraph = text.partition("\n\n")[0]
    return paragraph.partition(". ")[0].partition(": ")[0].rstrip(".") + "."


def help_text(summary: str, *examples: str) -> str:
    """A command's help: what it does, then examples, one a line."""
    lines = "\n".join(f"  {example}" for example in examples)
    return f"{summary}\n\n\b\nExamples:\n{lines}\n"
