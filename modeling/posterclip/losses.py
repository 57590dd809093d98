"""Contrastive losses of a batch, in which all pairs of the same movie are positives.

Both losses compare every image with every text. They compute the logits in tiles, once for the loss and once more for
its gradients, and keep only sums of rows and columns, so their memory is linear in the number of pairs (FlashAttention,
Dao et al. 2022, arXiv:2205.14135; Inf-CL, Cheng et al. 2024, arXiv:2410.17243).

With several processes, each compares its own images with the texts of all. Its loss is then its share: the shares of
all processes add up to the loss of the joint batch, and so do their gradients.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

TILE = 1024  # images, and texts, in a tile
Gather = Callable[[Tensor], Tensor]


def positives_by_id(row_ids: Tensor, column_ids: Tensor) -> Tensor:
    """Returns which pairs of a row and a column are positives, (rows, columns), booleans.

    Args:
        row_ids: (rows,) or (rows, keys), the movie of each row.
        column_ids: (columns,) or (columns, keys). With several keys, one key in common makes a positive.

    Example:
        >>> positives_by_id(torch.tensor([7, 8]), torch.tensor([7, 7, 8])).int().tolist()
        [[1, 1, 0], [0, 0, 1]]
        >>> movie_and_plot = torch.tensor([[7, 1], [7, 2], [8, 2]])
        >>> positives_by_id(movie_and_plot, movie_and_plot).int().tolist()
        [[1, 1, 0], [1, 1, 1], [0, 1, 1]]
    """
    if row_ids.ndim == 1:
        return row_ids[:, None] == column_ids
    return (row_ids[:, None] == column_ids).any(-1)


@dataclass(frozen=True)
class Targets:
    """The targets of a batch: 1 for two of the same movie, 0 for others, and in between for related movies.

    With genres, the target of two movies is `genre_weight` times the Jaccard index of their genres. SoftCLIP (Gao et
    al. 2023, arXiv:2303.17561) softens one-to-one targets in the same way, by similarities of image regions and tags.

    Args:
        ids: (pairs,) or (pairs, keys), the movie of each pair; see `positives_by_id`.
        genres: (pairs, genres), 1 where a movie has a genre.
        genre_weight: the target of two movies with the same genres, in 0..1.
        first_row: the pair of the first row; the rows of a process are some of the pairs.

    Example:
        >>> targets = Targets(torch.tensor([4, 5, 4]), torch.tensor([[1, 0], [1, 1], [1, 0]]), genre_weight=0.5)
        >>> targets.tile(slice(0, 2), slice(0, 3)).tolist()
        [[1.0, 0.25, 1.0], [0.25, 1.0, 0.25]]
    """

    ids: Tensor
    genres: Tensor | None = None
    genre_weight: float = 0.0
    first_row: int = 0

    def tile(self, rows: slice, columns: slice, dtype: torch.dtype = torch.float32) -> Tensor:
        """Returns the targets of some images and texts, (rows, columns)."""
        rows = slice(self.first_row + rows.start, self.first_row + rows.stop)
        positives = positives_by_id(self.ids[rows], self.ids[columns])
        if self.genres is None:
            return positives.to(dtype)
        one, other = self.genres[rows].to(dtype), self.genres[columns].to(dtype)
        common = one @ other.T
        jaccard = common / (one.sum(1, keepdim=True) + other.sum(1) - common).clamp(min=1)
        return torch.where(positives, 1.0, self.genre_weight * jaccard)


def own_alone(own: Tensor) -> Tensor:
    """Returns what `gather` returns in a single process, (1, ...)."""
    return own[None]


def contrastive_loss(images: Tensor, texts: Tensor, targets: Targets, gather: Gather = own_alone) -> Tensor:
    """Returns the symmetric InfoNCE loss, a scalar (CLIP, Radford et al. 2021, figure 3).

    The loss of an image is the cross-entropy between the softmax of its logits with all texts and its targets,
    normalised to sum 1. Several positives have equal probabilities (supervised contrastive learning, Khosla et al.
    2020, equation 2, L_out), and related candidates have smaller ones. That of a text is the same with all images, and
    the loss of a batch is half the sum of both means.

    Args:
        images: (pairs of this process, dimensions), times the logit scale.
        texts: (pairs, dimensions); a dot product with an image is a logit.
        targets: of the pairs.
        gather: returns a tensor of this process and those of the same shape of all others, (processes, ...).

    Example:
        >>> contrastive_loss(torch.zeros(4, 8), torch.zeros(4, 8), Targets(torch.arange(4)))  # ln 4
        tensor(1.3863)
    """
    return _ContrastiveLoss.apply(images, texts, targets, gather)


def sigmoid_loss(images: Tensor, texts: Tensor, bias: Tensor, targets: Targets) -> Tensor:
    """Returns the sigmoid loss, a scalar: the binary cross-entropies of all pairs (SigLIP, Zhai et al. 2023, eq. 1).

    They are added up and divided by the number of images.

    Args:
        images: (pairs of this process, dimensions), times the logit scale.
        texts: (pairs, dimensions).
        bias: scalar; the dot product of an image and a text and the bias add up to a logit.
        targets: of the pairs.

    Example:
        >>> sigmoid_loss(torch.zeros(4, 8), torch.zeros(4, 8), torch.tensor(0.0), Targets(torch.arange(4)))  # 4 ln 2
        tensor(2.7726)
    """
    return _SigmoidLoss.apply(images, texts, bias, targets)


def _tiles(images: Tensor, texts: Tensor, only: Tensor | None = None) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yields the images and texts of each tile and the dot products of them, (images, texts).

    Args:
        images: (images, dimensions).
        texts: (texts, dimensions).
        only: all dot products, if they are one tile that is there.
    """
    for row, column in product(range(0, len(images), TILE), range(0, len(texts), TILE)):
        rows, columns = slice(row, min(row + TILE, len(images))), slice(column, min(column + TILE, len(texts)))
        yield rows, columns, images[rows] @ texts[columns].T if only is None else only


