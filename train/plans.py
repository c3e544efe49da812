"""What `train.all` trains, how it divides the time, and with which flags."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_MINUTES = 0.05  # below that nothing is trained worth drawing
FIRST_OVERHEAD = 0.3  # minutes that a script takes besides training, until one of them has shown it


@dataclass(frozen=True)
class Part:
    """One script's run.

    Attributes:
        name: of the part and of its folder under --out.
        module: the script.
        flags: what makes it train this part.
        share: of the time, in relation to the others.
        needs: a part that must have a checkpoint before, named to the script by a flag of the same name.
        start: the checkpoint it may start from, if that is not called as the part is.
        like: a part whose training time it gets to the second, because the two are compared.
    """

    name: str
    module: str
    flags: tuple[str, ...]
    share: float
    needs: str = ""
    start: str = ""
    like: str = ""


def _parts(shares: dict[str, float], recipes: dict[str, str]) -> tuple[Part, ...]:
    """The parts in the order of training; a recipe is flags as they are typed."""

    def part(name: str, module: str, flags: str = "", **more: str) -> Part:
        return Part(name, module, (*flags.split(), *recipes.get(name, "").split()), shares[name], **more)

    return (
        part("attention_unet", "train.unet", "--model attention_unet"),
        part("simple_unet", "train.unet", "--model simple_unet", like="attention_unet"),
        part("ddpm_unet", "train.unet", "--model ddpm_unet"),
        part("multihead_unet", "train.unet", "--model multihead_unet"),
        part("patch_unet", "train.patch_unet"),
        part("autoencoder", "train.autoencoder", start="latent_diffusion"),
        part("latent_diffusion", "train.latent", needs="autoencoder"),
    )


# The latent denoiser is done in a minute or two.
_SHARES = {"attention_unet": 6, "simple_unet": 6, "ddpm_unet": 5, "multihead_unet": 2}
_SHARES |= {"patch_unet": 3, "autoencoder": 2, "latent_diffusion": 1}

# For half an hour of one large GPU: the clock ends each part, batches fill the GPU, and little time goes into drawing.
_GPU_SHARES = {"attention_unet": 7, "simple_unet": 7, "ddpm_unet": 5, "multihead_unet": 3}
_GPU_SHARES |= {"patch_unet": 2, "autoencoder": 2, "latent_diffusion": 1}
_TIMED = "--images 1000000000 --patience 0 "
# In the first 9,000 steps the averages' warm-up makes 0.999 and 0.9999 the same: the first is faster than both.
_AVERAGES = "--ema-decay 0.998 --slow-ema-decay 0.9999 "
_UNET = f"{_TIMED}{_AVERAGES}--prediction edm --noise-levels lognormal --batch-size 256 --accumulate 1 --lr 1e-3 "
_UNET += "--warmup-images 100000 --draw-epochs 10 --spacing karras"
_PATCH = f"{_TIMED}{_AVERAGES}--batch-size 256 --lr 5e-4 --draw-epochs 10"
# Begun as PCA with the full network: the plain autoencoder of the reference recipe wants more time.
_AUTOENCODER = f"{_TIMED}--pca-start --all-classes --shift 2 --oversample 3 --center-weight 1 --batch-size 128 "
_AUTOENCODER += "--perceptual-weight 10 --draw-epochs 20"
_LATENT = f"{_TIMED}{_AVERAGES}--batch-size 1024 --draw-epochs 500"
_GPU_RECIPES = dict.fromkeys(("attention_unet", "simple_unet", "ddpm_unet", "multihead_unet"), _UNET)
_GPU_RECIPES |= {"patch_unet": _PATCH, "autoencoder": _AUTOENCODER, "latent_diffusion": _LATENT}

PLANS: dict[str, tuple[Part, ...]] = {"usual": _parts(_SHARES, {}), "gpu": _parts(_GPU_SHARES, _GPU_RECIPES)}


class Plan:
    """Divides the time that is left among the parts that are left, and remembers what became of each.

    Args:
        parts: in the order of training.
        minutes: for all of them.
        outcomes: {part: {"outcome", "seconds", "minutes"}} of those that an earlier process dealt with.
    """

    def __init__(self, parts: Sequence[Part], minutes: float, outcomes: dict[str, dict] | None = None):
        self.outcomes = outcomes or {}
        self.left = [part for part in parts if self.outcomes.get(part.name, {}).get("outcome") != "done"]
        self._end = time.monotonic() + 60 * minutes
        self._overhead = FIRST_OVERHEAD

    def minutes(self, part: Part, trained: float = 0.0) -> float:
        """What a part may train, with the minutes that it has had already.

        It is what it was given when it was interrupted, so that its learning rate falls as it was meant to; else those
        minutes and its share of what is left when all scripts have taken what they take besides.
        """
        before = self.outcomes.get(part.name, {})
        if before.get("outcome") == "interrupted":
            return before["minutes"]
        left = (self._end - time.monotonic()) / 60
        like = self.outcomes.get(part.like, {})
        if like.get("outcome") == "done":
            return min(like["minutes"], trained + max(left - self._overhead, left / 2))
        share = part.share / sum(other.share for other in self.left)
        # Of a time that is hardly longer than starting up, half is still spent on training.
        return trained + share * max(left - self._overhead * len(self.left), left / 2)

    def close(self, part: Part, outcome: str, seconds: float, minutes: float, trained: float = 0.0) -> None:
        """A part is over after `seconds`; it had `trained` minutes before, and was to have `minutes` in all."""
        self.left.remove(part)
        self.outcomes[part.name] = {"outcome": outcome, "seconds": round(seconds, 1), "minutes": round(minutes, 3)}
        if outcome == "done":
            self._overhead = max(0.0, seconds / 60 - (minutes - trained))
