"""What is written as a picture or an animation is what a reader finds in the file."""

import subprocess
import sys

import imageio.v2 as imageio
import numpy as np
import pytest
from data_helpers import random_picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from diffdemo.data.toy import toy_images
from diffdemo.errors import RequestError
from diffdemo.figures import image_grid, save_animation, save_gif, save_mp4, save_png


def decode(path) -> tuple[np.ndarray, list[int]]:
    """The frames (F, H, W, 3) of a GIF, and how long each is shown, in milliseconds."""
    with Image.open(path) as film:
        shown = [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(film)]
    return np.stack([frame for frame, _ in shown]), [duration for _, duration in shown]


def few_colours(seed: int, shape: tuple[int, ...], colours: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (colours, 3), dtype=np.uint8)[rng.integers(0, colours, shape)]


def toy_pictures(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return toy_images(rng.integers(0, 10, count), rng)


# --- grids and PNG ----------------------------------------------------------------------------------------------------


@given(
    count=st.integers(1, 12), columns=st.integers(1, 5) | st.none(), padding=st.integers(0, 3), scale=st.integers(1, 3)
)
@settings(max_examples=40, deadline=None)
def test_each_picture_is_whole_in_its_cell_and_the_rest_is_white(count, columns, padding, scale):
    images = np.random.default_rng(count).integers(0, 255, (count, 5, 4, 3), dtype=np.uint8)
    grid = image_grid(images, columns, padding, scale)
    wide = min(count, columns or int(np.ceil(np.sqrt(count))))
    high = -(-count // wide)
    assert grid.shape == (scale * (high * (5 + padding) - padding), scale * (wide * (4 + padding) - padding), 3)
    small = grid[::scale, ::scale]
    np.testing.assert_array_equal(grid, small.repeat(scale, 0).repeat(scale, 1))
    for index, image in enumerate(images):
        top, left = index // wide * (5 + padding), index % wide * (4 + padding)
        np.testing.assert_array_equal(small[top : top + 5, left : left + 4], image)
    assert np.count_nonzero((small < 255).any(-1)) == np.count_nonzero((images < 255).any(-1))


def test_one_picture_is_its_own_grid_and_a_list_is_as_good_as_an_array():
    images = [random_picture(seed) for seed in range(3)]
    np.testing.assert_array_equal(image_grid(images[:1]), images[0])
    np.testing.assert_array_equal(image_grid(images), image_grid(np.stack(images)))


@pytest.mark.parametrize(
    ("images", "options", "expected"),
    [
        ([], {}, "there are none"),
        ([random_picture(0), random_picture(0, 16, 16)], {}, "sizes (16, 16, 3) and (32, 32, 3)"),
        (np.zeros((2, 8, 8, 3)), {}, "uint8 and are (2, 8, 8, 3) float64"),
        (np.zeros((2, 3, 8, 8), np.uint8), {}, "(N, H, W, 3) uint8 and are (2, 3, 8, 8)"),
        (np.zeros((8, 8, 3), np.uint8), {}, "(8, 8, 3)"),
        (np.zeros((2, 8, 8, 3), np.uint8), {"columns": 0}, "columns >= 1"),
        (np.zeros((2, 8, 8, 3), np.uint8), {"padding": -1}, "padding >= 0"),
        (np.zeros((2, 8, 8, 3), np.uint8), {"scale": 0}, "scale >= 1"),
    ],
)
def test_what_is_no_grid(images, options, expected):
    with pytest.raises(RequestError) as raised:
        image_grid(images, **options)
    assert expected in str(raised.value)


def test_png_keeps_every_pixel_and_makes_the_folder(tmp_path):
    picture = random_picture(1, 70, 33)
    path = save_png(str(tmp_path / "new" / "deep" / "picture.png"), picture)
    assert path == tmp_path / "new" / "deep" / "picture.png" and list(path.parent.iterdir()) == [path]
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), picture)


