"""Folders of class folders, and pictures of any size and kind, become arrays of 32x32 pixels."""

import os
from pathlib import Path

import numpy as np
import pytest
from data_helpers import at_once, random_picture, sentence, write_class
from PIL import Image, ImageOps

from diffdemo.data import load_dataset, pictures


@pytest.fixture
def pets(tmp_path) -> Path:
    """A folder of class folders: 22 cats (seeds 0 to 21) and 3 dogs (100 to 102)."""
    write_class(tmp_path / "pets" / "cat", 22)
    write_class(tmp_path / "pets" / "dog", 3, first_seed=100)
    return tmp_path / "pets"


def test_class_folders_hold_out_every_twentieth_picture(pets):
    train, test = load_dataset(pets), load_dataset(pets, "test")
    assert train.classes == test.classes == ("cat", "dog")
    assert train.source == "pets train (22 pictures)"
    assert test.labels.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(test.images, [random_picture(seed) for seed in (0, 20, 100)])
    seeds = [*range(1, 20), 21, 101, 102]
    np.testing.assert_array_equal(train.images, [random_picture(seed) for seed in seeds])
    assert train.labels.tolist() == [0] * 20 + [1, 1]


def test_train_and_test_folders_are_used_as_they_are(tmp_path):
    for split, first_seed in (("train", 0), ("test", 50)):
        write_class(tmp_path / split / "a", 2, first_seed)
        write_class(tmp_path / split / "b", 1, first_seed + 10)
    np.testing.assert_array_equal(load_dataset(tmp_path).images, [random_picture(seed) for seed in (0, 1, 10)])
    np.testing.assert_array_equal(
        load_dataset(tmp_path, "test").images, [random_picture(seed) for seed in (50, 51, 60)]
    )
    (tmp_path / "test" / "b").rename(tmp_path / "test" / "c")
    assert "the same class folders" in sentence(load_dataset, tmp_path)


def test_pictures_are_decoded_once_and_again_when_a_file_changes(pets, monkeypatch):
    decoded = []
    read = pictures.read_pictures
    monkeypatch.setattr(pictures, "read_pictures", lambda paths: decoded.append(len(paths)) or read(paths))
    first = load_dataset(pets)
    second = load_dataset(pets)
    assert decoded == [22] and isinstance(second.images, np.memmap)
    np.testing.assert_array_equal(first.images, second.images)

    Image.fromarray(random_picture(7)).save(pets / "dog" / "002.png")
    os.utime(pets / "dog" / "002.png", (1, 1))
    np.testing.assert_array_equal(load_dataset(pets).images[-1], random_picture(7))
    assert decoded == [22, 22]
    assert len(list((pets / ".diffdemo-cache").iterdir())) == 1, "the outdated array stays on disk"


def test_a_half_written_folder_cache_is_made_again(pets):
    expected = np.array(load_dataset(pets).images)
    (cached,) = (pets / ".diffdemo-cache").iterdir()
    os.truncate(cached, 1000)
    np.testing.assert_array_equal(load_dataset(pets).images, expected)
    np.testing.assert_array_equal(np.load(cached), expected)


def test_a_folder_that_cannot_hold_a_cache_works_without(pets):
    (pets / ".diffdemo-cache").write_text("a file where the cache folder would be")
    assert len(load_dataset(pets)) == len(load_dataset(pets)) == 22


def test_two_processes_may_make_the_folder_cache_at_once(pets):
    at_once(lambda: load_dataset(pets))
    (cached,) = (pets / ".diffdemo-cache").iterdir()
    np.testing.assert_array_equal(np.load(cached), load_dataset(pets).images)


