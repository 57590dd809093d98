"""Reads how a text encoder makes a sentence embedding of its tokens, from the files of sentence-transformers."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.utils import cached_file

POOLINGS = ("mean", "cls", "max", "lasttoken", "weightedmean")
# Before sentence-transformers 5.4, `1_Pooling/config.json` had a boolean for each pooling.
_BOOLEANS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# The text encoders whose checkpoint has a projection after the pooling, and the classes that load it.
_WITH_PROJECTION = {
    "clip_text_model": "CLIPTextModelWithProjection",
    "metaclip_2_text_model": "MetaClip2TextModelWithProjection",
}


@dataclass
class SentenceEmbedding:
    """How a text encoder's output becomes one feature a text.

    Args:
        pooling: a pooling of `PosterCLIPConfig.text_pooling`; "auto" where no file names one.
        head: the layers after the pooling, `PosterCLIPConfig.text_head`.
        weights: of these layers, by their names in `build_head`.
    """

    pooling: str = "auto"
    head: list[dict[str, Any]] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)


def sentence_embedding(name: str, config: PreTrainedConfig) -> SentenceEmbedding:
    """Returns how the makers of a text encoder embed a text.

    It is read from `modules.json` and the files that it names. Without them, a text encoder of CLIP or MetaCLIP 2 has
    its checkpoint's own projection.

    Args:
        name: folder or Hub name of the encoder.
        config: the encoder's configuration, from `encoder_config`.

    Raises:
        ValueError: the files name a module or a setting that PosterCLIP does not have; it says which.
    """
    modules = _read_json(name, "modules.json")
    if modules is None:
        return _own_projection(name, config)
    if not isinstance(modules, list) or not all(isinstance(of, dict) and {"type", "path"} <= set(of) for of in modules):
        raise ValueError(f"{name}: modules.json is no list of modules with a type and a path.")
    found = SentenceEmbedding()
    for index, module in enumerate(modules):
        package, _, kind = module["type"].rpartition(".")
        place = f"{name}: {module['path'] or 'modules.json'}"
        if not package.startswith("sentence_transformers.") or (kind == "Transformer") != (index == 0):
            raise ValueError(f"{place}: PosterCLIP has no module {module['type']!r}.")
        if kind == "Transformer":
            _check_transformer(name, module["path"])
        elif kind == "Pooling":
            found.pooling = _read_pooling(place, _read_json(name, "config.json", module["path"]) or {})
        elif kind == "Dense":
            _add_dense(found, name, module["path"])
        elif kind == "Normalize":
            _check_names(place, kind, _read_json(name, "config.json", module["path"]) or {})
            found.head.append({"type": "Normalize"})
        elif kind != "Dropout":  # which changes nothing outside training
            raise ValueError(f"{place}: PosterCLIP has no module {module['type']!r}.")
    return found if found.pooling != "auto" else _own_projection(name, config)


def _check_transformer(name: str, path: str) -> None:
    if path:
        raise ValueError(f"{name}: the encoder lies in {path!r}: give that folder, or move its files up.")
    settings = _read_json(name, "sentence_bert_config.json") or {}
    text = (settings.get("modality_config") or {}).get("text") or {}
    output = text.get("method_output_name", "last_hidden_state")
    given = {
        "transformer_task": settings.get("transformer_task", "feature-extraction"),
        "text method": text.get("method", "forward"),
        "text processing": (settings.get("processing_kwargs") or {}).get("text"),
        "text output": output[0] if isinstance(output, list) and len(output) == 1 else output,
    }
    known: dict[str, tuple[Any, ...]] = {
        "transformer_task": ("feature-extraction",),
        "text method": ("forward", "get_text_features"),
        "text processing": (None, {}),
        "text output": ("last_hidden_state", "pooler_output"),
    }
    for setting, value in given.items():
        if value not in known[setting]:
            raise ValueError(f"{name}: sentence_bert_config.json: PosterCLIP has no {setting} {value!r}.")


def _read_pooling(place: str, settings: dict[str, Any]) -> str:
    modes = settings.get("pooling_mode") or [mode for flag, mode in _BOOLEANS.items() if settings.get(flag)] or "mean"
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) > 1 or modes[0] not in POOLINGS:
        raise ValueError(f"{place}: PosterCLIP has no pooling {' + '.join(modes)}; it has {', '.join(POOLINGS)}.")
    if settings.get("include_prompt") is False:
        raise ValueError(f"{place}: PosterCLIP does not pool without the prompt (include_prompt is false).")
    return modes[0]


def _add_dense(found: SentenceEmbedding, name: str, path: str) -> None:
    place, settings = f"{name}: {path}", _read_json(name, "config.json", path) or {}
    package, _, activation = (settings.get("activation_function") or "torch.nn.Tanh").rpartition(".")
    _check_names(place, "Dense", settings)
    if settings.get("use_residual"):
        raise ValueError(f"{place}: PosterCLIP has no Dense layer with a residual.")
    if not package.startswith("torch.nn") or not hasattr(nn, activation):
        raise ValueError(f"{place}: PosterCLIP has no activation {settings['activation_function']!r}.")
    if file := _find(name, "model.safetensors", path):
        weights = load_file(file)
    elif file := _find(name, "pytorch_model.bin", path):
        weights = torch.load(file, map_location="cpu", weights_only=True)
    else:
        raise ValueError(f"{place}: there are no weights.")
    layer = {key: settings[key] for key in ("in_features", "out_features")} | {"bias": "linear.bias" in weights}
    found.weights |= {f"{len(found.head)}.{key}": value.float() for key, value in weights.items()}
    found.head.append({"type": "Dense", **layer, "activation": activation})


def _check_names(place: str, kind: str, settings: dict[str, Any]) -> None:
    for key in ("module_input_name", "module_output_name"):
        if settings.get(key, "sentence_embedding") not in (None, "sentence_embedding"):
            raise ValueError(f"{place}: PosterCLIP has no {kind} layer of {settings[key]}.")


def _own_projection(name: str, config: PreTrainedConfig) -> SentenceEmbedding:
    class_name = _WITH_PROJECTION.get(config.model_type)
    if class_name is None:
        return SentenceEmbedding()
    load: Any = getattr(transformers, class_name).from_pretrained
    model, loading = load(name, config=config, dtype=torch.float32, output_loading_info=True)
    if "text_projection.weight" in loading["missing_keys"]:
        return SentenceEmbedding()
    size, bias = model.text_projection.weight.shape, model.text_projection.bias is not None
    layer = {"type": "Dense", "in_features": size[1], "out_features": size[0], "bias": bias, "activation": "Identity"}
    return SentenceEmbedding("auto", [layer], {"0.linear.weight": model.text_projection.weight.detach()})


def _find(name: str, file: str, folder: str = "") -> str | None:
    return cached_file(
        name,
        file,
        subfolder=folder,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )


def _read_json(name: str, file: str, folder: str = "") -> Any:
    path = _find(name, file, folder)
    try:
        return json.loads(Path(path).read_text(encoding="utf-8")) if path else None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
