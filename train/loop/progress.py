"""The progress bar."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from tqdm import tqdm

from diffdemo.errors import DiffdemoError
from train.loop.settings import Settings


@contextmanager
def drawing(say: Callable[[str], object] | None = None) -> Iterator[None]:
    """Around what draws: trouble there, whatever it is, is said in a sentence (to stderr), and costs nobody a run."""
    say = say or partial(print, file=sys.stderr)
    try:
        yield
    except (DiffdemoError, OSError) as error:
        say(f"Not drawn: {error}")
    except Exception as error:  # of drawing libraries it may be anything
        say(f"Not drawn: {type(error).__name__}: {error}")


class Progress:
    """Images per second, loss and remaining time of a run; one line each ten seconds where there is no terminal."""

    def __init__(self, settings: Settings, images_seen: int, seconds: float, silent: bool = False):
        self.settings = settings
        self.loss = float("nan")
        self._start = (images_seen, seconds)
        self._bar = tqdm(
            total=100.0,
            initial=100 * settings.progress(images_seen, seconds),
            desc=settings.out.name,
            bar_format="{percentage:5.1f}% |{bar:20}| {desc}",  # tqdm would put a comma before a postfix
            disable=silent,
            mininterval=0.2 if sys.stderr.isatty() else 10,
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()

    def update(self, images_seen: int, seconds: float) -> None:
        """Say how far the run is."""
        done = self.settings.progress(images_seen, seconds)
        first_images, first_seconds = self._start
        speed = (images_seen - first_images) / max(seconds - first_seconds, 1e-9)
        by_images = (self.settings.images - images_seen) / max(speed, 1e-9)
        by_time = 60 * self.settings.max_minutes - seconds if self.settings.max_minutes else by_images
        minutes, seconds_left = divmod(int(max(0.0, min(by_images, by_time))), 60)
        left = f"{minutes // 60:02}:{minutes % 60:02}:{seconds_left:02}"
        name = self.settings.out.name
        loss = "" if math.isnan(self.loss) else f", loss {self.loss:.4f}"  # the first comes after some steps
        line = f"{name}: {images_seen:,} images, {speed:.1f} images/s{loss}, {left} left"
        self._bar.set_description_str(line, refresh=False)
        self._bar.update(100 * done - self._bar.n)

    def say(self, sentence: str) -> None:
        """Print a line without disturbing the bar."""
        self._bar.write(sentence, file=sys.stderr)