def test_hidden_files_other_files_and_deep_folders(pets):
    (pets / "cat" / "notes.txt").write_text("not a picture, and not called one")
    (pets / "cat" / ".hidden.png").write_text("left by a file manager")
    (pets / ".git").mkdir()
    (pets / "dog" / "deeper").mkdir()
    Image.fromarray(random_picture(5)).save(pets / "dog" / "deeper" / "LOUD.PNG")
    data = load_dataset(pets)
    assert data.classes == ("cat", "dog") and len(data) == 23


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda pets: (pets / "cat" / "001.png").write_text("text"), "cat/001.png cannot be read as a picture"),
        (lambda pets: os.truncate(pets / "cat" / "001.png", 900), "cat/001.png cannot be read as a picture"),
        (lambda pets: (pets / "cat" / "001.png").write_bytes(b""), "cat/001.png cannot be read as a picture"),
        (
            lambda pets: Image.new("1", (20_000, 10)).save(pets / "cat" / "001.png"),
            "20,000 x 10 pixels; at most 16,384",
        ),
        (lambda pets: Image.new("1", (16_000, 10_000)).save(pets / "cat" / "001.png"), "150 million"),
        (lambda pets: (pets / "cat" / "x.ppm").write_bytes(b"P6 20000 20000 255 .."), "x.ppm has too many pixels"),
        (lambda pets: (pets / "bird").mkdir(), "bird has no pictures"),
        (lambda pets: write_class(pets / "bird", 1), "bird has only one picture"),
        (lambda pets: (pets / "dog").rename(pets / ".dog"), "only one class folder (cat)"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_spoilt_folder_gets_a_sentence(pets, spoil, expected):
    spoil(pets)
    assert expected in sentence(load_dataset, pets)
    assert not (pets / ".diffdemo-cache").exists()


@pytest.mark.parametrize("size", [(192, 64), (64, 192), (100, 37), (16, 20)])
def test_any_shape_is_resized_by_its_shorter_side_and_cropped(size):
    picture = Image.fromarray(random_picture(0, 8, 8)).resize(size, Image.Resampling.BICUBIC)
    shorter = min(size)
    resized = picture.resize([round(side * 32 / shorter) for side in size], Image.Resampling.BICUBIC)
    left, upper = (resized.width - 32) / 2, (resized.height - 32) / 2
    expected = np.asarray(resized.crop((round(left), round(upper), round(left) + 32, round(upper) + 32))).astype(int)
    assert np.abs(pictures.to_square(picture) - expected).mean() < 4


def test_the_centre_of_a_wide_and_of_a_high_picture_is_kept():
    wide = np.zeros((64, 192, 3), np.uint8)
    wide[:, 60:132] = (10, 200, 30)
    for picture in (wide, wide.transpose(1, 0, 2)):
        assert (pictures.to_square(Image.fromarray(picture)) == (10, 200, 30)).all()


def test_shrinking_is_antialiased():
    stripes = np.zeros((320, 320, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(pictures.to_square(Image.fromarray(stripes))[:, 2:-2]) <= 8


def test_a_large_jpeg_decoded_small_looks_like_the_whole(tmp_path):
    whole = Image.fromarray(random_picture(1, 16, 16)).resize((2048, 2048), Image.Resampling.BICUBIC)
    whole.save(tmp_path / "large.jpg", quality=95)
    small = pictures.read_pictures([tmp_path / "large.jpg"])[0].astype(int)
    assert np.abs(small - pictures.to_square(whole)).mean() < 2


def test_one_pixel_fills_the_picture():
    np.testing.assert_array_equal(
        pictures.to_square(Image.new("RGB", (1, 1), (9, 8, 7))), np.full((32, 32, 3), (9, 8, 7))
    )


def test_transparent_is_white():
    half = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    half.paste((255, 0, 0, 255), (0, 0, 32, 16))
    result = pictures.to_square(half)
    assert (result[:16] == (255, 0, 0)).all() and (result[16:] == 255).all()
    with_palette = half.convert("P")
    with_palette.info["transparency"] = with_palette.getpixel((0, 0))
    assert (pictures.to_square(with_palette)[:16] == 255).all()


def test_the_exif_orientation_is_respected(tmp_path):
    upright = np.zeros((32, 32, 3), np.uint8)
    upright[:16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(np.rot90(upright)).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(pictures.read_pictures([tmp_path / "turned.png"])[0], upright)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F"])
def test_white_and_black_are_so_in_every_mode(mode):
    picture = Image.new("RGB", (32, 32), "black")
    picture.paste("white", (0, 0, 32, 16))
    result = pictures.to_square(picture.convert("L").convert(mode) if mode in "IF" else picture.convert(mode)).astype(
        int
    )
    assert np.abs(result[:16] - 255).max() <= 1 and result[16:].max() <= 1


def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path):
    Image.fromarray(np.full((32, 32), 32768, np.uint16)).save(tmp_path / "grey.png")
    assert np.unique(pictures.read_pictures([tmp_path / "grey.png"])).tolist() == [128]


@pytest.mark.parametrize("worst", [1.02, 1.9, np.nan, np.inf])
def test_a_float_picture_of_0_to_1_stays_bright_whatever_sticks_out(tmp_path, worst):
    ramp = np.tile(np.linspace(0, 1, 32, dtype=np.float32), (32, 1))
    ramp[0, 0] = worst
    Image.fromarray(ramp).save(tmp_path / "ramp.tif")
    pixels = pictures.read_pictures([tmp_path / "ramp.tif"])[0]
    assert np.abs(pixels[1:, :, 0] - np.linspace(0, 255, 32)).max() <= 1
    assert pixels[0, 0, 0] == (0 if np.isnan(worst) else 255)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "CMYK"])
def test_a_large_picture_is_scaled_down_early_and_looks_the_same(mode, monkeypatch):
    small = Image.fromarray(random_picture(3, 16, 16)).resize((1280, 1300), Image.Resampling.BICUBIC).convert(mode)
    expected = np.asarray(ImageOps.fit(small.convert("RGB"), (32, 32))).astype(int)
    copied, to_rgb = [], pictures._to_rgb
    monkeypatch.setattr(pictures, "_to_rgb", lambda image: copied.append(image.size) or to_rgb(image))
    assert np.abs(pictures.to_square(small) - expected).mean() < 1
    assert copied == [(128, 130)]


@pytest.mark.parametrize(("kind", "brightest"), [(np.uint16, 65535), (np.int32, 65535), (np.float32, 1)])
def test_a_large_picture_of_large_numbers_is_scaled_down_before_they_are_unpacked(kind, brightest, monkeypatch):
    large = Image.fromarray(np.tile(np.linspace(0, brightest, 1024, dtype=kind), (1024, 1)))
    expected = pictures.to_square(large).astype(int)
    copied, to_rgb = [], pictures._to_rgb
    monkeypatch.setattr(pictures, "_to_rgb", lambda image: copied.append((image.mode, image.size)) or to_rgb(image))
    monkeypatch.setattr(pictures, "_LARGE_NUMBERS", 2**18)
    assert np.abs(pictures.to_square(large) - expected).max() <= 2 and np.ptp(expected) > 240
    assert copied == [(large.mode, (128, 128))]
