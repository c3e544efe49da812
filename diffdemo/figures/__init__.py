"""Every figure that diffdemo draws, and every picture and animation it writes.

A name's module is imported with its first use, so that writing a picture does not wait for PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffdemo.figures.latent import (
        create_diffusion_animation,
        generate_samples_grid,
        visualize_denoising_steps,
        visualize_latent_space,
        visualize_reconstructions,
    )
    from diffdemo.figures.plots import class_grid, confusion_matrix, loss_curve, strip
    from diffdemo.figures.raster import image_grid, save_animation, save_gif, save_mp4, save_png

__all__ = [
    "class_grid",
    "confusion_matrix",
    "create_diffusion_animation",
    "generate_samples_grid",
    "image_grid",
    "loss_curve",
    "save_animation",
    "save_gif",
    "save_mp4",
    "save_png",
    "strip",
    "visualize_denoising_steps",
    "visualize_latent_space",
    "visualize_reconstructions",
]

_PLOTS = ("class_grid", "confusion_matrix", "loss_curve", "strip")
_RASTER = ("image_grid", "save_animation", "save_gif", "save_mp4", "save_png")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "plots" if name in _PLOTS else "raster" if name in _RASTER else "latent"
    return getattr(import_module(f"{__name__}.{module}"), name)
