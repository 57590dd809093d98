from dataclasses import replace

import numpy as np
import pytest
import torch

from processing.data.collation import MoviePairs, PairCollator
from processing.posterclip.ocr_text import compose_text
from scripts.common import features
from scripts.common.features import FeatureEncoder, add_features
from tests.modeling.runs import tiny_movies, tiny_trainer
from tests.tiny import tiny_model, tiny_processor

MOVIES = tiny_movies(12)
FIRST = [plots[0] for plots in MOVIES["plots"]]


@pytest.fixture(params=[64, 0], ids=["n-grams", "no n-grams"])
def encoder(request, monkeypatch) -> FeatureEncoder:
    monkeypatch.setattr(features, "BLOCK", 5)
    model, processor = tiny_model(use_poster_text=True, char_ngram_dim=request.param).eval(), tiny_processor()
    if request.param:
        model.char_ngrams.fit(processor.tokenizer, FIRST)
    return FeatureEncoder(model.requires_grad_(False), processor, batch_size=4)


def test_a_batch_holds_something(encoder):
    with pytest.raises(ValueError, match="batch_size: 0 posters"):
        replace(encoder, batch_size=0)


def close(found, expected: torch.Tensor) -> None:
    torch.testing.assert_close(torch.from_numpy(found.to_array()), expected, atol=1e-5, rtol=1e-4)


def test_embeddings_in_two_parts_are_those_of_the_model(encoder):
    printed = [compose_text(lines) for lines in MOVIES["poster_text"]]
    inputs = encoder.processor(images=MOVIES["image"][:], text=FIRST, poster_text=printed, return_tensors="pt")
    expected = encoder.model(**inputs)
    posters, plots = encoder.embeddings(MOVIES)
    close(posters, expected.image_embeds)
    close(plots, expected.text_embeds)
    for side in (posters, plots):
        assert side.dense.shape == (12, 8) and side.sparse.shape == (12, encoder.model.config.char_ngram_dim)
        assert side.dense.dtype == side.sparse.dtype == np.float32 and (side.sparse.data != 0).all()


def test_a_movie_has_the_feature_of_all_that_it_has(encoder):
    titles, plots = [["abcd"], [], [], ["bcd", "cde"]] * 2, [["abc", "bcdef"], ["cdefg"], [], []] * 2
    texts = ["abcd", "abc", "bcdef", "cdefg", "bcd", "cde"] * 2
    inputs = encoder.processor(text=texts, return_tensors="pt")
    owners = torch.tensor([0, 0, 0, 1, 3, 3, 4, 4, 4, 5, 7, 7])
    is_title = torch.tensor([True, False, False, False, True, True] * 2)
    rows = encoder.model.text_features(inputs["input_ids"], inputs["attention_mask"])
    found = encoder.movies(titles, plots)
    close(found, encoder.model.movie_features(rows, owners, is_title, 8))
    assert not found[[2, 6]].to_array().any()
    assert not encoder.movies([[], []], [[], []]).to_array().any()


def test_features_that_stay_sparse_give_the_batches_of_dense_ones(encoder, tmp_path):
    plots = [[plot] for plot in FIRST]
    pairs = MoviePairs(MOVIES, encoder.processor, plots=plots, use_poster_text=True, title_share=0.5)
    add_features(pairs, tiny_trainer(encoder.model, tmp_path), encoder.processor, cache="none")
    batch = PairCollator(encoder.processor)([pairs[index] for index in range(len(pairs))])
    inputs = encoder.processor(text=FIRST, return_tensors="pt")
    expected = encoder.model.text_features(inputs["input_ids"], inputs["attention_mask"])
    torch.testing.assert_close(batch["text_features"], expected, atol=1e-5, rtol=1e-4)
    assert batch["text_features"].shape == batch["poster_text_features"].shape == batch["title_text_features"].shape
