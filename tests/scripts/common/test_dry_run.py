"""What a PosterCLIP cannot use is refused by name before any poster is read."""

import pytest
import torch
from transformers import BartConfig, BertTokenizer, GPT2Config, Siglip2VisionConfig, ViTMAEConfig
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

from modeling import PosterCLIPConfig, PosterCLIPModel
from scripts import train
from scripts.common.dry_run import dry_run
from tests.tiny import TEXT, VISION, tiny_model, tiny_processor

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def model_of(vision=VISION["vit"], text=TEXT["bert"]) -> PosterCLIPModel:
    return PosterCLIPModel(PosterCLIPConfig(vision_config=vision.to_dict(), text_config=text.to_dict()))


@pytest.mark.parametrize("fields", [{}, {"use_poster_text": True, "char_ngram_dim": 16}], ids=["image", "poster text"])
def test_what_works_passes_and_is_left_as_it_was(fields):
    model = tiny_model(**fields).train()
    model.vision_model.eval()  # as a frozen encoder is
    before = {name: value.clone() for name, value in model.state_dict().items()}
    dry_run(model, tiny_processor())
    assert model.training and not any(module.training for module in model.vision_model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_tokenizer_without_a_pad_token_is_refused():
    config = GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=64, bos_token_id=1, eos_token_id=2)
    processor = tiny_processor()
    processor.tokenizer.pad_token = None
    with pytest.raises(ValueError, match=r"tokenizer of the plot encoder \(gpt2\).*padding token"):
        dry_run(model_of(text=config), processor)


def test_an_encoder_of_patches_needs_an_image_processor_that_gives_them():
    model, processor = model_of(vision=Siglip2VisionConfig(**SMALL, patch_size=8, num_patches=16)), tiny_processor()
    with pytest.raises(ValueError, match=r"poster encoder \(siglip2_vision_model\).*pixel_attention_mask"):
        dry_run(model, processor)
    processor.image_processor = Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    dry_run(model, processor)


def test_an_encoder_that_draws_what_it_looks_at_is_refused():
    model = model_of(vision=ViTMAEConfig(**SMALL, image_size=32, patch_size=8))
    with pytest.raises(ValueError, match=r"poster encoder \(vit_mae\).*differ from one time to the next"):
        dry_run(model, tiny_processor())


def test_training_stops_before_it_reads_a_catalogue(tmp_path, capsys):
    tiny_processor().image_processor.save_pretrained(tmp_path / "vision")
    model_of().vision_model.save_pretrained(tmp_path / "vision")
    words = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])}
    BertTokenizer(vocab=words).save_pretrained(tmp_path / "text")
    BartConfig(d_model=16, vocab_size=64).save_pretrained(tmp_path / "text")
    names = [f"--{side}_model_name_or_path={tmp_path / side}" for side in ("vision", "text")]
    with pytest.raises(SystemExit, match=r"error: .*'bart' has a decoder"):
        train.main([*names, f"--catalogue={tmp_path / 'nowhere'}", f"--output_dir={tmp_path / 'run'}"])
