"""Weights that are not exactly a model's are an error that names them, however the model is loaded."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from modeling import PosterCLIPModel
from scripts.common.command_line import load_model
from tests.tiny import TEXT, VISION, tiny_model, tiny_processor

ONCE_EACH = [(vision, "bert") for vision in VISION] + [("vit", text) for text in TEXT if text != "bert"]


@pytest.fixture
def folder(tmp_path):
    """A saved model with poster text and n-grams, and its processor."""
    tiny_model(use_poster_text=True, char_ngram_dim=16).save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    return tmp_path


def change(folder, *, remove: str = "", add: dict[str, torch.Tensor] | None = None) -> list[str]:
    """Rewrites the weights of a folder without those whose names begin as told, and with others; their names."""
    weights = load_file(folder / "model.safetensors")
    gone = [name for name in weights if remove and name.startswith(remove)]
    kept = {name: weight for name, weight in weights.items() if name not in gone}
    save_file({**kept, **(add or {})}, folder / "model.safetensors", metadata={"format": "pt"})
    return gone


@pytest.mark.parametrize("part", ["text_projection", "char_ngrams", "text_model.encoder.layer.1", "logit_scale"])
def test_missing_weights_are_named(folder, part):
    removed = change(folder, remove=part)
    for load in (PosterCLIPModel.from_pretrained, AutoModel.from_pretrained, load_model):
        with pytest.raises(ValueError, match=f"{len(removed)} missing .{min(removed)}") as error:
            load(str(folder))
        assert str(folder) in str(error.value)


def test_unexpected_weights_are_named(folder):
    change(folder, add={"head.weight": torch.ones(2)})
    with pytest.raises(ValueError, match=r"1 unexpected \(head\.weight\)"):
        PosterCLIPModel.from_pretrained(folder)


@pytest.mark.parametrize("options", [{}, {"ignore_mismatched_sizes": True}])
def test_weights_of_another_shape_are_named(options, folder):
    change(folder, add={"text_projection.weight": torch.ones(4, 16)})
    with pytest.raises(ValueError, match=r"1 of another shape \(text_projection\.weight: \(4, 16\), not \(8, 16\)\)"):
        PosterCLIPModel.from_pretrained(folder, **options)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(folder, value):
    change(folder, add={"visual_projection.weight": torch.full((8, 16), value)})
    with pytest.raises(ValueError, match=r"not finite .* 1: visual_projection\.weight"):
        PosterCLIPModel.from_pretrained(folder)


def test_the_weights_of_another_model_are_refused(folder):
    tiny_model().text_model.save_pretrained(folder / "other")
    (folder / "other" / "model.safetensors").replace(folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"missing .*unexpected"):
        load_model(str(folder))


def test_a_truncated_file_is_named(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OSError, match=f"{folder} are a damaged file"):
        PosterCLIPModel.from_pretrained(folder)
    with pytest.raises(ValueError, match=f"{folder} are a damaged file"):
        load_model(str(folder))


def test_the_report_of_the_loading_is_returned_where_it_is_asked_for(folder):
    model, loading = PosterCLIPModel.from_pretrained(folder, output_loading_info=True)
    assert isinstance(model, PosterCLIPModel) and not loading["missing_keys"]


@pytest.mark.parametrize(("vision", "text"), ONCE_EACH)
def test_a_whole_model_of_any_family_loads_with_its_own_weights(vision, text, tmp_path):
    model = tiny_model(vision, text)
    model.save_pretrained(tmp_path)
    loaded = PosterCLIPModel.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], weight) for name, weight in model.state_dict().items())


class TestEncoders:
    @pytest.fixture
    def parts(self, tmp_path):
        """Folders of a poster encoder and a plot encoder."""
        model = tiny_model(vision_pooling="cls")
        for name in ("vision", "text"):
            getattr(model, f"{name}_model").save_pretrained(tmp_path / name)
        return tmp_path

    def build(self, parts, **fields):
        return PosterCLIPModel.from_vision_text_pretrained(str(parts / "vision"), str(parts / "text"), **fields)

    def test_may_lack_a_pooling_head_that_is_not_used(self, parts):
        with pytest.raises(ValueError, match=r"vision has no pooling head \(pooler"):
            self.build(parts, vision_pooling="pooler")
        self.build(parts, vision_pooling="cls")

    def test_may_hold_weights_of_other_parts(self, parts):
        change(parts / "text", add={"cls.predictions.bias": torch.ones(3)})
        self.build(parts)

    def test_are_refused_by_name_without_their_own_weights(self, parts):
        gone = change(parts / "text", remove="encoder.layer.0.output")
        with pytest.raises(ValueError, match=f"text do not fit .*{len(gone)} missing .{min(gone)}"):
            self.build(parts)

    def test_are_refused_by_name_with_weights_that_are_not_finite(self, parts):
        change(parts / "text", add={"embeddings.LayerNorm.bias": torch.full((16,), torch.nan)})
        with pytest.raises(ValueError, match=r"text are not finite .*embeddings\.LayerNorm\.bias"):
            self.build(parts)

    def test_are_refused_by_name_if_their_file_is_damaged(self, parts):
        (parts / "text" / "model.safetensors").write_bytes(b"damaged")
        with pytest.raises(OSError, match="text are a damaged file"):
            self.build(parts)
