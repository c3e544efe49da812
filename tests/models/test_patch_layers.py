"""Patches that come back whole, and attention whose cost is linear and whose value is not changed by it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffdemo.models.patch_layers import (
    LinearAttention,
    PatchConv,
    PatchExpand,
    cut_patches,
    feature_map,
    join_patches,
    linear_attention,
)

patch_sizes = st.sampled_from([1, 2, 4])
counts = st.integers(1, 3)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def quadratic_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Equation 4 of Katharopoulos et al. 2020 as it stands: every position with every other."""
    weights = feature_map(q) @ feature_map(k).transpose(-2, -1)
    return weights / weights.sum(dim=-1, keepdim=True) @ v


def as_identity(layer: PatchConv | PatchExpand) -> PatchConv | PatchExpand:
    """The layer with a 1x1 convolution that changes nothing: what is left is its rearrangement."""
    torch.nn.init.dirac_(layer.mix.weight)
    torch.nn.init.zeros_(layer.mix.bias)
    return layer


@given(n=counts, channels=counts, rows=counts, columns=counts, p=patch_sizes)
def test_joining_patches_undoes_cutting_them_and_the_other_way_round(n, channels, rows, columns, p):
    x = random(n, channels, rows * p, columns * p)
    cut = cut_patches(x, p)
    assert cut.shape == (n, channels * p * p, rows, columns)
    assert torch.equal(join_patches(cut, p), x)
    y = random(n, channels * p * p, rows, columns)
    assert torch.equal(cut_patches(join_patches(y, p), p), y)


@given(channels=counts, rows=counts, columns=counts, p=patch_sizes)
def test_a_position_holds_exactly_the_values_of_its_patch(channels, rows, columns, p):
    x = random(1, channels, rows * p, columns * p)
    cut = cut_patches(x, p)
    for i in range(rows):
        for j in range(columns):
            patch = x[0, :, i * p : (i + 1) * p, j * p : (j + 1) * p]
            assert torch.equal(cut[0, :, i, j], patch.flatten())


@given(channels=counts, rows=counts, columns=counts, p=patch_sizes)
def test_patch_expand_undoes_patch_conv(channels, rows, columns, p):
    x = random(2, channels, rows * p, columns * p)
    cut = as_identity(PatchConv(channels, channels * p * p, p))
    join = as_identity(PatchExpand(channels * p * p, channels, p))
    assert torch.equal(join(cut(x)), x)


def test_each_patch_is_mixed_by_itself():
    """A value of one patch changes the output at its position and nowhere else."""
    layer = PatchConv(3, 8, 4)
    x = random(1, 3, 16, 16)
    changed = x.clone()
    changed[0, 1, 5, 10] += 1
    difference = (layer(x) - layer(changed)).abs().amax(dim=1)[0]
    assert difference[1, 2] > 1e-3
    difference[1, 2] = 0
    assert not difference.any()
    assert PatchExpand(8, 3, 4)(layer(x)).shape == x.shape


@given(positions=st.integers(1, 80), heads=counts, dim=st.integers(1, 8), width=st.integers(1, 8), seed=st.integers(0))
def test_linear_attention_is_quadratic_attention_with_the_same_feature_map(positions, heads, dim, width, seed):
    seed %= 2**31
    q, k = random(2, heads, positions, dim, seed=seed), random(2, heads, positions, dim, seed=seed + 1)
    v = random(2, heads, positions, width, seed=seed + 2)
    torch.testing.assert_close(linear_attention(q, k, v), quadratic_attention(q, k, v), rtol=1e-4, atol=1e-4)


def test_attention_is_an_average_of_the_values():
    q, k, v = random(1, 1, 50, 4), random(1, 1, 50, 4, seed=1), random(1, 1, 50, 4, seed=2)
    attended = linear_attention(q, k, v)
    assert (attended >= v.amin(dim=2, keepdim=True)).all() and (attended <= v.amax(dim=2, keepdim=True)).all()
    torch.testing.assert_close(linear_attention(q, k, torch.full_like(v, 3)), torch.full_like(v, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_over_many_positions_are_taken_in_float32(dtype):
    """In half precision 64 x 64 positions of large keys overflow, or lose what the last positions add."""
    q, k, v = (part.to(dtype) for part in (random(1, 1, 16, 8), 20 + random(1, 1, 4096, 8), random(1, 1, 4096, 8)))
    exact = quadratic_attention(q.double(), k.double(), v.double())
    with torch.autocast("cpu", torch.bfloat16):
        attended = linear_attention(q, k, v)
    assert attended.dtype == torch.float32
    torch.testing.assert_close(attended.double(), exact, rtol=1e-4, atol=1e-5)


def test_keys_that_underflow_give_numbers():
    far = torch.full((1, 1, 4, 2), -200.0)
    assert linear_attention(far, far, torch.ones(1, 1, 4, 2)).isfinite().all()


def test_the_layer_attends_over_all_positions_with_every_head():
    torch.manual_seed(0)
    layer = LinearAttention(8, num_heads=2)
    x = random(2, 8, 5, 7)
    assert torch.equal(layer(x), x)  # its last convolution starts at zero
    layer.project.weight.data.normal_()
    q, k, v = layer.qkv(layer.norm(x)).flatten(2).chunk(3, dim=1)  # (2, 8, 35) each
    heads = [
        quadratic_attention(*(part[:, head].transpose(1, 2) for part in (q, k, v))).transpose(1, 2)
        for head in (slice(0, 4), slice(4, 8))
    ]
    expected = x + layer.project(torch.cat(heads, dim=1).unflatten(2, (5, 7)))
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)
