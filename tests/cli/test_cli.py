"""`python -m diffdemo` does what its help says."""

import json
import subprocess
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from cli_helpers import COMMAND, REPOSITORY, complaint, contents, tiny_sampling
from PIL import Image

import diffdemo
from diffdemo.__main__ import main
from diffdemo.cli import sample as cli_sample
from diffdemo.data.pictures import read_pictures
from diffdemo.data.pixels import to_images
from diffdemo.figures import film
from diffdemo.figures.film import LINE, MARGIN
from diffdemo.process.samplers import SeededNoise

LIST_KEYS = ["key", "space", "classes", "parameters", "images_seen", "hardware", "minutes"]
LIST_KEYS += ["prediction", "sampler", "steps", "metrics"]


@pytest.fixture
def sample(tiny_checkpoints):
    with tiny_sampling(tiny_checkpoints) as run:
        yield run


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


# --- list -------------------------------------------------------------------------------------------------------------


def test_list_json_is_an_array_with_exactly_the_promised_keys(tiny_checkpoints, capsys):
    assert main(["list", "--json", "--checkpoints", str(tiny_checkpoints)]) == 0
    models = json.loads(capsys.readouterr().out)
    assert [model["key"] for model in models] == ["simple_unet", "attention_unet"]
    assert all(list(model) == LIST_KEYS for model in models)
    assert models[0]["images_seen"] == 1234 and models[0]["classes"][7] == "horse"
    assert models == json.loads(json.dumps(diffdemo.list_models(tiny_checkpoints)))


def test_list_is_a_table_whose_columns_are_aligned(tiny_checkpoints, capsys):
    assert main(["list", "--checkpoints", str(tiny_checkpoints)]) == 0
    table, classes = capsys.readouterr().out.split("\n\n")
    head, *rows = table.splitlines()
    assert [row.split()[0] for row in rows] == ["simple_unet", "attention_unet"]
    for title, cell in (("images seen", "1,234"), ("minutes", "1.5")):
        end = head.index(title) + len(title)
        assert all(row[:end].endswith(f" {cell}") for row in rows)
    for title, cell in (("sampler", "dpmpp "), ("trained on", "a test")):
        assert all(row[head.index(title) :].startswith(cell) for row in rows)
    assert classes.startswith("Classes of simple_unet, attention_unet: airplane, automobile,")


