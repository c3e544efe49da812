"""Command-line flags made from dataclasses, so that a setting is named, explained and checked in one place."""

import inspect
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, field, fields
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args

import typer

from diffdemo.cli.errors import UsageError, exit_code, fail, print_any_name, sentence
from diffdemo.errors import DiffdemoError, TrainingError


def flag(
    default: Any,
    text: str,
    unnamed: str = "",
    may_be_empty: bool = False,
    names: tuple[str, ...] = (),
    metavar: str | None = None,
) -> Any:
    """A dataclass field that is a flag too.

    None as the default is for what holds nowhere else: 0, "" and False are values that can be named. An empty text is
    refused by the command line: what a shell makes of a variable that is not set is no name of a folder.

    Args:
        default: where the flag is not named.
        text: its explanation.
        unnamed: what holds where it is not named, in words, if the default does not say it.
        may_be_empty: whether an empty text is a value, such as a list of nothing.
        names: on the command line, if they are others than the field's.
        metavar: what its value is called in the help.
    """
    more = {"unnamed": unnamed, "may_be_empty": may_be_empty, "names": names, "metavar": metavar}
    return field(default=default, metadata={"help": text, **more})


def of_size(text: str, may_be_empty: bool = False) -> Any:
    """A flag of the network, None where it is not named: then it is what --size says."""
    return flag(None, text, "that of --size", may_be_empty)


def named(options: Any, *names: str) -> dict[str, Any]:
    """Those of these fields that have a value, by name."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def kind(f: Field) -> type:
    """The type that a flag's value has if it has one."""
    return next((part for part in get_args(f.type) if part is not NoneType), f.type)


def whole_numbers(name: str, text: str, wanted: str = "widths such as 64,128,128") -> tuple[int, ...]:
    """The numbers in "64,128,128", none in ""; TrainingError says that `name` must be `wanted`."""
    try:
        return tuple(int(part) for part in text.split(",") if text)
    except ValueError:
        raise TrainingError(f"{name} must be {wanted}, not {text!r}.") from None


def run_command(main: Callable[..., None], *groups: type) -> None:
    """Run `main(*objects, given)` with one object of each dataclass in `groups`, filled from the command line.

    `given` is the set of the fields that were really named there. Errors as in `run_app`.
    """
    owners = {f.name: group for group in groups for f in fields(group)}

    def command(context: typer.Context, **values: Any) -> None:
        given = {name for name in owners if context.get_parameter_source(name).name != "DEFAULT"}
        main(*[group(**{f.name: values[f.name] for f in fields(group)}) for group in groups], given)

    # What is special about a script comes first in its --help.
    ordered = [sorted(fields(group), key=lambda f: f.name not in group.__annotations__) for group in groups]
    parameters = [_parameter(f) for part in ordered for f in part]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    command.__signature__ = inspect.Signature([context, *parameters])
    command.__annotations__ = {p.name: p.annotation for p in (context, *parameters)}
    command.__doc__ = main.__doc__
    run_app(command)


def run_app(command: Callable[..., None]) -> None:
    """Run a command whose parameters are typer's; whatever goes wrong is one sentence, see `diffdemo.cli.errors`."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(command)
    print_any_name()
    try:
        app(args=sys.argv[1:], prog_name=f"python -m {_module_name()}", standalone_mode=False)
    except (UsageError, DiffdemoError, OSError) as error:
        fail(sentence(error, f"python -m {_module_name()} --help"), exit_code(error))


def launched() -> int:
    """How many processes torchrun started for this run; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def launcher() -> list[str]:
    """The beginning of the command that started this process, up to its module or script."""
    if launched() == 1:
        return ["python"]
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    nodes = [f"--nnodes={launched() // local}"] if launched() > local else []
    return ["torchrun", *nodes, f"--nproc-per-node={local}"]


def command_line() -> str:
    """This process's command as it can be typed again."""
    return shlex.join([*launcher(), "-m", _module_name(), *sys.argv[1:]])


def _module_name() -> str:
    spec = sys.modules["__main__"].__spec__
    return spec.name.removesuffix(".__main__") if spec else sys.argv[0]


def _parameter(f: Field) -> inspect.Parameter:
    names, metavar, refuse = f.metadata["names"], f.metadata["metavar"], {}
    if not names and kind(f) is not bool:  # typer makes a pair of names of a switch itself
        names = (f"--{f.name.replace('_', '-')}",)
    if kind(f) in (str, Path) and not f.metadata["may_be_empty"]:
        refuse, metavar = {"parser": _filled(kind(f))}, metavar or f"<{kind(f).__name__.lower()}>"
    text, unnamed = f.metadata["help"], f.metadata["unnamed"] or True
    option = typer.Option(*names, help=text, show_default=unnamed, metavar=metavar, **refuse)
    default = inspect.Parameter.empty if f.default is MISSING else f.default
    return inspect.Parameter(
        f.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[f.type, option]
    )


def _filled(kind: type) -> Callable[[Any], Any]:
    """What makes a `kind` of a text, but of an empty one."""

    def parse(text: Any) -> Any:
        if text == "":  # Path("") would be the folder one happens to be in
            raise typer.BadParameter("it must not be empty")
        return kind(text)

    return parse
