"""The command line of app.py, read before anything that takes long to import."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from diffdemo import CHECKPOINTS, validate
from diffdemo.cli.errors import UsageError
from diffdemo.errors import RequestError

PROGRAM = "python app.py"
CONTEXT = {"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "DIFFDEMO"}


@dataclass
class Options:
    """What the flags say; the host and port of None are Gradio's: this machine alone, and the first free from 7860."""

    host: Annotated[str | None, typer.Option(metavar="H", help="Address to listen on.")] = None
    port: Annotated[str | None, typer.Option(metavar="P", help="Port to listen on.")] = None
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or mps.")] = "auto"
    checkpoints: Annotated[str, typer.Option(metavar="DIR", help="Folder with one checkpoint folder a model.")] = str(
        CHECKPOINTS
    )
    data: Annotated[
        str, typer.Option(metavar="DIR", help="Data folder; original pictures are shown where it is there.")
    ] = "data"
    runs: Annotated[str, typer.Option(metavar="DIR", help="Folder of training runs to show and follow.")] = "runs"
    compile: Annotated[
        bool,
        typer.Option("--compile", help="Compile networks while the page is served, to be used where that is faster."),
    ] = False


def read(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> Options:
    """What the flags say, from the command line; exits with one sentence where they make no sense.

    What no flag names may be in a variable such as DIFFDEMO_DEVICE, because nobody types flags on a hosted Space; the
    host and port are also GRADIO_SERVER_NAME and GRADIO_SERVER_PORT.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(help="Open diffdemo's page.", context_settings=CONTEXT)(Options)
    try:
        options = app(args=arguments, prog_name=PROGRAM, standalone_mode=False)
        if not isinstance(options, Options):  # the code after --help
            sys.exit(options)
        options.host = options.host or environment.get("GRADIO_SERVER_NAME")
        port = options.port or environment.get("GRADIO_SERVER_PORT")
        options.port = None if port is None else validate.whole_number("port", port, 1, 65535)
    except UsageError as error:
        text = error.format_message().rstrip(".?").replace("No such option", "Unrecognized arguments")
        text = re.sub(r"Option '(\S+)' requires an argument", r"Argument \1: expected one argument", text)
        sys.exit(f"{text}; {PROGRAM} --help lists what there is.")
    except RequestError as error:
        sys.exit(str(error))
    return options
