"""The settings of the UNets."""

from dataclasses import dataclass

from diffdemo.errors import RequestError
from diffdemo.models.settings import checks

ATTENTION_SIDES = ("both", "up")


@dataclass(frozen=True)
class UNetConfig:
    """The settings of a `UNet`.

    Attributes:
        channels: width of each level, finest first; each level has half the resolution of the one before.
        blocks_per_level: residual blocks on the way down; the way up has one more.
        attention_levels: levels, counted from 0, with self-attention after each block.
        attention_side: "both" ways, down and up, or "up" only.
        middle_attention: whether there is self-attention at the bottom.
        decode_bottom: whether the coarsest level has blocks on the way up too, or goes from the middle straight to the
            level above.
        num_heads: attention heads; they must divide the channels of every level with attention.
        time_embedding_dim: width of the time and class embedding.
        dropout: probability, inside residual blocks.
        patch_size: 1, 2 or 4. Above 1, pictures enter as patches (space to depth) and leave the same way: the finest
            level has image_size / patch_size positions a side, which is the cheapest good use of a CPU.
        num_classes: 0 for an unconditional network.
        image_size: height and width of the pictures in pixels.
        image_channels: colour channels of the pictures.
    """

    channels: tuple[int, ...] = (96, 192, 192)
    blocks_per_level: int = 2
    attention_levels: tuple[int, ...] = ()
    attention_side: str = "both"
    middle_attention: bool = False
    decode_bottom: bool = True
    num_heads: int = 4
    time_embedding_dim: int = 1024
    dropout: float = 0.0
    patch_size: int = 1
    num_classes: int = 10
    image_size: int = 32
    image_channels: int = 3

    def __post_init__(self):
        checks.widths(self, "channels")
        object.__setattr__(self, "attention_levels", tuple(self.attention_levels))
        sizes = ("image_size", "image_channels")
        checks.at_least(self, 1, "blocks_per_level", "num_heads", "time_embedding_dim", "patch_size", *sizes)
        checks.yes_or_no(self, "middle_attention", "decode_bottom")
        checks.classes(self)
        checks.dropout(self)
        checks.halves(self.image_size, self.patch_size, self.channels)
        levels = len(self.channels)
        if self.attention_side not in ATTENTION_SIDES:
            raise RequestError(f"attention_side must be {' or '.join(ATTENTION_SIDES)}, not {self.attention_side!r}.")
        if levels == 1 and not self.decode_bottom:
            raise RequestError("decode_bottom can be left out only with at least two channels entries.")
        for level in self.attention_levels:
            if not 0 <= level < levels:
                raise RequestError(f"attention_levels names level {level}, but there are {levels}: 0 to {levels - 1}.")
        attending = [self.channels[i] for i in self.attention_levels] + [self.channels[-1]] * self.middle_attention
        checks.heads_divide(self.num_heads, attending)
