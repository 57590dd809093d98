"""Losses over a similarity matrix, with positives by movie and not by position.

A loss takes `logits` (rows, columns), the scaled similarities of queries and candidates, and `positives`, a boolean
matrix of the same shape that is true where both belong to the same movie, so that a movie which is in a batch twice
is never its own negative. It returns one value per row; `symmetric_loss` makes a batch's loss of it.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

RowLoss = Callable[[Tensor, Tensor], Tensor]


def contrastive_loss(logits: Tensor, positives: Tensor) -> Tensor:
    """InfoNCE (CLIP, Radford et al. 2021, figure 3): find the right candidate among the row's, (rows,).

    With several positives the target is uniform over them (supervised contrastive learning, Khosla et al. 2020,
    equation 2, L_out).

    Example:
        >>> contrastive_loss(torch.zeros(2, 4), torch.eye(2, 4, dtype=torch.bool))  # ln 4
        tensor([1.3863, 1.3863])
    """
    targets = positives.to(logits.dtype)
    return F.cross_entropy(logits, targets / targets.sum(1, keepdim=True), reduction="none")


def sigmoid_loss(logits: Tensor, positives: Tensor) -> Tensor:
    """SigLIP's loss (Zhai et al. 2023, equation 1): every pair is a yes-or-no question, summed per row, (rows,).

    Example:
        >>> sigmoid_loss(torch.zeros(2, 4), torch.eye(2, 4, dtype=torch.bool))  # 4 ln 2
        tensor([2.7726, 2.7726])
    """
    return -F.logsigmoid(torch.where(positives, logits, -logits)).sum(1)


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


def symmetric_loss(loss: RowLoss, logits: Tensor, ids: Tensor) -> Tensor:
    """The mean of a loss over posters and over plots, a scalar.

    Args:
        loss: one of `LOSSES`.
        logits: (pairs, pairs), posters in rows and plots in columns.
        ids: (pairs,) or (pairs, keys), the movie of each poster and of the plot at the same place.
    """
    positives = positives_by_id(ids, ids)
    return (loss(logits, positives).mean() + loss(logits.T, positives).mean()) / 2