def test_list_of_an_empty_folder_is_an_empty_array_or_a_sentence(tmp_path, capsys):
    assert main(["list", "--json", "--checkpoints", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["list", "--checkpoints", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"There is no checkpoint in {tmp_path} yet; ")


def test_list_of_a_folder_that_is_not_there_fails(tmp_path, capsys):
    assert str(tmp_path / "no") in complaint(capsys, main(["list", "--checkpoints", str(tmp_path / "no")]), 1)


# --- sample: pictures -------------------------------------------------------------------------------------------------


def test_the_same_command_twice_gives_identical_bytes(tiny_checkpoints, tmp_path):
    arguments = ["sample", "--model", "attention_unet", "--class", "horse", "--steps", "3", "--seed", "7", "-n", "4"]
    arguments += ["--checkpoints", str(tiny_checkpoints)]
    runs = []
    for name in ("first", "second"):
        outputs = ["--npy", str(tmp_path / name / "a.npy"), "--out", str(tmp_path / name / "a.png")]
        runs.append(subprocess.Popen([*COMMAND, *arguments, *outputs], cwd=REPOSITORY, stdout=subprocess.PIPE))
    for run, name in zip(runs, ("first", "second"), strict=True):
        said = run.communicate(timeout=60)[0].decode()
        assert run.returncode == 0
        place = tmp_path / name
        assert said == f"Wrote {place / 'a.png'} and {place / 'a.npy'}: 4 pictures, seeds 7 to 10.\n"
    for name in ("a.npy", "a.png"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    images = np.load(tmp_path / "first" / "a.npy")
    assert images.shape == (4, 32, 32, 3) and images.dtype == np.uint8 and images.std() > 10
    grid = pixels(tmp_path / "first" / "a.png")
    assert grid.shape == (66 * 4, 66 * 4, 3)
    np.testing.assert_array_equal(grid[:128:4, 34 * 4 :: 4], images[1])


def test_one_seed_is_one_image_on_any_batch_size(sample, tmp_path):
    assert sample("--class", "horse", "--seed", 7, "-n", 66, "--npy", tmp_path / "many.npy") == 0
    many = np.load(tmp_path / "many.npy").astype(int)
    for position in (2, 65):
        assert sample("--class", "horse", "--seed", 7 + position, "--npy", tmp_path / "one.npy") == 0
        assert abs(np.load(tmp_path / "one.npy")[0].astype(int) - many[position]).max() <= 1
    assert abs(many[2] - many[3]).max() > 10


def test_settings_reach_the_sampler(sample, tmp_path, tiny_checkpoints):
    def images(*arguments: object) -> np.ndarray:
        assert sample("--npy", tmp_path / "a.npy", *arguments) == 0
        return np.load(tmp_path / "a.npy")

    plain = images("--class", "any")
    np.testing.assert_array_equal(plain, images("--model", tiny_checkpoints / "attention_unet"))
    others = ["--class cat", "--class cat --guidance 1", "--model simple_unet", "--seed 1", "--steps 3"]
    others += [
        "--steps 4",
        "--sampler heun --steps 4",
        "--spacing karras --steps 4",
        "--eps-scale 1.1 --steps 4",
        "--sampler ddim --eta 1",
        "--sampler ddpm --variance large",
    ]
    drawn = [plain, *[images(*other.split()) for other in others]]
    assert len({array.tobytes() for array in drawn}) == len(drawn)
    model = diffdemo.load("attention_unet", device="cpu", checkpoints=tiny_checkpoints)
    np.testing.assert_array_equal(images("--class", "cat", "--device", "cpu"), model.sample("cat", steps=2, seeds=[0]))


def test_a_precision_that_is_slow_here_is_said_and_auto_is_the_fast_one(sample, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("diffdemo.device.relative_time", {"fp32": 1.0, "bf16": 3.0}.__getitem__)
    drawn = {}
    for precision in ("bf16", "fp32", "auto"):
        path = tmp_path / f"{precision}.png"
        assert sample("--device", "cpu", "--precision", precision, "--out", path) == 0
        drawn[precision] = path.read_bytes(), capsys.readouterr().err
    assert drawn["auto"] == drawn["fp32"] == (drawn["fp32"][0], "")
    assert drawn["bf16"][0] != drawn["fp32"][0]
    assert drawn["bf16"][1].startswith("Note: bf16 takes 3 times as long as fp32 on this machine; --precision auto")


def test_a_folder_gets_one_picture_for_each_seed_and_nothing_else(sample, tmp_path, capsys):
    folder = tmp_path / "new" / "folder"
    assert sample("--seed", 9, "-n", 3, "--out", f"{folder}/", "--npy", tmp_path / "a.npy") == 0
    assert capsys.readouterr().out == f"Wrote {folder} and {tmp_path / 'a.npy'}: 3 pictures, seeds 9 to 11.\n"
    assert sorted(path.name for path in folder.iterdir()) == ["10.png", "11.png", "9.png"]
    for seed, image in zip((9, 10, 11), np.load(tmp_path / "a.npy"), strict=True):
        np.testing.assert_array_equal(pixels(folder / f"{seed}.png"), image)
    before = contents(folder)
    assert sample("--seed", 12, "--scale", 3, "--out", folder) == 0
    assert capsys.readouterr().err == f"Note: {folder} holds 3 other pictures, of earlier commands.\n"
    after = contents(folder)
    assert after.pop(str(folder / "12.png")) and after == before
    assert pixels(folder / "12.png").shape == (96, 96, 3)


def test_without_out_or_npy_there_is_one_picture_in_the_current_folder(sample, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert sample() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["sample.png"]
    assert capsys.readouterr().out == "Wrote sample.png: seed 0.\n"
    assert pixels(tmp_path / "sample.png").shape == (128, 128, 3)


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_an_animation_shows_noise_and_guess_side_by_side_and_ends_with_the_sample(sample, tmp_path, suffix):
    animation, still = tmp_path / f"a{suffix}", tmp_path / "a.png"
    arguments = ["--class", "dog", "--seed", 3, "-n", 4, "--steps", 5, "--out"]
    assert sample(*arguments, animation) == 0 and sample(*arguments, still) == 0
    frames = np.stack(imageio.mimread(animation, memtest=False))[..., :3].astype(int)
    grid, width = pixels(still), frames.shape[2]
    assert len(frames) >= 6 and width >= 512
    edge, top = MARGIN, MARGIN + LINE
    state = frames[:, top : top + len(grid), edge : edge + len(grid)]
    guess = frames[:, top : top + len(grid), width - edge - len(grid) : width - edge]
    errors = [[abs(picture - grid).mean() for picture in half] for half in (state, guess)]
    assert errors[0][-1] < 8 < errors[0][0] and errors[1][-1] < 8
    caption = frames[:, top + len(grid) + 4 :]
    assert all(row.min() < 100 for row in caption)  # letters
    if suffix == ".gif":
        first_bytes = animation.read_bytes()
        assert sample(*arguments, animation) == 0 and animation.read_bytes() == first_bytes


@pytest.mark.parametrize(("steps", "count"), [(1, 2), (3, 4), (4, 4), (9, 4)])
def test_the_frames_go_from_the_noise_to_the_sample(tiny_checkpoints, monkeypatch, steps, count):
    monkeypatch.setattr(film, "MAX_FRAMES", 4)
    model = diffdemo.load("simple_unet", device="cpu", checkpoints=tiny_checkpoints)
    run = cli_sample.draw(model, [4, 5], {"steps": steps}, animated=True)
    assert (len(run.moments), run.title, run.steps) == (count, "Simple UNet, seeds 4 to 5", steps)
    noise = SeededNoise([4, 5], model.shape, torch.device("cpu"))()
    np.testing.assert_array_equal(run.moments[0].x_t, to_images(noise))
    for picture in run.moments[-1][1:]:
        np.testing.assert_array_equal(picture, run.images)
    assert cli_sample.draw(model, [4, 5], {"steps": steps}).moments == []


def test_a_run_can_be_stopped_after_a_step_and_gives_the_guess_there(sample, tiny_checkpoints, tmp_path, capsys):
    arguments = ["--class", "dog", "--seed", 3, "--steps", 5, "--stop-after"]
    assert sample(*arguments, 2, "--npy", tmp_path / "a.npy", "--out", tmp_path / "a.gif") == 0
    model = diffdemo.load("attention_unet", device="cpu", checkpoints=tiny_checkpoints)
    steps = list(model.denoise("dog", steps=5, seeds=[3]))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), to_images(steps[1].x0))
    np.testing.assert_array_equal(model.sample("dog", steps=5, seeds=[3], stop_after=5), to_images(steps[4].x_prev))
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.n_frames == 2
    capsys.readouterr()
    code = sample(*arguments, 6)
    assert "stop_after must be a whole number from 1 to 5, not '6'." in complaint(capsys, code, 2)


# --- help -------------------------------------------------------------------------------------------------------------


def test_without_a_command_it_shows_the_help_with_an_example(capsys):
    assert main([]) == 0
    shown = capsys.readouterr()
    assert "python -m diffdemo sample --model attention_unet --class horse" in shown.out and shown.err == ""
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == shown.out


# --- reconstruct ------------------------------------------------------------------------------------------------------


def test_reconstruct_sends_a_picture_through_the_autoencoder(all_checkpoints, tmp_path, capsys):
    picture, out = tmp_path / "wide.jpg", tmp_path / "new" / "out.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 90, 3), dtype=np.uint8)).save(picture)
    arguments = ["reconstruct", str(picture), "--checkpoints", str(all_checkpoints), "--device", "cpu"]
    assert main([*arguments, "--out", str(out), "--scale", "2"]) == 0
    assert capsys.readouterr().out.startswith(f"Wrote {out}: PSNR ")
    model = diffdemo.load("latent_diffusion", device="cpu", checkpoints=all_checkpoints)
    expected = model.reconstruct(read_pictures([picture]))[0]
    np.testing.assert_array_equal(pixels(out)[::2, ::2], expected)


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["nothing.png"], "There is no file nothing.png; name one that is there", 1),
        (["."], ". is a folder; name a picture in it.", 1),
        (["{picture}", "--out", "a.jpg"], "--out writes a .png file, not 'a.jpg'", 2),
        (["{picture}", "--model", "simple_unet"], "simple_unet denoises pixels and has no autoencoder", 2),
        (["{picture}", "--scale", "0"], "scale must be a whole number from 1 to 32", 2),
    ],
)
def test_what_cannot_be_reconstructed_is_refused_with_a_sentence(
    all_checkpoints, tmp_path, capsys, arguments, said, code
):
    picture = tmp_path / "a.png"
    Image.new("RGB", (32, 32)).save(picture)
    named = [argument.format(picture=picture) for argument in arguments]
    assert said in complaint(capsys, main(["reconstruct", *named, "--checkpoints", str(all_checkpoints)]), code)
