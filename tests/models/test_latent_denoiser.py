"""The denoiser of vectors."""

import pytest
import torch

from diffdemo.models.latent_denoiser import ConditionalUNet
from diffdemo.process.diffusion import Diffusion, add_noise
from diffdemo.process.schedule import NoiseSchedule


def network(hidden=(32, 48, 32)) -> ConditionalUNet:
    torch.manual_seed(0)
    net = ConditionalUNet(dim=10, num_classes=2, hidden=hidden, embedding_dim=24)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn_like(parameter)  # layers that begin at zero must speak too
    return net.eval()


def inputs(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.randn(count, 10), torch.randint(0, 1000, (count,)), torch.arange(count) % 3


@pytest.mark.parametrize("hidden", [(32, 48, 32), (32, 32), (16,), (16, 24, 24, 16)])
def test_any_widths_give_back_the_shape(hidden):
    assert network(hidden)(*inputs(5)).shape == (5, 10)


def test_the_reference_has_its_widths_and_a_skip_across_the_middle():
    net = ConditionalUNet(dim=128, num_classes=2, hidden=(256, 512, 256), embedding_dim=64)
    assert [block.linear1.out_features for block in net.blocks] == [256, 512, 256]
    assert [block.linear1.in_features for block in net.blocks] == [128, 256, 512 + 256]
    assert net.head.in_features == 256 + 128


def test_vectors_do_not_see_each_other():
    net, (x, t, label) = network(), inputs(6)
    together = net(x, t, label)
    for i in range(6):
        assert torch.allclose(net(x[i : i + 1], t[i : i + 1], label[i : i + 1])[0], together[i], atol=1e-5)


def test_time_and_class_matter_and_no_class_is_the_null_class():
    net, (x, t, _) = network(), inputs(4)
    cat, dog, null = (net(x, t, torch.full_like(t, label)) for label in (0, 1, 2))
    assert not torch.allclose(cat, dog, atol=1e-3)
    assert not torch.allclose(net(x, (t + 500) % 1000, None), null, atol=1e-3)
    assert torch.equal(net(x, t), null)


def test_it_begins_by_predicting_zero_and_every_parameter_learns():
    fresh = ConditionalUNet(dim=10, num_classes=2, hidden=(32, 48, 32), embedding_dim=24)
    assert (fresh(*inputs(4)) == 0).all()
    net, (x, t, label) = network(), inputs(12)
    (net(x, t, label) - x).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_it_learns_two_points():
    """Two classes with one latent each: after some training, noisy latents are recognised."""
    torch.manual_seed(0)
    points = torch.tensor([[2.0] * 10, [-2.0] * 10])
    net, diffusion = ConditionalUNet(10, 2, (64, 64, 64), 32), Diffusion(NoiseSchedule(), "noise")
    optimizer, random = torch.optim.Adam(net.parameters(), 3e-3), torch.Generator().manual_seed(0)
    for _ in range(600):
        label = torch.randint(0, 2, (64,), generator=random)
        t, eps = diffusion.draw_timesteps(64, random), torch.randn(64, 10, generator=random)
        loss = diffusion.loss(net, points[label], t, eps, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for label in (0, 1):
        t, labels = torch.full((64,), 500), torch.full((64,), label)
        x_t = add_noise(points[labels], torch.randn(64, 10, generator=random), diffusion.alpha_bar(t, points[labels]))
        guess = diffusion.denoise(net, x_t, t, labels)
        assert (guess - points[label]).square().mean() < 0.2  # x_t itself is more than 2 away
