"""Weights in int8: near what they were, and the same when they are rounded again."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from diffdemo.weights.quantise import LARGEST, STEP, dequantise, quantise

MOST = 127 * 65504.0  # what fp16 has a scale for


@st.composite
def weights(draw: st.DrawFn) -> torch.Tensor:
    """Weights (C, ...) float32 whose channels have sizes of their own, from denormal to huge, and zeros among them."""
    shape = draw(array_shapes(min_dims=2, max_dims=4, max_side=5))
    shares = draw(arrays(np.float32, shape, elements=st.floats(-1, 1, width=32)))
    exponents = draw(arrays(np.int64, shape[:1], elements=st.integers(-40, 22)))
    return torch.from_numpy(shares * np.exp2(exponents.reshape(-1, *[1] * (len(shape) - 1))).astype(np.float32))


def channels(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.double().flatten(1)


@given(weights())
def test_int8_has_the_shape_and_one_positive_scale_a_channel(weight):
    rounded, scale = quantise(weight)
    assert rounded.dtype == torch.int8 and rounded.shape == weight.shape
    assert scale.dtype == torch.float16 and scale.shape == weight.shape[:1]
    assert bool((scale > 0).all()) and bool(torch.isfinite(scale).all())
    assert int(rounded.min()) >= -LARGEST


@given(weights())
def test_no_number_is_off_by_more_than_half_a_scale(weight):
    rounded, scale = quantise(weight)
    back = dequantise(rounded, scale)
    assert back.dtype == torch.float32
    half = channels(scale[:, None]) / 2
    error = (channels(back) - channels(weight)).abs()
    # what rounding down takes from the largest, where fp16 is coarse
    coarse = torch.where(half < 64 * STEP, half.clamp(min=LARGEST * STEP), half)
    allowed = torch.where(channels(weight).abs() > 2 * LARGEST * half, coarse, half)
    assert bool((error <= allowed * (1 + 1e-6)).all())


@given(weights())
def test_signs_and_the_largest_number_survive(weight):
    rounded, _ = quantise(weight)
    assert bool((rounded.sign() * weight.sign() >= 0).all())
    largest, kept = channels(weight).abs().amax(1), channels(rounded).abs().amax(1)
    usual = largest >= LARGEST * STEP
    assert bool((kept[usual] == LARGEST).all())
    at = channels(weight).abs().argmax(1, keepdim=True)
    assert bool((channels(rounded).abs().gather(1, at).flatten() == kept).all())


@given(weights())
def test_what_was_rounded_is_rounded_to_the_same_again(weight):
    rounded, scale = quantise(weight)
    again, scale_again = quantise(dequantise(rounded, scale))
    assert torch.equal(again, rounded) and torch.equal(scale_again, scale)
    assert torch.equal(dequantise(again, scale_again), dequantise(rounded, scale))


def test_every_scale_of_fp16_is_found_again():
    """The thousands of scales in which fp16 is coarse, too, and those between them."""
    scales = torch.arange(1, 2**15, dtype=torch.int16).view(torch.float16)
    scales = scales[torch.isfinite(scales)].float()
    for share in (1.0, 1.0003, 0.9997, 1.3, 0.7):
        largest = (scales * LARGEST * share).clamp(max=MOST)
        weight = torch.stack([largest, -largest / 3, torch.zeros_like(largest)], 1)
        rounded, scale = quantise(weight)
        again, scale_again = quantise(dequantise(rounded, scale))
        assert torch.equal(again, rounded) and torch.equal(scale_again, scale)
        if share == 1.0:
            assert torch.equal(scale.float(), scales)


@given(weights(), st.integers(0, 4))
def test_a_channel_of_zeros_gives_zeros(weight, channel):
    weight[channel % len(weight)] = 0
    rounded, scale = quantise(weight)
    assert not bool(rounded[channel % len(weight)].any())
    assert not bool(dequantise(rounded, scale)[channel % len(weight)].any())


def test_numbers_on_the_grid_are_exact():
    weight = torch.tensor([[127.0, -64.0, 1.0], [-0.5, 0.25, 0.0]])
    rounded, scale = quantise(weight)
    assert rounded.tolist() == [[127, -64, 1], [-127, 64, 0]]
    assert scale.tolist() == [1.0, pytest.approx(0.5 / 127, rel=1e-3)]
    assert torch.equal(dequantise(rounded, scale)[0], weight[0])


@pytest.mark.parametrize(
    ("number", "said"),
    [(float("nan"), "not finite"), (float("inf"), "not finite"), (-float("inf"), "not finite"), (9e6, "too large")],
)
def test_what_has_no_int8_is_refused(number, said):
    weight = torch.ones(3, 4)
    weight[1, 2] = number
    with pytest.raises(ValueError, match=said):
        quantise(weight)
