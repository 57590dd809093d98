"""A movie in, tensors out; embeddings in, answers out."""

from processing.posterclip.processing_posterclip import PosterCLIPProcessor

__all__ = ["PosterCLIPProcessor"]
