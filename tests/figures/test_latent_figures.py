"""The figures of latent diffusion, and the measurements they and the checkpoints show."""

import numpy as np
import pytest
import torch
from PIL import Image
from sentences import refused

import diffdemo
from diffdemo import figures
from diffdemo.data import Dataset, create_cat_dog_dataset, make_toy_dataset
from diffdemo.errors import DataError, RequestError
from diffdemo.latent import space as latent_space

FIGURES = {
    "visualize_reconstructions": {"count": 3},
    "visualize_latent_space": {"count": 16},
    "generate_samples_grid": {"count": 2, "steps": 3},
    "visualize_denoising_steps": {"columns": 3, "steps": 4},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_toy_dataset(tmp_path_factory.mktemp("toy"), per_class=40)


@pytest.fixture(scope="module")
def model(all_checkpoints):
    return diffdemo.load(str(all_checkpoints / "latent_diffusion"), device="cpu")


def draw(name: str, model, data, **settings):
    with_data = {} if name in ("generate_samples_grid", "create_diffusion_animation") else {"data": data}
    return getattr(figures, name)(model, **FIGURES.get(name, {"count": 2, "steps": 3}), **with_data, **settings)


def texts(figure) -> str:
    found = [figure.get_suptitle()]
    for axes in figure.axes:
        found += [axes.get_title(), *(label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels()))]
    return " | ".join(filter(None, found))


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_returned_for_a_notebook_or_written_where_asked(name, model, data, tmp_path):
    figure = draw(name, model, data)
    assert figure._repr_png_().startswith(b"\x89PNG")
    written = draw(name, model, data, path=tmp_path / "sub" / "figure.png")
    assert written == tmp_path / "sub" / "figure.png"
    pixels = np.asarray(Image.open(written).convert("RGB"))
    assert min(pixels.shape[:2]) > 100 and pixels.std() > 5


@pytest.mark.parametrize("name", [*FIGURES, "create_diffusion_animation"])
def test_models_of_pixels_are_refused_with_a_sentence(name, all_checkpoints, data, tmp_path):
    pixels = all_checkpoints / "simple_unet"
    with refused(RequestError, "simple_unet works on pixels and has no latent space; choose latent_diffusion"):
        draw(name, pixels, data, path=tmp_path / "figure.gif")


def test_a_folder_and_a_loaded_model_draw_the_same(all_checkpoints, model, data):
    folder = all_checkpoints / "latent_diffusion"
    assert draw("visualize_reconstructions", folder, data)._repr_png_() == (
        draw("visualize_reconstructions", str(folder), data)._repr_png_()
    )
    assert texts(draw("visualize_reconstructions", model, data)) == texts(
        draw("visualize_reconstructions", folder, data)
    )


def test_the_map_states_its_own_silhouette(model, data):
    figure = draw("visualize_latent_space", model, data)
    test = create_cat_dog_dataset(data)[1]
    points = latent_space.tsne(model.encode(test.images[:16]))
    expected = latent_space.silhouette(points, test.labels[:16])
    assert f"t-SNE of 16 test pictures' latents, silhouette {expected:.3f}" in texts(figure)
    drawn = np.concatenate([part.get_offsets() for part in figure.axes[0].collections])
    assert len(drawn) == 16
    assert np.allclose(np.sort(drawn, axis=0), np.sort(points, axis=0), atol=1e-4)


def test_the_path_ends_at_the_sample(model, data):
    from sklearn.decomposition import PCA

    figure = draw("visualize_denoising_steps", model, data, class_name="dog", seed=5)
    plane = PCA(2, random_state=0).fit(model.encode(create_cat_dog_dataset(data)[1].images))
    *_, last = model.denoise("dog", seeds=[5], steps=4)
    path, end = figure.axes[0].get_lines()
    assert len(path.get_xydata()) == 5
    assert np.allclose(path.get_xydata()[-1], plane.transform(last.x_prev.numpy())[0], atol=1e-4)
    assert np.allclose(end.get_xydata()[0], path.get_xydata()[-1])
    assert "Denoising a dog, seed 5, 4 steps" in texts(figure) and "t = 999" in texts(figure)


def test_the_animation_begins_with_noise_and_ends_with_the_samples(model, tmp_path):
    path = draw("create_diffusion_animation", model, None, path=tmp_path / "a.gif", seed=3)
    with Image.open(path) as film:
        assert film.n_frames == 4  # the noise, and what each of three steps made of it
        film.seek(3)
        last = np.asarray(film.convert("RGB")).astype(int)
    cats = model.sample("cat", seeds=[3, 4], steps=3)
    grid = figures.image_grid(np.concatenate([cats, model.sample("dog", seeds=[3, 4], steps=3)]), 2, 2)
    assert np.abs(last - grid.repeat(3, axis=0).repeat(3, axis=1)).mean() < 6  # a GIF has 256 colours


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("visualize_reconstructions", {"count": 0}, "count must be a whole number of at least 1, not 0"),
        ("generate_samples_grid", {"count": 2.5}, "count must be a whole number of at least 1, not 2.5"),
        ("visualize_denoising_steps", {"columns": 1}, "columns must be a whole number of at least 2, not 1"),
        ("visualize_denoising_steps", {"class_name": "fox"}, "fox"),
        ("generate_samples_grid", {"steps": 0}, "steps must be a whole number"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, settings, sentence, model, data):
    usual = {} if name == "generate_samples_grid" else {"data": data}
    with refused(RequestError, sentence):
        getattr(figures, name)(model, **usual | settings)


