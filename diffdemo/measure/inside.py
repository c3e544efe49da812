"""Inside a network: its blocks, what each of them puts out at one step of a run, and where attention looks.

One evaluation of the network tells all of it. Which block takes another's output besides that of the one before, over a
skip, is read off that evaluation too, and so is true of any network whose blocks are in `KINDS`.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from diffdemo import validate
from diffdemo.device import autocast
from diffdemo.generator import Generator
from diffdemo.models.autoencoder import Decoder, Encoder
from diffdemo.models.autoencoder_layers import CenterLoss, ScaledLinear
from diffdemo.models.latent_denoiser import VectorBlock
from diffdemo.models.layers import Attention, ClassEmbedding, ResidualBlock, SelfAttention, TimeEmbedding
from diffdemo.models.patch_layers import DoubleConvolution, LinearAttention, PatchConv, PatchExpand
from diffdemo.models.unet import Upsample
from diffdemo.request import SamplingRequest

INPUT = "input"  # the name of what the network is given, as the source of a skip
KINDS: dict[type[nn.Module], str] = {
    **dict.fromkeys((ResidualBlock, DoubleConvolution, VectorBlock), "residual block"),
    SelfAttention: "attention",
    LinearAttention: "linear attention",
    PatchConv: "cut patches",
    PatchExpand: "join patches",
    Upsample: "double",
    TimeEmbedding: "time embedding",
    ClassEmbedding: "class embedding",
    Encoder: "encoder",
    Decoder: "decoder",
    CenterLoss: "class centres",
    **dict.fromkeys((nn.Linear, ScaledLinear), "linear layer"),
    **dict.fromkeys((nn.GroupNorm, nn.LayerNorm), "norm"),
    nn.Conv2d: "convolution",
}
CONDITION = ("time_embedding", "class_embedding", "picture_weight", "input_scale")  # not on the picture's own way


@dataclass(frozen=True)
class Block:
    """A part of a network that a diagram shows as one.

    Attributes:
        name: its path in the network, such as "down.1.attention".
        kind: what it is, in a word or two; see `KINDS`. A convolution that halves the resolution is "halve".
        side: "down", "middle" or "up" on the way of the picture; "condition" for what is made of step and class;
            "beside" for what a step does not use, such as the autoencoder of a latent model.
        level: 0 for the finest resolution, or the widest arc of skips, counting down; None off the picture's way.
        input, output: shapes of one example, (C, H, W) or (D,); empty if a step does not use it.
        parameters: how many numbers it has learned.
        heads: of attention, otherwise 0.
        skips: names of earlier blocks, or INPUT, whose output it takes beside that of the block before.
    """

    name: str
    kind: str
    side: str
    level: int | None
    input: tuple[int, ...]
    output: tuple[int, ...]
    parameters: int
    heads: int
    skips: tuple[str, ...]


class Evaluation:
    """One evaluation of a generator's network on one state of one image.

    Attributes:
        t: the training step.
        blocks: all of the network, those that a step uses in the order in which it does; their parameters add up to the
            network's.
        outputs: by name, what each block that took part put out: (C, H, W) or (D,) float32.

    Args:
        generator: whose network it is.
        x_t: (1, *shape), the state.
        t: the training step, 0 to T - 1.
        class_name: the class it is told, or ANY.

    Raises:
        RequestError: t is out of range, or the model does not know the class.
    """

    def __init__(self, generator: Generator, x_t: Tensor, t: object, class_name: str | None = None):
        self.t = validate.whole_number("t", t, 0, generator.diffusion.schedule.steps - 1)
        label = validate.class_index(class_name, generator.classes, generator.key)
        label = len(generator.classes) if label is None else label
        self._modules = dict(parts(generator.network))
        self._seen: dict[str, tuple[Tensor, Tensor]] = {}  # what each took and put out, as they come
        mine = threading.get_ident()  # runs of other visitors, in other threads, evaluate the same network meanwhile

        def watch(name: str):
            def see(module: nn.Module, inputs: tuple, output: Tensor) -> None:
                if threading.get_ident() == mine:
                    self._seen[name] = inputs[0], output

            return see

        with ExitStack() as stack, torch.inference_mode(), _Joins() as joins:
            for name, module in [(INPUT, generator.network), *self._modules.items()]:
                handle = module.register_forward_hook(watch(name))
                stack.callback(handle.remove)
            stack.enter_context(autocast(generator.device, generator.precision))
            steps = torch.tensor([self.t], device=generator.device)
            labels = torch.tensor([label], device=generator.device)
            generator.diffusion.denoise(generator.network, x_t.to(generator.device), steps, labels)
        given, _ = self._seen.pop(INPUT)
        self.outputs = {name: output[0].float().cpu().numpy() for name, (_, output) in self._seen.items()}
        self.blocks = self._describe(given, joins)

    def attention(self, name: str, row: object, column: object) -> np.ndarray:
        """How much each position counts for one of them: (heads, H, W) float32, of which each head's add up to 1.

        These are the weights with which the block sums the values v of all positions j for the position i. Softmax
        attention has w_ij = softmax_j(q_i . k_j / sqrt(d)) (Vaswani et al. 2017, equation 1); linear attention has
        w_ij = phi(q_i) . phi(k_j) / sum_j phi(q_i) . phi(k_j) (Katharopoulos et al. 2020, equation 4), which it never
        writes down.

        Args:
            name: of a block with attention.
            row, column: the position, from 0, on that block's own H x W.

        Raises:
            RequestError: there is no such block or position.
        """
        validate.choice("block with attention", name, [block.name for block in self.blocks if block.heads])
        x, _ = self._seen[name]
        height, width = x.shape[2:]
        row = validate.whole_number("row", row, 0, height - 1)
        column = validate.whole_number("column", column, 0, width - 1)
        module: Attention = self._modules[name]
        with torch.inference_mode():
            q, k, _ = module.heads(x)
            place = row * width + column
            weights = module.weights(q[:, :, place : place + 1], k)[0, :, 0]  # (heads, H W)
        return weights.float().reshape(-1, height, width).cpu().numpy()

    def _describe(self, given: Tensor, joins: "_Joins") -> list[Block]:
        made = {id(output): name for name, (_, output) in self._seen.items()} | {id(given): INPUT}
        skips = {name: joins.skips(taken, made) for name, (taken, _) in self._seen.items()}
        on_the_way = [name for name in self._seen if name.rpartition(".")[2] not in CONDITION]
        place = {name: number for number, name in enumerate(on_the_way)}
        crossing = [(place[source], place[name]) for name in place for source in skips[name] if source != INPUT]
        last_source = max((source for source, _ in crossing), default=-1)
        first_target = min((target for _, target in crossing), default=len(place))
        outputs = {name: tuple(output.shape[1:]) for name, (_, output) in self._seen.items()}
        sides = sorted({outputs[name][1] for name in place if len(outputs[name]) == 3}, reverse=True)

        def level(name: str) -> int:
            if sides:
                return sides.index(outputs[name][1])
            return sum(source < place[name] < target for source, target in crossing)

        lowest = max(map(level, place))
        at_the_bottom = [place[name] for name in place if level(name) == lowest]

        def side(name: str) -> str:
            if level(name) == lowest and last_source < place[name] < first_target:
                return "middle"
            return "down" if place[name] <= min(last_source, at_the_bottom[-1]) else "up"

        return [
            Block(
                name=name,
                kind=_kind(module),
                side=side(name) if name in place else "condition" if name in self._seen else "beside",
                level=level(name) if name in place else None,
                input=tuple(self._seen[name][0].shape[1:]) if name in self._seen else (),
                output=outputs.get(name, ()),
                parameters=sum(parameter.numel() for parameter in module.parameters()),
                heads=module.num_heads if isinstance(module, Attention) else 0,
                skips=skips.get(name, ()),
            )
            for name, module in sorted(self._modules.items(), key=lambda one: self._order(one[0]))
        ]

    def _order(self, name: str) -> int:
        seen = list(self._seen)
        return seen.index(name) if name in seen else len(seen)


class States:
    """The states of the first image of a run, taken as far as they are asked for.

    Args:
        generator: that denoises.
        asked: the run, of whose images the others are left out.
    """

    def __init__(self, generator: Generator, asked: SamplingRequest):
        self.generator, self.asked = generator, asked.part(slice(0, 1))
        self._steps = generator.run(self.asked)
        self._kept: list[tuple[int, Tensor, Tensor]] = []
        self._lock = threading.Lock()

    def at(self, step: object) -> tuple[int, Tensor, Tensor]:
        """(t, x_t, x0) of a step: the training step, the state (1, *shape), and the run's guess, guided and in bounds.

        Raises:
            RequestError: the run has no such step; they count from 0.
        """
        step = validate.whole_number("step", step, 0, self.asked.steps - 1)
        with self._lock:
            while len(self._kept) <= step:
                one = next(self._steps)
                self._kept.append((one.t, one.x_t, one.x0))
            return self._kept[step]

    def look(self, step: object) -> Evaluation:
        """The network's evaluation at a step, with the class of the run; guidance takes another, which is not shown."""
        t, x_t, _ = self.at(step)
        return Evaluation(self.generator, x_t, t, self.asked.class_name)


class _Joins(TorchFunctionMode):
    """Notes which tensors are concatenated, in this thread."""

    def __init__(self):
        super().__init__()
        self._parts: list[tuple[Tensor, list[Tensor]]] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if func is torch.cat:
            self._parts.append((output, list(args[0])))
        return output

    def skips(self, taken: Tensor, made: dict[int, str]) -> tuple[str, ...]:
        """The names of the blocks that `made` what was put behind the first part of a tensor that is `taken`."""
        for output, parts in self._parts:
            if output is taken:
                return tuple(made[id(part)] for part in parts[1:] if id(part) in made)
        return ()


def parts(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Paths and modules of `KINDS` in a network, as they are defined; together they hold all of its parameters."""
    for name, child in module.named_children():
        full = f"{path}{name}"
        if type(child) in KINDS:
            yield full, child
        else:
            yield from parts(child, f"{full}.")


def _kind(module: nn.Module) -> str:
    return "halve" if isinstance(module, nn.Conv2d) and module.stride != (1, 1) else KINDS[type(module)]
