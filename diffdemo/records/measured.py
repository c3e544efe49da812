"""The quality figures in a checkpoint's `metrics`: what each is called, and how it was measured."""

from collections.abc import Mapping
from dataclasses import dataclass

from diffdemo.process.guidance import NO_CLASS, Guidance, parse_interval

# What a figure is called, with the metric's name on the hub where it has one.
NAMES = {
    "fid": ("FID", "fid"),
    "frechet_distance": ("Fréchet distance in the features of the project's classifier", "frechet_distance"),
    "kernel_distance": ("kernel distance (MMD², unbiased) in the same features", "kernel_distance"),
    "precision": ("precision", "precision"),
    "recall": ("recall", "recall"),
    "class_agreement": ("class agreement: the classifier sees the class that was asked for", "accuracy"),
    "copying_share_5": (
        "share of samples closer to a training picture than 95 % of test pictures are",
        "copying_share",
    ),
    "accuracy": ("accuracy", "accuracy"),
    "psnr": ("PSNR of reconstructions, dB", "psnr"),
    "pca_psnr": ("the same for PCA of as many components, dB", "psnr"),
    "classifier_accuracy": ("accuracy of the classifier on the latents", "accuracy"),
    "silhouette": ("silhouette of the classes in the t-SNE map", "silhouette"),
    "latent_silhouette": ("silhouette of the classes in the latents", "silhouette"),
}
CONDITIONS = {"n", "split", "pca_components"}  # they say how the others were measured


@dataclass(frozen=True)
class Figure:
    """One figure of a checkpoint.

    Attributes:
        name: its key in `metrics`.
        value: what was measured; a text where a description was edited.
        floor: the same figure for real pictures, or None.
        conditions: such as n and the reference; figures of one name compare only where these are the same.
        settings: of the pictures that were measured, such as sampler and steps.
        seeds: theirs, and where they were drawn.
    """

    name: str
    value: object
    floor: object = None
    conditions: str = ""
    settings: str = ""
    seeds: str = ""

    @property
    def title(self) -> str:
        """What it is called for people."""
        return NAMES.get(self.name, (self.name.replace("_", " "),))[0]

    @property
    def how(self) -> str:
        """Everything about how it was measured."""
        return "; ".join(filter(None, (self.conditions, ", ".join(filter(None, (self.settings, self.seeds))))))

    @property
    def text(self) -> str:
        """Its value, with that of real pictures if there is one."""
        return number(self.value) + (f" (real: {number(self.floor)})" if self.floor is not None else "")


def measured(metrics: dict) -> list[Figure]:
    """Each figure in a description's `metrics`, in their order."""
    shared = f"{number(metrics['n'])} pictures of {metrics['split']}" if {"n", "split"} <= metrics.keys() else ""
    return [
        Figure(name, known.get("value"), known.get("floor"), *_how(known))
        if isinstance(known, dict)
        else Figure(name, known, None, shared)
        for name, known in metrics.items()
        if name not in CONDITIONS
    ]


def record(name: str, evaluation: Mapping) -> dict:
    """A figure of an evaluation, see `train.evaluate`, as `metrics` keeps it: with all that it was measured with."""
    extractor, floor = "inception" if name == "fid" else "classifier", evaluation["floor"]
    known = {"value": evaluation["figures"][name]}
    if floor["n"] == evaluation["n"] and floor["figures"][name] is not None:
        known["floor"] = floor["figures"][name]
    drawn = {key: value for key, value in evaluation["drawn"].items() if key not in ("model", "weights")}
    return known | {key: evaluation[key] for key in ("n", "reference", extractor)} | {"drawn": drawn}


def _how(known: Mapping) -> tuple[str, str, str]:
    """Conditions, settings and seeds of a figure in `metrics`; nothing of what was edited."""
    if "measured" in known or isinstance(known.get("drawn"), str):  # sentences, as they were kept once
        return str(known.get("measured", "")), str(known.get("drawn", "")), ""
    try:
        extractor = known.get("classifier") or known["inception"]
        conditions = f"n = {known['n']:,} against {described(known['reference'])}; {described(extractor)}"
        return conditions, settings(known["drawn"]), seeds(known)
    except (KeyError, TypeError, ValueError, AttributeError):
        return "", "", ""


def described(part: Mapping) -> str:
    """A reference or an extractor of an evaluation: its name and the beginning of its SHA-256."""
    return f"{part.get('source') or part['name']} {part['sha256'][:8]}"


def settings(drawn: Mapping) -> str:
    """Of the sampling in an evaluation's `drawn`, such as "dpmpp, 20 steps (karras), guidance 4"."""
    interval, guide = drawn.get("guidance_interval"), drawn.get("guide", NO_CLASS)
    guidance = Guidance(drawn["guidance_scale"], parse_interval(interval), guide)
    return f"{drawn['sampler']}, {drawn['steps']} steps ({spaced(drawn)}), {guidance}"


def spaced(row: Mapping) -> str:
    """How a row's steps are spaced and their noise scaled, such as "karras" or "karras, eps / 1.01"."""
    scale = float(row.get("eps_scale") or 1)  # older rows have none
    return row["spacing"] + f", eps / {scale:g}" * (scale != 1)


def seeds(evaluation: Mapping) -> str:
    """Such as "seeds 0 to 1999, cpu bf16"."""
    drawn = evaluation["drawn"]
    first = drawn["first_seed"]
    return f"seeds {first} to {first + evaluation['n'] - 1}, {computed_on(drawn)}"


def computed_on(drawn: Mapping) -> str:
    """Where and how the network ran, of which the last bits of a picture depend: such as "cpu bf16 compiled"."""
    return f"{drawn['device']} {drawn['precision']}{' compiled' * drawn['compiled']}"


def number(value: object) -> str:
    """A number in few digits; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
