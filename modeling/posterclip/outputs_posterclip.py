"""The output of a PosterCLIP."""

from dataclasses import dataclass

from torch import Tensor
from transformers.modeling_outputs import ModelOutput


@dataclass
class PosterCLIPOutput(ModelOutput):
    """What `PosterCLIPModel` returns.

    Args:
        loss: scalar, with `positive_ids` or `return_loss`.
        logits_per_image: (posters, plots), scaled cosine similarities.
        logits_per_text: (plots, posters), their transpose.
        image_embeds: (posters, projection_dim + char_ngram_dim), L2-normalised.
        text_embeds: (plots, projection_dim + char_ngram_dim), L2-normalised.
        logit_parameters: (1,) or (2,), in place of logits with `return_logits=False`: the model's `logit_scale` and
            `logit_bias`. Distributed training finds the weights that a forward pass uses by what it returns.
    """

    loss: Tensor | None = None
    logits_per_image: Tensor | None = None
    logits_per_text: Tensor | None = None
    image_embeds: Tensor | None = None
    text_embeds: Tensor | None = None
    logit_parameters: Tensor | None = None