def _if_alone(tile: Tensor, images: Tensor, texts: Tensor) -> Tensor | None:
    """Returns a tile for its second use if there are no others, so that small batches are computed once."""
    return tile if tile.shape == (len(images), len(texts)) else None


class _ContrastiveLoss(Function):
    """The loss of a query is logsumexp(logits) - sum(targets * logits) / sum(targets), in either direction."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, texts: Tensor, targets: Targets, gather: Gather) -> Tensor:
        ctx.targets, ctx.only = targets, None
        # Of each query: the logsumexp of its logits, the sum of its targets times logits, the sum of its targets.
        by_image, by_text = (side.new_zeros(3, len(side)) for side in (images, texts))
        by_image[0] = by_text[0] = -torch.inf
        for rows, columns, logits in _tiles(images, texts):
            target = targets.tile(rows, columns, logits.dtype)
            products = logits * target
            ctx.only = _if_alone(logits, images, texts)
            for sums, part, dim in ((by_image, rows, 1), (by_text, columns, 0)):
                sums[0, part] = torch.logaddexp(sums[0, part], logits.logsumexp(dim))
                sums[1, part] += products.sum(dim)
                sums[2, part] += target.sum(dim)
        of_all = gather(by_text)
        by_text = torch.stack([of_all[:, 0].logsumexp(0), *of_all[:, 1:].sum(0)])
        ctx.save_for_backward(images, texts, by_image, by_text)
        of_images, of_texts = ((sums[0] - sums[1] / sums[2]).sum() for sums in (by_image, by_text))
        return (of_images + of_texts / len(of_all)) / (2 * len(texts))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, texts, by_image, by_text = ctx.saved_tensors
        of_images, of_texts = torch.zeros_like(images), torch.zeros_like(texts)
        for rows, columns, logits in _tiles(images, texts, ctx.only):
            (row_sum, _, row_targets), (column_sum, _, column_targets) = by_image[:, rows, None], by_text[:, columns]
            of_logits = (logits - row_sum).exp_()
            of_logits += (logits - column_sum).exp_()
            of_logits -= ctx.targets.tile(rows, columns, logits.dtype) * (1 / row_targets + 1 / column_targets)
            of_images[rows] += of_logits @ texts[columns]
            of_texts[columns] += of_logits.T @ images[rows]
        factor = gradient / (2 * len(texts))
        return of_images.mul_(factor), of_texts.mul_(factor), None, None


class _SigmoidLoss(Function):
    """The loss of a pair is its binary cross-entropy, which is the same in both directions."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, texts: Tensor, bias: Tensor, targets: Targets) -> Tensor:
        ctx.targets, ctx.only = targets, None
        ctx.save_for_backward(images, texts, bias)
        total = images.new_zeros(())
        for rows, columns, logits in _tiles(images, texts):
            target = targets.tile(rows, columns, logits.dtype)
            ctx.only = _if_alone(logits, images, texts)
            total += F.binary_cross_entropy_with_logits(logits + bias, target, reduction="sum")
        return total / len(texts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, texts, bias = ctx.saved_tensors
        of_images, of_texts, of_bias = map(torch.zeros_like, ctx.saved_tensors)
        for rows, columns, logits in _tiles(images, texts, ctx.only):
            of_logits = (logits + bias).sigmoid_() - ctx.targets.tile(rows, columns, logits.dtype)
            of_images[rows] += of_logits @ texts[columns]
            of_texts[columns] += of_logits.T @ images[rows]
            of_bias += of_logits.sum()
        factor = gradient / len(texts)
        return of_images.mul_(factor), of_texts.mul_(factor), of_bias.mul_(factor), None
