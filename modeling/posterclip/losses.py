"""Contrastive losses of a similarity matrix, in which all pairs of the same movie are positives.

A loss takes `logits` (rows, columns), the scaled similarities of queries and candidates, and `targets` of the same
shape, booleans or numbers in 0..1. A target is 1 for a positive, so a movie that occurs twice in a batch is never its
own negative, 0 for a negative, and in between for related movies. A loss returns one value per row; `symmetric_loss`
averages the rows of both directions.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

RowLoss = Callable[[Tensor, Tensor], Tensor]


def contrastive_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Returns the InfoNCE loss of each row, (rows,) (CLIP, Radford et al. 2021, figure 3).

    It is the cross-entropy between the softmax of the row's logits and its targets, normalised to sum 1. Several
    positives have equal probabilities (supervised contrastive learning, Khosla et al. 2020, equation 2, L_out), and
    related candidates have smaller ones.

    Example:
        >>> contrastive_loss(torch.zeros(2, 4), torch.eye(2, 4))  # ln 4
        tensor([1.3863, 1.3863])
    """
    targets = targets.to(logits.dtype)
    return F.cross_entropy(logits, targets / targets.sum(1, keepdim=True), reduction="none")


def sigmoid_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Returns the sigmoid loss of each row, (rows,) (SigLIP, Zhai et al. 2023, equation 1).

    It is the sum of the binary cross-entropies of the row's pairs.

    Example:
        >>> sigmoid_loss(torch.zeros(2, 4), torch.eye(2, 4))  # 4 ln 2
        tensor([2.7726, 2.7726])
    """
    return F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none").sum(1)


LOSSES: dict[str, RowLoss] = {"contrastive": contrastive_loss, "sigmoid": sigmoid_loss}


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
    same = row_ids[:, None] == column_ids[None, :]
    return same.any(-1) if same.ndim == 3 else same


def soft_targets(ids: Tensor, genres: Tensor, weight: float) -> Tensor:
    """Returns targets that are soft for movies with common genres, (pairs, pairs).

    A target is 1 for equal ids, and `weight` times the Jaccard index of the two movies' genres otherwise. SoftCLIP
    (Gao et al. 2023, arXiv:2303.17561) softens one-to-one targets in the same way, by similarities of image regions
    and tags.

    Args:
        ids: (pairs,) or (pairs, keys), the movie of each pair; see `positives_by_id`.
        genres: (pairs, genres), 1 where a movie has a genre.
        weight: the target of two movies with the same genres, in 0..1.

    Example:
        >>> soft_targets(torch.tensor([4, 5, 4]), torch.tensor([[1, 0], [1, 1], [1, 0]]), 0.5).tolist()
        [[1.0, 0.25, 1.0], [0.25, 1.0, 0.25], [1.0, 0.25, 1.0]]
    """
    genres = genres.float()
    counts, common = genres.sum(1), genres @ genres.T
    jaccard = common / (counts[:, None] + counts[None, :] - common).clamp(min=1)
    return torch.where(positives_by_id(ids, ids), 1.0, weight * jaccard)


def symmetric_loss(loss: RowLoss, logits: Tensor, targets: Tensor) -> Tensor:
    """Returns the mean of the image-to-text and the text-to-image loss, a scalar.

    Args:
        loss: one of `LOSSES`.
        logits: (pairs, pairs), posters in rows and plots in columns.
        targets: (pairs, pairs), from `positives_by_id` or `soft_targets`.
    """
    return (loss(logits, targets).mean() + loss(logits.T, targets.T).mean()) / 2
