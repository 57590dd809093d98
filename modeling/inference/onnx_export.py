"""Export of a model to ONNX, for runtimes without torch and transformers."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modeling.posterclip.modeling_posterclip import PosterCLIPModel

OPSET = 18  # the native opset of torch's exporter
TOLERANCE = 1e-4
POSTER_INPUTS = ("pixel_values", "poster_input_ids", "poster_attention_mask")
PLOT_INPUTS = ("input_ids", "attention_mask")
# The exported files, each with its inputs and outputs. Exports of CLIP by other projects have the same names.
PARTS = {
    "vision_model.onnx": (POSTER_INPUTS, ("image_embeds",)),
    "text_model.onnx": (PLOT_INPUTS, ("text_embeds",)),
    "model.onnx": (POSTER_INPUTS + PLOT_INPUTS, ("image_embeds", "text_embeds", "logits_per_image")),
}


def export_onnx(model: PosterCLIPModel, folder: Path, image_size: tuple[int, int]) -> dict[str, float]:
    """Exports a model as the files of `PARTS`, each with its weights, and compares their outputs with torch.

    The numbers of posters, plots and tokens are dynamic. A model with poster text has inputs for it, with a mask of
    zeros for a poster without text, and all parts then include the text encoder. Outputs are those of
    `PosterCLIPOutput`. The comparison runs each part in onnxruntime, on batches of 1 and 3.

    Args:
        model: the model, in float32 on the CPU. It is set to eval mode.
        folder: the output folder. It is created if it does not exist.
        image_size: height and width of `pixel_values`.

    Returns:
        The largest absolute difference of each part's outputs from torch. Logits are divided by the logit scale.

    Raises:
        ImportError: the extra `onnx` is not installed.
        ValueError: torch cannot export the encoders, or a part differs by more than `TOLERANCE`.

    Example:
        >>> export_onnx(model, Path("onnx"), (224, 224))  # doctest: +SKIP
        {'vision_model.onnx': 4.2e-07, 'text_model.onnx': 2.4e-07, 'model.onnx': 4.8e-07}
    """
    try:
        import onnx.utils
        import onnxruntime
        from onnx_ir.passes.common import ClearMetadataAndDocStringPass
    except ImportError as error:
        raise ImportError(f"The export needs the extra onnx (pip install '.[onnx]'): {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    example = _example_inputs(model, image_size, posters=2, plots=3, tokens=6)
    program = _export(model, example)
    ClearMetadataAndDocStringPass()(program.model)  # it has paths of the local source code
    program.save(path, external_data=False)
    differences = {}
    for name, (inputs, outputs) in PARTS.items():
        if name != path.name:
            used = [input_name for input_name in inputs if input_name in example]
            onnx.utils.extract_model(path, folder / name, used, list(outputs))
        session = onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
        differences[name] = max(_difference(model, session, image_size, *counts) for counts in ((1, 3, 9), (3, 1, 4)))
        if not differences[name] <= TOLERANCE:
            raise ValueError(f"{name} differs from torch by {differences[name]:.1e}, more than {TOLERANCE:.0e}.")
    return differences


def _export(model: PosterCLIPModel, example: dict[str, Tensor]) -> Any:
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the internals of torch's exporter
            return torch.onnx.export(
                _TupleOutput(model).eval(),
                kwargs=example,
                dynamo=True,
                dynamic_shapes={name: _dynamic_axes(name) for name in example},
                input_names=list(example),
                output_names=list(PARTS["model.onnx"][1]),
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        encoders = f"{model.config.vision_config.model_type} with {model.config.text_config.model_type}"
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise ValueError(f"torch cannot export {encoders}: {reason}") from error


class _TupleOutput(nn.Module):
    """A module that returns the outputs of `PARTS["model.onnx"]` as a tuple."""

    def __init__(self, model: PosterCLIPModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        poster_input_ids: Tensor | None = None,
        poster_attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        outputs = self.model(pixel_values, input_ids, attention_mask, poster_input_ids, poster_attention_mask)
        return outputs.image_embeds, outputs.text_embeds, outputs.logits_per_image


def _example_inputs(
    model: PosterCLIPModel, image_size: tuple[int, int], posters: int, plots: int, tokens: int
) -> dict[str, Tensor]:
    """Returns random inputs. The last text of each side is a token shorter; the first of several posters has none."""
    generator = torch.Generator().manual_seed(0)
    inputs = {"pixel_values": torch.randn(posters, 3, *image_size, generator=generator)}
    for prefix, count in (("", plots), ("poster_", posters)) if model.config.use_poster_text else (("", plots),):
        mask = torch.ones(count, tokens, dtype=torch.long)
        mask[-1, -1] = 0
        if prefix and count > 1:
            mask[0] = 0
        ids = torch.randint(model.config.text_config.vocab_size, mask.shape, generator=generator)
        inputs |= {f"{prefix}input_ids": ids, f"{prefix}attention_mask": mask}
    return inputs


def _dynamic_axes(name: str) -> dict[int, str]:
    if name == "pixel_values":
        return {0: "posters"}
    return {0: "posters", 1: "poster_tokens"} if name in POSTER_INPUTS else {0: "plots", 1: "tokens"}


@torch.no_grad()
def _difference(
    model: PosterCLIPModel, session: Any, image_size: tuple[int, int], posters: int, plots: int, tokens: int
) -> float:
    inputs = _example_inputs(model, image_size, posters, plots, tokens)
    expected = model(**inputs)
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {node.name: inputs[node.name].numpy() for node in session.get_inputs()})
    scale = {"logits_per_image": float(model.logit_scale.exp())}
    return max(
        float(np.abs(value - expected[name].numpy()).max()) / scale.get(name, 1.0)
        for name, value in zip(names, found, strict=True)
    )
