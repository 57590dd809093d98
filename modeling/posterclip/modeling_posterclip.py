"""PosterCLIP: a poster encoder and a plot encoder that meet in one embedding space."""

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling, ModelOutput

from .char_ngrams import CharNgrams
from .configuration_posterclip import PosterCLIPConfig
from .encoders import build_encoder, encoder_config, feature_size, is_frozen, load_encoder, pool
from .losses import LOSSES, positives_by_id, symmetric_loss

# How much a bag of characters counts beside a meaning before training; chosen on movies that no test has.
CHAR_NGRAM_WEIGHT = 1.2


@dataclass
class PosterCLIPOutput(ModelOutput):
    """What `PosterCLIPModel` returns.

    Args:
        loss: scalar, when `positive_ids` were given or `return_loss` was set.
        logits_per_image: (posters, plots), scaled cosine similarities.
        logits_per_text: (plots, posters), their transpose.
        image_embeds: (posters, projection_dim + char_ngram_dim), L2-normalised.
        text_embeds: (plots, projection_dim + char_ngram_dim), L2-normalised.
    """

    loss: Tensor | None = None
    logits_per_image: Tensor | None = None
    logits_per_text: Tensor | None = None
    image_embeds: Tensor | None = None
    text_embeds: Tensor | None = None


