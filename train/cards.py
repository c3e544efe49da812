"""Write each checkpoint's model card, and the tables of README and docs/results.md: `python -m train.cards`."""

from pathlib import Path
from typing import Annotated

import typer

from diffdemo import CHECKPOINTS, catalog
from diffdemo.atomic import write_atomically
from diffdemo.data import CIFAR10_CLASSES
from diffdemo.description import CONFIG, INT8, CheckpointInfo, encoding_of
from diffdemo.errors import TrainingError
from diffdemo.measure.classifier import KEY as CLASSIFIER
from diffdemo.measure.classifier import ClassifierInfo, load_classifier
from diffdemo.records.files import CARD, CONFUSION, FIGURES, LAST, SAMPLES, SAMPLES_GRID
from diffdemo.records.measured import NAMES, Figure, measured, number, spaced
from diffdemo.records.tables import markdown
from train.evaluate.results import PAGES, filled_in
from train.flags import run_app

PICTURES = (f"{FIGURES}/{SAMPLES_GRID}", f"{SAMPLES}/{LAST}.png", CONFUSION)  # the first that is there is shown
FACTS = {
    "images_seen": "pictures seen",
    "minutes": "minutes",
    "hardware": "hardware",
    "precision": "precision",
    "batch_size": "batch size",
    "lr": "peak learning rate",
    "ema_decay": "EMA decay",
    "loss": "training loss",
    "val_loss": "validation loss",
    "peak_memory_mib": "memory, MiB",
    "command": "command",
}


def card(info: CheckpointInfo | ClassifierInfo, picture: str = "", name: str = "") -> str:
    """The model card of a checkpoint, in the hub's format: its metadata as YAML, and Markdown.

    Args:
        picture: what to show of it, a path inside the checkpoint's folder.
        name: what to load it by, if not by its key.
    """
    from huggingface_hub import EvalResult, ModelCardData

    diffusion = isinstance(info, CheckpointInfo)
    title = info.spec.title if diffusion else "Classifier"
    task = "unconditional-image-generation" if diffusion else "image-classification"  # the hub has none by class
    cifar = set(info.classes) <= set(CIFAR10_CLASSES)
    data_set = "cifar10" if cifar else "imagefolder"
    rows = [figure for figure in measured(info.metrics) if figure.name in NAMES]
    data = ModelCardData(
        model_name=f"diffdemo {info.key}",
        license="mit",
        library_name="diffdemo",
        datasets=[data_set] if cifar else None,
        tags=["pytorch", "safetensors", *([data_set] if cifar else []), *(["diffusion"] if diffusion else [])],
        pipeline_tag=task,
        eval_results=[
            EvalResult(
                task_type=task,
                dataset_type=data_set,
                dataset_name="CIFAR-10" if cifar else "own pictures",
                metric_type=NAMES[figure.name][1],
                metric_name=figure.title,
                metric_value=figure.value,
                metric_args={"measured": figure.how} if figure.how else None,
            )
            for figure in rows
        ]
        or None,
    )
    parts = [f"---\n{data.to_yaml()}\n---", f"# {title}", "\n".join(_about(info))]
    if picture:
        parts.append(f"![{title}]({picture})")
    parts += ["## Training", _training(info)]
    if rows:
        heads = ("figure", "value", "real pictures", "how")
        parts += ["## Measured", markdown(heads, [_cells(figure) for figure in rows])]
    if diffusion:
        parts += ["## Use", _use(info, name or info.key)]
    return "\n\n".join(parts) + "\n"


def card_of(folder: Path, info: CheckpointInfo | ClassifierInfo, name: str = "") -> str:
    """The card of the checkpoint in a folder, with one of its pictures; `name` as for `card`."""
    return card(info, next((shown for shown in PICTURES if (folder / shown).is_file()), ""), name)


def _about(info: CheckpointInfo | ClassifierInfo) -> list[str]:
    classes = ", ".join(info.classes) or "none, it is unconditional"
    lines = [f"- parameters: {info.parameters:,}", f"- classes: {classes}"]
    if isinstance(info, CheckpointInfo):
        schedule, defaults = info.diffusion["schedule"], info.defaults
        how = {"spacing": info.spacing, "eps_scale": info.eps_scale}
        lines += [
            f"- denoises: {info.spec.space}; predicts: {info.diffusion['prediction']}; schedule: {schedule['kind']}, "
            f"{schedule['steps']} steps",
            f"- shown with: {defaults['sampler']}, {defaults['steps']} steps ({spaced(how)}), {info.guidance}",
        ]
        if info.has_guide:
            lines.append("- `guide/` holds a weaker version of it, for autoguidance (`--guide weak-model`)")
    if encoding_of(info) == INT8:
        lines.append("- weights: int8 with one fp16 scale for each output channel; small ones fp16")
    settings = ", ".join(f"{name} {_plain(value)}" for name, value in info.model.items())
    return [*lines, f"- network: {settings}"]


def _training(info: CheckpointInfo | ClassifierInfo) -> str:
    """A table of each stage of the training, the first one first; an autoencoder's before what was built on it."""
    rows = []
    for part, training in (("autoencoder: ", info.training.get("autoencoder")), ("", info.training)):
        rows += [
            (part + label, _value(stage[name]))
            for stage in catalog.stages(training or {})
            for name, label in FACTS.items()
            if stage.get(name) is not None
        ]
    return markdown(("what", "value"), rows)


def _use(info: CheckpointInfo, name: str) -> str:
    chosen = f'"{info.classes[0]}", ' if info.classes else ""
    return (
        "```python\nimport diffdemo\n\n"
        f'model = diffdemo.load("{name}")\n'
        f"images = model.sample({chosen}seeds=[0, 1])  # (2, 32, 32, 3) uint8\n```"
    )


def _cells(figure: Figure) -> tuple[str, ...]:
    return figure.title, number(figure.value), "" if figure.floor is None else number(figure.floor), figure.how


def _value(value: object) -> str:
    return f"`{value}`" if "python -m" in str(value) else number(value)


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {_plain(part)}" for name, part in value.items()) + ")"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def main(
    checkpoints: Annotated[Path, typer.Option(help="Folder with a checkpoint folder for each model.")] = CHECKPOINTS,
    check: Annotated[bool, typer.Option("--check", help="Only say whether everything is up to date.")] = False,
) -> None:
    """Write README.md, the model card, into every checkpoint folder, and for the shipped ones the pages' tables."""
    infos = dict(catalog.available(checkpoints))
    if (checkpoints / CLASSIFIER / CONFIG).is_file():
        infos[CLASSIFIER] = load_classifier(checkpoints / CLASSIFIER, "cpu").info
    for key, info in infos.items():
        folder = checkpoints / key
        _keep(folder / CARD, card_of(folder, info), f"what {CONFIG} says", check)
    if checkpoints.resolve() == CHECKPOINTS.resolve():
        root = CHECKPOINTS.parent
        for page in (root / name for name in PAGES):
            _keep(page, filled_in(page.read_text("utf-8"), root), "what was measured", check)


def _keep(path: Path, text: str, source: str, check: bool) -> None:
    """Write a file, or with `check` raise TrainingError unless it says just that."""
    if check and (not path.is_file() or path.read_text("utf-8") != text):
        raise TrainingError(f"{path} does not say {source}; write it again with python -m train.cards.")
    if not check:
        write_atomically(path, lambda unfinished: unfinished.write_text(text, "utf-8"))
        print(f"Wrote {path}.")


if __name__ == "__main__":
    run_app(main)
