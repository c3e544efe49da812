"""Every figure that diffdemo draws, and every picture and animation it writes."""

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
