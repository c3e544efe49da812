"""Command-line flags made from dataclasses, so that a setting is named, explained and checked in one place."""

import inspect
import shlex
import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, field, fields
from typing import Annotated, Any

import typer

from diffdemo.errors import DiffdemoError


def flag(default: Any, text: str) -> Any:
    """A dataclass field that is a flag too; `text` is its explanation."""
    return field(default=default, metadata={"help": text})


def run_command(main: Callable[..., None], *groups: type) -> None:
    """Run `main(*objects, given)` with one object of each dataclass in `groups`, filled from the command line.

    `given` is the set of the fields that were really named there. A DiffdemoError becomes its sentence on stderr and
    exit code 2 for a bad request, as click does for its own; nobody sees a traceback for a mistyped flag.
    """
    owners = {f.name: group for group in groups for f in fields(group)}

    def command(context: typer.Context, **values: Any) -> None:
        given = {name for name in owners if context.get_parameter_source(name).name != "DEFAULT"}
        try:
            objects = [group(**{f.name: values[f.name] for f in fields(group)}) for group in groups]
            main(*objects, given)
        except DiffdemoError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(2) from None

    parameters = [_parameter(f) for group in groups for f in fields(group)]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    command.__signature__ = inspect.Signature([context, *parameters])
    command.__annotations__ = {p.name: p.annotation for p in (context, *parameters)}
    command.__doc__ = main.__doc__
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(command)
    app(args=sys.argv[1:], prog_name=f"python -m {_module_name()}")


def command_line() -> str:
    """This process's command as it can be typed again."""
    return shlex.join(["python", "-m", _module_name(), *sys.argv[1:]])


def _module_name() -> str:
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else sys.argv[0]


def _parameter(f: Field) -> inspect.Parameter:
    name = f"--{f.name.replace('_', '-')}"
    option = (
        typer.Option(name, help=f.metadata["help"]) if f.type is not bool else typer.Option(help=f.metadata["help"])
    )
    default = inspect.Parameter.empty if f.default is MISSING else f.default
    return inspect.Parameter(
        f.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[f.type, option]
    )