# --- GIF --------------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6), count=st.integers(1, 6), colours=st.integers(2, 256))
@settings(max_examples=40, deadline=None)
def test_gif_frames_of_up_to_256_colours_are_exact(tmp_path_factory, seed, count, colours):
    frames = np.stack([few_colours(seed + index, (20, 13), colours) for index in range(count)])
    read, durations = decode(save_gif(tmp_path_factory.mktemp("gif") / "a.gif", frames))
    np.testing.assert_array_equal(read, frames)
    assert durations[-1] == 1000 and all(duration in (80, 90) for duration in durations[:-1])


def test_the_last_gif_frame_is_exact_after_frames_of_many_colours(tmp_path):
    last = image_grid([few_colours(seed, (32, 32), 25) for seed in range(9)])
    frames = np.stack([random_picture(seed, *last.shape[1::-1]) for seed in range(5)] + [last])
    read, _ = decode(save_gif(tmp_path / "a.gif", frames))
    assert read.shape == frames.shape
    np.testing.assert_array_equal(read[-1], last)


def test_a_last_gif_frame_that_differs_in_one_pixel_is_exact(tmp_path):
    frames = np.stack([few_colours(1, (32, 32), 256)] * 2)
    frames[1, 31, 31] ^= 255
    np.testing.assert_array_equal(decode(save_gif(tmp_path / "a.gif", frames))[0], frames)


