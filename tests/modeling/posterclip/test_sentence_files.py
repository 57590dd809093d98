"""A text encoder saved by sentence-transformers gives the features that sentence-transformers gives."""

import json

import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer

from modeling import PosterCLIPModel
from processing import PosterCLIPProcessor
from tests.sentence_encoders import MADE, make_encoder
from tests.tiny import VISION, tiny_processor

PLOTS = ["A whale", "captain hunts the white whale", "b", "the shark of the sea", "Zoo of a"]
LONG = "a whale of the sea " * 6  # is cut


@pytest.fixture(scope="module")
def vision(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vision")
    transformers.AutoModel.from_config(VISION["vit"]).save_pretrained(folder)
    tiny_processor().image_processor.save_pretrained(folder)
    return folder


def load(vision, text, **fields):
    processor = PosterCLIPProcessor.from_vision_text_pretrained(str(vision), str(text), run_ocr=False)
    fields = {"projection_dim": 8, "use_poster_text": True, "char_ngram_dim": 64, **fields}
    model = PosterCLIPModel.from_vision_text_pretrained(
        str(vision), str(text), prompt_ids=processor.prompt_ids, **fields
    )
    model.char_ngrams.fit(processor.tokenizer, PLOTS)
    return model.eval(), processor


@torch.no_grad()
def features(model, processor, texts, side: str = "") -> tuple[torch.Tensor, torch.Tensor]:
    """The encoder's features of texts, and their n-grams."""
    inputs = processor(**{f"{side}text": texts}, return_tensors="pt")
    inputs = {name.removeprefix(side): value for name, value in inputs.items()}
    found = model.text_features(**inputs)
    return found.split([model.text_projection.in_features, 64], dim=1)


@pytest.mark.parametrize("family", MADE)
def test_features_are_those_of_sentence_transformers(family, vision, tmp_path):
    theirs = make_encoder(tmp_path, family, *MADE[family])
    model, processor = load(vision, tmp_path)
    assert processor.tokenizer.padding_side == MADE[family][2]
    inputs = processor(text=PLOTS, text_prompt="", return_tensors="pt")
    plain = model.char_ngrams(**inputs)
    for side, encode in (("", theirs.encode_document), ("poster_", theirs.encode_query)):
        expected = encode([*PLOTS, LONG], convert_to_tensor=True)
        one_by_one = torch.cat([encode([text], convert_to_tensor=True) for text in PLOTS])
        found, ngrams = features(model, processor, [*PLOTS, LONG], side)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
        alone = torch.cat([features(model, processor, [text], side)[0] for text in PLOTS])
        torch.testing.assert_close(alone, one_by_one, atol=1e-5, rtol=0)
        assert torch.equal(ngrams[:-1], plain)  # whatever the prompt
    assert (torch.pdist(expected) > 1e-3).all()  # the texts are told apart
    assert plain.any(1).sum() == len(PLOTS) - 1  # "b" is too short


@pytest.mark.parametrize("family", ["gemma3_text", "t5", "qwen3"])
def test_a_saved_model_has_the_layers_and_the_prompts(family, vision, tmp_path):
    make_encoder(tmp_path / "text", family, *MADE[family])
    model, processor = load(vision, tmp_path / "text")
    model.save_pretrained(tmp_path / "saved")
    processor.save_pretrained(tmp_path / "saved")
    again, reader = (kind.from_pretrained(tmp_path / "saved") for kind in (PosterCLIPModel, PosterCLIPProcessor))
    assert (reader.text_prompt, reader.poster_text_prompt) == MADE[family][3:]
    for side in ("", "poster_"):
        for old, new in zip(
            features(model, processor, PLOTS, side), features(again.eval(), reader, PLOTS, side), strict=True
        ):
            assert torch.equal(old, new)
    theirs = SentenceTransformer(str(tmp_path / "saved"), trust_remote_code=True, device="cpu")
    with torch.no_grad():
        expected = model(**processor(text=PLOTS, return_tensors="pt")).text_embeds
    torch.testing.assert_close(theirs.encode(PLOTS, convert_to_tensor=True), expected, atol=1e-6, rtol=0)


def test_arguments_win_over_the_files(vision, tmp_path):
    make_encoder(tmp_path, "bert", "cls", document="passage: ")
    processor = PosterCLIPProcessor.from_vision_text_pretrained(str(vision), str(tmp_path), text_prompt="")
    assert processor.text_prompt == ""
    assert load(vision, tmp_path)[0].config.text_pooling == "cls"
    assert load(vision, tmp_path, text_pooling="max")[0].config.text_pooling == "max"


def test_the_older_form_of_the_pooling_file_is_read(vision, tmp_path):
    make_encoder(tmp_path, "bert", "mean")
    old = {"word_embedding_dimension": 16, "pooling_mode_cls_token": False, "pooling_mode_lasttoken": True}
    (tmp_path / "1_Pooling/config.json").write_text(json.dumps(old))
    assert load(vision, tmp_path)[0].config.text_pooling == "lasttoken"


def test_the_length_and_the_case_of_the_files_hold(vision, tmp_path):
    make_encoder(tmp_path, "bert", "mean")
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 7, "do_lower_case": True}))
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({**settings, "max_length": 5})
    )  # no limit of the encoder
    processor = load(vision, tmp_path)[1]
    tokenizer = processor.tokenizer
    assert tokenizer.model_max_length == 7 == len(processor(text=[LONG])["input_ids"][0])
    assert tokenizer("ABC")["input_ids"] == tokenizer("abc")["input_ids"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda modules: [*modules, {"path": "2_CNN", "type": "sentence_transformers.models.CNN"}],
            "2_CNN.*models.CNN",
        ),
        (lambda modules: [{**modules[0], "type": "custom_st.Transformer"}, *modules[1:]], "custom_st.Transformer"),
        (lambda modules: [{**modules[0], "path": "0_BERT"}, *modules[1:]], "0_BERT"),
        (lambda modules: [{"path": ""}], "no list of modules with a type and a path"),
    ],
)
def test_a_module_that_is_not_known_is_refused_by_name(change, words, vision, tmp_path):
    make_encoder(tmp_path, "bert", "mean")
    modules = json.loads((tmp_path / "modules.json").read_text())
    (tmp_path / "modules.json").write_text(json.dumps(change(modules)))
    with pytest.raises(ValueError, match=words):
        load(vision, tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"prompts": ', "is not JSON"),
        ("[]", "holds no JSON object"),
        ('{"prompts": ["query: "]}', "no mapping of names to texts"),
        ('{"prompts": {"query": 5}}', "no mapping of names to texts"),
        ('{"prompts": {"query": "q: "}, "default_prompt_name": "search"}', "has no prompt 'search'"),
    ],
)
def test_a_damaged_file_of_prompts_is_named(content, words, vision, tmp_path):
    make_encoder(tmp_path, "bert", "mean")
    (tmp_path / "config_sentence_transformers.json").write_text(content)
    with pytest.raises(ValueError, match=rf"config_sentence_transformers\.json.*{words}"):
        load(vision, tmp_path)


@pytest.mark.parametrize("pooling", ["mean_sqrt_len_tokens", ("cls", "mean")])
def test_a_pooling_that_is_not_known_is_refused_by_name(pooling, vision, tmp_path):
    make_encoder(tmp_path, "bert", pooling)
    with pytest.raises(ValueError, match="no pooling"):
        load(vision, tmp_path)
