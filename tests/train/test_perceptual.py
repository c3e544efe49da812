"""The perceptual loss, and autoencoders that are trained with it."""

from dataclasses import asdict, replace

import pytest
import torch
from safetensors import safe_open
from sentences import refused
from torch.nn import functional as F
from training_helpers import Script

from diffdemo.checkpoint import load_network, parameter_count, save_checkpoint
from diffdemo.data import CIFAR10_CLASSES, create_cat_dog_dataset, make_toy_dataset
from diffdemo.errors import TrainingError
from diffdemo.measure.classifier import ClassifierInfo, load_classifier
from diffdemo.models.classifier import Classifier, ClassifierConfig
from train.autoencoder import AutoencoderTask, Options
from train.tasks.perceptual import PerceptualLoss, load_perceptual_loss

SCRIPT, CPU = Script("train.autoencoder"), torch.device("cpu")
TINY = ["--size", "tiny", "--warmup-images", 80]


def save_classifier(folder, **settings):
    """A small classifier with random weights as a checkpoint: its features tell pictures apart, and that is enough."""
    torch.manual_seed(0)
    config = ClassifierConfig((8, 16), **settings)
    network = Classifier(config)
    info = ClassifierInfo(asdict(config), CIFAR10_CLASSES, parameter_count(network))
    save_checkpoint(folder, info, network.state_dict())
    return folder


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return make_toy_dataset(tmp_path_factory.mktemp("toy"), per_class=40)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return save_classifier(tmp_path_factory.mktemp("classifier"))


@pytest.fixture
def loss(classifier):
    return load_perceptual_loss(str(classifier), 32, 3, CPU)


@pytest.fixture
def task(toy, loss):
    """An autoencoder of toy cats and dogs that has learned nothing yet, and the perceptual loss beside it."""
    options = Options(size="tiny", perceptual_weight=1.0, reconstruction_weight=1e-6, classification_weight=0.0)
    torch.manual_seed(0)
    whole, test = options.build(2, others=0), create_cat_dog_dataset(toy)[1]
    return AutoencoderTask(whole, ("cat", "dog"), replace(options, center_weight=0.0), test, loss)


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    """Random pictures (N, 3, 32, 32) in [0, 1]."""
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_feature_maps_halve_from_level_to_level_and_end_in_the_features():
    network = Classifier(ClassifierConfig((8, 16, 12))).eval()
    pixels = pictures(3) * 2 - 1
    maps = network.feature_maps(pixels)
    assert [tuple(level.shape) for level in maps] == [(3, 8, 16, 16), (3, 16, 8, 8), (3, 12, 4, 4)]
    torch.testing.assert_close(maps[-1].mean(dim=(2, 3)), network.features(pixels))
    padded = F.pad(pixels, [0, 1, 0, 1], mode="replicate")
    torch.testing.assert_close(maps[0], network.levels[0](F.gelu(network.whitening(padded))))


def test_the_loss_is_one_minus_the_cosine_of_features_twice_at_every_place(loss):
    one, other = pictures(4), pictures(4, seed=1)
    total = 0.0
    for a, b in zip(*(loss.classifier.feature_maps(x * 2 - 1) for x in (one, other)), strict=True):
        total += (2 - 2 * F.cosine_similarity(a, b, dim=1)).mean().item()
    assert loss(one, other).item() == pytest.approx(total, rel=1e-4) and total > 0.1
    torch.testing.assert_close(loss(other, one), loss(one, other))


def test_the_same_picture_is_no_distance_away_and_a_nearer_one_is_nearer(loss):
    one, other = pictures(4), pictures(4, seed=1)
    assert loss(one, one.clone()).item() == 0
    distances = [loss(one.lerp(other, part), one).item() for part in (0.1, 0.3, 1.0)]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_gradient_reaches_encoder_and_decoder_and_leaves_the_classifier_as_it_was(task):
    before = {name: tensor.clone() for name, tensor in task.perceptual.state_dict().items()}
    task.network.train()
    task.perceptual.train()
    with torch.no_grad():
        for weight in task.network.parameters():
            weight += 0.05 * torch.randn_like(weight)  # layers that begin as zero hide what is below them
    task.loss(task.network, pictures(4), torch.zeros(4).long(), torch.Generator(), True).backward()
    for first in (task.network.encoder.layers[1], task.network.decoder.stem[0]):
        assert first.weight.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in task.perceptual.parameters())
    for name, tensor in task.perceptual.state_dict().items():  # the running means of batch normalisation too
        assert torch.equal(tensor, before[name]), name


def test_the_target_gets_no_gradient(loss):
    one, other = pictures(2).requires_grad_(), pictures(2, seed=1).requires_grad_()
    loss(one, other).backward()
    assert one.grad.abs().sum() > 0 and other.grad is None


