"""A run as an animation: the noisy state and the network's guess side by side, with a caption."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffdemo.figures.raster import image_grid, save_animation

WIDTH = 512  # of both halves together, at least
MARGIN, LINE, TEXT = 12, 24, 15  # pixels: around everything, of a line of text, of its letters
INK, PAPER = "#1e293b", "white"
MAX_FRAMES = 48
SECONDS_A_FRAME, SHORTEST, LONGEST, REST = 0.1, 1.0, 3.0, 1.0


class Moment(NamedTuple):
    """A step of a run: its number, counted from 1, and the state before it and the guess, each (N, H, W, 3) uint8."""

    step: int
    x_t: np.ndarray
    x0: np.ndarray


def spread(steps: int) -> list[int]:
    """Which of so many steps an animation shows, counted from 0: evenly, and with the picture after them MAX_FRAMES."""
    return np.linspace(0, steps - 1, min(steps, MAX_FRAMES - 1)).round().astype(int).tolist()


def scale_of(images: int, width: int) -> int:
    """How large each pixel of so many pictures of this width must be drawn for an animation WIDTH wide."""
    return math.ceil(WIDTH / 2 / (math.ceil(math.sqrt(images)) * (width + 2) - 2))


def film(moments: Sequence[Moment], title: str, steps: int, scale: int | None = None) -> np.ndarray:
    """The frames, (F, height, width, 3) uint8, one a moment.

    Args:
        moments: at least one, of equal shapes.
        title: what is written below the pictures.
        steps: of the whole run.
        scale: of every pixel; None is `scale_of`.
    """
    scale = scale or scale_of(len(moments[0].x_t), moments[0].x_t.shape[2])
    return np.stack([_frame(moment, title, steps, scale) for moment in moments])


def save_film(path: str | Path, moments: Sequence[Moment], title: str, steps: int, scale: int | None = None) -> Path:
    """Write a run as a .gif or .mp4 of two to four seconds, of which it rests for the last; arguments as for `film`.

    Raises:
        RequestError: the file cannot be written, or there is no ffmpeg for .mp4.
    """
    gaps = max(1, len(moments) - 1)
    moving = min(LONGEST, max(SHORTEST, SECONDS_A_FRAME * gaps))
    enlarged_already = {"scale": 1} if Path(path).suffix.lower() == ".mp4" else {}
    return save_animation(path, film(moments, title, steps, scale), fps=gaps / moving, hold=REST, **enlarged_already)


def caption(model: str, class_name: str | None, seeds: Sequence[int]) -> str:
    """The title of a run: its model, its class unless that is "any", and its seeds."""
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    return ", ".join([model, *([class_name] if class_name not in (None, "any") else []), which])


def _frame(moment: Moment, title: str, steps: int, scale: int) -> np.ndarray:
    from PIL import Image, ImageDraw

    halves = [Image.fromarray(image_grid(pictures, scale=scale)) for pictures in (moment.x_t, moment.x0)]
    width, height = halves[0].size
    inner = max(2 * width + MARGIN, WIDTH)
    frame = Image.new("RGB", (inner + 2 * MARGIN, height + 2 * LINE + 2 * MARGIN), PAPER)
    pen = ImageDraw.Draw(frame)
    left = (frame.width - 2 * width - MARGIN) // 2
    names = ("the noisy picture", "the finished picture" if moment.step == steps else "the network's guess")
    for half, name, x in zip(halves, names, (left, left + width + MARGIN), strict=True):
        frame.paste(half, (x, MARGIN + LINE))
        pen.text((x, MARGIN), name, INK, _font(name, width))
    below, where = MARGIN + LINE + height + 6, f"step {moment.step} of {steps}"
    room = inner - pen.textlength(where, _font(where)) - MARGIN
    pen.text((MARGIN, below), title, INK, _font(title, room))
    pen.text((frame.width - MARGIN, below), where, INK, _font(where), anchor="ra")
    return np.asarray(frame)


def _font(text: str, room: float = math.inf):
    """The largest letters up to TEXT with which the text fits into so many pixels."""
    from PIL import ImageFont

    sizes = (ImageFont.load_default(size) for size in range(TEXT, 5, -1))
    return next(font for font in sizes if font.size == 6 or font.getlength(text) <= room)
