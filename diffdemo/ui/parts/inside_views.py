"""What is shown of the inside of a network: its blocks, some channels of each, and where attention looks."""

from functools import lru_cache

import numpy as np

from diffdemo import validate
from diffdemo.generator import Generator
from diffdemo.measure.inside import Evaluation, States
from diffdemo.request import SamplingRequest
from diffdemo.ui.components.viewer import pack, pack_numbers
from diffdemo.ui.runs.zoo import ANY, title

CHANNELS = 8  # shown of each block: those that vary most over the picture
KEPT = 8  # runs and evaluations, for an answer at once to the next click


@lru_cache(KEPT)
def states_of(model: Generator, asked: SamplingRequest) -> States:
    """The states of a run's first image, kept."""
    return States(model, asked)


@lru_cache(KEPT)
def evaluation_of(model: Generator, asked: SamplingRequest, step: int) -> Evaluation:
    """The network's evaluation at a step of a run, kept."""
    return states_of(model, asked).look(step)


def liveliest(output: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Of a block's output, the numbers of some channels and these, (K, H, W); of a vector, its numbers in rows."""
    if output.ndim == 1:
        rows = max(side for side in range(1, int(len(output) ** 0.5) + 1) if len(output) % side == 0)
        return [0], output.reshape(1, rows, -1)
    channels = np.argsort(-output.std(axis=(1, 2)), kind="stable")[:CHANNELS]
    return channels.tolist(), output[channels]


def attention_at(evaluation: Evaluation, size: tuple[int, int], row: object, column: object) -> dict[str, np.ndarray]:
    """By block, the weights (heads, H, W) for a pixel of a picture of this (height, width).

    Raises:
        RequestError: there is no such pixel.
    """
    row = validate.whole_number("row", row, 0, size[0] - 1)
    column = validate.whole_number("column", column, 0, size[1] - 1)
    places = {
        one.name: (row * one.output[1] // size[0], column * one.output[2] // size[1]) for one in _with(evaluation)
    }
    return {name: evaluation.attention(name, *place) for name, place in places.items()}


def scene(model: Generator, asked: SamplingRequest, name: str, step: object, row: object, column: object) -> dict:
    """What the component shows of a step of the run `name`, and of attention for a pixel; errors are RequestError."""
    asked = asked.part(slice(0, 1))
    t, x_t, x0 = states_of(model, asked).at(step)
    evaluation = evaluation_of(model, asked, int(step))
    looks = attention_at(evaluation, model.image_size, row, column)
    return {
        "run": name,
        "title": title(model),
        "class": asked.class_name if asked.class_name != ANY else "",
        "seed": str(asked.seeds[0]),
        "step": int(step),
        "steps": asked.steps,
        "t": t,
        "size": list(model.image_size),
        "x_t": pack(model.images(x_t)),
        "x0": pack(model.images(x0)),
        "blocks": [vars(block) for block in evaluation.blocks],
        "activations": {name: _packed(output) for name, output in evaluation.outputs.items()},
        "pixel": [int(row), int(column)],
        "attention": {
            name: {"size": weights.shape[1:], "weights": pack_numbers(weights)} for name, weights in looks.items()
        },
    }


def _packed(output: np.ndarray) -> dict:
    """Channels as int8, from their mean, 0, to what is furthest from it, 127 or -127."""
    channels, values = liveliest(output)
    low, high = values.min(axis=(1, 2)), values.max(axis=(1, 2))
    values = values - values.mean(axis=(1, 2), keepdims=True)
    furthest = np.abs(values).max(axis=(1, 2), keepdims=True)
    bytes_ = np.rint(127 * values / np.maximum(furthest, 1e-12)).astype(np.int8)
    return {
        "channels": channels,
        "size": list(values.shape[1:]),
        "values": pack(bytes_),
        "low": low.tolist(),
        "high": high.tolist(),
    }


def _with(evaluation: Evaluation) -> list:
    return [block for block in evaluation.blocks if block.heads]
