import pytest
import torch
from transformers import AutoTokenizer, BertTokenizer

from modeling import PosterCLIPConfig, PosterCLIPModel
from processing import PosterCLIPProcessor
from tests.tiny import VISION, tiny_batch, tiny_model, tiny_processor, tiny_words


def test_embeddings_are_normalised_and_logits_are_their_scaled_cosines():
    model, batch = tiny_model().eval(), tiny_batch()
    output = model(**batch)
    for embeds in (output.image_embeds, output.text_embeds):
        torch.testing.assert_close(embeds.norm(dim=1), torch.ones(4))
    expected = output.image_embeds @ output.text_embeds.T * model.logit_scale.exp()
    torch.testing.assert_close(output.logits_per_image, expected)
    assert torch.equal(output.logits_per_text, output.logits_per_image.T)


def test_pooled_features_take_the_place_of_pixels_and_tokens():
    model, batch = tiny_model().eval(), tiny_batch()
    images = model.vision_features(batch["pixel_values"])
    texts = model.text_features(batch["input_ids"], batch["attention_mask"])
    assert torch.equal(
        model(image_features=images, text_features=texts).logits_per_image, model(**batch).logits_per_image
    )


def test_one_side_alone_is_embedded_without_logits():
    model, batch = tiny_model().eval(), tiny_batch()
    output = model(pixel_values=batch["pixel_values"])
    assert output.keys() == {"image_embeds"}
    assert torch.equal(output.image_embeds, model(**batch).image_embeds)


def test_a_plots_embedding_does_not_depend_on_padding():
    model, batch = tiny_model("vit", "mpnet").eval(), tiny_batch()
    short = {name: batch[name][-1:, :-1] for name in ("input_ids", "attention_mask")}
    torch.testing.assert_close(model(**short).text_embeds, model(**batch).text_embeds[-1:])


@pytest.mark.parametrize("fields", [{}, {"use_poster_text": True, "char_ngram_dim": 32}], ids=["looks", "reads"])
def test_get_features_are_the_embeddings(fields):
    model, batch, words = tiny_model(**fields).eval(), tiny_batch(), tiny_words()
    images = model.get_image_features(batch["pixel_values"], **words)
    texts = model.get_text_features(batch["input_ids"], batch["attention_mask"], output_hidden_states=True)
    expected = model(**batch, **words)
    assert torch.equal(images.pooler_output, expected.image_embeds)
    assert torch.equal(texts.pooler_output, expected.text_embeds)
    assert images.last_hidden_state.ndim == 3 and len(texts.hidden_states) == 3


def test_positive_ids_give_the_loss_and_the_same_movie_twice_is_a_positive():
    model, batch = tiny_model().eval(), tiny_batch()
    apart = model(**batch, positive_ids=torch.arange(4)).loss
    assert torch.equal(apart, model(**batch, return_loss=True).loss)
    assert not torch.equal(apart, model(**batch, positive_ids=torch.tensor([0, 1, 0, 2])).loss)


@pytest.mark.parametrize("side", ["pixel_values", "input_ids"])
def test_a_loss_of_one_side_is_refused(side):
    with pytest.raises(ValueError, match="as many posters as plots"):
        tiny_model()(**{side: tiny_batch()[side]}, return_loss=True)


def test_a_tuple_holds_what_the_output_holds():
    model, batch = tiny_model().eval(), tiny_batch()
    for one, other in zip(model(**batch, return_dict=False), model(**batch).to_tuple(), strict=True):
        assert torch.equal(one, other)


def test_the_sigmoid_model_adds_its_bias():
    model, batch = tiny_model(loss="sigmoid", logit_bias_init_value=-5.0).eval(), tiny_batch()
    with torch.no_grad():
        before = model(**batch).logits_per_image
        model.logit_bias += 2
        torch.testing.assert_close(model(**batch).logits_per_image, before + 2)


def test_a_model_of_two_pretrained_encoders_keeps_their_weights(tmp_path):
    parts = tiny_model("siglip_vision_model", "roberta")
    parts.vision_model.save_pretrained(tmp_path / "vision")
    parts.text_model.save_pretrained(tmp_path / "text")
    model = PosterCLIPModel.from_vision_text_pretrained(
        str(tmp_path / "vision"), str(tmp_path / "text"), projection_dim=3, loss="sigmoid"
    )
    for encoder in ("vision_model", "text_model"):
        for name, weight in getattr(parts, encoder).state_dict().items():
            assert torch.equal(weight, getattr(model, encoder).state_dict()[name]), name
    assert model(**tiny_batch()).image_embeds.shape == (4, 3)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_the_vision_side_of_a_dual_encoder_is_taken(family, tmp_path):
    from transformers import AutoModel, CLIPConfig, SiglipConfig

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = {"clip": CLIPConfig, "siglip": SiglipConfig}[family](
        vision_config={**small, "image_size": 32, "patch_size": 8}, text_config={**small, "vocab_size": 64}
    )
    both = AutoModel.from_config(config)
    both.save_pretrained(tmp_path / "both")
    tiny_model().text_model.save_pretrained(tmp_path / "text")
    model = PosterCLIPModel.from_vision_text_pretrained(str(tmp_path / "both"), str(tmp_path / "text"))
    ours, theirs = model.vision_model.state_dict(), both.vision_model.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("family", VISION)
