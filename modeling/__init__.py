"""Tensors in, embeddings and losses out. Importing this makes the auto classes know PosterCLIP."""

from transformers import AutoConfig, AutoModel, AutoModelForZeroShotImageClassification

from modeling.posterclip.configuration_posterclip import PosterCLIPConfig
from modeling.posterclip.modeling_posterclip import PosterCLIPModel, PosterCLIPOutput

AutoConfig.register(PosterCLIPConfig.model_type, PosterCLIPConfig)
AutoModel.register(PosterCLIPConfig, PosterCLIPModel)
AutoModelForZeroShotImageClassification.register(PosterCLIPConfig, PosterCLIPModel)

__all__ = ["PosterCLIPConfig", "PosterCLIPModel", "PosterCLIPOutput"]
