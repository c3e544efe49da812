"""The command line: `python -m diffdemo --help`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

import diffdemo
from diffdemo import validate
from diffdemo.cli.errors import STOPPED, UsageError, complain, exit_code, print_any_name, sentence
from diffdemo.errors import DiffdemoError, RequestError
from diffdemo.records.tables import aligned

PROGRAM = "python -m diffdemo"
DEFAULT_OUT = "sample.png"

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=f"""Small diffusion models on CIFAR-10: see which there are, and let them turn noise into pictures.

    \b
    Begin with:
      {PROGRAM} list
      {PROGRAM} sample --model attention_unet --class horse --seed 7 -n 4 --out horses.png
    """,
)

Checkpoints = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Folder with one checkpoint folder for each model.  [default: the shipped one]"),
]


@app.callback(invoke_without_command=True)
def _without_a_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print everything there is to know, as JSON.")] = False,
    checkpoints: Checkpoints = None,
) -> None:
    """Show the trained models and their classes."""
    models = diffdemo.list_models(checkpoints)
    if as_json:
        print(json.dumps(models, indent=2))
    elif models:
        print(_table(models))
    else:
        folder = checkpoints or diffdemo.CHECKPOINTS
        print(f"There is no checkpoint in {folder} yet; python -m train.unet --help says how to train one.")


@app.command(
    epilog=f"""One seed is one picture: picture k of a batch with --seed s is the one that --seed s+k gives alone.

    \b
    Examples:
      {PROGRAM} sample --model attention_unet --class horse --steps 50 --seed 7 -n 4 --out horses.png
      {PROGRAM} sample --model attention_unet --class ship --out ship.gif
      {PROGRAM} sample --model ddpm_unet -n 5000 --precision auto --compile --out samples/ --npy samples.npy
    """
)
def sample(
    model: Annotated[
        str,
        typer.Option(
            metavar="KEY|FOLDER",
            help="A model that list shows, a checkpoint folder, or owner/name of one on the Hugging Face hub.",
        ),
    ],
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="What to draw, or any.  [default: any]")
    ] = None,
    steps: Annotated[
        str | None, typer.Option(metavar="N", help="Denoising steps, 1 to 1000.  [default: the model's]")
    ] = None,
    stop_after: Annotated[
        str | None,
        typer.Option(metavar="N", help="Take only the first N steps, and write the guess there.  [default: all]"),
    ] = None,
    seed: Annotated[str, typer.Option(metavar="S", help="Seed of the first picture, 0 to 2^64 - 1.")] = "0",
    count: Annotated[str, typer.Option("-n", metavar="N", help="Number of pictures, with seeds S, S+1, ...")] = "1",
    sampler: Annotated[
        str | None, typer.Option(metavar="NAME", help="ddim, ddpm, dpmpp or heun.  [default: the model's]")
    ] = None,
    guidance: Annotated[
        str | None,
        typer.Option(metavar="G", help="How much the class counts, 0 to 20; 1 is no guidance.  [default: the model's]"),
    ] = None,
    guidance_interval: Annotated[
        str | None,
        typer.Option(
            metavar="LOW,HIGH",
            help="Guide only at noise levels LOW < sigma <= HIGH, such as 0.3,5; all is everywhere.  [default: the "
            "model's]",
        ),
    ] = None,
    guide: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What it is guided away from: no-class, or weak-model where there is one.  [default: the model's]",
        ),
    ] = None,
    spacing: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Of the steps: trailing (even), or karras (small at the end).  [default: the model's]"
        ),
    ] = None,
    eps_scale: Annotated[
        str | None,
        typer.Option(
            metavar="L", help="Divide the guessed noise by L, 0.9 to 1.1 (epsilon scaling).  [default: the model's]"
        ),
    ] = None,
    eta: Annotated[
        str | None, typer.Option(metavar="E", help="Of ddim: fresh noise a step, 0 to 1.  [default: 0]")
    ] = None,
    variance: Annotated[
        str | None, typer.Option(metavar="V", help="Of ddpm: small or large noise a step.  [default: small]")
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="fp32, or bf16 or fp16: faster where the hardware has it, less exact; auto is what is fast here.  "
            "[default: fp32]",
        ),
    ] = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the network first, which pays where many pictures are drawn.")
    ] = False,
    checkpoints: Checkpoints = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|FOLDER/",
            help="A .png with all pictures in a grid, a .gif or .mp4 that shows noise turn into them beside the "
            "network's guess, or a folder with a PNG for each, named by its seed.  "
            f"[default: {DEFAULT_OUT}, unless there is --npy]",
        ),
    ] = None,
    npy: Annotated[
        str | None, typer.Option(metavar="FILE.npy", help="Also write an array, (N, 32, 32, 3) uint8, in seed order.")
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="K",
            help="Draw each pixel K times K large.  [default: 4, above 16 pictures 2, in a folder 1, an animation 512 "
            "pixels wide]",
        ),
    ] = None,
) -> None:
    """Draw pictures from noise."""
    from diffdemo.cli.sample import Output, draw

    seeds = validate.consecutive_seeds(seed, count)
    output = Output.requested(DEFAULT_OUT if out is None and npy is None else out, npy, scale, len(seeds))
    settings = {
        "class_name": class_name,
        "steps": steps,
        "sampler": sampler,
        "guidance_scale": guidance,
        "guidance_interval": guidance_interval,
        "guide": guide,
        "spacing": spacing,
        "eps_scale": eps_scale,
        "eta": eta,
        "variance": variance,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    how = {"device": device, "precision": precision or "fp32", "compile": compile}
    generator = diffdemo.load(model, checkpoints=checkpoints, **how)
    if precision:
        from diffdemo.device import warn_if_slow

        warn_if_slow(precision, generator.device)
    run = draw(generator, seeds, given, stop_after, animated=output.kind == "animation")
    written = output.write(run, seeds)
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} pictures, seeds {seeds[0]} to {seeds[-1]}"
    print(f"Wrote {' and '.join(map(str, written))}: {which}.")
    if others := output.others(seeds):
        print(f"Note: {output.path} holds {others:,} other pictures, of earlier commands.", file=sys.stderr)


@app.command(
    epilog=f"""\b
    Example:
      {PROGRAM} reconstruct cat.jpg --out cat.png
    """
)
def reconstruct(
    picture: Annotated[
        Path, typer.Argument(metavar="PICTURE", help="Any picture; its middle is used, as 32x32 pixels.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.png", help="What is left of it.")] = Path("reconstruction.png"),
    model: Annotated[str, typer.Option(metavar="KEY|FOLDER", help="A model of latents.")] = "latent_diffusion",
    scale: Annotated[str, typer.Option(metavar="K", help="Draw each pixel K times K large.")] = "4",
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or mps.")] = "auto",
    checkpoints: Checkpoints = None,
) -> None:
    """Send a picture through the autoencoder: 3,072 numbers become 128, and a picture again."""
    from diffdemo.data.pictures import read_pictures
    from diffdemo.figures.raster import image_grid, save_png
    from diffdemo.latent.space import psnr

    size = validate.whole_number("scale", scale, 1, 32)
    _require_png(out, "reconstruction.png")
    pixels = read_pictures([picture])
    restored = diffdemo.load(model, device=device, checkpoints=checkpoints).reconstruct(pixels)
    save_png(out, image_grid(restored, scale=size))
    print(f"Wrote {out}: PSNR {psnr(pixels / 255, restored / 255)[0]:.1f} dB against the picture at 32x32 pixels.")


@app.command(
    epilog=f"""\b
    Examples:
      {PROGRAM} classify cat.jpg
      {PROGRAM} classify cat.jpg --model latent_diffusion --draws 100 --json
    """
)
def classify(
    picture: Annotated[
        Path, typer.Argument(metavar="PICTURE", help="Any picture; its middle is used, as 32x32 pixels.")
    ],
    model: Annotated[str, typer.Option(metavar="KEY|FOLDER", help="A model with classes.")] = "attention_unet",
    draws: Annotated[
        str, typer.Option(metavar="N", help="Noises to try, 1 to 1000; each takes one evaluation a class.")
    ] = "32",
    seed: Annotated[str, typer.Option(metavar="S", help="Of the noises, 0 to 2^64 - 1.")] = "0",
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or mps.")] = "auto",
    checkpoints: Checkpoints = None,
) -> None:
    """Say what is in a picture: the class whose condition denoises it best (a diffusion classifier)."""
    from diffdemo.cli.classify import judge, table
    from diffdemo.data.pictures import read_pictures

    pixels = read_pictures([picture])
    answer = judge(diffdemo.load(model, device=device, checkpoints=checkpoints), pixels, draws, seed)
    print(json.dumps(answer, indent=2) if as_json else table(answer))


@app.command(
    epilog=f"""\b
    Examples:
      {PROGRAM} nearest horse.png --by features
      {PROGRAM} nearest --model attention_unet --class horse --seed 7 --out nearest.png
    """
)
def nearest(
    picture: Annotated[
        Path | None, typer.Argument(metavar="[PICTURE]", help="Any picture; its middle is used, as 32x32 pixels.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="KEY|FOLDER", help="Look at a sample of this model instead.")
    ] = None,
    class_name: Annotated[str | None, typer.Option("--class", metavar="NAME", help="Of the sample, or any.")] = None,
    seed: Annotated[str, typer.Option(metavar="S", help="Of the sample, 0 to 2^64 - 1.")] = "0",
    by: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What is compared: pixels, or features of the classifier, which first looks at all training pictures.",
        ),
    ] = "pixels",
    count: Annotated[str, typer.Option("-n", metavar="N", help="Neighbours to show, 1 to 50.")] = "8",
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the data set.")] = Path("data"),
    out: Annotated[Path, typer.Option(metavar="FILE.png", help="The picture and its neighbours.")] = Path(
        "nearest.png"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the distances as JSON.")] = False,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or mps.")] = "auto",
    checkpoints: Checkpoints = None,
) -> None:
    """Is it a copy? Find the training pictures that a picture, or a sample, is most like."""
    from diffdemo.cli.nearest import describe, draw, table
    from diffdemo.data.pictures import read_pictures
    from diffdemo.measure.nearest import MEASURES, TrainingPictures

    if (picture is None) == (model is None):
        raise RequestError("Name one thing to look at: a picture, or a model with --model.")
    _require_png(out, "nearest.png")
    validate.choice("comparison", by, list(MEASURES))
    if model:
        pixels = diffdemo.load(model, device=device, checkpoints=checkpoints).sample(class_name, seeds=[seed])
    else:
        pixels = read_pictures([picture])
    classifier = None
    if by == "features":
        from diffdemo.measure.classifier import KEY, load_classifier

        classifier = load_classifier(Path(checkpoints or diffdemo.CHECKPOINTS) / KEY, device)
    training = TrainingPictures(data, classifier)
    found = training.nearest(pixels[0], count)
    draw(found, out)
    if as_json:
        print(json.dumps(describe(found, training.usual), indent=2))
    else:
        print(f"{table(found, training.usual, by)}\nWrote {out}.")


def _require_png(out: Path, example: str) -> None:
    if out.suffix.lower() != ".png":
        raise RequestError(f"--out writes a .png file, not {out.name!r}; name one such as {example}.")


def main(arguments: list[str] | None = None) -> int:
    """Run one command, `sys.argv` unless given, and return its exit code.

    0 is success, 1 a checkpoint or file that cannot be used, 2 a request that makes no sense, 130 Ctrl-C. Whatever is
    wrong is one sentence on stderr.
    """
    print_any_name()
    try:
        code = app(args=arguments, prog_name=PROGRAM, standalone_mode=False)
    except (UsageError, DiffdemoError, OSError) as error:
        command = error.ctx.command_path if getattr(error, "ctx", None) else PROGRAM
        return complain(sentence(error, f"{command} --help"), exit_code(error))
    if code == STOPPED:
        return complain("Stopped by Ctrl-C; no file was left unfinished.", STOPPED)
    return code or 0


def console() -> None:
    """The command `diffdemo`, where the package is installed."""
    sys.exit(main())


def _table(models: list[dict]) -> str:
    """The models as aligned lines, and below them the classes that each set of models shares."""
    head = ("model", "parameters", "images seen", "minutes", "predicts", "sampler", "steps", "trained on")
    keys = ("key", "parameters", "images_seen", "minutes", "prediction", "sampler", "steps", "hardware")
    rows = [head, *[tuple(_cell(model[key]) for key in keys) for model in models]]
    numbers = [place for place, key in enumerate(keys) if any(isinstance(model[key], int | float) for model in models)]
    sharing: dict[str, list[str]] = {}
    for model in models:
        sharing.setdefault(", ".join(model["classes"]) or "none", []).append(model["key"])
    classes = [f"Classes of {', '.join(keys)}: {names}" for names, keys in sharing.items()]
    return "\n".join([aligned(rows, numbers), "", *classes])


def _cell(value: object) -> str:
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    return "-" if value is None else str(value)


if __name__ == "__main__":
    console()
