"""The PosterCLIP model: a poster encoder and a plot encoder with one embedding space."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling, ModelOutput

from .char_ngrams import CharNgrams
from .configuration_posterclip import PosterCLIPConfig
from .encoders import build_encoder, feature_size, pool, pool_image, text_inputs, with_pooler_output
from .losses import Gather, Targets, contrastive_loss, own_alone, sigmoid_loss
from .outputs_posterclip import PosterCLIPOutput
from .pretrained_posterclip import CHAR_NGRAM_WEIGHT, PosterCLIPPreTrainedModel


class PosterCLIPModel(PosterCLIPPreTrainedModel):
    """Two encoders, a linear projection of each, and a learnable temperature (CLIP, Radford et al. 2021).

    Example:
        >>> from transformers import BertConfig, ViTConfig
        >>> small = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
        >>> config = PosterCLIPConfig(
        ...     vision_config=ViTConfig(image_size=32, **small), text_config=BertConfig(**small), projection_dim=8
        ... )
        >>> model = PosterCLIPModel(config).eval()
        >>> output = model(pixel_values=torch.zeros(2, 3, 32, 32), input_ids=torch.ones(3, 5, dtype=torch.long))
        >>> output.logits_per_image.shape
        torch.Size([2, 3])
    """

    def __init__(self, config: PosterCLIPConfig) -> None:
        super().__init__(config)
        self.vision_model = build_encoder(config.vision_config, config.vision_pooling)
        self.text_model = build_encoder(config.text_config, config.text_pooling, config.text_head)
        self.visual_projection = nn.Linear(feature_size(config.vision_config), config.projection_dim, bias=False)
        text_size = feature_size(config.text_config, config.text_head)
        self.text_projection = nn.Linear(text_size, config.projection_dim, bias=False)
        if config.use_poster_text:
            weight = config.image_weight_init_value
            self.image_weight = nn.Parameter(torch.tensor(float(weight)), requires_grad=weight != 0)
        if config.char_ngram_dim:
            self.char_ngrams = CharNgrams(config.text_config.vocab_size, config.char_ngram_dim, config.prompt_ids)
            self.char_ngram_weight = nn.Parameter(torch.tensor(CHAR_NGRAM_WEIGHT))
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init_value)))
        if config.loss == "sigmoid":
            self.logit_bias = nn.Parameter(torch.tensor(float(config.logit_bias_init_value)))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Returns the plot encoder's token embeddings."""
        return self.text_model.get_input_embeddings()

    def vision_features(self, pixel_values: Tensor, **patches: Tensor) -> Tensor:
        """Returns pooled features of posters, (posters, feature); for `patches` see `forward`."""
        return self._pool_images(self._encode_images(pixel_values, **patches), **patches)

    def text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Returns pooled features of texts and their n-gram embeddings, (texts, feature + char_ngram_dim).

        An empty text, whose row of the mask is 0, has a row of zeros.
        """
        if attention_mask is None:
            return self.with_char_ngrams(self.pooled_text_features(input_ids), input_ids, None)
        has_text = attention_mask.any(1, keepdim=True)
        # Some encoders return NaN where the whole mask is 0, so an empty text keeps its first token.
        first = torch.arange(attention_mask.shape[1], device=attention_mask.device) == 0
        mask = torch.where(has_text, attention_mask, first)
        features = self.with_char_ngrams(self.pooled_text_features(input_ids, mask), input_ids, mask)
        return torch.where(has_text, features, 0)

    def pooled_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Returns pooled features of texts without n-grams, (texts, feature)."""
        return self._pool_texts(self._encode_texts(input_ids, attention_mask), attention_mask).to(self.dtype)

    def with_char_ngrams(self, pooled: Tensor, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Returns pooled features of texts, (texts, feature), followed by their n-gram embeddings if there are any."""
        if not self.config.char_ngram_dim:
            return pooled
        return torch.cat([pooled, self.char_ngrams(input_ids, attention_mask).to(pooled.dtype)], dim=1)

    def get_image_features(
        self,
        pixel_values: Tensor,
        poster_input_ids: Tensor | None = None,
        poster_attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Returns the poster encoder's output with the image embedding of `forward` as its `pooler_output`."""
        outputs, text = self._encode_images(pixel_values, **kwargs), None
        if poster_input_ids is not None and self.config.use_poster_text:
            text = self.text_features(poster_input_ids, poster_attention_mask)
        return with_pooler_output(outputs, self.embed_posters(self._pool_images(outputs, **kwargs), text))

    def get_text_features(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """Returns the plot encoder's output with the text embedding of `forward` as its `pooler_output`."""
        outputs = self._encode_texts(input_ids, attention_mask, **kwargs)
        pooled = self._pool_texts(outputs, attention_mask)
        return with_pooler_output(outputs, self.embed_texts(self.with_char_ngrams(pooled, input_ids, attention_mask)))

    def _encode_images(self, pixel_values: Tensor, **kwargs: Any) -> ModelOutput:
        return self.vision_model(pixel_values=pixel_values.to(self.vision_model.dtype), return_dict=True, **kwargs)

    def _pool_images(self, outputs: ModelOutput, pixel_attention_mask: Tensor | None = None, **_: Any) -> Tensor:
        return pool_image(outputs, self.config.vision_pooling, self.config.vision_config, pixel_attention_mask)

    def _encode_texts(self, input_ids: Tensor, attention_mask: Tensor | None, **kwargs: Any) -> ModelOutput:
        inputs = text_inputs(self.config.text_config, input_ids, attention_mask)
        return self.text_model(**inputs, return_dict=True, **kwargs)

    def _pool_texts(self, outputs: ModelOutput, attention_mask: Tensor | None) -> Tensor:
        pooled = pool(outputs, self.config.text_pooling, attention_mask)
        return self.text_model.get_submodule("sentence_head")(pooled) if self.config.text_head else pooled

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        poster_input_ids: Tensor | None = None,
        poster_attention_mask: Tensor | None = None,
        title_input_ids: Tensor | None = None,
        title_attention_mask: Tensor | None = None,
        pixel_attention_mask: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        image_features: Tensor | None = None,
        text_features: Tensor | None = None,
        poster_text_features: Tensor | None = None,
        title_text_features: Tensor | None = None,
        positive_ids: Tensor | None = None,
        return_loss: bool | None = None,
        return_logits: bool = True,
        return_dict: bool | None = None,
    ) -> PosterCLIPOutput | tuple:
        """Embeds posters, plots or both; with both, scores every poster against every plot.

        Args:
            pixel_values: (posters, 3, height, width); for an encoder of patches (SigLIP 2 NaFlex), (posters, patches,
                values of a patch).
            input_ids: (plots, tokens).
            attention_mask: (plots, tokens), 0 where a token is padding.
            poster_input_ids: (posters, tokens), the posters' own texts; only used together with the posters.
            poster_attention_mask: (posters, tokens), 0 where a token is padding and in the whole row of an empty text.
            title_input_ids: (plots, tokens), a title of each plot's movie; only used together with the plots.
            title_attention_mask: (plots, tokens), 0 where a token is padding and in the whole row of an empty title.
            pixel_attention_mask: (posters, patches), 0 where a patch is padding.
            spatial_shapes: (posters, 2), the rows and columns of patches of each poster.
            image_features: (posters, feature), from `vision_features`, instead of `pixel_values`.
            text_features: (plots, feature), from `text_features`, instead of `input_ids`.
            poster_text_features: (posters, feature), from `text_features`, instead of `poster_input_ids`.
            title_text_features: (plots, feature), from `text_features`, instead of `title_input_ids`.
            positive_ids: (pairs,) or (pairs, keys), an id of each pair's movie; gives a loss in which every pair with
                the same id, or with one key in common, is a positive. Not named `labels`: `Trainer` waits for those.
            return_loss: gives a loss without `positive_ids`: every pair is a movie of its own.
            return_logits: False leaves out the logits, whose memory grows with the square of the batch.
            return_dict: False gives a tuple without the fields that are None.
        """
        if image_features is None and pixel_values is not None:
            patches = {"pixel_attention_mask": pixel_attention_mask, "spatial_shapes": spatial_shapes}
            given = {name: value for name, value in patches.items() if value is not None}
            image_features = self.vision_features(pixel_values, **given)
        if text_features is None and input_ids is not None:
            text_features = self.text_features(input_ids, attention_mask)
        if poster_text_features is None and poster_input_ids is not None and self.config.use_poster_text:
            poster_text_features = self.text_features(poster_input_ids, poster_attention_mask)
        if title_text_features is None and title_input_ids is not None:
            title_text_features = self.text_features(title_input_ids, title_attention_mask)
        if text_features is not None and title_text_features is not None:
            text_features = self.with_titles(text_features, title_text_features)

        image_embeds = text_embeds = logits = logit_parameters = loss = None
        if image_features is not None:
            image_embeds = self.embed_posters(image_features, poster_text_features)
        if text_features is not None:
            text_embeds = self.embed_texts(text_features)
        if not return_logits:
            parameters = self.named_parameters(recurse=False)
            logit_parameters = torch.stack([weight for name, weight in parameters if name.startswith("logit_")])
        elif image_embeds is not None and text_embeds is not None:
            logits = self.similarity(image_embeds, text_embeds)
        if positive_ids is not None or return_loss:
            loss = self._batch_loss(image_embeds, text_embeds, positive_ids)
        output = PosterCLIPOutput(
            loss=loss,
            logits_per_image=logits,
            logits_per_text=None if logits is None else logits.T,
            image_embeds=image_embeds,
            text_embeds=text_embeds,
            logit_parameters=logit_parameters,
        )
        return output if return_dict is not False else output.to_tuple()

    def movie_features(self, text_features: Tensor, movies: Tensor, is_title: Tensor, count: int) -> Tensor:
        """Returns one text feature for each movie of several texts, (count, feature + char_ngram_dim).

        It is `with_titles` of the mean direction of the movie's plots and that of its titles.

        Args:
            text_features: (texts, feature + char_ngram_dim), from `text_features`, of titles and plots in any order.
            movies: (texts,) the movie that each belongs to, 0 to count - 1.
            is_title: (texts,) which of them are titles.
            count: number of movies.
        """
        features = self._normalized_parts(text_features)
        sums = features.new_zeros(2 * count, features.shape[1]).index_add_(0, 2 * movies + is_title.long(), features)
        return self.with_titles(*sums.view(count, 2, -1).unbind(1))

    def with_titles(self, plots: Tensor, titles: Tensor) -> Tensor:
        """Returns text features of movies, of those of their plots and titles, each (movies, feature + char_ngram_dim).

        They are the direction of the plots' plus `config.title_weight` times that of the titles', pooled features and
        n-grams each by themselves. What a movie does not have is a row of zeros and adds nothing. `embed_texts` takes
        the result like the feature of a single text.
        """
        return self._normalized_parts(plots) + self.config.title_weight * self._normalized_parts(titles)

    def _normalized_parts(self, text_features: Tensor) -> Tensor:
        parts = text_features.to(self.dtype).split([self.text_projection.in_features, self.config.char_ngram_dim], 1)
        return torch.cat([F.normalize(part, dim=-1, eps=1e-6) for part in parts], dim=1)

    def embed_texts(self, text_features: Tensor) -> Tensor:
        """Returns normalised embeddings of `text_features`, (texts, projection_dim + char_ngram_dim)."""
        return self._with_ngrams(*self._project_texts(text_features))

    def embed_posters(self, image_features: Tensor, poster_text_features: Tensor | None = None) -> Tensor:
        """Returns normalised embeddings of posters, (posters, projection_dim + char_ngram_dim).

        The embedding of a poster with text is that of its text plus `image_weight` times its image embedding; without
        text, in a row of zeros, it is the image embedding alone.

        Args:
            image_features: (posters, feature).
            poster_text_features: (posters, feature + char_ngram_dim); None if no poster has text.
        """
        image = F.normalize(self.visual_projection(image_features.to(self.dtype)), dim=-1)
        image_alone = F.pad(image, (0, self.config.char_ngram_dim))
        if poster_text_features is None or not self.config.use_poster_text:
            return image_alone
        text, ngrams = self._project_texts(poster_text_features)
        both = F.normalize(text + self.image_weight * image, dim=-1)
        return torch.where(poster_text_features.any(1, keepdim=True), self._with_ngrams(both, ngrams), image_alone)

    def _project_texts(self, text_features: Tensor) -> tuple[Tensor, Tensor]:
        """Returns normalised projections, (texts, projection_dim), and n-gram embeddings, (texts, char_ngram_dim)."""
        text_features = text_features.to(self.dtype)
        size = self.text_projection.in_features
        return F.normalize(self.text_projection(text_features[:, :size]), dim=-1), text_features[:, size:]

    def _with_ngrams(self, embeds: Tensor, ngrams: Tensor) -> Tensor:
        """Returns both as one unit vector, so that a dot product is the weighted sum of the two parts' cosines."""
        if not self.config.char_ngram_dim:
            return embeds
        ngrams = F.normalize(ngrams, dim=-1, eps=1e-6)  # the default 1e-12 is 0 in float16: NaN without n-grams
        return F.normalize(torch.cat([embeds, self.char_ngram_weight * ngrams], dim=1), dim=-1)

    def similarity(self, image_embeds: Tensor, text_embeds: Tensor) -> Tensor:
        """Returns the logits of every poster against every plot, (posters, plots), in float32."""
        with torch.autocast(image_embeds.device.type, enabled=False):  # 16 bits round logits near 100 to halves
            logits = image_embeds.float() @ text_embeds.float().T * self.logit_scale.float().exp()
            return logits + self.logit_bias.float() if self.config.loss == "sigmoid" else logits

    def pair_loss(self, images: Tensor, texts: Tensor, targets: Targets, gather: Gather = own_alone) -> Tensor:
        """Returns the loss of embeddings, a scalar in float32; the arguments are those of `contrastive_loss`."""
        with torch.autocast(images.device.type, enabled=False):
            images, texts = images.float() * self.logit_scale.float().exp(), texts.float()
            if self.config.loss == "sigmoid":
                return sigmoid_loss(images, texts, self.logit_bias.float(), targets)
            return contrastive_loss(images, texts, targets, gather)

    def _batch_loss(self, images: Tensor | None, texts: Tensor | None, positive_ids: Tensor | None) -> Tensor:
        if images is None or texts is None or len(images) != len(texts):
            counts = " against ".join("none" if side is None else str(len(side)) for side in (images, texts))
            raise ValueError(f"A loss needs as many posters as plots, pair by pair; got {counts}.")
        ids = torch.arange(len(images), device=images.device) if positive_ids is None else positive_ids
        return self.pair_loss(images, texts, Targets(ids))


PosterCLIPModel.register_for_auto_class("AutoModel")
