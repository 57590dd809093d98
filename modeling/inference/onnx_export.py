"""A model as ONNX, for runtimes that have neither torch nor transformers."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modeling.posterclip.modeling_posterclip import PosterCLIPModel

OPSET = 18  # what torch's exporter writes without converting
TOLERANCE = 1e-4
POSTERS = ("pixel_values", "poster_input_ids", "poster_attention_mask")
PLOTS = ("input_ids", "attention_mask")
# What is written, as other exports of dual encoders name it: inputs and outputs.
PARTS = {
    "vision_model.onnx": (POSTERS, ("image_embeds",)),
    "text_model.onnx": (PLOTS, ("text_embeds",)),
    "model.onnx": (POSTERS + PLOTS, ("image_embeds", "text_embeds", "logits_per_image")),
}


def export_onnx(model: PosterCLIPModel, folder: Path, image_size: tuple[int, int]) -> dict[str, float]:
    """Write `PARTS` of a model into a folder, each complete with its weights.

    Numbers of posters, of plots and of tokens are free. A poster's words are inputs of a model that reads posters, a
    row of the mask 0 for one without text, and the text encoder is then in all parts. Outputs are as in
    `PosterCLIPOutput`. The exporter traces the model once; then each part runs in onnxruntime and is compared with
    torch, on batches of 1 and 3.

    Args:
        model: in float32, on the CPU; it is put into eval.
        folder: is made if it is not there.
        image_size: height and width of the posters as the processor gives them.

    Returns:
        For each part the largest difference of an output to torch.

    Raises:
        ImportError: the extra `onnx` is not installed.
        ValueError: torch cannot export such an encoder, or a part differs by more than `TOLERANCE` (of logits what
            they are before the temperature).

    Example:
        >>> export_onnx(model, Path("onnx"), (224, 224))  # doctest: +SKIP
        {'vision_model.onnx': 4.2e-07, 'text_model.onnx': 2.4e-07, 'model.onnx': 4.8e-07}
    """
    try:
        import onnx.utils
        import onnxruntime
        from onnx_ir.passes.common import ClearMetadataAndDocStringPass
    except ImportError as error:
        raise ImportError(f"export needs the extra onnx (pip install '.[onnx]'): {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / "model.onnx"
    example = _example(model, image_size, posters=2, plots=3, tokens=6)
    program = _traced(model, example)
    ClearMetadataAndDocStringPass()(program.model)  # the paths of this machine's code
    program.save(whole, external_data=False)
    differences = {}
    for name, (inputs, outputs) in PARTS.items():
        if name != whole.name:
            used = [given for given in inputs if given in example]
            onnx.utils.extract_model(whole, folder / name, used, list(outputs))
        session = onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
        differences[name] = max(_difference(model, session, image_size, *counts) for counts in ((1, 3, 9), (3, 1, 4)))
        if not differences[name] <= TOLERANCE:
            raise ValueError(f"{name} differs from torch by {differences[name]:.1e}, more than {TOLERANCE:.0e}.")
    return differences


def _traced(model: PosterCLIPModel, example: dict[str, Tensor]) -> Any:
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's exporter warns about itself
            return torch.onnx.export(
                _Tuple(model).eval(),
                kwargs=example,
                dynamo=True,
                dynamic_shapes={name: _free_axes(name) for name in example},
                input_names=list(example),
                output_names=list(PARTS["model.onnx"][1]),
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        encoders = f"{model.config.vision_config.model_type} with {model.config.text_config.model_type}"
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise ValueError(f"torch cannot export {encoders}: {reason}") from error


class _Tuple(nn.Module):
    """What a graph has: the outputs of `PARTS["model.onnx"]` in their order."""

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


def _example(
    model: PosterCLIPModel, image_size: tuple[int, int], posters: int, plots: int, tokens: int
) -> dict[str, Tensor]:
    """Random inputs; each side's last text is shorter by a token, and of several posters the first shows none."""
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


def _free_axes(name: str) -> dict[int, str]:
    if name == "pixel_values":
        return {0: "posters"}
    return {0: "posters", 1: "poster_tokens"} if name in POSTERS else {0: "plots", 1: "tokens"}


@torch.no_grad()
def _difference(
    model: PosterCLIPModel, session: Any, image_size: tuple[int, int], posters: int, plots: int, tokens: int
) -> float:
    inputs = _example(model, image_size, posters, plots, tokens)
    expected = model(**inputs)
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {given.name: inputs[given.name].numpy() for given in session.get_inputs()})
    scale = {"logits_per_image": float(model.logit_scale.exp())}
    return max(
        float(np.abs(value - expected[name].numpy()).max()) / scale.get(name, 1.0)
        for name, value in zip(names, found, strict=True)
    )