def test_it_counts_with_its_weight_and_not_where_nothing_is_decoded(task):
    batch, labels = pictures(4), torch.zeros(4).long()

    def value(**weights):
        task.options = replace(task.options, **weights)
        return task.loss(task.network.eval(), batch, labels, torch.Generator(), False).item()

    with torch.no_grad():
        unlike = task.perceptual(task.network(batch)[0], batch).item()
    both, twice, without = value(), value(perceptual_weight=2.0), value(perceptual_weight=0.0)
    assert both - without == pytest.approx(unlike, rel=1e-3)
    assert twice - without == pytest.approx(2 * unlike, rel=1e-3)
    classes = {"reconstruction_weight": 0.0, "classification_weight": 1.0}
    assert value(**classes, perceptual_weight=0.0) == value(**classes, perceptual_weight=5.0)


def test_a_little_training_makes_reconstructions_look_more_alike(task, toy):
    train, _ = create_cat_dog_dataset(toy)
    batch = torch.from_numpy(train.images[:32]).permute(0, 3, 1, 2) / 255
    labels = torch.from_numpy(train.labels[:32])
    optimizer = torch.optim.Adam(task.network.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        loss = task.loss(task.network, batch, labels, torch.Generator(), True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_compiled_it_is_the_same(classifier, loss):
    compiled = load_perceptual_loss(str(classifier), 32, 3, CPU, compiled=True)
    one, other = (x.contiguous(memory_format=torch.channels_last) for x in (pictures(4), pictures(4, seed=1)))
    gradients = []
    for function in (loss, compiled):
        picture = one.clone().requires_grad_()
        function(picture, other).backward()
        gradients.append(picture.grad)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-6)


def test_a_run_with_it_resumes_to_the_same_bits_and_keeps_the_classifier_out(toy, classifier, tmp_path):
    flags = [*TINY, "--images", 3_200, "--perceptual-weight", 3, "--classifier", classifier]
    SCRIPT.kill_and_resume(toy, tmp_path, *flags)
    SCRIPT.finish("--data", toy, *flags, "--perceptual-weight", 0, "--out", tmp_path / "without")
    names, weights = [], []
    for run in ("whole", "without"):
        for path in sorted((tmp_path / run).glob("*.safetensors")):
            with safe_open(str(path), framework="pt") as file:
                names.append((path.name, sorted(file.keys())))
        weights.append(load_network(tmp_path / run)[0].autoencoder.decoder.head.weight)
    assert names[: len(names) // 2] == names[len(names) // 2 :]
    assert not torch.allclose(*weights, atol=1e-3)


def test_a_classifier_that_does_not_fit_is_refused(tmp_path, toy, classifier, tiny_checkpoints, monkeypatch, capsys):
    small = save_classifier(tmp_path / "small", image_size=16)
    with refused(TrainingError, "looks at pictures of 16 pixels .* in 3 colours, and the autoencoder's have 32"):
        load_perceptual_loss(str(small), 32, 3, CPU)
    with refused(TrainingError, "The shipped classifier looks at pictures of 32 pixels"):
        load_perceptual_loss("", 64, 3, CPU)
    with refused(TrainingError, "describes no classifier .*, or add --perceptual-weight 0"):
        load_perceptual_loss(str(tiny_checkpoints / "simple_unet"), 32, 3, CPU)
    for number, (flags, sentence) in enumerate(
        [
            ("--classifier nowhere", "nowhere is no checkpoint"),
            (f"--classifier {small}", f"{small} looks at pictures of 16 pixels a side"),
            ("--perceptual-weight -1", "--perceptual-weight must be"),
        ]
    ):
        words = f"--data {toy} --size tiny {flags}"
        assert sentence in SCRIPT.refusal(words, tmp_path / f"run{number}", monkeypatch, capsys)


def test_a_classifier_is_not_asked_for_where_it_is_not_needed(toy, tmp_path):
    few = ["--data", toy, *TINY, "--images", 64, "--classifier", "nowhere"]
    SCRIPT.finish(*few, "--perceptual-weight", 0, "--out", tmp_path / "weightless")
    SCRIPT.finish(*few, "--perceptual-weight", 1, "--reconstruction-weight", 0, "--out", tmp_path / "classes")


def test_the_shipped_classifier_sees_blur(toy):
    """Averaging neighbours costs few decibels and most of what the classifier looks at."""
    network = load_classifier(device="cpu").network
    texture = pictures(8).round()
    smooth = F.avg_pool2d(F.pad(texture, [1] * 4, mode="reflect"), 3, stride=1)
    shifted = texture.roll(1, dims=3)  # farther away in pixels than what is blurred, and as sharp as it was
    loss = PerceptualLoss(network)
    assert (shifted - texture).square().mean() > 1.5 * (smooth - texture).square().mean()
    assert loss(shifted, texture) < loss(smooth, texture)
