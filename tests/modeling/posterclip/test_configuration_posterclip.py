import json

import pytest
from transformers import Gemma3TextConfig, GPT2Config, Qwen3Config, SiglipTextConfig, T5Config, XLMRobertaConfig

from modeling import PosterCLIPConfig
from tests.tiny import TEXT, VISION


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"projektion_dim": 64}, ["projektion_dim", "projection_dim"]),
        ({"projection_dim": 0}, ["projection_dim"]),
        ({"projection_dim": "64"}, ["projection_dim"]),
        ({"loss": "triplet"}, ["loss", "contrastive", "sigmoid"]),
        ({"logit_scale_init_value": 9.0}, ["logit_scale_init_value", "ln 100"]),
        ({"text_pooling": "last"}, ["text_pooling", "lasttoken"]),
        (
            {"vision_config": {"model_type": "resnet"}, "vision_pooling": "cls"},
            ["vision_pooling", "resnet", "mean"],
        ),
        ({"char_ngram_dim": 64}, ["char_ngram_dim=64", "poster_text"]),
        ({"char_ngram_dim": -1, "use_poster_text": True}, ["char_ngram_dim", "-1"]),
        ({"poster_text": "yes"}, ["poster_text"]),
        ({"vision_config": {"model_type": "vitt"}}, ["vision_config", "vitt", "did you mean"]),
    ],
)
def test_a_wrong_field_is_named_in_the_error(fields, names):
    with pytest.raises(Exception) as error:
        PosterCLIPConfig(**fields)
    for name in names:
        assert name in str(error.value)


@pytest.mark.parametrize(
    ("family", "pooling"), [("vit", "cls"), ("resnet", "pooler"), ("siglip_vision_model", "pooler")]
)
def test_a_vision_family_has_its_usual_pooling(family, pooling):
    assert PosterCLIPConfig(vision_config=VISION[family]).vision_pooling == pooling


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        (GPT2Config(), "lasttoken"),
        (Qwen3Config(), "lasttoken"),
        (Gemma3TextConfig(), "lasttoken"),
        (Gemma3TextConfig(use_bidirectional_attention=True), "mean"),
        (T5Config(), "mean"),
        (XLMRobertaConfig(), "mean"),
        (SiglipTextConfig(), "pooler"),
    ],
    ids=lambda value: getattr(value, "model_type", value),
)
def test_a_decoder_pools_its_last_token_and_other_text_encoders_do_not(config, pooling):
    assert PosterCLIPConfig(text_config=config).text_pooling == pooling


@pytest.mark.parametrize("family", TEXT)
def test_a_text_family_pools_by_the_mean(family):
    assert PosterCLIPConfig(text_config=TEXT[family]).text_pooling == "mean"


def test_a_config_survives_its_file(tmp_path):
    config = PosterCLIPConfig(
        vision_config=VISION["swin"],
        text_config=TEXT["modernbert"],
        projection_dim=7,
        loss="sigmoid",
        use_poster_text=True,
        char_ngram_dim=64,
    )
    config.save_pretrained(tmp_path)
    again = PosterCLIPConfig.from_pretrained(tmp_path)
    assert again.to_dict() == config.to_dict()
    assert json.loads((tmp_path / "config.json").read_text())["vision_config"]["model_type"] == "swin"
