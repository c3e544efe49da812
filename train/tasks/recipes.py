"""The reference recipes: what `--size reference` changes besides the network, for flags that are not named.

The flags' own defaults are the recipe of `--size small`: what made the best pictures for its minutes on CPU cores. That
of an architecture stands in its row of the registry, that of the autoencoder, which is a part of one, here.
"""

from typing import Any

from diffdemo.registry import SPECS

_AUTOENCODER = {
    **{"pca_start": False, "shift": 0, "oversample": 1, "all_classes": False, "center_weight": 2.0},
    **{"perceptual_weight": 0.0, "batch_size": 64, "epochs": 100},
}
REFERENCE = {key: spec.recipe for key, spec in SPECS.items()} | {"autoencoder": _AUTOENCODER}


def reference_recipe(key: str, options: Any) -> dict[str, object]:
    """The recipe that these options ask for: empty for the small size, and where weights to start from are named."""
    wanted = options.size == "reference" and not getattr(options, "init_from", "")
    return dict(REFERENCE.get(key, {})) if wanted else {}
