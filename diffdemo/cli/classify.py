"""What `python -m diffdemo classify` prints: how much each class of a model explains a picture."""

from typing import TYPE_CHECKING

import numpy as np

from diffdemo.measure.diffusion_classifier import Scores, classify

if TYPE_CHECKING:
    from diffdemo.generator import Generator


def judge(model: "Generator", picture: np.ndarray, draws: object, seed: object) -> dict:
    """Classify one picture (1, H, W, 3) uint8 and `describe` it; errors as for `diffusion_classifier.refine`."""
    return describe(model, picture, classify(model, picture, draws, seed), int(seed))


def describe(model: "Generator", picture: np.ndarray, scores: Scores, seed: int) -> dict:
    """The diffusion classifier's answer for one picture (1, H, W, 3) uint8, and the autoencoder's if there is one.

    {"model", "draws", "seed", "evaluations", "best", "classes": {name: {"probability", "error", "standard_error"}}},
    and for a model of latents {"autoencoder": {name: probability}}.
    """
    answer = {
        "model": model.key,
        "draws": scores.draws,
        "seed": seed,
        "evaluations": scores.evaluations,
        "best": scores.best[0],
        "classes": _by_class(scores),
    }
    if model.info.spec.space == "latents":
        believed = map(float, model.class_probabilities(picture)[0])
        answer["autoencoder"] = dict(zip(model.classes, believed, strict=True))
    return answer


def _by_class(scores: Scores) -> dict[str, dict]:
    return {
        name: {
            "probability": float(scores.probabilities[0, index]),
            "error": float(scores.errors[0, index]),
            "standard_error": float(scores.standard_errors[0, index]) if scores.draws > 1 else None,
        }
        for index, name in enumerate(scores.classes)
    }


def table(answer: dict) -> str:
    """The answer as lines for people, the most probable class first."""
    width = max(map(len, answer["classes"]))
    cost = f"{answer['draws']} draws x {len(answer['classes'])} classes = {answer['evaluations']:,} network evaluations"
    lines = [f"{answer['best']}, says {answer['model']} ({cost}, seed {answer['seed']}):"]
    for name, of in sorted(answer["classes"].items(), key=lambda item: -item[1]["probability"]):
        spread = "" if of["standard_error"] is None else f" ± {of['standard_error']:.5f}"
        lines.append(f"  {name.ljust(width)}  {of['probability']:7.2%}  error {of['error']:.5f}{spread}")
    if "autoencoder" in answer:
        shares = ", ".join(f"{name} {share:.2%}" for name, share in answer["autoencoder"].items())
        lines.append(f"The autoencoder's classifier: {shares}.")
    return "\n".join(lines)
