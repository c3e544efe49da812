"""The tables of README and docs/results.md, made from what was measured, so that no figure in them is typed.

A page holds each table between two comments, `<!-- name -->` and `<!-- /name -->`; what lies between is replaced.
"""

import csv
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from diffdemo import catalog
from diffdemo.description import CheckpointInfo
from diffdemo.errors import TrainingError
from diffdemo.process.guidance import NO_CLASS, Guidance, parse_interval
from diffdemo.process.names import SAMPLER_NAMES, SAMPLER_TITLES
from diffdemo.records.measured import spaced
from diffdemo.records.quality_curves import TABLES, measured_as
from diffdemo.records.tables import markdown
from train.evaluate.report import RESULT

PAGES = ("README.md", "docs/results.md")
WAYS_OF_GUIDING, PAIR_STUDY = "docs/guidance.csv", "docs/simple_vs_attention.csv"
_MARKED = re.compile(r"(<!-- ([a-z-]+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)


def filled_in(text: str, root: Path) -> str:
    """A page with each of its tables as it is now.

    Args:
        text: of the page.
        root: the project's folder, with `checkpoints` and `docs` in it.

    Raises:
        TrainingError: the page asks for a table that there is not.
    """

    def table(match: re.Match) -> str:
        if match[2] not in MADE:
            raise TrainingError(f"There is no table {match[2]!r}; choose one of: {', '.join(MADE)}.")
        return f"{match[1]}{MADE[match[2]](root)}\n{match[3]}"

    return _MARKED.sub(table, text)


def _shown(root: Path) -> str:
    """Of each model what it is, one picture, and its first figures."""
    rows = []
    for key, info in _infos(root).items():
        result = _evaluation(root, key)
        distance = f"{result['figures']['frechet_distance']:.2f}" if result else "not measured"
        agreement = _percent(result["figures"]["class_agreement"]) if result else ""
        picture = f"![{key}](docs/models/{key}.png)"
        rows.append(
            (f"`{key}`", info.spec.what, _draws(info), _millions(info.parameters), picture, distance, agreement)
        )
    head = ("model", "what it is", "draws", "parameters", "seeds 0 to 3", "Fréchet distance", "right class")
    return markdown(head, rows, numbers=(3, 5, 6))


def _models(root: Path) -> str:
    """How each was trained."""
    rows = []
    for key, info in _infos(root).items():
        training, facts = info.training, catalog.summary(info)
        loss_of = training.get("autoencoder", training)
        minutes = " + ".join(f"{stage['minutes']:g}" for stage in catalog.stages(loss_of))
        if loss_of is not training:
            minutes += f" + {training['minutes']:g}"
        rows.append(
            (
                f"`{key}`",
                _millions(info.parameters),
                f"{facts['images_seen']:,}",
                minutes,
                f"{loss_of['images_per_second']:,.0f}",
                f"{loss_of['loss']:.4g}",
                f"{loss_of['val_loss']:.4g}",
                facts["hardware"],
            )
        )
    head = ("model", "parameters", "pictures seen", "minutes", "pictures/s", "loss", "validation loss", "on")
    return markdown(head, rows, numbers=range(1, 7))


def _quality(root: Path) -> str:
    """The evaluation of each checkpoint, and after those that share a reference what real pictures have."""
    results = {key: result for key in _infos(root) if (result := _evaluation(root, key))}
    rows = []
    by_reference = sorted(results.items(), key=lambda item: (-item[1]["reference"]["n"], -item[1]["n"]))
    alike = itertools.groupby(by_reference, key=lambda item: (item[1]["reference"]["sha256"], item[1]["n"]))
    for (_, n), group in alike:
        for key, result in group:
            drawn = result["drawn"]
            how = f"{SAMPLER_TITLES[drawn['sampler']]}, {drawn['steps']} ({spaced(drawn)}), {_guidance(drawn)}"
            nfe = f"{drawn['nfe']}" if "nfe" in drawn else ""
            rows.append((f"`{key}`", how, nfe, f"{n:,}", *_figures(result["figures"])))
        floor = result["floor"]
        source = f"real {floor['split']} pictures of the same classes"
        rows.append((source, "", "", f"{floor['n']:,}", *_figures(floor["figures"])))
    head = ("pictures", "sampler, steps, guidance", "evaluations", "n", "Fréchet distance", "precision", "recall")
    return markdown((*head, "class agreement", "near copies"), rows, numbers=range(2, 9))


def _ways_of_guiding(root: Path) -> str:
    rows = []
    for key, of_model in itertools.groupby(_csv(root / WAYS_OF_GUIDING), key=lambda row: row["model"]):
        for row in sorted(of_model, key=lambda row: float(row["frechet_distance"])):
            agreement = _percent(float(row["class_agreement"])) if row["class_agreement"] else ""
            figures = (f"{float(row[name]):.2f}" for name in ("frechet_distance", "precision", "recall"))
            seconds = f"{float(row['seconds']) / int(row['n']):.2f}"
            how = f"{row['steps']} ({spaced(row)})"
            rows.append((f"`{key}`", _guidance(row), how, row["nfe"], seconds, row["n"], *figures, agreement))
    head = ("model", "guidance", "steps", "evaluations", "s a picture", "n", "Fréchet distance", "precision", "recall")
    return markdown((*head, "class agreement"), rows, numbers=range(3, 10))


def _over_steps(root: Path) -> str:
    """Fréchet distances over steps, a line for each model and sampler."""
    return _curve(root, "steps", lambda row: (SAMPLER_TITLES[row["sampler"]], spaced(row), _guidance(row)))


def _over_guidance(root: Path) -> str:
    """Fréchet distances over the guidance scale."""
    return _curve(root, "guidance_scale", lambda row: (f"{row['steps']} steps", spaced(row), _where(row)))


def _curve(root: Path, x: str, named: Callable[[dict], tuple[str, ...]]) -> str:
    lines: dict[tuple[str, ...], dict[float, str]] = {}
    for key, row in _rows_of_weights(root, x):
        name = (f"`{key}`", *named(row), row["n"])
        lines.setdefault(name, {})[float(row[x])] = f"{float(row['frechet_distance']):.2f}"
    columns = sorted({place for line in lines.values() for place in line})
    head = ("model", "how", "spacing", "guidance", "n", *(f"{place:g}" for place in columns))
    rows = [(*name, *(line.get(place, "") for place in columns)) for name, line in lines.items()]
    return markdown(head, rows, numbers=range(4, len(head)))


def _rows_of_weights(root: Path, x: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of each checkpoint's table over `x` that are of its weights, in the registry's order."""
    for key, info in _infos(root).items():
        known = measured_as(info.files, info.encoded_from)
        rows = [row for row in _csv(root / "checkpoints" / key / TABLES[x]) if row["weights"] in known]
        yield from ((key, row) for row in sorted(rows, key=lambda row: SAMPLER_NAMES.index(row["sampler"])))


def _pair_study(root: Path) -> str:
    """What the three seeds of each network of the pair ended with: means and deviations."""
    rows = [row for row in _csv(root / PAIR_STUDY) if row["over"] == "guidance_scale"]
    lines = []
    for label, column, scale in (
        ("training loss", "run_loss", 4),
        ("Fréchet distance at guidance 1", "frechet_distance", 1),
        ("Fréchet distance at guidance 4", "frechet_distance", 4),
        ("recall at guidance 4", "recall", 4),
        ("class agreement at guidance 4", "class_agreement", 4),
    ):
        of_scale = [row for row in rows if float(row["guidance_scale"]) == scale]
        of_models = (
            np.array([float(row[column]) for row in of_scale if row["model"] == model])
            for model in ("simple_unet", "attention_unet")
        )
        lines.append((label, *(f"{values.mean():.4f} ± {values.std(ddof=1):.4f}" for values in of_models)))
    return markdown(("mean and deviation over three seeds", "`simple_unet`", "`attention_unet`"), lines, numbers=(1, 2))


MADE: dict[str, Callable[[Path], str]] = {
    "shown": _shown,
    "models": _models,
    "quality": _quality,
    "ways-of-guiding": _ways_of_guiding,
    "over-steps": _over_steps,
    "over-guidance": _over_guidance,
    "pair-study": _pair_study,
}


def _infos(root: Path) -> dict[str, CheckpointInfo]:
    return catalog.available(root / "checkpoints")


def _evaluation(root: Path, key: str) -> dict | None:
    """The evaluation in a checkpoint's folder, if there is one of these weights."""
    path = root / "checkpoints" / key / RESULT
    if not path.is_file():
        return None
    result = json.loads(path.read_text("utf-8"))
    info = _infos(root)[key]
    return result if result["drawn"]["weights"] in (info.weights, info.files, info.encoded_from) else None


def _figures(figures: dict) -> Sequence[str]:
    numbers = (f"{figures['frechet_distance']:.2f}", f"{figures['precision']:.3f}", f"{figures['recall']:.3f}")
    return *numbers, _percent(figures["class_agreement"]), _percent(figures["copying_share_5"])


def _guidance(row: dict) -> str:
    """How a row's pictures were guided, in words."""
    interval, guide = row.get("guidance_interval") or "all", (row.get("guide") or NO_CLASS).split()[0]
    guidance = Guidance(float(row["guidance_scale"]), parse_interval(interval), guide)
    return "no guidance" if guidance.scale == 1 else str(guidance)


def _where(row: dict) -> str:
    """Where and by what, without the scale."""
    return _guidance({**row, "guidance_scale": 2}).removeprefix("guidance 2").strip(" ,") or "everywhere"


def _draws(info: CheckpointInfo) -> str:
    if not info.classes:
        return "anything"
    return ", ".join(info.classes) if len(info.classes) < 5 else f"{len(info.classes)} classes"


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.1f} M"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _csv(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
