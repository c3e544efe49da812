"""Inside a network: its blocks, their outputs, and the weights of attention."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from sentences import refused

from diffdemo.checkpoint import parameter_count
from diffdemo.errors import RequestError
from diffdemo.loading import load_generator
from diffdemo.measure.inside import INPUT, Evaluation, States, parts
from diffdemo.models.layers import Attention
from diffdemo.registry import SPECS

every_model = pytest.mark.parametrize("key", SPECS)
WITH_ATTENTION = ("attention_unet", "multihead_unet", "patch_unet")  # of the tiny ones


@pytest.fixture
def states(all_checkpoints, key) -> States:
    model = load_generator(all_checkpoints / key, "cpu")
    return States(model, model.request(model.classes[-1] if model.classes else None, steps=4, seeds=[5, 6]))


def evaluated(states: States, seen: dict[str, torch.Tensor], step: int) -> None:
    """Fill `seen` with what every module of the network puts out, in a pass of its own."""
    model, asked = states.generator, states.asked
    hooks = [
        module.register_forward_hook(lambda module, inputs, output, name=name: seen.__setitem__(name, output))
        for name, module in model.network.named_modules()
    ]
    t, x_t, _ = states.at(step)
    label = model.classes.index(asked.class_name) if model.classes else 0
    with torch.inference_mode():
        model.predict_x0(x_t, torch.tensor([t]), torch.tensor([label]))
    for hook in hooks:
        hook.remove()


@every_model
@pytest.mark.parametrize("size", ["reference", "small", "tiny"])
def test_the_blocks_hold_every_parameter_of_the_network_once(key, size):
    spec = SPECS[key]
    with torch.device("meta"):
        network = spec.build(spec.configure(size))
    blocks = dict(parts(network))
    assert sum(map(parameter_count, blocks.values())) == parameter_count(network)
    named = [f"{name}.{own}" for name, block in blocks.items() for own, _ in block.named_parameters()]
    assert sorted(named) == sorted(name for name, _ in network.named_parameters())


@every_model
def test_blocks_say_what_the_network_is(states, key):
    evaluation, network = states.look(2), states.generator.network
    modules = dict(network.named_modules())
    assert sum(block.parameters for block in evaluation.blocks) == states.generator.info.parameters
    for block in evaluation.blocks:
        assert block.heads == getattr(modules[block.name], "num_heads", 0)
        assert (block.output == ()) == (block.side == "beside")
        assert (block.level is None) == (block.side in ("condition", "beside"))
    on_the_way = [block for block in evaluation.blocks if block.level is not None]
    sides = [block.side for block in on_the_way]
    assert sides == sorted(sides, key=["down", "middle", "up"].index)  # it goes down once and up once
    names = [block.name for block in evaluation.blocks]
    for place, block in enumerate(evaluation.blocks):
        for source in block.skips:
            if source == INPUT:
                continue
            other = evaluation.blocks[names.index(source)]
            assert names.index(source) < place and other.level == block.level
            # What came from the block before and over the skip lies one after the other.
            assert block.input[0] > other.output[0] and block.input[1:] == other.output[1:]


def test_skips_of_a_unet_are_those_of_its_definition(tiny_checkpoints):
    model = load_generator(tiny_checkpoints / "attention_unet", "cpu")
    blocks = Evaluation(model, torch.zeros(1, *model.shape), 10, "cat").blocks
    skips = {block.name: block.skips for block in blocks if block.skips}
    # tiny: one block on each of two levels going down, two going up, attention on the second; last out, first in
    assert skips == {
        "up.0.block": ("down.2.attention",),
        "up.1.block": ("down.1",),
        "up.3.block": ("down.0.block",),
        "up.4.block": ("stem",),
    }


@every_model
def test_outputs_are_those_of_the_network_at_that_step(states, key):
    seen: dict[str, torch.Tensor] = {}
    evaluated(states, seen, 2)
    outputs = states.look(2).outputs
    assert outputs
    for name, output in outputs.items():
        torch.testing.assert_close(torch.from_numpy(output), seen[name][0], rtol=0, atol=1e-6)


@every_model
def test_the_states_are_those_of_the_run(states, key):
    model, asked = states.generator, states.asked
    steps = list(model.denoise(asked.class_name, seeds=[5], steps=4, guidance_scale=asked.guidance.scale))
    for index in (3, 0, 2):
        t, x_t, x0 = states.at(index)
        assert t == steps[index].t and torch.equal(x_t, steps[index].x_t) and torch.equal(x0, steps[index].x0)


@pytest.mark.parametrize("key", WITH_ATTENTION)
def test_weights_of_attention_are_the_networks_own(states, key):
    """Applied to the values of all spots, they give what the block itself puts out."""
    seen: dict[str, torch.Tensor] = {}
    evaluated(states, seen, 1)
    evaluation, modules = states.look(1), dict(states.generator.network.named_modules())
    attending = [block for block in evaluation.blocks if block.heads]
    assert attending and all(isinstance(modules[block.name], Attention) for block in attending)
    for block in attending:
        module, (channels, height, width) = modules[block.name], block.output
        values = seen[f"{block.name}.qkv"][0, 2 * channels :].reshape(block.heads, -1, height * width)
        output = torch.empty(channels, height, width)
        for row in range(height):
            for column in range(width):
                weights = torch.from_numpy(evaluation.attention(block.name, row, column)).reshape(block.heads, -1)
                assert weights.min() >= 0
                torch.testing.assert_close(weights.sum(dim=1), torch.ones(block.heads), rtol=0, atol=1e-5)
                output[:, row, column] = torch.einsum("hj,hcj->hc", weights, values).reshape(-1)
        own = seen[f"{block.name}.project"][0]
        torch.testing.assert_close(module.project(output[None])[0], own, rtol=0, atol=1e-5)


def test_a_run_elsewhere_is_not_mistaken_for_the_evaluation(tiny_checkpoints):
    """The page evaluates one network in several threads at once."""
    model = load_generator(tiny_checkpoints / "simple_unet", "cpu")
    x_t = torch.zeros(1, *model.shape)
    alone = Evaluation(model, x_t, 10, "cat").outputs["head"]
    with ThreadPoolExecutor(1) as other:
        busy = other.submit(lambda: [model.sample("dog", steps=3, seeds=[1, 2]) for _ in range(10)])
        while not busy.done():
            assert abs(Evaluation(model, x_t, 10, "cat").outputs["head"] - alone).max() < 1e-6
        busy.result()


def test_what_is_not_there_is_refused_in_a_sentence(tiny_checkpoints):
    model = load_generator(tiny_checkpoints / "attention_unet", "cpu")
    states = States(model, model.request("cat", steps=2))
    evaluation = states.look(0)
    name = next(block.name for block in evaluation.blocks if block.heads)
    with refused(RequestError, "step must be a whole number from 0 to 1, not 2"):
        states.at(2)
    with refused(RequestError, "no block with attention 'stem'"):
        evaluation.attention("stem", 0, 0)
    with refused(RequestError, "row must be a whole number from 0 to 7, not 8"):
        evaluation.attention(name, 8, 0)
    with refused(RequestError, "t must be a whole number from 0 to 999"):
        Evaluation(model, torch.zeros(1, 3, 32, 32), 1000)
    with refused(RequestError, "no class 'unicorn'"):
        Evaluation(model, torch.zeros(1, 3, 32, 32), 0, "unicorn")
