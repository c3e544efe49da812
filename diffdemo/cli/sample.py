"""What `python -m diffdemo sample` does: draw pictures and write them where the user wants them."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from diffdemo import validate
from diffdemo.atomic import hidden_folder, move
from diffdemo.data import IMAGE_SHAPE
from diffdemo.errors import RequestError
from diffdemo.figures.film import MAX_FRAMES, Moment, caption, save_film, scale_of, spread
from diffdemo.figures.raster import image_grid, save_png, write_file

if TYPE_CHECKING:
    from diffdemo.generator import Generator

KINDS = {".png": "grid", ".gif": "animation", ".mp4": "animation"}
MAX_ANIMATED = 64  # images; all of an animation is kept in memory
MAX_SCALE = 32
MAX_PIXELS = 100_000_000  # of one grid or animation, so that it takes less than a gigabyte to write
MANY = 16  # images, above which they are drawn smaller: a large GIF takes minutes to write


@dataclass(frozen=True)
class Output:
    """Where pictures are to go, checked before any is computed.

    Attributes:
        path: a .png, .gif or .mp4 file, a folder, or None.
        kind: "grid" (.png), "animation" (.gif, .mp4) or "folder"; what `path` is.
        npy: a .npy file or None.
        scale: how many pixels wide and high each pixel is drawn in `path`.
    """

    path: Path | None
    kind: str
    npy: Path | None
    scale: int

    @classmethod
    def requested(cls, out: str | None, npy: str | None, scale: str | None, count: int) -> "Output":
        """The output that the options --out, --npy and --scale ask for, for `count` pictures.

        Raises:
            RequestError: an option makes no sense, the result would be too large, or a place cannot be written to.
        """
        kind = _kind(out) if out is not None else "grid"
        if npy is not None and Path(npy).suffix.lower() != ".npy":
            raise RequestError(f"--npy writes a .npy file, not {npy!r}; name one such as images.npy.")
        size = validate.whole_number("scale", _default_scale(kind, count) if scale is None else scale, 1, MAX_SCALE)
        if out is not None:
            _check_size(kind, count, size)
        output = cls(None if out is None else Path(out), kind, None if npy is None else Path(npy), size)
        if output.path:
            _check_place(output.path, is_folder=kind == "folder")
        if output.npy:
            _check_place(output.npy, is_folder=False)
        return output

    def write(self, run: "Run", seeds: Sequence[int]) -> list[Path]:
        """Write the pictures of a run, or the animation, and return what was written.

        Either everything is written or nothing is, and what was there before then stays as it was.
        """
        if self.npy is None:
            self._write_path(run, seeds)
        else:
            # The array waits under its hidden name until --out is written, so that no failure leaves one without
            # the other. It goes through memory because NumPy's own writing to a full disk hides the reason.
            buffer = BytesIO()
            np.save(buffer, run.images)

            def write_both(unfinished: Path) -> None:
                unfinished.write_bytes(buffer.getbuffer())
                self._write_path(run, seeds)

            write_file(self.npy, write_both)
        return [path for path in (self.path, self.npy) if path]

    def others(self, seeds: Sequence[int]) -> int:
        """How many pictures the folder has besides those of these seeds; they are of earlier commands."""
        own = {f"{seed}.png" for seed in seeds}
        return sum(path.name not in own for path in self.path.glob("*.png")) if self.kind == "folder" else 0

    def _write_path(self, run: "Run", seeds: Sequence[int]) -> None:
        if self.path is None:
            return
        if self.kind == "grid":
            save_png(self.path, image_grid(run.images, scale=self.scale))
        elif self.kind == "animation":
            save_film(self.path, run.moments, run.title, run.steps, self.scale)
        else:
            _save_folder(self.path, run.images, seeds, self.scale)


@dataclass(frozen=True)
class Run:
    """What was drawn.

    Attributes:
        images: the pictures, (N, H, W, 3) uint8; of a run that was stopped, the last guess.
        title: model, class and seeds.
        steps: of the whole run.
        moments: of an animation, from pure noise to the pictures, at most MAX_FRAMES; else none.
    """

    images: np.ndarray
    title: str
    steps: int
    moments: list[Moment]


def draw(
    model: "Generator",
    seeds: Sequence[int],
    settings: dict[str, object],
    stop_after: object = None,
    animated: bool = False,
) -> Run:
    """Sample one picture for each seed and show the progress of long runs on stderr.

    `settings`, `stop_after` and errors are those of `Generator.sample`.
    """
    from diffdemo.generator import BATCH

    steps = validate.steps(settings.get("steps", model.info.defaults["steps"]), model.info.schedule.steps)
    taken = validate.steps_taken(stop_after, steps)
    shown = set(spread(taken)) if animated else ()
    batches = [seeds[start : start + BATCH] for start in range(0, len(seeds), BATCH)]
    images, moments = [], []
    with tqdm(total=len(batches) * taken, unit="step", delay=1, mininterval=1, leave=False) as bar:
        for batch in batches:
            for step in islice(model.denoise(seeds=batch, **settings), taken):
                if step.index in shown:
                    moments.append(Moment(step.index + 1, model.images(step.x_t), model.images(step.x0)))
                bar.update()
            images.append(model.images(step.x_prev if taken == steps else step.x0))
    if animated and taken == steps:
        moments.append(Moment(steps, images[0], images[0]))
    title = caption(model.info.spec.title, settings.get("class_name"), seeds)
    return Run(np.concatenate(images), title, steps, moments)


def _kind(out: str) -> str:
    path = Path(out)
    if not out:
        raise RequestError("--out needs a name: a .png, .gif or .mp4 file, or a folder.")
    if path.name.lower() in KINDS:
        raise RequestError(f"--out needs a name before {path.name}, such as pictures{path.name}.")
    if out.endswith(("/", "\\")) or path.is_dir() or not path.suffix:
        return "folder"
    if (suffix := path.suffix.lower()) not in KINDS:
        hint = "arrays are written with --npy" if suffix == ".npy" else "a folder's name ends in /"
        raise RequestError(f"--out is a {', '.join(KINDS)} file or a folder, not {path.name!r}; {hint}.")
    return KINDS[suffix]


def _default_scale(kind: str, count: int) -> int:
    if kind == "folder":
        return 1
    if kind == "animation":
        return scale_of(count, IMAGE_SHAPE[1])
    return 4 if count <= MANY else 2


def _check_size(kind: str, count: int, scale: int) -> None:
    if kind == "animation" and count > MAX_ANIMATED:
        raise RequestError(f"An animation shows at most {MAX_ANIMATED} images, not {count}; choose fewer or a folder.")
    pictures = {"grid": count, "animation": 2 * count * MAX_FRAMES, "folder": 1}[kind]
    if pictures * IMAGE_SHAPE[0] * IMAGE_SHAPE[1] * scale**2 > MAX_PIXELS:
        raise RequestError(
            f"{count} images at scale {scale} are too many pixels for one file; choose a smaller --scale, fewer images "
            "or a folder."
        )


def _check_place(path: Path, is_folder: bool) -> None:
    if path.exists() and path.is_dir() != is_folder:
        found, wanted = ("file", "folder") if is_folder else ("folder", "file")
        raise RequestError(f"{path} is a {found} already; name another {wanted}.")
    existing = next(place for place in (path if is_folder else path.parent, *path.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise _cannot_write(path, error) from error


def _save_folder(folder: Path, images: np.ndarray, seeds: Sequence[int], scale: int) -> None:
    """One PNG for each picture, named by its seed; they appear when all of them are written."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # inside a folder that exists, because the one around it may be closed to this user
        with hidden_folder(folder if folder.is_dir() else folder.parent) as unfinished:
            names = [f"{seed}.png" for seed in seeds]
            for name, image in zip(names, images, strict=True):
                save_png(unfinished / name, image_grid([image], scale=scale))
            folder.mkdir(exist_ok=True)
            for name in names:
                move(unfinished / name, folder / name)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(path: Path, error: OSError) -> RequestError:
    return RequestError(f"{path} cannot be written: {error.strerror or error}.")