def natural_pictures(count: int) -> np.ndarray:
    """Smooth pictures that, like photographs, vary more in brightness than in colour: about 950 colours each."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(40, 215, (count, 6, 6, 1)) + rng.normal(0, 20, (count, 6, 6, 3))
    enlarge = [Image.fromarray(picture.clip(0, 255).astype(np.uint8)).resize((32, 32), 3) for picture in coarse]
    return np.stack([np.asarray(picture) for picture in enlarge])


@pytest.mark.parametrize(("count", "mean_error", "peak_ratio"), [(1, 2.3, 39), (16, 4.1, 34)])
def test_gif_frames_of_many_colours_are_near(tmp_path, count, mean_error, peak_ratio):
    last = image_grid(natural_pictures(count))
    assert len(np.unique(last.reshape(-1, 3), axis=0)) > 800
    read, _ = decode(save_gif(tmp_path / "a.gif", np.stack([255 - last, last])))
    error = read[-1].astype(float) - last
    assert np.abs(error).mean() < mean_error
    assert 20 * np.log10(255 / np.sqrt(np.square(error).mean())) > peak_ratio


@pytest.mark.parametrize(("fps", "hold"), [(12, 1.0), (7, 0), (50, 2.5), (0.5, 1)])
def test_gif_times(tmp_path, fps, hold):
    frames = np.stack([few_colours(seed, (8, 8), 9) for seed in range(13)])
    read, durations = decode(save_gif(tmp_path / "a.gif", frames, fps=fps, hold=hold))
    assert len(read) == 13
    assert sum(durations[:-1]) == pytest.approx(12_000 / fps, abs=10)
    assert durations[-1] == pytest.approx(max(1000 * hold, 1000 / fps), abs=10)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.info["loop"] == 0


def test_equal_neighbours_in_a_gif_last_as_long_as_both(tmp_path):
    first, second = few_colours(0, (8, 8), 9), few_colours(1, (8, 8), 9)
    read, durations = decode(save_gif(tmp_path / "a.gif", np.stack([first, first, second, second]), fps=10, hold=1))
    np.testing.assert_array_equal(read, [first, second])
    assert durations == [200, 1100]


# --- MP4 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "scale"), [((32, 32), 8), ((33, 35), 1), ((33, 34), 3)])
def test_mp4_decodes_to_the_same_frames_enlarged_and_even(tmp_path, size, scale):
    pictures = [Image.fromarray(picture).resize(size) for picture in toy_pictures(5)]
    frames = np.stack([np.asarray(picture) for picture in pictures])
    path = save_mp4(tmp_path / "a.mp4", frames, fps=10, hold=0.5, scale=scale)
    film = imageio.get_reader(path)
    assert film.get_meta_data()["fps"] == 10 and film.get_meta_data()["codec"] == "h264"
    assert film.get_meta_data()["pix_fmt"].startswith("yuv420p(tv, bt709")
    read = np.stack(list(film.iter_data()))
    width, height = (scale * side + scale * side % 2 for side in size)
    assert read.shape == (4 + 5, height, width, 3)
    expected = frames.repeat(scale, 1).repeat(scale, 2)
    error = read[:5, : scale * size[1], : scale * size[0]].astype(float) - expected
    assert np.abs(error).mean() < 7  # at scale 1 four pixels share one colour
    if scale == 8:
        small = read[:5].reshape(5, 32, 8, 32, 8, 3).mean((2, 4))
        assert np.abs(small - frames).mean() < 2
    assert all(np.abs(read[4].astype(int) - later).mean() < 3 for later in read[5:])


def test_mp4_can_start_playing_before_it_is_all_there(tmp_path):
    content = save_mp4(tmp_path / "a.mp4", toy_pictures(3)).read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


# --- bad requests -----------------------------------------------------------------------------------------------------


def test_animation_goes_by_the_suffix(tmp_path):
    frames = toy_pictures(2)
    assert save_animation(tmp_path / "a.GIF", frames, fps=5).read_bytes().startswith(b"GIF89a")
    assert save_animation(tmp_path / "a.mp4", frames, hold=0, scale=2).read_bytes()[4:8] == b"ftyp"
    with pytest.raises(RequestError, match=r"a \.gif or an \.mp4 file, not 'a\.avi'"):
        save_animation(tmp_path / "a.avi", frames)


@pytest.mark.parametrize("save", [save_gif, save_mp4])
@pytest.mark.parametrize(
    "options", [{"fps": 0}, {"fps": -1}, {"fps": 51}, {"fps": float("nan")}, {"hold": -1}, {"hold": 61}]
)
def test_times_that_are_not(tmp_path, save, options):
    with pytest.raises(RequestError, match=next(iter(options))):
        save(tmp_path / "a", toy_pictures(2), **options)
    assert not list(tmp_path.iterdir())


WRITERS = {
    "a.png": lambda path: save_png(path, toy_pictures(1)[0]),
    "a.gif": lambda path: save_gif(path, toy_pictures(2)),
    "a.mp4": lambda path: save_mp4(path, toy_pictures(2)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_cannot_be_written_gets_a_sentence_and_the_old_one_stays(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(b"old")

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", no_space)
    with pytest.raises(RequestError, match=rf"{name} cannot be written: No space left on device\.$"):
        WRITERS[name](tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_bytes() == b"old"
    with pytest.raises(RequestError, match="is a folder"):
        WRITERS[name](tmp_path)
    with pytest.raises(RequestError, match="cannot be written"):
        WRITERS[name](tmp_path / name / "below-a-file")


def test_without_ffmpeg_a_gif_is_proposed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.delitem(sys.modules, "imageio.plugins.ffmpeg", raising=False)
    with pytest.raises(RequestError, match=r"choose \.gif instead"):
        save_mp4(tmp_path / "a.mp4", toy_pictures(2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kilobytes", [0, 5])
def test_a_film_that_ran_out_of_space_is_not_kept(tmp_path, kilobytes):
    code = (
        "import resource, signal, sys, numpy as np, imageio.v2; from diffdemo.figures import save_mp4;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({kilobytes * 1000},) * 2);"
        "frames = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8);"
        "save_mp4(sys.argv[1], frames)"
    )
    target = tmp_path / "a.mp4"
    ended = subprocess.run([sys.executable, "-c", code, target], check=False, capture_output=True, text=True)
    assert ended.returncode == 1 and not list(tmp_path.iterdir())
    last_line = ended.stderr.strip().splitlines()[-1]
    assert last_line.startswith("diffdemo.errors.RequestError") and last_line.endswith(".") and "a.mp4" in last_line