def test_a_half_precision_model_takes_float32_inputs(family, tmp_path):
    tiny_model(family).save_pretrained(tmp_path / "full")
    for dtype in (torch.bfloat16, torch.float16):
        PosterCLIPModel.from_pretrained(tmp_path / "full", dtype=dtype).save_pretrained(tmp_path / "half")
        model = PosterCLIPModel.from_pretrained(tmp_path / "half").eval()
        assert model.dtype == dtype and model.logit_scale.dtype == torch.float32
        output = model(**tiny_batch())
        assert output.image_embeds.dtype == dtype and output.logits_per_image.dtype == torch.float32
        sizes = model.visual_projection.in_features, model.text_projection.in_features
        images, texts = (torch.randn(2, size) for size in sizes)
        assert model(image_features=images, text_features=texts).logits_per_image.isfinite().all()


@pytest.mark.parametrize("fields", [{}, {"use_poster_text": True, "char_ngram_dim": 32}], ids=["looks", "reads"])
def test_a_model_that_is_brought_to_bfloat16_embeds_nearly_as_before(fields):
    model, batch, words = tiny_model(**fields).eval(), tiny_batch(), tiny_words()
    with torch.no_grad():
        model.logit_scale += 0.001
        before, scale = model(**batch, **words), model.logit_scale.clone()
        after = model.to(torch.bfloat16)(**batch, **words)
    assert model.dtype == torch.bfloat16 and model.logit_scale.dtype == torch.float32
    assert torch.equal(model.logit_scale, scale) and model.logit_scale.requires_grad
    for name in ("image_embeds", "text_embeds"):
        torch.testing.assert_close(after[name].float(), before[name], atol=0.02, rtol=0)


@pytest.mark.slow
def test_a_compiled_model_embeds_as_the_model_does_in_one_graph():
    model, batch, words = tiny_model(use_poster_text=True, char_ngram_dim=32).eval(), tiny_batch(), tiny_words()
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")(**batch, **words)
        for name, value in model(**batch, **words).items():
            torch.testing.assert_close(compiled[name], value)


def test_logits_are_float32_under_autocast():
    model, batch = tiny_model().eval(), tiny_batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(**batch)
    assert output.logits_per_image.dtype == torch.float32
    expected = output.image_embeds.float() @ output.text_embeds.float().T * model.logit_scale.exp()
    torch.testing.assert_close(output.logits_per_image, expected)


def test_gradient_checkpointing_changes_nothing():
    plain, checkpointed, batch = tiny_model("vit", "modernbert"), tiny_model("vit", "modernbert"), tiny_batch()
    checkpointed.gradient_checkpointing_enable()
    assert any(getattr(module, "gradient_checkpointing", False) for module in checkpointed.modules())
    for model in (plain, checkpointed):
        model.train()(**batch, return_loss=True).loss.backward()
    for (name, one), (_, other) in zip(plain.named_parameters(), checkpointed.named_parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=name)


def test_an_encoder_that_automodel_does_not_have_is_named():
    config = PosterCLIPConfig(vision_config=VISION["vit"], text_config={"model_type": "clvp_encoder"})
    with pytest.raises(ValueError, match="clvp_encoder"):
        PosterCLIPModel(config)


def test_a_bert_tokenizer_of_a_saved_folder_gives_no_token_types(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "whale"]
    BertTokenizer(vocab={word: i for i, word in enumerate(words)}).save_pretrained(tmp_path / "text")
    tiny_processor().image_processor.save_pretrained(tmp_path / "vision")
    processor = PosterCLIPProcessor.from_vision_text_pretrained(str(tmp_path / "vision"), str(tmp_path / "text"))
    processor.save_pretrained(tmp_path / "model")
    bare = AutoTokenizer.from_pretrained(tmp_path / "model", trust_remote_code=True)
    assert bare("whale").keys() == {"input_ids", "attention_mask"}
