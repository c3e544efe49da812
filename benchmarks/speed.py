"""How fast sampling and training are, beside others and on their own, as Markdown: `python -m benchmarks.speed`

Sampling against the same weights driven by diffusers, training against a naive loop (`benchmarks.training_speed`); how
time and memory grow with pictures, steps and users; and what share of a plain matrix product's speed is reached. What
is compared takes turns, and ratios are taken round by round.
"""

import copy
import statistics
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import numpy as np
import torch
import typer
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import training_speed
from benchmarks.support.diffusers_adapter import SCHEDULERS, Adapter, Pipeline, scheduler
from benchmarks.support.stopwatch import Stopwatch, in_turns
from diffdemo import CHECKPOINTS, catalog
from diffdemo.checkpoint import load_network
from diffdemo.device import choose_device, hardware_name, peak_memory
from diffdemo.generator import Generator
from diffdemo.latent.space import psnr
from diffdemo.loading import generator_for
from train.flags import run_app, whole_numbers
from train.loop.speed import matmul_ceiling

STEPS = 10  # of what is compared; diffusers takes the steps that we take where they divide the schedule


def heading(*columns: str) -> None:
    """The first two lines of a table of Markdown."""
    print(f"\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")


def row(*cells: object) -> None:
    """A line of it."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def against_diffusers(ours: dict[str, Generator], theirs: Generator, batches: list[int], rounds: int) -> None:
    """Pictures a second of each way to sample, and how near the pictures are."""
    heading("sampler", "pictures", "diffusers, fp32", *(f"{name}, x diffusers, PSNR" for name in ours))
    class_name = next(iter(theirs.classes), None)
    unet = Adapter(theirs, class_name)
    for sampler in SCHEDULERS:
        pipeline = Pipeline(unet, scheduler(sampler, theirs.diffusion.schedule))
        for batch in batches:
            seeds, drawn = list(range(batch)), {}
            settings = {"seeds": seeds, "steps": STEPS, "sampler": sampler, "spacing": "trailing"}
            settings |= {"guidance_scale": 1, "eps_scale": 1}
            ways = {"diffusers": lambda p=pipeline, s=seeds, d=drawn: d.update(diffusers=p(s, STEPS))}
            for name, generator in ours.items():
                ways[name] = lambda g=generator, n=name, s=settings, d=drawn: d.update({n: g.sample(class_name, **s)})
            taken = in_turns(ways, rounds)
            cells = []
            for name in ours:
                ratios = [other / own for other, own in zip(taken["diffusers"], taken[name], strict=True)]
                with np.errstate(divide="ignore"):
                    likeness = psnr(drawn[name] / 255, drawn["diffusers"] / 255).min()
                speed = batch / statistics.median(taken[name])
                cells.append(
                    f"{speed:.2f}/s, {statistics.median(ratios):.2f} x, {likeness:.0f} dB".replace("inf dB", "the same")
                )
            row(sampler, batch, f"{batch / statistics.median(taken['diffusers']):.2f}/s", *cells)


def growth(generator: Generator, batches: list[int], steps: list[int], users: list[int], rounds: int) -> None:
    """Seconds and memory over pictures, steps and users; and of the seconds, what goes into the network."""
    device, watch = generator.device, Stopwatch(generator)
    class_name = next(iter(generator.classes), None)
    per_picture = flops(generator)
    ceiling = matmul_ceiling(device, generator.precision)
    print(
        f"\nA matrix product reaches {ceiling / 1e9:.3g} GFLOP/s in {generator.precision}; one evaluation of one ",
        end="",
    )
    print(f"picture is {per_picture / 1e9:.3g} GFLOP.")
    heading("pictures", "steps", "users", "seconds", "a step and picture", "in the network", "of the product", "memory")
    cases = [(batch, STEPS, 1) for batch in batches] + [(1, count, 1) for count in steps]
    for batch, count, at_once in cases + [(1, STEPS, number) for number in users]:
        settings = {"class_name": class_name, "steps": count, "guidance_scale": 1, "sampler": "ddim"}

        def all_users(batch=batch, at_once=at_once, settings=settings) -> None:
            watch.reset()
            with ThreadPoolExecutor(at_once) as pool:
                each = [pool.submit(generator.sample, seeds=range(k, k + batch), **settings) for k in range(at_once)]
                for run in each:
                    run.result()

        (taken,) = in_turns({"": all_users}, rounds).values()
        seconds, evaluations = statistics.median(taken), batch * count * at_once
        alone = at_once == 1 and device.type == "cpu"  # else the watch, of the last round, does not see the network
        row(
            *(batch, count, at_once, f"{seconds:.3f}", f"{1e3 * seconds / evaluations:.1f} ms"),
            f"{watch.seconds / taken[-1]:.0%}" if alone else "",
            f"{per_picture * evaluations / seconds / ceiling:.0%}",
            f"{peak_memory(device):,} MiB",
        )


def flops(generator: Generator) -> float:
    """Floating-point operations of one evaluation of one picture, as torch counts them."""
    network = copy.deepcopy(generator.network)
    one = torch.zeros(1, dtype=torch.long, device=generator.device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        generator.diffusion.denoise(network, torch.zeros(1, *generator.shape, device=generator.device), one, one)
    return counter.get_total_flops()


def main(
    model: Annotated[str, typer.Option(metavar="KEY|FOLDER", help="Which model samples.")] = "attention_unet",
    batches: Annotated[str, typer.Option(help="Pictures at once.")] = "1,4,16,64",
    steps: Annotated[str, typer.Option(help="Of one picture.")] = "1,10,100,1000",
    users: Annotated[str, typer.Option(help="Who sample at the same time, a picture each.")] = "1,2,4,8",
    rounds: Annotated[int, typer.Option(help="Of all ways, in turn.")] = 3,
    compiled: Annotated[bool, typer.Option("--compile", help="Compare a compiled network, too.")] = False,
    training_seconds: Annotated[float, typer.Option(help="Of each way to train in a round; 0 leaves it out.")] = 20,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="What to sample in besides fp32: auto, bf16 or fp16.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 is all of them.")] = 0,
) -> None:
    """Print tables of Markdown; all of them take about an hour on two cores."""
    if threads:
        torch.set_num_threads(threads)
    many, counts, together = (
        list(whole_numbers(name, text, "numbers such as 1,4,16"))
        for name, text in (("--batches", batches), ("--steps", steps), ("--users", users))
    )
    place, folder = choose_device(device), catalog.find(model, CHECKPOINTS)

    def new(precision: str, compile: bool = False) -> Generator:
        return generator_for(*load_network(folder), place, precision, compile)

    ours = {"ours, fp32": new("fp32")}
    if (quick := new(precision)).precision != "fp32":
        ours[f"ours, {quick.precision}"] = quick
    if compiled:
        ours[f"ours, {quick.precision}, compiled"] = new(precision, True)
    print(f"{model} on {hardware_name(place)}, torch {torch.__version__}; {STEPS} steps where no more is said.")
    against_diffusers(ours, new("fp32"), many, rounds)
    growth(ours["ours, fp32"], many, counts, together, rounds)
    if training_seconds:
        print()
        training_speed.main(seconds=training_seconds, rounds=rounds, device=device)


if __name__ == "__main__":
    run_app(main)
