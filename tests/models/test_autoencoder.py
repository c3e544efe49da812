"""The autoencoder, its parts, and the standardised latents around it."""

import numpy as np
import pytest
import torch
from sentences import refused
from sklearn.decomposition import PCA

from diffdemo.errors import RequestError
from diffdemo.models.autoencoder import DARKEST, SimpleAutoencoder
from diffdemo.models.autoencoder_layers import CenterLoss, ChannelAttention, ScaledLinear
from diffdemo.models.settings.latent_diffusion import AutoencoderConfig
from diffdemo.registry import spec

TINY = {"latent_dim": 12, "channels": (8, 16), "blocks_per_level": 1, "patch_size": 2, "squeeze": 2}


def network(**settings) -> SimpleAutoencoder:
    torch.manual_seed(0)
    return SimpleAutoencoder(AutoencoderConfig(**TINY | settings)).eval()


def spoken(net: torch.nn.Module) -> torch.nn.Module:
    """Layers that begin at zero must speak too."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return net


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    """Smooth random pictures (N, 3, 32, 32) in [0, 1], some pixels of which are 0 or 1."""
    coarse = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed)) * 1.4 - 0.2
    return torch.nn.functional.interpolate(coarse, 32, mode="bilinear").clamp(0, 1)


def test_channel_attention_weighs_channels_by_their_means():
    layer = ChannelAttention(6, squeeze=3)
    x = torch.randn(2, 6, 4, 4)
    first, _, second, _ = layer.excite
    for picture, result in zip(x, layer(x), strict=True):
        squeezed = torch.stack([channel.mean() for channel in picture])
        hidden = (first.weight @ squeezed + first.bias).clamp(min=0)
        weights = 1 / (1 + torch.exp(-(second.weight @ hidden + second.bias)))
        for channel in range(6):
            assert torch.allclose(result[channel], picture[channel] * weights[channel], atol=1e-6)


def test_center_loss_is_the_plain_loop():
    loss = CenterLoss(num_classes=3, latent_dim=5)
    torch.nn.init.normal_(loss.centers)
    latents, labels = torch.randn(7, 5), torch.tensor([0, 2, 3, 1, 2, 3, 0])  # 3 is no class
    total, count = 0.0, 0
    for latent, label in zip(latents.tolist(), labels.tolist(), strict=True):
        if label < 3:
            center = loss.centers[label].tolist()
            total += 0.5 * sum((a - b) ** 2 for a, b in zip(latent, center, strict=True)) / 5
            count += 1
    assert loss(latents, labels).item() == pytest.approx(total / count, rel=1e-5)
    assert loss(latents, torch.full((7,), 3)).item() == 0


def test_center_loss_moves_latents_and_centers_towards_each_other():
    loss = CenterLoss(num_classes=2, latent_dim=4)
    latents = torch.ones(1, 4, requires_grad=True)
    loss(latents, torch.tensor([1])).backward()
    assert (latents.grad > 0).all() and (loss.centers.grad[1] < 0).all() and (loss.centers.grad[0] == 0).all()


def test_a_scaled_linear_layer_computes_what_it_is_set_to():
    layer, weight, bias, x = ScaledLinear(9, 4, 1 / 3), torch.randn(4, 9), torch.randn(4), torch.randn(2, 9)
    layer.set(weight, bias)
    assert torch.allclose(layer(x), x @ weight.T + bias, atol=1e-5)


def test_the_pca_start_is_scikit_learns_pca():
    train, test = pictures(60), pictures(20, seed=1)
    pca = PCA(12).fit(train.flatten(1).numpy())
    net = spoken(network(linear_path=True))  # whatever it has learned before
    net.start_from_pca(*map(torch.from_numpy, (pca.mean_, pca.components_, pca.explained_variance_)))
    back, latents, _ = net(test)
    scores = pca.transform(test.flatten(1).numpy())
    assert np.allclose(latents.detach(), scores / np.sqrt(pca.explained_variance_), atol=1e-3)
    expected = pca.inverse_transform(scores)
    assert (expected < 0).any() and (expected > 1).any()  # a sigmoid cannot go there
    assert np.allclose(back.detach().flatten(1), expected.clip(DARKEST, 1 - DARKEST), atol=1e-4)


def test_without_a_linear_path_there_is_no_pca_start():
    with refused(RequestError, "Only an autoencoder with linear_path can start from PCA"):
        network().start_from_pca(torch.zeros(3072), torch.zeros(12, 3072), torch.ones(12))


@pytest.mark.parametrize("linear_path", [False, True])
@pytest.mark.parametrize("patch_size", [1, 2, 4])
def test_shapes_and_ranges(linear_path, patch_size):
    net = spoken(network(linear_path=linear_path, patch_size=patch_size))
    back, latents, logits = net(pictures(3))
    assert back.shape == (3, 3, 32, 32) and latents.shape == (3, 12) and logits.shape == (3, 2)
    assert back.min() >= 0 and back.max() <= 1


@pytest.mark.parametrize("linear_path", [False, True])
def test_pictures_do_not_see_each_other(linear_path):
    net, batch = spoken(network(linear_path=linear_path)), pictures(4)
    together = net(batch)
    for index in range(4):
        alone = net(batch[index : index + 1])
        for one, all_of_them in zip(alone, together, strict=True):
            assert torch.allclose(one[0], all_of_them[index], atol=1e-5)


@pytest.mark.parametrize("linear_path", [False, True])
def test_every_parameter_learns(linear_path):
    net = spoken(network(linear_path=linear_path))
    batch, labels = pictures(8), torch.arange(8) % 2
    back, latents, logits = net(batch)
    loss = (back - batch).square().sum() + torch.nn.functional.cross_entropy(logits, labels)
    (loss + net.center_loss(latents, labels)).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_the_linear_path_is_exact_under_autocast():
    net, batch = network(linear_path=True), pictures(3)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(net(batch)[0], net(batch)[0].float()) and net(batch)[1].dtype == torch.float32
        rough = net.encode(batch)
    assert torch.allclose(rough, net.encode(batch), atol=1e-5)  # the convolutions still add nothing


def latent_diffusion():
    torch.manual_seed(0)
    model = spec("latent_diffusion")
    return spoken(model.build(model.configure("tiny"))).eval()


def test_standardised_latents_have_mean_zero_and_deviation_one_and_go_back():
    model, batch = latent_diffusion(), pictures(40) * 2 - 1
    before = model.decode(model.encode(batch))
    scores = model.classify(model.encode(batch))
    model.standardise(model.autoencoder.encode((batch + 1) / 2))
    latents = model.encode(batch)
    assert torch.allclose(latents.mean(0), torch.zeros(16), atol=1e-4)
    assert torch.allclose(latents.std(0), torch.ones(16), atol=1e-3)
    assert torch.allclose(model.decode(latents), before, atol=1e-4)
    assert torch.allclose(model.classify(latents), scores, atol=1e-4)
    direct = model.autoencoder((batch + 1) / 2)[0] * 2 - 1
    assert torch.allclose(before, direct, atol=1e-4)


def test_mean_and_deviation_are_part_of_the_weights():
    model = latent_diffusion()
    model.standardise(torch.randn(30, 16) * 3 + 1)
    other = latent_diffusion()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.latent_mean, model.latent_mean) and torch.equal(other.latent_std, model.latent_std)


def test_the_small_model_fits_a_repository():
    model = spec("latent_diffusion")
    weights = model.build(model.configure("small")).state_dict().values()
    assert 2 * sum(weight.numel() for weight in weights) < 12e6  # bytes in fp16


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"channels": ()}, "channels needs at least one positive number"),
        ({"latent_dim": 0}, "latent_dim must be at least 1, not 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"channels": (8, 8, 8, 8, 8, 8)}, "6 levels after patches of 2 do not fit 32 pixels"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, sentence):
    with refused(RequestError, sentence):
        AutoencoderConfig(**TINY | settings)


def test_a_config_that_went_through_json_is_the_same():
    import json
    from dataclasses import asdict

    for size in ("reference", "small", "tiny"):
        config = spec("latent_diffusion").configure(size)
        assert type(config)(**json.loads(json.dumps(asdict(config)))) == config
