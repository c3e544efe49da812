"""The map of a latent space: how it is made, kept, and what lies where on it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sentences import refused
from sklearn.decomposition import PCA

import diffdemo
from diffdemo.checkpoint import load_network, save_checkpoint
from diffdemo.data import create_cat_dog_dataset, make_toy_dataset
from diffdemo.description import CONFIG, MAP, read_info
from diffdemo.errors import CheckpointError, DataError, RequestError
from diffdemo.latent.map import follow, interpolate, load_map, make_map
from diffdemo.weights.tensor_files import sha256
from train import latent_map as command
from train.install import install


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_toy_dataset(tmp_path_factory.mktemp("toy"), per_class=40)


@pytest.fixture(scope="module")
def folder(all_checkpoints, data, tmp_path_factory) -> Path:
    """A checkpoint with a map of 16 points; do not change it."""
    folder = tmp_path_factory.mktemp("mapped") / "latent_diffusion"
    shutil.copytree(all_checkpoints / "latent_diffusion", folder)
    command.main(folder, data, 16, "cpu")
    return folder


@pytest.fixture(scope="module")
def latent_map(folder):
    return load_map(folder)


@pytest.fixture(scope="module")
def model(folder):
    return diffdemo.load(str(folder), device="cpu")


@pytest.fixture
def changed(folder, tmp_path) -> Path:
    """The same checkpoint, for a test to damage."""
    return Path(shutil.copytree(folder, tmp_path / "changed"))


def test_a_map_holds_the_first_test_pictures_of_each_class_as_latents(latent_map, model, data):
    test = create_cat_dog_dataset(data)[1]
    expected = sorted(np.concatenate([np.flatnonzero(test.labels == label)[:8] for label in (0, 1)]))
    assert latent_map.index.tolist() == expected and latent_map.classes == ("cat", "dog")
    assert np.array_equal(latent_map.labels, test.labels[latent_map.index])
    np.testing.assert_allclose(latent_map.latents, model.encode(test.images[latent_map.index]), rtol=1e-3, atol=1e-3)


def test_the_pca_map_is_the_plane_of_the_first_two_components(latent_map):
    plane = PCA(2).fit(latent_map.latents)
    for mine, theirs in zip(latent_map.points("pca").T, plane.transform(latent_map.latents).T, strict=True):
        np.testing.assert_allclose(mine * np.sign(mine @ theirs), theirs, atol=1e-3)
    np.testing.assert_allclose(latent_map.shares, plane.explained_variance_ratio_, atol=1e-4)


def test_t_sne_places_its_own_points_and_refuses_others(latent_map):
    assert latent_map.points("tsne").shape == (16, 2) and latent_map.points("tsne").std() > 0
    with refused(RequestError, "t-SNE lays out the points it was made of and cannot place another one; use pca"):
        latent_map.place(latent_map.latents[:1], "tsne")
    with refused(RequestError, "There is no view 'umap'; choose one of: pca, tsne"):
        latent_map.points("umap")


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "heun"])
def test_a_path_begins_at_the_noise_and_ends_exactly_where_the_sample_lies(latent_map, model, sampler):
    settings = {"steps": 4, "seeds": [5, 9], "sampler": sampler}
    way: list = []
    steps = list(follow(model.denoise("dog", **settings), latent_map, way))
    *_, last = model.denoise("dog", **settings)
    assert len(way) == len(steps) + 1
    assert np.array_equal(way[0], latent_map.place(steps[0].x_t.numpy()))
    assert np.array_equal(way[-1], latent_map.place(last.x_prev.numpy()))
    for step, place in zip(steps[1:], way[1:], strict=False):
        np.testing.assert_allclose(place, latent_map.place(step.x_t.numpy()), atol=1e-5)


def test_neighbours_are_the_nearest_of_all(latent_map):
    which, distances = latent_map.neighbours(latent_map.latents[3], 5, leave_out=3)
    brute = sorted(
        (float(np.linalg.norm(other - latent_map.latents[3])), k) for k, other in enumerate(latent_map.latents)
    )
    assert which.tolist() == [k for _, k in brute[1:6]]
    np.testing.assert_allclose(distances, [distance for distance, _ in brute[1:6]], rtol=1e-5)
    assert latent_map.neighbours(latent_map.latents[3])[0][0] == 3


def test_the_way_between_two_latents_turns_evenly_and_keeps_its_length():
    a, b = np.random.default_rng(0).normal(size=(2, 128)) * [[1.0], [1.1]]
    way = interpolate(a, b, 9).astype(float)
    np.testing.assert_allclose(way[[0, -1]], [a, b], atol=1e-5)
    lengths = np.linalg.norm(way, axis=1)
    np.testing.assert_allclose(lengths, np.linspace(lengths[0], lengths[-1], 9), rtol=1e-5)
    turns = np.arccos(np.sum(way[1:] * way[:-1], axis=1) / lengths[1:] / lengths[:-1])
    np.testing.assert_allclose(turns, turns[0], rtol=1e-4)
    assert np.linalg.norm((a + b) / 2) < 0.8 * lengths.min()  # where a straight line would have led


@pytest.mark.parametrize("b", [[2.0, 4.0], [-1.0, -2.0], [0.0, 0.0]])
def test_where_there_is_no_circle_the_way_is_a_line(b):
    np.testing.assert_allclose(interpolate([1.0, 2.0], b, 3), np.linspace([1, 2], b, 3), atol=1e-6)


def test_a_way_needs_two_pictures():
    with refused(RequestError, "count must be a whole number from 2 to 1000, not 1"):
        interpolate([1.0], [2.0], 1)


def test_originals_are_known_by_their_pixels(latent_map, data, tmp_path):
    pictures = latent_map.originals(data)
    assert np.array_equal(pictures, create_cat_dog_dataset(data)[1].images[latent_map.index])
    other = make_toy_dataset(tmp_path / "other", per_class=40, seed=1)
    with refused(DataError, "holds other pictures than the map was made of, which are toy shapes test"):
        latent_map.originals(other)
    fewer = make_toy_dataset(tmp_path / "fewer", per_class=8)
    with refused(DataError, "holds other pictures than the map was made of"):
        latent_map.originals(fewer)
    with refused(DataError, "does not exist; put cifar-10-python.tar.gz"):
        latent_map.originals(tmp_path / "nowhere")


@pytest.mark.parametrize("position", [9, -1])
def test_a_map_with_one_flipped_bit_is_refused_and_the_model_still_loads(changed, position):
    content = bytearray((changed / MAP).read_bytes())
    content[position] ^= 1
    (changed / MAP).write_bytes(content)
    with refused(CheckpointError, "map.safetensors is truncated or was changed"):
        load_map(changed)
    with refused(CheckpointError, "map.safetensors is truncated or was changed"):
        install(changed, changed.parent / "installed")
    assert diffdemo.load(str(changed), device="cpu").sample("cat", steps=1).shape == (1, 32, 32, 3)


def test_a_map_of_another_shape_or_model_is_refused(changed):
    def put(tensors: dict, header: dict) -> None:
        save_file(tensors, str(changed / MAP), header)
        content = json.loads((changed / CONFIG).read_text())
        content["files"][MAP] = sha256(changed / MAP)
        (changed / CONFIG).write_text(json.dumps(content))

    tensors, identity = load_file(changed / MAP), {"diffdemo": json.dumps(read_info(changed).identity)}
    put(tensors, {"diffdemo": "{}"})
    with refused(CheckpointError, "does not belong to map.safetensors"):
        load_map(changed)
    for name, wrong in {"latents": tensors["latents"][:, :3].contiguous(), "labels": tensors["labels"] + 1}.items():
        put(tensors | {name: wrong}, identity)
        with refused(CheckpointError, "is no map of this latent space"):
            load_map(changed)


def test_without_a_map_a_sentence_names_the_command_that_makes_one(all_checkpoints):
    bare = all_checkpoints / "latent_diffusion"
    with refused(CheckpointError, "has no map of its latent space; make one with python -m train.latent_map --check"):
        load_map(bare)


def test_other_weights_make_the_map_void_and_install_carries_it_along(changed, tmp_path):
    installed = install(changed, tmp_path / "installed")
    assert np.array_equal(load_map(installed).tsne, load_map(changed).tsne)
    network, info = load_network(changed)
    save_checkpoint(changed, info, network.state_dict())
    with refused(CheckpointError, "has no map"):
        load_map(changed)


def test_the_same_pictures_make_the_same_map(model, latent_map, data):
    again = make_map(model, create_cat_dog_dataset(data)[1], 16)
    for name in ("latents", "tsne", "components"):
        assert np.array_equal(getattr(again, name), getattr(latent_map, name)), name


def test_too_few_pictures_are_refused(model, data):
    with refused(DataError, "A map needs at least 4 test pictures, and there are 2"):
        make_map(model, create_cat_dog_dataset(data)[1], 2)
