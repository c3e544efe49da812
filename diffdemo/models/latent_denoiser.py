"""A denoiser of vectors, shaped like a UNet."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffdemo.models.layers import ClassEmbedding, TimeEmbedding, zero_init


class VectorBlock(nn.Module):
    """(N, in) and an embedding (N, dim) to (N, out): the residual block of the UNets with linear layers.

    Norm, SiLU, linear, twice; the embedding scales and shifts the second norm's output.
    """

    def __init__(self, in_features: int, out_features: int, embedding_dim: int, dropout: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(in_features)
        self.linear1 = nn.Linear(in_features, out_features)
        self.modulation = nn.Linear(embedding_dim, 2 * out_features)
        self.norm2 = nn.LayerNorm(out_features)
        self.dropout = nn.Dropout(dropout)
        self.linear2 = zero_init(nn.Linear(out_features, out_features))
        self.shortcut = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.linear1(F.silu(self.norm1(x)))
        scale, shift = self.modulation(embedding).chunk(2, dim=1)  # (N, out) each
        h = F.silu(self.norm2(h) * (1 + scale) + shift)
        return self.shortcut(x) + self.linear2(self.dropout(h))


class ConditionalUNet(nn.Module):
    """Noisy vectors (N, dim), steps t (N,) and class labels (N,) to an output shaped like the vectors.

    One block for each entry of `hidden`, its width. A block of the second half also sees what the block at the mirrored
    place of the first half put out, and the output sees the input. The last layers begin as zero.

    A copy of the input, scaled by the embedding, is added to the output: in nearly pure noise the noise is the input.
    What is missing to that adds up on the way to the sample, because x0 is the error divided by sqrt(alpha_bar).

    Args:
        dim: numbers in a vector.
        num_classes: classes there are; label num_classes is the null class.
        hidden: widths, such as (256, 512, 256).
        embedding_dim: width of the embedding of time and class.
        dropout: probability, inside the blocks.
    """

    def __init__(self, dim: int, num_classes: int, hidden: tuple[int, ...], embedding_dim: int, dropout: float = 0.0):
        super().__init__()
        self.time_embedding = TimeEmbedding(embedding_dim)
        self.class_embedding = ClassEmbedding(num_classes, embedding_dim)
        inputs = [dim, *hidden]
        self.skips = [len(hidden) - 1 - i if i > len(hidden) - 1 - i else None for i in range(len(hidden))]
        self.blocks = nn.ModuleList(
            VectorBlock(inputs[i] + (0 if skip is None else hidden[skip]), width, embedding_dim, dropout)
            for i, (width, skip) in enumerate(zip(hidden, self.skips, strict=True))
        )
        self.norm = nn.LayerNorm(hidden[-1] + dim)
        self.head = zero_init(nn.Linear(hidden[-1] + dim, dim))
        self.input_scale = zero_init(nn.Linear(embedding_dim, dim))

    def forward(self, x: Tensor, t: Tensor, class_label: Tensor | None = None) -> Tensor:
        """Shapes as for the class; no labels is the null class."""
        if class_label is None:
            class_label = torch.full_like(t, self.class_embedding.null)
        embedding = F.silu(self.time_embedding(t) + self.class_embedding(class_label))  # (N, embedding_dim)
        h, outputs = x, []
        for block, skip in zip(self.blocks, self.skips, strict=True):
            h = block(h if skip is None else torch.cat([h, outputs[skip]], dim=1), embedding)
            outputs.append(h)
        return self.head(F.silu(self.norm(torch.cat([h, x], dim=1)))) + self.input_scale(embedding) * x
