"""Pickles that would do something."""

import os
from pathlib import Path


class Trap:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)
