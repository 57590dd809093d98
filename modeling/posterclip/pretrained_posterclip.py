"""The base class of PosterCLIP: how its weights are initialised, loaded, checked, kept in float32 and saved."""

import os
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init

from .char_ngrams import CharNgrams
from .configuration_posterclip import PosterCLIPConfig
from .encoders import encoder_config, is_frozen, load_encoder
from .explanation import Explains
from .sentence_files import sentence_embedding
from .weights import check_finite, check_loading

# How much the n-gram embedding counts beside the rest before training; chosen on movies that no test has.
CHAR_NGRAM_WEIGHT = 1.2


class PosterCLIPPreTrainedModel(Explains, PreTrainedModel):
    """The part of a `PosterCLIPModel` that transformers calls and that computes no embedding of its own."""

    config_class = PosterCLIPConfig
    config: PosterCLIPConfig
    base_model_prefix = "posterclip"
    main_input_name = "pixel_values"
    input_modalities = ["image", "text"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    # The loss is a mean over the batch, so Trainer averages it over accumulation steps and does not sum it.
    accepts_loss_kwargs = False
    # In 16 bits, steps of these would be rounded away.
    _keep_in_fp32_modules_strict = {"logit_scale", "logit_bias", "image_weight", "char_ngram_weight"}  # noqa: RUF012
    _supports_flash_attn = True
    _supports_sdpa = True

    vision_model: PreTrainedModel
    text_model: PreTrainedModel
    visual_projection: nn.Linear
    text_projection: nn.Linear
    logit_scale: Tensor
    logit_bias: Tensor
    image_weight: Tensor
    char_ngrams: CharNgrams
    char_ngram_weight: Tensor

    def initialize_weights(self) -> None:
        """Initialises the weights; each encoder initialises its own first.

        Within a model that is not transformers' own, the rules that an encoder has for its containers (attention
        blocks of CLIP and ModernBERT) would be skipped.
        """
        self.vision_model.initialize_weights()
        self.text_model.initialize_weights()
        super().initialize_weights()

    def _init_weights(self, module: nn.Module) -> None:
        if not isinstance(module, PosterCLIPPreTrainedModel):
            return  # a part of an encoder, which initialises itself
        for projection in (self.visual_projection, self.text_projection):
            init.normal_(projection.weight, std=projection.in_features**-0.5)
        if self.config.use_poster_text:
            # An orthogonal map keeps similarities: before any training, poster text finds plots as the encoder does.
            init.orthogonal_(self.text_projection.weight)
            init.constant_(self.image_weight, self.config.image_weight_init_value)
        if self.config.char_ngram_dim:
            self.char_ngrams.reset()
            init.constant_(self.char_ngram_weight, CHAR_NGRAM_WEIGHT)
        init.constant_(self.logit_scale, self.config.logit_scale_init_value)
        if self.config.loss == "sigmoid":
            init.constant_(self.logit_bias, self.config.logit_bias_init_value)

    def train(self, mode: bool = True) -> "PosterCLIPPreTrainedModel":
        """Sets the training mode as in torch; frozen modules stay in eval: no dropout, no new batch statistics."""
        super().train(mode)
        for encoder in (self.vision_model, self.text_model):
            for module in encoder.modules():
                if is_frozen(module):
                    module.eval()
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> "PosterCLIPPreTrainedModel":
        """Converts as in torch (`to`, `half`); what needs float32 keeps it, as in `from_pretrained`."""
        names = [name for name in self._keep_in_fp32_modules_strict if hasattr(self, name)]
        exact = {name: getattr(self, name).detach().clone() for name in names}
        super()._apply(fn, recurse)
        for name, weight in exact.items():
            moved = getattr(self, name)
            if moved.dtype.itemsize < weight.dtype.itemsize:
                moved.data = weight.to(moved.device)
        return self

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights; the first of them, the temperature, is float32 in every model."""
        return self.visual_projection.weight.dtype

    @classmethod
    def from_vision_text_pretrained(
        cls, vision: str, text: str, vision_dtype: str = "float32", text_dtype: str = "float32", **fields: Any
    ) -> Any:
        """Builds a model from two pretrained encoders; the projections start at random.

        Args:
            vision: folder or Hub name of the poster encoder.
            text: folder or Hub name of the plot encoder. Where it has files of sentence-transformers, these give its
                pooling and the layers after it (see `sentence_embedding`).
            vision_dtype, text_dtype: "float32", or "auto", the dtype of the checkpoint, for an encoder that is frozen.
            fields: further fields of `PosterCLIPConfig`.

        Example (needs the Hub):
            model = PosterCLIPModel.from_vision_text_pretrained(
                "google/vit-base-patch16-224", "google-bert/bert-base-uncased", projection_dim=128
            )
        """
        vision_config, text_config = encoder_config(vision, "vision"), encoder_config(text, "text")
        files = sentence_embedding(text, text_config)
        if fields.get("text_pooling", "auto") == "auto":
            fields["text_pooling"] = files.pooling
        config = PosterCLIPConfig(vision_config=vision_config, text_config=text_config, text_head=files.head, **fields)
        model = cls(config)
        model.vision_model = load_encoder(vision, vision_config, config.vision_pooling, dtype=vision_dtype)
        model.text_model = load_encoder(
            text, text_config, config.text_pooling, files.head, files.weights, dtype=text_dtype
        )
        for name, side in ((vision, config.vision_config), (text, config.text_config)):
            # A Hub name says where an encoder comes from; a local path is nobody else's business.
            side.name_or_path = "" if os.path.isdir(name) else name
        return model

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Any,
        *model_args: Any,
        output_loading_info: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Loads a saved model as in transformers, and refuses weights that are not exactly the model's.

        Args:
            pretrained_model_name_or_path: a folder or Hub name.
            model_args: as in transformers.
            output_loading_info: whether transformers' report of the loading is returned too.
            kwargs: as in transformers; weights of another shape are refused whatever `ignore_mismatched_sizes` says.

        Raises:
            ValueError: weights are missing, unexpected, of another shape or not finite; it names them.
            OSError: there is no such model, or its file of weights is damaged.
        """
        # transformers does not name the weights of another shape in its error, so it only reports them here.
        options = {**kwargs, "output_loading_info": True, "ignore_mismatched_sizes": True}
        try:
            loaded: Any = super().from_pretrained(pretrained_model_name_or_path, *model_args, **options)
        except SafetensorError as error:
            raise OSError(f"The weights of {pretrained_model_name_or_path} are a damaged file: {error}") from error
        model, loading = loaded
        if "dtype" not in kwargs:  # transformers gives all parts one dtype
            for encoder, dtype in (
                (model.vision_model, model.config.vision_dtype),
                (model.text_model, model.config.text_dtype),
            ):
                encoder.to(getattr(torch, dtype) if dtype else model.dtype)
        check_loading(pretrained_model_name_or_path, loading)
        check_finite(pretrained_model_name_or_path, model.state_dict())
        return (model, loading) if output_loading_info else model

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """Saves the model as in transformers, with its code, so that it loads where PosterCLIP is not installed.

        Weights keep the names that they have in the model: `Trainer` restores a checkpoint by exactly these names when
        it resumes or loads the best model, and skips others without an error.

        Raises:
            ValueError: the model has adapters, which a saved folder could not load.
        """
        if kwargs.get("state_dict") is None and any(".lora_" in name for name, _ in self.named_parameters()):
            raise ValueError("This model has adapters, which a saved folder could not load: merge them into it first.")
        kwargs.setdefault("save_original_format", False)
        for side, encoder in (("vision", self.vision_model), ("text", self.text_model)):
            own = None if encoder.dtype == self.dtype else str(encoder.dtype).removeprefix("torch.")
            setattr(self.config, f"{side}_dtype", own)
        code = f"{type(self).__module__.rsplit('.', 1)[-1]}.{type(self).__name__}"
        self.config.auto_map = {"AutoModel": code, "AutoModelForZeroShotImageClassification": code}
        super().save_pretrained(save_directory, *args, **kwargs)
