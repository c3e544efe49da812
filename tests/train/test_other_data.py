"""Whoever resumes a run with other data than it began with is told so, by name, and the run stays as it was."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sentences import refused

from diffdemo.errors import TrainingError
from train import all as train_all
from train import autoencoder, classifier, latent, patch_unet, unet

SCRIPTS = [unet, patch_unet, autoencoder, latent, classifier]


def class_folders(root: Path, *names: str, count: int = 30) -> Path:
    random = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True)
        for k in range(count):
            picture = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(picture).save(root / name / f"p{k:02}.png")
    return root


def train(out: Path, **options: object) -> None:
    chosen = {"size": "tiny", "model": "simple_unet", "device": "cpu"} | options
    settings = unet.Settings(out=out, images=8 if not options.get("resume") else 16, batch_size=4, precision="fp32")
    unet.main(unet.Options(**chosen), settings, {"images", "out", *(options.keys() & {"data"})})


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """A folder with pictures of cats and dogs in `d`, and a run on them in `r`."""
    root = tmp_path_factory.mktemp("begun")
    train(root / "r", data=class_folders(root / "d", "cat", "dog"))
    return root


@pytest.fixture
def project(begun, tmp_path, monkeypatch) -> Path:
    """A copy of that, in which one works; of its run, `run.json` says where the data of the copy lie."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "r/run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data": str(tmp_path / "d")}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_goes_on_with_its_pictures_from_another_folder_too(project, monkeypatch, capsys):
    class_folders(project / "elsewhere/d", "a", "b", "c")
    monkeypatch.chdir(project / "elsewhere")  # where d is another data set
    train(project / "r", resume=True)
    known = json.loads((project / "r/run.json").read_text())
    assert known["data"] == str(project / "d") and known["data_set"]["classes"] == ["cat", "dog"]
    assert (known["data_set"]["train"], known["data_set"]["test"], len(known["commands"])) == (56, 4, 2)
    assert "on d train (56 pictures)" in capsys.readouterr().out


def test_pictures_that_have_moved_are_taken_from_where_they_are_now(project):
    (project / "d").rename(project / "moved")
    with refused(TrainingError, f"The data of {project / 'r'} were in {project / 'd'}, which is gone"):
        train(project / "r", resume=True)
    assert not (project / "d").exists()
    train(project / "r", resume=True, data=project / "moved")


def test_a_renamed_class_is_noticed(project):
    (project / "d/cat").rename(project / "d/zebra")
    with refused(TrainingError, "was trained on the classes cat, dog, and .*/d has dog, zebra; name that data"):
        train(project / "r", resume=True)


def test_an_added_class_is_noticed(project):
    class_folders(project / "d", "cow")
    with refused(TrainingError, "the classes cat, dog, and .*/d has cat, cow, dog"):
        train(project / "r", resume=True)


def test_added_pictures_are_noticed(project):
    shutil.copy(project / "d/cat/p00.png", project / "d/cat/a0.png")
    with refused(TrainingError, "was trained on 56 train and 4 test pictures, and .*/d has 57 train and 4 test ones"):
        train(project / "r", resume=True)


def test_exchanged_pictures_are_noticed(project):
    Image.new("RGB", (32, 32)).save(project / "d/cat/p05.png")
    before = (project / "r/state.safetensors").read_bytes()
    with refused(TrainingError, "was trained on other pictures than .*/d holds, though as many"):
        train(project / "r", resume=True)
    assert (project / "r/state.safetensors").read_bytes() == before


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_every_script_notices(script, project, all_checkpoints):
    out = project / "r"
    if script in (latent, autoencoder):
        shutil.copytree(all_checkpoints / "latent_diffusion", out, dirs_exist_ok=True)
    (project / "d/cat").rename(project / "d/zebra")
    own = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({name: own[name] for name in ("data", "data_set", "format")}))
    with refused(TrainingError, "the classes cat, dog, and .*/d has dog, zebra"):
        script.main(script.Options(resume=True, device="cpu"), script.Settings(out=out), {"out"})


def test_training_everything_notices_before_anything_is_trained(project):
    (project / "all").mkdir()
    (project / "r").rename(project / "all/simple_unet")
    (project / "all/all.json").write_text("{}")
    (project / "d/cat").rename(project / "d/zebra")
    with refused(TrainingError, "simple_unet was trained on the classes cat, dog, and .*/d has dog, zebra"):
        train_all.main(train_all.Options(out=project / "all", resume=True), set())
    assert json.loads((project / "all/all.json").read_text()) == {}
