"""The parts of training that need no process of their own."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentences import refused
from torch import nn

from diffdemo.errors import TrainingError
from train.loop.averages import MovingAverage, flatten
from train.loop.randomness import DataOrder, derive_seed
from train.loop.resume import locked
from train.loop.settings import Settings
from train.loop.speed import flops_per_image, matmul_ceiling
from train.loop.state import load_state, optimizer_tensors, restore_optimizer, save_state
from train.loop.task import Task


@given(
    size=st.integers(1, 50), seed=st.integers(0, 2**64 - 1), cuts=st.lists(st.integers(1, 70), min_size=1, max_size=6)
)
def test_every_epoch_is_a_shuffle_of_the_data_however_it_is_cut(size, seed, cuts):
    whole = DataOrder(size, seed).indices(0, sum(cuts))
    order, start, parts = DataOrder(size, seed), 0, []
    for cut in cuts:
        parts.append(order.indices(start, cut))
        start += cut
    assert torch.equal(torch.cat(parts), whole)
    for epoch in whole[: len(whole) // size * size].split(size) if len(whole) >= size else ():
        assert sorted(epoch.tolist()) == list(range(size))


def test_data_order_is_taken_up_in_the_middle_and_differs_between_epochs_and_seeds():
    order = DataOrder(100, 1)
    assert torch.equal(DataOrder(100, 1).indices(250, 100), order.indices(200, 200)[50:150])
    assert not torch.equal(order.indices(0, 100), order.indices(100, 100))
    assert not torch.equal(order.indices(0, 100), DataOrder(100, 2).indices(0, 100))


def test_derived_seeds_do_not_collide_between_purposes_and_steps():
    seeds = {derive_seed(0, purpose, step) for purpose in ("step", "order", "dropout") for step in range(1000)}
    assert len(seeds) == 3000


@given(
    images=st.integers(100, 10**7),
    warmup=st.integers(0, 10**4),
    decay_start=st.floats(0, 1),
    decay=st.sampled_from(["linear", "cosine"]),
    seen=st.floats(0, 1),
)
def test_learning_rate_stays_in_bounds_and_ends_at_zero(images, warmup, decay_start, decay, seen):
    settings = Settings(images=images, warmup_images=warmup, decay_start=decay_start, decay=decay, lr=0.5)
    assert 0 <= settings.learning_rate(int(seen * images), 0.0) <= 0.5
    if decay_start < 1:
        assert settings.learning_rate(images, 0.0) == 0


def test_learning_rate_warms_up_holds_and_decays_in_images_or_minutes():
    settings = Settings(images=10_000, warmup_images=1000, decay_start=0.5, lr=1.0, batch_size=100, max_minutes=10)
    assert settings.learning_rate(0, 0.0) == pytest.approx(0.1)
    assert settings.learning_rate(400, 0.0) == pytest.approx(0.5)
    assert settings.learning_rate(4000, 0.0) == 1
    assert settings.learning_rate(7500, 0.0) == pytest.approx(0.5)
    assert settings.learning_rate(4000, 7.5 * 60) == pytest.approx(0.5)
    assert settings.learning_rate(4000, 600.0) == 0


def test_a_cosine_decay_is_half_a_period_after_its_start():
    settings = Settings(images=10_000, warmup_images=1000, decay_start=0.1, decay="cosine", lr=1.0, batch_size=100)
    assert settings.learning_rate(400, 0.0) == pytest.approx(0.5)
    for seen in range(1000, 10_001, 500):
        angle = math.pi * (seen - 1000) / 9000
        assert settings.learning_rate(seen, 0.0) == pytest.approx((1 + math.cos(angle)) / 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("decay", "steep"),
        ("lr", 0),
        ("lr", math.nan),
        ("lr", math.inf),
        ("batch_size", 0),
        ("draw_epochs", 0),
        ("images", 0),
        ("accumulate", -1),
        ("ema_decay", 1.0),
        ("slow_ema_decay", -0.1),
        ("decay_start", 1.1),
        ("max_minutes", -1),
        ("clip_norm", 0),
        ("seed", 2**64),
        ("patience", -1),
        ("sample_every_images", -5),
    ],
)
def test_settings_out_of_range_are_refused_by_the_name_of_their_flag(name, value):
    with pytest.raises(TrainingError, match=f"--{name.replace('_', '-')} must be .*{value}"):
        Settings(**{name: value})


def test_moving_average_follows_its_formula():
    network, plain = nn.Linear(1, 1, bias=False), 0.0
    nn.init.zeros_(network.weight)
    averaged = MovingAverage(network, flatten(network), 0.9)
    for count in range(200):
        network.weight.data += 1
        averaged.count()
        averaged.update()
        if not count:  # the first is a copy
            plain = network.weight.item()
            continue
        decay = min(0.9, (1 + count) / (10 + count))
        plain = decay * plain + (1 - decay) * network.weight.item()
    assert averaged.module.weight.item() == pytest.approx(plain, rel=1e-5)


def test_flat_weights_are_the_network_s_in_its_own_layout():
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.GroupNorm(1, 5), nn.Conv2d(5, 2, 1))
    network.to(memory_format=torch.channels_last)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    strides = [weight.stride() for weight in network.parameters()]
    flat = flatten(network)
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())
    assert [weight.stride() for weight in network.parameters()] == strides
    assert all(weight.data_ptr() % 64 == 0 for weight in network.parameters())
    flat += 1
    assert all(torch.equal(weight, before[name] + 1) for name, weight in network.named_parameters())
    network(torch.ones(1, 3, 8, 8)).sum().backward()
    assert all(weight.grad.shape == weight.shape for weight in network.parameters())


def test_arithmetic_of_a_network_is_counted_forward_and_backward():
    class Products(Task):
        network = nn.Sequential(nn.Linear(5, 7, bias=False), nn.Linear(7, 11, bias=False))

        def prepare(self, examples, random, train):
            return examples

        def loss(self, network, batch, labels, random, train):
            return network(batch).sum()

    task = Products()
    forward = 2 * (5 * 7 + 7 * 11)
    # Backward, a product for each layer's weights, and one for what the second passes on to the first.
    assert flops_per_image(task, torch.ones(4, 5), torch.zeros(4)) == forward + forward + 2 * 7 * 11
    assert all(parameter.grad is None for parameter in task.network.parameters())
    assert matmul_ceiling(torch.device("cpu"), "fp32") > 1e8


def test_training_state_survives_the_disk_bit_for_bit(tmp_path: Path):
    torch.manual_seed(0)

    def build():
        # channels_last weights: a fused optimizer whose averages lie differently in memory mixes them up
        network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return network, torch.optim.AdamW(network.parameters(), fused=True)

    network, optimizer = build()
    for _ in range(3):
        network(torch.randn(2, 3, 8, 8)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    save_state(tmp_path, {"network": network.state_dict(), "optimizer": optimizer_tensors(optimizer), "step": 3})

    state = load_state(tmp_path)
    assert state.keys() == {"network", "optimizer", "step"} and state["step"] == 3
    twin, twin_optimizer = build()
    twin.load_state_dict(state["network"])
    restore_optimizer(twin_optimizer, state["optimizer"])
    for net, opt in ((network, optimizer), (twin, twin_optimizer)):
        net(torch.ones(1, 3, 8, 8)).sum().backward()
        opt.step()
    assert torch.equal(network.weight, twin.weight)
    assert torch.equal(network.bias, twin.bias)


def test_damaged_or_missing_state_is_a_sentence(tmp_path: Path):
    with pytest.raises(TrainingError, match="no run to resume"):
        load_state(tmp_path)
    save_state(tmp_path, {"a": {"b": torch.zeros(1000)}})
    whole = (tmp_path / "state.safetensors").read_bytes()
    (tmp_path / "state.safetensors").write_bytes(whole[:500])
    with pytest.raises(TrainingError, match="is damaged"):
        load_state(tmp_path)


def test_a_second_run_is_kept_out_of_a_folder_where_there_is_no_fcntl(tmp_path, monkeypatch):
    held = []

    def locking(descriptor, mode, size):
        if held:
            raise PermissionError(13, "Permission denied")
        held.append((mode, size))

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    with locked(tmp_path / "run"):
        assert held == [(2, 1)]
        with (
            refused(TrainingError, "Another process is training in .*run"),
            locked(tmp_path / "run"),
        ):
            pass
