"""The loss over a whole pool, which the evaluation reports."""

import torch
from torch import Tensor

from modeling.posterclip.losses import LOSSES, positives_by_id
from modeling.posterclip.modeling_posterclip import PosterCLIPModel


@torch.no_grad()
def pool_loss(
    model: PosterCLIPModel, image_embeds: Tensor, text_embeds: Tensor, ids: Tensor, block_size: int = 1024
) -> float:
    """Returns the model's loss over a pool. It is computed in blocks, so memory is linear in the size of the pool.

    Args:
        model: the model, with its loss and logit scale.
        image_embeds: (pairs, dimensions).
        text_embeds: (pairs, dimensions), of the same pairs in the same order.
        ids: (pairs,), the movie of each pair.
        block_size: the number of queries scored at a time.
    """
    loss, device = LOSSES[model.config.loss], model.device
    image_embeds, text_embeds, ids = image_embeds.to(device), text_embeds.to(device), ids.to(device)
    total = 0.0
    for start in range(0, len(ids), block_size):
        rows = slice(start, start + block_size)
        positives = positives_by_id(ids[rows], ids)
        for queries, candidates in ((image_embeds, text_embeds), (text_embeds, image_embeds)):
            total += loss(model.similarity(queries[rows], candidates), positives).sum().item()
    return total / (2 * len(ids))
