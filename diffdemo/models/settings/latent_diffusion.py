"""The settings of latent diffusion and of its autoencoder."""

from dataclasses import asdict, dataclass, field

from diffdemo.errors import RequestError
from diffdemo.models.settings import checks


@dataclass(frozen=True)
class AutoencoderConfig:
    """The settings of a `SimpleAutoencoder`.

    Attributes:
        latent_dim: numbers a picture is encoded as.
        channels: width of each level of the encoder, finest first; each has half the resolution of the one before. The
            decoder mirrors them.
        blocks_per_level: convolutional attention blocks of each level.
        patch_size: pictures enter as patches of so many pixels a side (space to depth) and leave the same way.
        squeeze: the channel attention's hidden layer is this many times narrower than its level.
        classifier_dim: width of the classifier's hidden layer.
        dropout: probability, in the classifier.
        linear_path: whether a linear map runs beside encoder and decoder, which `start_from_pca` fills.
        num_classes: classes that the classifier tells apart.
        other_classes: further classes that it is trained on, because telling more apart makes better features; what it
            says of them is left out.
        image_size: height and width of the pictures in pixels.
        image_channels: colour channels of the pictures.
    """

    latent_dim: int = 128
    channels: tuple[int, ...] = (64, 128, 256, 512)
    blocks_per_level: int = 2
    patch_size: int = 1
    squeeze: int = 8
    classifier_dim: int = 256
    dropout: float = 0.2
    linear_path: bool = False
    num_classes: int = 2
    other_classes: int = 0
    image_size: int = 32
    image_channels: int = 3

    def __post_init__(self):
        checks.widths(self, "channels")
        checks.at_least(self, 1, "latent_dim", "blocks_per_level", "patch_size", "squeeze", "classifier_dim")
        checks.at_least(self, 1, "num_classes", "image_size", "image_channels")
        checks.at_least(self, 0, "other_classes")
        checks.dropout(self)
        checks.halves(self.image_size, self.patch_size, self.channels)

    @property
    def pixels(self) -> int:
        """Numbers in a picture."""
        return self.image_channels * self.image_size**2

    @property
    def bottom(self) -> tuple[int, int, int]:
        """(channels, height, width) of the encoder's last level."""
        side = self.image_size // (self.patch_size * 2 ** (len(self.channels) - 1))
        return self.channels[-1], side, side


@dataclass(frozen=True)
class LatentDiffusionConfig:
    """The settings of a `LatentDiffusion`.

    Attributes:
        autoencoder: settings of the autoencoder, as keyword arguments of `AutoencoderConfig`.
        hidden: widths of the denoiser's blocks.
        embedding_dim: width of the denoiser's time and class embedding.
        dropout: probability, inside the denoiser's blocks.
        num_classes: classes that the denoiser is conditioned on and the classifier tells apart.
    """

    autoencoder: dict = field(default_factory=dict)
    hidden: tuple[int, ...] = (256, 512, 256)
    embedding_dim: int = 128
    dropout: float = 0.0
    num_classes: int = 2

    def __post_init__(self):
        object.__setattr__(self, "hidden", tuple(self.hidden))
        complete = AutoencoderConfig(**{**self.autoencoder, "num_classes": self.num_classes})
        object.__setattr__(self, "autoencoder", {**asdict(complete), "channels": list(complete.channels)})
        if not self.hidden or min(self.hidden) < 1:
            raise RequestError(f"hidden needs at least one positive width, not {self.hidden}.")
        if self.embedding_dim < 1:
            raise RequestError(f"embedding_dim must be at least 1, not {self.embedding_dim}.")
        if not 0 <= self.dropout < 1:
            raise RequestError(f"dropout must be at least 0 and below 1, not {self.dropout}.")

    @property
    def autoencoder_config(self) -> AutoencoderConfig:
        return AutoencoderConfig(**self.autoencoder)
