"""The loss of the batches of all processes together."""

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.distributed.nn.functional import all_gather

from modeling.posterclip.losses import Targets
from modeling.posterclip.modeling_posterclip import PosterCLIPModel


def joint_loss(
    model: PosterCLIPModel, accelerator: Accelerator, images: Tensor, texts: Tensor, targets: Targets
) -> Tensor:
    """Returns this process's share of the loss of the joint batch, times the number of processes.

    The mean over processes, which distributed training takes of losses and of gradients, is that of the joint batch.
    A process compares its own images with the texts of all, and no process has all the logits.

    Args:
        model: the model, unwrapped.
        accelerator: of the processes.
        images: (pairs, dimensions), embeddings of this process.
        texts: (pairs, dimensions).
        targets: of the pairs of this process.
    """
    processes = accelerator.num_processes
    if processes > 1:
        first, texts = accelerator.process_index * len(images), torch.cat(all_gather(texts))
        genres = None if targets.genres is None else accelerator.gather(targets.genres)
        targets = Targets(accelerator.gather(targets.ids), genres, targets.genre_weight, first)
        # accelerate pads the last batch with pairs from the start of the epoch.
        state = accelerator.gradient_state
        if state.end_of_dataloader and state.sync_gradients and state.remainder > 0:
            images, texts = images[: max(state.remainder - first, 0)], texts[: state.remainder]
    return processes * model.pair_loss(images, texts, targets, lambda own: accelerator.gather(own[None]))
