"""What every denoising network must do."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

Build = Callable[[Any], nn.Module]


def inputs(config: Any, count: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy pictures, steps and labels for a network of this config."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, config.image_channels, config.image_size, config.image_size, generator=generator)
    return x, torch.arange(count) * 300 + 7, torch.arange(count) % max(config.num_classes, 1)


def perturbed(build: Build, config: Any) -> nn.Module:
    """A network of this config without zeros among its weights, always the same, in evaluation mode."""
    torch.manual_seed(1)
    network = build(config).eval()
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return network


def assert_starts_at_zero(build: Build, config: Any) -> None:
    """A fresh network puts out zeros, shaped like the pictures; with other weights it puts out something."""
    batch = inputs(config)
    assert not build(config)(*batch).any()
    output = perturbed(build, config)(*batch)
    assert output.shape == batch[0].shape and output.dtype == torch.float32
    assert output.isfinite().all() and output.std() > 0.01


def assert_every_parameter_learns(build: Build, config: Any) -> None:
    """Every parameter gets a gradient that is not zero."""
    network, batch = perturbed(build, config).train(), inputs(config)
    (network(*batch) - batch[0]).square().mean().backward()
    assert not [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]


def assert_images_do_not_see_each_other(build: Build, config: Any) -> None:
    """A picture's output is the same alone, in a batch, and beside other pictures."""
    network, (x, t, label) = perturbed(build, config), inputs(config, count=3)
    with torch.no_grad():
        together = network(x, t, label)
        alone = torch.cat([network(x[k : k + 1], t[k : k + 1], label[k : k + 1]) for k in range(3)])
        x[1] = 5
        beside_another = network(x, t, label)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(together[[0, 2]], beside_another[[0, 2]], rtol=1e-4, atol=1e-4)


def assert_steps_and_classes_count(build: Build, config: Any) -> None:
    """Steps and classes change the output; no label is the null class; a network without classes ignores labels."""
    network, (x, t, label) = perturbed(build, config), inputs(config)
    with torch.no_grad():
        here = network(x, t, label)
        assert (network(x, t + 1, label) - here).abs().max() > 1e-6
        assert (network(x, t, (label + 1) % config.num_classes) - here).abs().max() > 1e-3
        assert torch.equal(network(x, t), network(x, t, torch.full_like(label, config.num_classes)))
        free = perturbed(build, replace(config, num_classes=0))
        assert torch.equal(free(x, t), free(x, t, label))


def assert_dropout_is_for_training_only(build: Build, config: Any) -> None:
    """In evaluation a picture's output is always the same; in training dropout changes it."""
    network, batch = perturbed(build, config), inputs(config)
    with torch.no_grad():
        assert torch.equal(network(*batch), network(*batch))
        network.train()
        assert not torch.equal(network(*batch), network(*batch))
