"""The command line of app.py."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from diffdemo import CHECKPOINTS, validate
from diffdemo.errors import RequestError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.exit(f"{message[:1].upper()}{message[1:]}; python app.py --help lists what there is.")


def read(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> argparse.Namespace:
    """What the flags say, host to runs, from the command line; exits with one sentence where they make no sense.

    host and port are None where neither a flag nor GRADIO_SERVER_NAME or GRADIO_SERVER_PORT names them; Gradio then
    takes this machine alone and the first free port from 7860 on. On a hosted Space there are no flags.
    """
    parser = _Parser(prog="python app.py", description="Open diffdemo's page.", allow_abbrev=False)
    parser.add_argument("--host", default=environment.get("GRADIO_SERVER_NAME"), help="address to listen on")
    parser.add_argument("--port", default=environment.get("GRADIO_SERVER_PORT"), help="port to listen on")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--checkpoints", default=str(CHECKPOINTS), help="folder with one checkpoint folder a model")
    parser.add_argument("--data", default="data", help="data folder; original pictures are shown where it is there")
    parser.add_argument("--runs", default="runs", help="folder of training runs to show and follow")
    options = parser.parse_args([] if environment.get("SPACE_ID") else arguments)
    try:
        options.port = None if options.port is None else validate.whole_number("port", options.port, 1, 65535)
    except RequestError as error:
        sys.exit(str(error))
    return options