def test_data_without_cats_is_refused(model, tmp_path):
    for label in ("fox", "owl"):
        (tmp_path / label).mkdir()
        for index in range(21):
            Image.new("RGB", (32, 32), (index, 0, 0)).save(tmp_path / label / f"{index}.png")
    with refused(DataError, "There is no class 'cat'"):
        figures.visualize_reconstructions(model, data=tmp_path)


def test_the_cat_dog_dataset_has_cats_and_dogs(data):
    train, test = create_cat_dog_dataset(data)
    assert train.classes == test.classes == ("cat", "dog")
    assert (len(train), len(test)) == (80, 20)
    assert sorted(set(train.labels)) == [0, 1]
    with refused(DataError, "nowhere"):
        create_cat_dog_dataset("nowhere")


def test_psnr_is_the_formula_for_each_picture():
    black, grey, white = (np.full((2, 32, 32, 3), value) for value in (0.0, 0.1, 1.0))
    assert latent_space.psnr(black, grey) == pytest.approx([20.0, 20.0])
    assert latent_space.psnr(black, white) == pytest.approx([0.0, 0.0])
    assert latent_space.psnr(np.stack([black[0], white[0]]), grey) == pytest.approx([20.0, -10 * np.log10(0.81)])


class KnownNetwork(torch.nn.Module):
    """Keeps the mean colour of a picture: its latent, its reconstruction and, by red, its class."""

    latent_dim = 3

    def __init__(self):
        super().__init__()
        self.register_buffer("latent_mean", torch.zeros(3))

    def encode(self, pixels):
        return pixels.mean(dim=(2, 3))

    def decode(self, latents):
        return latents[:, :, None, None].expand(-1, -1, 32, 32)

    def classify(self, latents):
        return torch.stack([-latents[:, 0], latents[:, 0]], dim=1)


def test_quality_is_measured_right_on_pictures_whose_quality_is_known():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    # Flat colours, red where the class is 1 except for four pictures, and noise of a known size on top.
    red = np.where(labels ^ (np.arange(40) < 4), 200, 50)
    images = np.stack([red, rng.integers(60, 190, 40), rng.integers(60, 190, 40)], axis=1)[:, None, None, :]
    noise = np.where(rng.random((40, 32, 32, 3)) < 0.5, -10, 10)
    data = Dataset((images + noise).astype(np.uint8), labels, ("cat", "dog"), "forty pictures")
    measured = latent_space.measure(KnownNetwork(), data, data)
    assert measured["psnr"] == pytest.approx(20 * np.log10(255 / 10), abs=0.02)
    assert measured["classifier_accuracy"] == 0.9
    assert measured["n"] == 40 and measured["split"] == "forty pictures"
    # Three components hold three mean colours and a little of the noise.
    assert measured["pca_components"] == 3
    assert measured["psnr"] - 0.2 < measured["pca_psnr"] < measured["psnr"] + 0.6
    latents = latent_space.encode_and_decode(KnownNetwork(), data)[0]
    assert measured["latent_silhouette"] == pytest.approx(plain_silhouette(latents, labels), abs=1e-3)


def plain_silhouette(points: np.ndarray, labels: np.ndarray) -> float:
    values = []
    for i, point in enumerate(points):
        distances = [float(np.linalg.norm(point - other)) for other in points]
        own = [d for j, d in enumerate(distances) if labels[j] == labels[i] and j != i]
        others = [d for j, d in enumerate(distances) if labels[j] != labels[i]]
        a, b = np.mean(own), np.mean(others)
        values.append((b - a) / max(a, b))
    return float(np.mean(values))


def test_the_yardstick_is_scikit_learns_pca():
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(1)
    shapes = rng.normal(size=(5, 32, 32, 3))
    train, test = (
        Dataset(
            (128 + 12 * np.tensordot(rng.normal(size=(n, 5)), shapes, 1)).clip(0, 255).astype(np.uint8),
            np.arange(n) % 2,
            ("cat", "dog"),
            "mixtures of five shapes",
        )
        for n in (60, 10)
    )
    flat = [part.images.transpose(0, 3, 1, 2).reshape(len(part), -1) / 255 for part in (train, test)]
    pca = PCA(5, svd_solver="full").fit(flat[0])
    expected = pca.inverse_transform(pca.transform(flat[1])).clip(0, 1)
    assert np.abs(latent_space.pca_reconstructions(train, test, 5) - expected).max() < 1e-3
