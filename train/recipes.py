"""The reference recipes: what `--size reference` changes besides the network, for flags that are not named.

The flags' own defaults are the recipe of `--size small`: what made the best pictures for its minutes on CPU cores.
"""

from typing import Any

# The classic recipe of Ho et al. 2020; the averages warm up, so that 0.9999 does no harm to a short run.
_CLASSIC = {"prediction": "noise", "noise_levels": "uniform", "ema_decay": 0.9999}
_PAIR = _CLASSIC | {"batch_size": 200, "lr": 3e-4, "patience": 10}
# Warm-up and cosine over 100 epochs of the cats and dogs of CIFAR-10, about a million pictures.
_PATCH = {"warmup_images": 100_000, "decay": "cosine", "decay_start": 0.1}
_AUTOENCODER = {"pca_start": False, "shift": 0, "oversample": 1, "all_classes": False, "center_weight": 2.0}
_AUTOENCODER |= {"perceptual_weight": 0.0}

REFERENCE: dict[str, dict[str, object]] = {
    "simple_unet": _PAIR | {"epochs": 200},
    "attention_unet": _PAIR | {"epochs": 50},
    "ddpm_unet": _CLASSIC | {"batch_size": 32, "accumulate": 4, "lr": 2e-4, "clip_norm": 1.0, "epochs": 600},
    "multihead_unet": _CLASSIC | {"batch_size": 128, "lr": 2e-4, "epochs": 200},
    "autoencoder": _AUTOENCODER | {"batch_size": 64, "epochs": 100},
    "latent_diffusion": {"ema_decay": 0.9999, "batch_size": 128, "epochs": 500},
    "patch_unet": _PATCH | {"batch_size": 64, "lr": 1.5e-4, "weight_decay": 0.02, "epochs": 100},
}


def reference_recipe(key: str, options: Any) -> dict[str, object]:
    """The recipe that these options ask for: empty for the small size, and where weights to start from are named."""
    wanted = options.size == "reference" and not getattr(options, "init_from", "")
    return REFERENCE.get(key, {}) if wanted else {}
