"""A model as ONNX says what the model says, where there is neither torch nor transformers."""

import shutil
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession
from PIL import Image
from transformers import CLIPImageProcessor, Siglip2VisionConfig
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

from modeling import PosterCLIPConfig, PosterCLIPModel
from modeling.inference.onnx_export import PARTS, export_onnx
from processing import PosterCLIPProcessor
from scripts import export, match_onnx
from tests.elsewhere import run_without_clone
from tests.tiny import TEXT, tiny_batch, tiny_model, tiny_processor, tiny_words

MATCH = Path(__file__).parents[2] / "scripts" / "match_onnx.py"
PLOTS, POSTER_TEXT = ["A whale is hunted", "Shark", "A count leaves for London"], "Whale"


def prompting_processor() -> PosterCLIPProcessor:
    """One that pads on the left and has a prompt for each side."""
    processor = tiny_processor(padding_side="left")
    processor.text_prompt, processor.poster_text_prompt = "passage: ", "query: "
    return processor


@pytest.fixture(
    scope="module",
    params=[("vit", "bert", {"use_poster_text": True, "char_ngram_dim": 32}), ("efficientnet", "mpnet", {})],
    ids=["vit, bert, reads", "efficientnet, mpnet"],
)
def exported(request, tmp_path_factory):
    """The model, the folder of its export, and what the command printed."""
    vision, text, fields = request.param
    root, printed = tmp_path_factory.mktemp("root"), StringIO()
    processor = prompting_processor()
    tiny_model(vision, text, prompt_ids=processor.prompt_ids, **fields).save_pretrained(root / "model")
    processor.save_pretrained(root / "model")
    with redirect_stdout(printed):
        export.main([str(root / "model"), "--output", str(root / "onnx")])
    return PosterCLIPModel.from_pretrained(root / "model").eval(), root / "onnx", printed.getvalue().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(("posters", "plots", "tokens"), [(1, 3, 7), (3, 1, 12)])
def test_each_part_says_what_the_model_says(exported, posters, plots, tokens, side):
    model, folder, _ = exported
    given = {name: value[:plots] for name, value in tiny_batch(4, tokens).items()}
    given["pixel_values"] = tiny_batch(posters)["pixel_values"]
    if model.config.use_poster_text:
        given |= {name: value[:posters] for name, value in tiny_words(4, tokens - 1).items()}
    for name, value in given.items():  # the shorter of several texts, with two tokens of padding more
        if name != "pixel_values":
            given[name] = torch.nn.functional.pad(value, (2, 0) if side == "left" else (0, 2))
    with torch.no_grad():
        expected = model(**given)
    for name, (inputs, outputs) in PARTS.items():
        session = InferenceSession(folder / name)
        taken = [each.name for each in session.get_inputs()]
        assert set(taken) == set(inputs) & given.keys()
        found = session.run(list(outputs), {each: given[each].numpy() for each in taken})
        for output, value in zip(outputs, found, strict=True):
            np.testing.assert_allclose(value, expected[output].numpy(), atol=1e-4, rtol=0, err_msg=f"{name} {output}")


@pytest.mark.slow
def test_the_command_says_how_far_each_part_is_from_torch(exported):
    _, folder, printed = exported
    assert len(printed) == len(PARTS)
    for line, name in zip(printed, PARTS, strict=True):
        assert line.startswith(f"{folder / name}: differs from torch by ")
        assert str(Path(__file__).parents[2]).encode() not in (folder / name).read_bytes()


@pytest.mark.slow
def test_a_poster_is_matched_where_there_is_no_torch(exported, tmp_path):
    model, folder, _ = exported
    poster = Image.effect_noise((40, 60), 90).convert("RGBA")
    poster.putalpha(90)
    poster.save(tmp_path / "poster.png")
    barred = "import sys\nsys.modules.update(dict.fromkeys(('torch', 'transformers', 'onnx'), None))\n"
    (tmp_path / "match.py").write_text(barred + MATCH.read_text())
    arguments = [str(folder), str(tmp_path / "poster.png"), *PLOTS, "--poster_text", POSTER_TEXT]
    lines = run_without_clone(tmp_path / "match.py", *arguments, cwd=tmp_path, cache=tmp_path / "cache").splitlines()
    with torch.no_grad():
        batch = prompting_processor()(images=poster, text=PLOTS, poster_text=POSTER_TEXT, return_tensors="pt")
        output = model(**batch)
    cosines = (output.text_embeds @ output.image_embeds[0]).tolist()
    expected = sorted(zip(cosines, PLOTS, strict=True), reverse=True)
    assert lines[1:] == [f"{cosine:10.3f}  {plot}" for cosine, plot in expected]


@pytest.mark.slow
def test_what_cannot_be_matched_is_one_line(exported, tmp_path):
    _, folder, _ = exported
    (tmp_path / "poster.jpg").write_bytes(b"%PDF-1.4")
    with pytest.raises(SystemExit, match=r"error: .*poster\.jpg is no poster that can be read"):
        match_onnx.main([str(folder), str(tmp_path / "poster.jpg"), *PLOTS])
    with pytest.raises(SystemExit, match=r"error: there is no .*model\.onnx; scripts/export\.py writes it"):
        match_onnx.main([str(tmp_path), str(tmp_path / "poster.jpg"), *PLOTS])
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    (damaged / "model.onnx").write_bytes(b"damaged")
    Image.new("L", (40, 60)).save(tmp_path / "poster.jpg")
    with pytest.raises(SystemExit, match=r"error: .*damaged holds a damaged file"):
        match_onnx.main([str(damaged), str(tmp_path / "poster.jpg"), *PLOTS])


@pytest.mark.slow
def test_what_the_consumer_cannot_do_is_said_at_export(tmp_path, capsys):
    processor = tiny_processor()
    processor.image_processor = CLIPImageProcessor(
        size={"height": 40, "width": 40}, do_center_crop=True, crop_size={"height": 32, "width": 32}
    )
    tiny_model().save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    export.main([str(tmp_path / "model"), "--output", str(tmp_path / "onnx")])
    assert "does not follow the image processor's do_center_crop=True" in capsys.readouterr().err
    Image.new("L", (40, 60)).save(tmp_path / "poster.jpg")
    with pytest.raises(SystemExit, match=r"error: .*onnx_pixels\.py: .* do_center_crop=True"):
        match_onnx.main([str(tmp_path / "onnx"), str(tmp_path / "poster.jpg"), *PLOTS])


def test_what_export_needs_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install '\.\[onnx\]'"):
        export_onnx(tiny_model(), tmp_path, (32, 32))


def test_an_encoder_of_patches_is_refused(tmp_path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    vision = Siglip2VisionConfig(**sizes, patch_size=8, num_patches=16)
    PosterCLIPModel(PosterCLIPConfig(vision_config=vision, text_config=TEXT["bert"])).save_pretrained(tmp_path)
    processor = tiny_processor()
    processor.image_processor = Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    processor.save_pretrained(tmp_path)
    with pytest.raises(SystemExit, match="patches of each poster's own shape"):
        export.main([str(tmp_path), "--output", str(tmp_path / "onnx")])
