import pytest
import torch
import torch.nn.functional as F

from modeling import PosterCLIPModel
from tests.tiny import TEXT, tiny_batch, tiny_model, tiny_titles, tiny_words

READS = {"use_poster_text": True, "char_ngram_dim": 32}


def no_words(posters: int = 4) -> dict[str, torch.Tensor]:
    return {name: torch.zeros_like(value) for name, value in tiny_words(posters).items()}


def untrained(text: str = "bert", char_ngram_dim: int = 0) -> PosterCLIPModel:
    """One whose posters are their words alone, and whose projections have the size of the features."""
    model = tiny_model("vit", text, use_poster_text=True, char_ngram_dim=char_ngram_dim, projection_dim=16).eval()
    torch.nn.init.zeros_(model.image_weight)
    return model


class TestAModelThatReadsPosters:
    @pytest.mark.parametrize("char_ngram_dim", [0, 32])
    @pytest.mark.parametrize("text", TEXT)
    def test_embeds_a_poster_without_words_as_its_picture_to_the_bit(self, text, char_ngram_dim):
        model = tiny_model("vit", text, use_poster_text=True, char_ngram_dim=char_ngram_dim).eval()
        batch, words = tiny_batch(), tiny_words()
        with torch.no_grad():
            alone = model(**batch).image_embeds
            beside = model(**batch, **words).image_embeds
            none = model(**batch, **no_words()).image_embeds
            features = model.text_features(*words.values())
            zeros = model(**batch, poster_text_features=torch.zeros_like(features)).image_embeds
        assert alone.shape == (4, 8 + char_ngram_dim) and beside.isfinite().all()
        assert torch.equal(beside[1], alone[1])
        assert torch.equal(none, alone) and torch.equal(zeros, alone)
        for row in (0, 2, 3):
            assert not torch.allclose(beside[row], alone[row], atol=1e-3)

    @pytest.mark.parametrize("text", TEXT)
    def test_takes_features_in_place_of_words(self, text):
        model, batch, words = tiny_model("vit", text, **READS).eval(), tiny_batch(), tiny_words()
        features = model.text_features(*words.values())
        assert features.shape == (4, 16 + 32) and not features[1].any()
        expected = model(**batch, **words).image_embeds
        assert torch.equal(model(**batch, poster_text_features=features).image_embeds, expected)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_may_be_of_half_precision(self, dtype, tmp_path):
        tiny_model(**READS).save_pretrained(tmp_path)
        model = PosterCLIPModel.from_pretrained(tmp_path, dtype=dtype).eval()
        model.char_ngrams.token_bytes[:60] = 0  # some plots have no n-grams
        output = model(**tiny_batch(), **tiny_words())
        for name, value in output.items():
            assert value.isfinite().all(), name

    @pytest.mark.parametrize("text", TEXT)
    def test_learns_from_posters_of_which_none_has_words(self, text):
        model = tiny_model("vit", text, **READS).train()
        model(**tiny_batch(), **no_words(), return_loss=True).loss.backward()
        for name, weight in model.named_parameters():
            if weight.grad is not None:
                assert weight.grad.isfinite().all(), name
        assert model.visual_projection.weight.grad.any() and not model.image_weight.grad.any()

    def test_learns_how_much_pictures_and_words_weigh(self):
        model = tiny_model(**READS).train()
        model(**tiny_batch(), **tiny_words(), return_loss=True).loss.backward()
        assert model.image_weight.grad != 0 and model.char_ngram_weight.grad != 0

    @pytest.mark.parametrize("text", ["bert", "mpnet", "modernbert"])
    def test_scores_words_against_plots_as_the_plot_encoder_does_before_it_is_trained(self, text):
        model, batch, words = untrained(text), tiny_batch(), tiny_words()
        found = cosines(model, batch, words)
        printed = model.text_features(*words.values())[[0, 2, 3]]
        plots = model.text_features(batch["input_ids"], batch["attention_mask"])
        expected = F.normalize(printed, dim=1) @ F.normalize(plots, dim=1).T
        torch.testing.assert_close(found[[0, 2, 3]], expected, atol=1e-5, rtol=0)

    def test_scores_what_is_spelled_beside_what_is_meant_by_its_weight(self):
        model, batch, words = untrained(char_ngram_dim=256), tiny_batch(), tiny_words()
        model.char_ngrams.weight.uniform_()
        bags = [
            model.char_ngrams(words["poster_input_ids"], words["poster_attention_mask"])[[0, 2, 3]],
            model.char_ngrams(batch["input_ids"], batch["attention_mask"]),
        ]
        shared = F.normalize(bags[0], dim=1) @ F.normalize(bags[1], dim=1).T
        meant, weight = cosines(untrained(), batch, words)[[0, 2, 3]], model.char_ngram_weight**2
        expected = (meant + weight * shared) / (1 + weight)
        torch.testing.assert_close(cosines(model, batch, words)[[0, 2, 3]], expected, atol=1e-5, rtol=0)

    def test_ranks_plots_for_a_picture_alone_by_the_picture(self):
        pictures, words = tiny_model().eval(), tiny_model(**READS).eval()
        words.load_state_dict(pictures.state_dict(), strict=False)
        orders = [model(**tiny_batch(8)).logits_per_image.argsort(1) for model in (pictures, words)]
        assert torch.equal(*orders)

    def test_is_moved_by_the_picture_as_far_as_its_weight_says(self):
        model, batch, words = tiny_model(use_poster_text=True).eval(), tiny_batch(), tiny_words()
        printed = F.normalize(model.text_projection(model.text_features(*words.values())), dim=1)
        looks = model(**batch).image_embeds
        for weight in (0.0, 0.5, 3.0):
            torch.nn.init.constant_(model.image_weight, weight)
            expected = F.normalize(printed + weight * looks, dim=1)[[0, 2, 3]]
            torch.testing.assert_close(model(**batch, **words).image_embeds[[0, 2, 3]], expected)


