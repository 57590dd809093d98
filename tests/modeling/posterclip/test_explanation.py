import pytest
import torch

from tests.tiny import tiny_model, tiny_processor

TITLE, PLOT = "moby", "whale"


@pytest.fixture(scope="module")
def explain():
    model, processor = tiny_model(use_poster_text=True, char_ngram_dim=4096).eval(), tiny_processor()
    model.char_ngrams.fit(processor.tokenizer, [TITLE, PLOT, "jaws"])

    def features(*texts, is_title):
        found = [model.text_features(**processor(text=[text], return_tensors="pt")) for text in texts]
        rows = torch.cat(found) if found else torch.zeros(0, 16 + 4096)
        owners, marks = torch.zeros(len(rows), dtype=torch.long), torch.full((len(rows),), is_title)
        return model.movie_features(rows, owners, marks, 1)

    @torch.no_grad()
    def of(text, titles=(TITLE,), plots=(PLOT,)):
        image = torch.randn(1, 16, generator=torch.Generator().manual_seed(0))
        poster = model.text_features(**processor(text=[text], return_tensors="pt")) if text else torch.zeros(1, 4112)
        sides = features(*titles, is_title=True), features(*plots, is_title=False)
        found = model.explain(processor.tokenizer, text, image, poster, *sides)
        embeds = model.embed_posters(image, poster), model.embed_texts(sides[0] + sides[1])
        return found, float((embeds[0] * embeds[1]).sum())

    return of


@pytest.mark.parametrize(
    ("text", "titles", "plots"),
    [
        ("MOBY", (TITLE,), (PLOT,)),
        ("MOBY", (), (PLOT,)),
        ("MOBY", (TITLE, "the whale"), ()),
        ("", (TITLE,), (PLOT,)),
    ],
)
def test_the_parts_sum_up_to_the_similarity(explain, text, titles, plots):
    found, similarity = explain(text, titles, plots)
    assert found["similarity"] == pytest.approx(similarity, abs=1e-5)
    assert sum(found["parts"].values()) == pytest.approx(similarity, abs=1e-5)


def test_words_and_n_grams_add_up_to_the_n_gram_parts(explain):
    found, _ = explain("Moby")
    ngrams = found["parts"]["title_ngrams"] + found["parts"]["plot_ngrams"]
    for kind in ("words", "ngrams"):
        assert sum(each["similarity"] for each in found[kind]) == pytest.approx(ngrams, abs=1e-5)
    assert [each["word"] for each in found["words"]] == ["Moby"]
    assert {each["ngram"] for each in found["ngrams"]} == {" mob", "moby", "oby "}


def test_a_word_that_the_movie_does_not_have_carries_nothing(explain):
    found, _ = explain("MOBY Zzzz")
    assert [each["word"] for each in found["words"]] == ["MOBY"]


def test_a_poster_without_text_is_explained_by_its_image(explain):
    found, similarity = explain("")
    assert found["words"] == found["ngrams"] == []
    assert found["parts"]["image"] == pytest.approx(similarity, abs=1e-5)