class PosterCLIPModel(PreTrainedModel):
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

    config_class = PosterCLIPConfig
    config: PosterCLIPConfig
    base_model_prefix = "posterclip"
    main_input_name = "pixel_values"
    input_modalities = ["image", "text"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    # The loss is a mean over the batch: Trainer shall average it over accumulation steps, not sum it.
    accepts_loss_kwargs = False
    # In 16 bits these round to steps that training cannot cross.
    _keep_in_fp32_modules_strict = {"logit_scale", "logit_bias", "image_weight", "char_ngram_weight"}  # noqa: RUF012
    _supports_flash_attn = True
    _supports_sdpa = True

    def __init__(self, config: PosterCLIPConfig) -> None:
        super().__init__(config)
        self.vision_model = build_encoder(config.vision_config, config.vision_pooling)
        self.text_model = build_encoder(config.text_config, config.text_pooling)
        self.visual_projection = nn.Linear(feature_size(config.vision_config), config.projection_dim, bias=False)
        self.text_projection = nn.Linear(feature_size(config.text_config), config.projection_dim, bias=False)
        if config.use_poster_text:
            looks = config.image_weight_init_value
            self.image_weight = nn.Parameter(torch.tensor(float(looks)), requires_grad=looks != 0)
        if config.char_ngram_dim:
            self.char_ngrams = CharNgrams(config.text_config.vocab_size, config.char_ngram_dim)
            self.char_ngram_weight = nn.Parameter(torch.tensor(CHAR_NGRAM_WEIGHT))
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init_value)))
        if config.loss == "sigmoid":
            self.logit_bias = nn.Parameter(torch.tensor(float(config.logit_bias_init_value)))
        self.post_init()

    def initialize_weights(self) -> None:
        """As in transformers, but each encoder first and by itself.

        Within a model that is not transformers' own, the rules that an encoder has for its containers (attention
        blocks of CLIP and ModernBERT) would be skipped.
        """
        self.vision_model.initialize_weights()
        self.text_model.initialize_weights()
        super().initialize_weights()

    def _init_weights(self, module: nn.Module) -> None:
        # The encoders initialise themselves; this is for what is PosterCLIP's own.
        if isinstance(module, PosterCLIPModel):
            for projection in (self.visual_projection, self.text_projection):
                init.normal_(projection.weight, std=projection.in_features**-0.5)
            if self.config.use_poster_text:
                # An orthogonal map keeps similarities: posters' words find plots as they do without any training.
                init.orthogonal_(self.text_projection.weight)
                init.constant_(self.image_weight, self.config.image_weight_init_value)
            if self.config.char_ngram_dim:
                self.char_ngrams.reset()
                init.constant_(self.char_ngram_weight, CHAR_NGRAM_WEIGHT)
            init.constant_(self.logit_scale, self.config.logit_scale_init_value)
            if self.config.loss == "sigmoid":
                init.constant_(self.logit_bias, self.config.logit_bias_init_value)

    @classmethod
    def from_vision_text_pretrained(cls, vision: str, text: str, **fields: Any) -> "PosterCLIPModel":
        """Build a model from two pretrained encoders; the projections start at random.

        Args:
            vision: folder or Hub name of the poster encoder.
            text: folder or Hub name of the plot encoder.
            fields: further fields of `PosterCLIPConfig`.

        Example (needs the Hub):
            model = PosterCLIPModel.from_vision_text_pretrained(
                "google/vit-base-patch16-224", "google-bert/bert-base-uncased", projection_dim=128
            )
        """
        config = PosterCLIPConfig(
            vision_config=encoder_config(vision, "vision"), text_config=encoder_config(text, "text"), **fields
        )
        model = cls(config)
        model.vision_model = load_encoder(vision, config.vision_config, config.vision_pooling)
        model.text_model = load_encoder(text, config.text_config, config.text_pooling)
        for name, side in ((vision, config.vision_config), (text, config.text_config)):
            # A Hub name says where an encoder came from; a path says where it lay on somebody's disk.
            side.name_or_path = "" if os.path.isdir(name) else name
        return model

    def train(self, mode: bool = True) -> "PosterCLIPModel":
        """As in torch, but what is frozen stays in eval: no dropout, and no new batch statistics."""
        super().train(mode)
        for encoder in (self.vision_model, self.text_model):
            for module in encoder.modules():
                if is_frozen(module):
                    module.eval()
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> "PosterCLIPModel":
        """As in torch, for `to`, `half` and the like, but what needs float32 keeps it, as `from_pretrained` does."""
        names = [name for name in self._keep_in_fp32_modules_strict if hasattr(self, name)]
        exact = {name: getattr(self, name).detach().clone() for name in names}
        super()._apply(fn, recurse)
        for name, weight in exact.items():
            moved = getattr(self, name)
            if moved.dtype.itemsize < weight.dtype.itemsize:
                moved.data = weight.to(moved.device)
        return self

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """As in transformers; the folder also holds the code, so that it loads where PosterCLIP is not installed.

        Weights keep the names they have in the model: `Trainer` restores a checkpoint by exactly these names when
        it resumes or loads the best model, and skips in silence what is named otherwise.
        """
        if kwargs.get("state_dict") is None and any(".lora_" in name for name, _ in self.named_parameters()):
            raise ValueError("This model has adapters, which a saved folder could not load: merge them into it first.")
        kwargs.setdefault("save_original_format", False)
        code = f"{PosterCLIPModel.__module__.rsplit('.', 1)[-1]}.{PosterCLIPModel.__name__}"
        self.config.auto_map = {"AutoModel": code, "AutoModelForZeroShotImageClassification": code}
        super().save_pretrained(save_directory, *args, **kwargs)

    @property
    def dtype(self) -> torch.dtype:
        """That of the weights; the first of them, the temperature, is float32 in every model."""
        return self.visual_projection.weight.dtype

    def get_input_embeddings(self) -> nn.Module:
        """The plot encoder's token embeddings."""
        return self.text_model.get_input_embeddings()

    def vision_features(self, pixel_values: Tensor) -> Tensor:
        """Pooled features of posters, before the projection: (posters, feature)."""
        return pool(self._look(pixel_values), self.config.vision_pooling)

    def text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Pooled features of plots before the projection, then character n-grams: (plots, feature + char_ngram_dim)."""
        pooled = self.pooled_text_features(input_ids, attention_mask)
        return self.with_char_ngrams(pooled, input_ids, attention_mask)

    def pooled_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Returns the pooled features of texts before the projection, without n-grams: (texts, feature)."""
        return pool(self._read(input_ids, attention_mask), self.config.text_pooling, attention_mask)

    def poster_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """As `text_features`, of posters' words: (posters, feature + char_ngram_dim), zeros where a poster has none."""
        if attention_mask is None:
            return self.text_features(input_ids)
        has_text = attention_mask.any(1, keepdim=True)
        # Attention over nothing is not a number in some encoders.
        first = torch.arange(attention_mask.shape[1], device=attention_mask.device) == 0
        features = self.text_features(input_ids, torch.where(has_text, attention_mask, first))
        return torch.where(has_text, features, 0)

    def with_char_ngrams(self, pooled: Tensor, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Pooled features of texts, (texts, feature), and after them their bags of characters if the model has such."""
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
        """The poster encoder's output, its `pooler_output` replaced by the embedding, as in `forward`."""
        outputs, words = self._look(pixel_values, **kwargs), None
        if poster_input_ids is not None and self.config.use_poster_text:
            words = self.poster_text_features(poster_input_ids, poster_attention_mask)
        return _with_pooler(outputs, self.embed_posters(pool(outputs, self.config.vision_pooling), words))

    def get_text_features(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """The plot encoder's output, its `pooler_output` replaced by the embedding, as in `forward`."""
        outputs = self._read(input_ids, attention_mask, **kwargs)
        pooled = pool(outputs, self.config.text_pooling, attention_mask)
        return _with_pooler(outputs, self.embed_texts(self.with_char_ngrams(pooled, input_ids, attention_mask)))

    def _look(self, pixel_values: Tensor, **kwargs: Any) -> ModelOutput:
        return self.vision_model(pixel_values=pixel_values.to(self.dtype), return_dict=True, **kwargs)

    def _read(self, input_ids: Tensor, attention_mask: Tensor | None, **kwargs: Any) -> ModelOutput:
        return self.text_model(input_ids=input_ids, attention_mask=attention_mask, return_dict=True, **kwargs)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        poster_input_ids: Tensor | None = None,
        poster_attention_mask: Tensor | None = None,
        image_features: Tensor | None = None,
        text_features: Tensor | None = None,
        poster_text_features: Tensor | None = None,
        positive_ids: Tensor | None = None,
        return_loss: bool | None = None,
        return_dict: bool | None = None,
    ) -> PosterCLIPOutput | tuple:
        """Embed posters, plots or both; with both, score every poster against every plot.

        Args:
            pixel_values: (posters, 3, height, width).
            input_ids: (plots, tokens).
            attention_mask: (plots, tokens), 0 where a token is padding.
            poster_input_ids: (posters, tokens), what is printed on the posters; only read together with the posters.
            poster_attention_mask: (posters, tokens), likewise; 0 in a whole row for a poster without text.
            image_features: (posters, feature), from `vision_features`, instead of `pixel_values`.
            text_features: (plots, feature), from `text_features`, instead of `input_ids`.
            poster_text_features: (posters, feature), from `poster_text_features`, instead of `poster_input_ids`.
            positive_ids: (pairs,) or (pairs, keys), an id of each pair's movie; gives a loss in which every pair with
                the same id, or with one key in common, is a positive. Not named `labels`: `Trainer` waits for those.
            return_loss: gives a loss without `positive_ids`: every pair is a movie of its own.
            return_dict: False gives a tuple without the fields that are None.
        """
        if image_features is None and pixel_values is not None:
            image_features = self.vision_features(pixel_values)
        if text_features is None and input_ids is not None:
            text_features = self.text_features(input_ids, attention_mask)
        if poster_text_features is None and poster_input_ids is not None and self.config.use_poster_text:
            poster_text_features = self.poster_text_features(poster_input_ids, poster_attention_mask)

        image_embeds = text_embeds = logits = loss = None
        if image_features is not None:
            image_embeds = self.embed_posters(image_features, poster_text_features)
        if text_features is not None:
            text_embeds = self.embed_texts(text_features)
        if image_embeds is not None and text_embeds is not None:
            logits = self.similarity(image_embeds, text_embeds)
        if positive_ids is not None or return_loss:
            loss = self._pair_loss(logits, positive_ids)
        output = PosterCLIPOutput(
            loss=loss,
            logits_per_image=logits,
            logits_per_text=None if logits is None else logits.T,
            image_embeds=image_embeds,
            text_embeds=text_embeds,
        )
        return output if return_dict is not False else output.to_tuple()

    def embed_texts(self, text_features: Tensor) -> Tensor:
        """Normalised embeddings of `text_features`, (texts, projection_dim + char_ngram_dim)."""
        pooled, bags = self._parts(text_features)
        return self._embed(F.normalize(self.text_projection(pooled), dim=-1), bags)

    def embed_posters(self, image_features: Tensor, poster_text_features: Tensor | None = None) -> Tensor:
        """Normalised embeddings of posters, (posters, projection_dim + char_ngram_dim).

        A poster with words is embedded as they are, moved towards what the picture looks like; one without words, a
        row of zeros, as the picture alone.

        Args:
            image_features: (posters, feature).
            poster_text_features: (posters, feature + char_ngram_dim), or None: no poster has words.
        """
        looks = F.normalize(self.visual_projection(image_features.to(self.dtype)), dim=-1)
        alone = F.pad(looks, (0, self.config.char_ngram_dim))
        if poster_text_features is None or not self.config.use_poster_text:
            return alone
        pooled, bags = self._parts(poster_text_features)
        words = F.normalize(self.text_projection(pooled), dim=-1)
        both = F.normalize(words + self.image_weight * looks, dim=-1)
        return torch.where(poster_text_features.any(1, keepdim=True), self._embed(both, bags), alone)

    def _parts(self, text_features: Tensor) -> tuple[Tensor, Tensor]:
        text_features = text_features.to(self.dtype)
        size = self.text_projection.in_features
        return text_features[:, :size], text_features[:, size:]

    def _embed(self, meanings: Tensor, bags: Tensor) -> Tensor:
        """Meanings and bags in one unit vector, so that the product of two is that of both, weighed."""
        if not self.config.char_ngram_dim:
            return meanings
        bags = F.normalize(bags, dim=-1, eps=1e-6)  # the usual 1e-12 is 0 in float16, and an empty bag not a number
        return F.normalize(torch.cat([meanings, self.char_ngram_weight * bags], dim=1), dim=-1)

    def similarity(self, image_embeds: Tensor, text_embeds: Tensor) -> Tensor:
        """Logits of every poster against every plot, (posters, plots), in float32."""
        # In 16 bits, logits near 100 would differ by halves.
        with torch.autocast(image_embeds.device.type, enabled=False):
            logits = image_embeds.float() @ text_embeds.float().T * self.logit_scale.float().exp()
            return logits + self.logit_bias.float() if self.config.loss == "sigmoid" else logits

    def _pair_loss(self, logits: Tensor | None, positive_ids: Tensor | None) -> Tensor:
        if logits is None or len(logits) != len(logits.T):
            shape = "one side only" if logits is None else " against ".join(map(str, logits.shape))
            raise ValueError(f"A loss needs as many posters as plots, pair by pair; got {shape}.")
        if positive_ids is None:
            positive_ids = torch.arange(len(logits), device=logits.device)
        return symmetric_loss(LOSSES[self.config.loss], logits, positives_by_id(positive_ids, positive_ids))


def _with_pooler(outputs: ModelOutput, pooler_output: Tensor) -> BaseModelOutputWithPooling:
    return BaseModelOutputWithPooling(
        last_hidden_state=outputs["last_hidden_state"],
        pooler_output=pooler_output,
        hidden_states=outputs.get("hidden_states"),
        attentions=outputs.get("attentions"),
    )


PosterCLIPModel.register_for_auto_class("AutoModel")