@pytest.mark.parametrize("fields", [{}, READS], ids=["looks", "reads"])
class TestMoviesWithTitles:
    def features(self, model: PosterCLIPModel) -> tuple[torch.Tensor, torch.Tensor]:
        batch, titles = tiny_batch(), tiny_titles()
        plots = model.text_features(batch["input_ids"], batch["attention_mask"])
        return plots, model.text_features(titles["title_input_ids"], titles["title_attention_mask"])

    def test_are_embedded_by_the_sum_of_directions_with_the_weight_of_the_config(self, fields):
        model = tiny_model(title_weight=3.0, **fields).eval()
        (plots, ngrams), (titles, title_ngrams) = (
            part.split([16, part.shape[1] - 16], 1) for part in self.features(model)
        )
        both = F.normalize(plots, dim=1) + 3 * F.normalize(titles, dim=1)
        both_ngrams = F.normalize(ngrams, dim=1) + 3 * F.normalize(title_ngrams, dim=1)
        found = model(**tiny_batch(), **tiny_titles()).text_embeds
        torch.testing.assert_close(found, model.embed_texts(torch.cat([both, both_ngrams], dim=1)))

    def test_are_embedded_in_training_as_at_inference(self, fields):
        model = tiny_model(**fields).eval()
        texts, owners = torch.cat(self.features(model)), torch.arange(4).repeat(2)
        known = torch.tensor([True] * 5 + [False] + [True] * 2)  # the second movie has no title
        movies = model.movie_features(texts[known], owners[known], torch.arange(8)[known] >= 4, 4)
        torch.testing.assert_close(model(**tiny_batch(), **tiny_titles()).text_embeds, model.embed_texts(movies))

    def test_without_one_are_embedded_by_their_plot(self, fields):
        model = tiny_model(**fields).eval()
        alone, beside = model(**tiny_batch()).text_embeds, model(**tiny_batch(), **tiny_titles()).text_embeds
        torch.testing.assert_close(beside[1], alone[1])
        for row in (0, 2, 3):
            assert not torch.allclose(beside[row], alone[row], atol=1e-3)

    def test_take_features_in_place_of_tokens(self, fields):
        model = tiny_model(**fields).eval()
        plots, titles = self.features(model)
        found = model(text_features=plots, title_text_features=titles).text_embeds
        assert torch.equal(found, model(**tiny_batch(), **tiny_titles()).text_embeds)

    def test_train_the_encoder_by_their_titles_too(self, fields):
        gradients = []
        for titles in ({}, tiny_titles()):
            model = tiny_model(**fields).train()
            model(**tiny_batch(), **titles, return_loss=True).loss.backward()
            gradients.append(model.get_input_embeddings().weight.grad)
        assert gradients[1].isfinite().all() and not torch.equal(*gradients)


def cosines(model: PosterCLIPModel, batch: dict[str, torch.Tensor], words: dict[str, torch.Tensor]) -> torch.Tensor:
    output = model(**batch, **words)
    return output.image_embeds @ output.text_embeds.T


def test_a_model_that_does_not_read_posters_is_as_it_was_whatever_is_printed_on_them():
    """The reference is what a poster and a plot were before there was any reading."""
    model, batch = tiny_model().eval(), tiny_batch()
    assert not {name for name, _ in model.named_parameters() if "image_weight" in name or "char_ngrams" in name}
    looks = model.visual_projection(model.vision_features(batch["pixel_values"]))
    means = model.text_projection(model.text_features(batch["input_ids"], batch["attention_mask"]))
    looks, means = F.normalize(looks, dim=-1), F.normalize(means, dim=-1)
    for words in ({}, tiny_words()):
        output = model(**batch, **words)
        assert torch.equal(output.image_embeds, looks) and torch.equal(output.text_embeds, means)
        assert torch.equal(output.logits_per_image, looks @ means.T * model.logit_scale.exp())
