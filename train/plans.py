"""What `train.all` trains, how it divides the time, and with which flags: as each row of the registry says."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from diffdemo.registry import GPU_TIMED, SPECS, ModelSpec

LEAST_MINUTES = 0.05  # below that nothing is trained worth drawing
# Outcomes of a part: that go on from where they are with --resume, and that have trained all they were to.
UNFINISHED, TRAINED_ONES = ("interrupted", "drawing"), ("done", "drawing")
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


# Of latent diffusion; trained before, by a script of its own. On a GPU it is begun as PCA with the full network: the
# plain autoencoder of the reference recipe wants more time.
_AUTOENCODER_SHARES = {"usual": 2, "gpu": 2}
_AUTOENCODER_ON_A_GPU = (
    f"{GPU_TIMED} --pca-start --all-classes --shift 2 --oversample 3 --center-weight 1 --batch-size 128 "
    "--perceptual-weight 10 --draw-epochs 20"
)


def _parts(plan: str) -> tuple[Part, ...]:
    """The parts of a plan, in the order of training: as in the registry, but what must be there before comes before."""
    ordered: list[Part] = []

    def add(spec: ModelSpec) -> None:
        if plan not in spec.shares or spec.key in {part.name for part in ordered}:
            return
        if spec.like:
            add(SPECS[spec.like])
        on_a_gpu = plan == "gpu"
        if spec.needs == "autoencoder":
            flags = _AUTOENCODER_ON_A_GPU.split() if on_a_gpu else ()
            share = _AUTOENCODER_SHARES[plan]
            ordered.append(Part(spec.needs, "train.autoencoder", tuple(flags), share, start=spec.key))
        module, *flags = f"{spec.script} {spec.gpu_flags if on_a_gpu else ''}".split()
        ordered.append(Part(spec.key, module, tuple(flags), spec.shares[plan], needs=spec.needs, like=spec.like))

    for spec in SPECS.values():
        add(spec)
    return tuple(ordered)


PLANS: dict[str, tuple[Part, ...]] = {plan: _parts(plan) for plan in ("usual", "gpu")}


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
        if before.get("outcome") in UNFINISHED:
            return before["minutes"]
        left = (self._end - time.monotonic()) / 60
        like = self.outcomes.get(part.like, {})
        if like.get("outcome") in TRAINED_ONES:
            return min(like["minutes"], trained + max(left - self._overhead, left / 2))
        share = part.share / sum(other.share for other in self.left)
        # Of a time that is hardly longer than starting up, half is still spent on training.
        return trained + share * max(left - self._overhead * len(self.left), left / 2)

    def close(self, part: Part, outcome: str, seconds: float, minutes: float, trained: float = 0.0) -> None:
        """A part is over after `seconds`; it had `trained` minutes before, and was to have `minutes` in all."""
        self.left.remove(part)
        self.outcomes[part.name] = {"outcome": outcome, "seconds": round(seconds, 1), "minutes": round(minutes, 3)}
        if outcome in TRAINED_ONES:
            self._overhead = max(0.0, seconds / 60 - (minutes - trained))
