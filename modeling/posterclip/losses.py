"""Losses over a similarity matrix, with targets by movie and not by position.

A loss takes `logits` (rows, columns), the scaled similarities of queries and candidates, and `targets` of the same
shape, booleans or numbers in 0..1: 1 where both belong to the same movie, so that a movie which is in a batch twice
is never its own negative, 0 where they have nothing to do with each other, between where they are related. It
returns one value per row; `symmetric_loss` makes a batch's loss of it.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

RowLoss = Callable[[Tensor, Tensor], Tensor]


def contrastive_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """InfoNCE (CLIP, Radford et al. 2021, figure 3): find the right candidate among the row's, (rows,).

    The cross-entropy to the row's targets divided by their sum. With several positives that is the uniform
    distribution over them (supervised contrastive learning, Khosla et al. 2020, equation 2, L_out); related
    candidates take their share of it.

    Example:
        >>> contrastive_loss(torch.zeros(2, 4), torch.eye(2, 4))  # ln 4
        tensor([1.3863, 1.3863])
    """
    targets = targets.to(logits.dtype)
    return F.cross_entropy(logits, targets / targets.sum(1, keepdim=True), reduction="none")


def sigmoid_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """SigLIP's loss (Zhai et al. 2023, equation 1): every pair is a yes-or-no question, summed per row, (rows,).

    The binary cross-entropy of each pair; of a target between 0 and 1 it is that of "yes" and that of "no", mixed.

    Example:
        >>> sigmoid_loss(torch.zeros(2, 4), torch.eye(2, 4))  # 4 ln 2
        tensor([2.7726, 2.7726])
    """
    return F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none").sum(1)


LOSSES: dict[str, RowLoss] = {"contrastive": contrastive_loss, "sigmoid": sigmoid_loss}


def positives_by_id(row_ids: Tensor, column_ids: Tensor) -> Tensor:
    """True where a row and a column carry the same movie id, (rows, columns).

    Ids are (rows,) and (columns,), or (rows, keys) and (columns, keys): then one key in common is enough.

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
    """Targets that call movies of overlapping genres related, (pairs, pairs).

    1 where the ids are equal, elsewhere `weight` times the Jaccard overlap of the genres: those that both movies
    have, by those that either has. As in SoftCLIP (Gao et al. 2023, arXiv:2303.17561) a similarity within one
    modality softens the one-to-one targets; there it is computed from image regions and tags, here it is given.

    Args:
        ids: (pairs,) or (pairs, keys), the movie of each pair; see `positives_by_id`.
        genres: (pairs, genres), 1 where a movie has a genre; one without any overlaps with nobody.
        weight: target of two movies of the very same genres, in 0..1.

    Example:
        >>> soft_targets(torch.tensor([4, 5, 4]), torch.tensor([[1, 0], [1, 1], [1, 0]]), 0.5).tolist()
        [[1.0, 0.25, 1.0], [0.25, 1.0, 0.25], [1.0, 0.25, 1.0]]
    """
    genres = genres.float()
    counts, shared = genres.sum(1), genres @ genres.T
    overlap = shared / (counts[:, None] + counts[None, :] - shared).clamp(min=1)
    return torch.where(positives_by_id(ids, ids), 1.0, weight * overlap)


def symmetric_loss(loss: RowLoss, logits: Tensor, targets: Tensor) -> Tensor:
    """The mean of a loss over posters and over plots, a scalar.

    Args:
        loss: one of `LOSSES`.
        logits: (pairs, pairs), posters in rows and plots in columns.
        targets: (pairs, pairs), of `positives_by_id` or `soft_targets`.
    """
    return (loss(logits, targets).mean() + loss(logits.T, targets.T).mean()) / 2
