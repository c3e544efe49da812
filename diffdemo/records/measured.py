"""The quality figures in a checkpoint's `metrics`: what each is called, and how it was measured."""

from dataclasses import dataclass

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
        drawn: how the pictures came about that were measured, such as sampler and steps.
    """

    name: str
    value: object
    floor: object = None
    conditions: str = ""
    drawn: str = ""

    @property
    def title(self) -> str:
        """What it is called for people."""
        return NAMES.get(self.name, (self.name.replace("_", " "),))[0]

    @property
    def settings(self) -> str:
        """Sampler, steps and guidance of `drawn`, without seeds and hardware."""
        return self.drawn.partition(", seeds")[0]

    @property
    def how(self) -> str:
        """Everything about how it was measured."""
        return "; ".join(filter(None, (self.conditions, self.drawn)))

    @property
    def text(self) -> str:
        """Its value, with that of real pictures if there is one."""
        return number(self.value) + (f" (real: {number(self.floor)})" if self.floor is not None else "")


def measured(metrics: dict) -> list[Figure]:
    """Each figure in a description's `metrics`, in their order."""
    shared = f"{number(metrics['n'])} pictures of {metrics['split']}" if {"n", "split"} <= metrics.keys() else ""
    return [
        Figure(
            name, figure.get("value"), figure.get("floor"), *(str(figure.get(key, "")) for key in ("measured", "drawn"))
        )
        if isinstance(figure, dict)
        else Figure(name, figure, None, shared)
        for name, figure in metrics.items()
        if name not in CONDITIONS
    ]


def number(value: object) -> str:
    """A number in few digits; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
