import random

import pytest
import torch
from datasets import Dataset
from PIL import Image

from processing.data.collation import MoviePairs, PairCollator
from tests.tiny import tiny_processor


def drawn(pairs: MoviePairs, epoch: int) -> list[str]:
    pairs.epoch = epoch
    return [pairs[i]["text"] for i in range(len(pairs))]


class TestTitles:
    @pytest.fixture
    def titled(self) -> Dataset:
        """Movies of which the last has no title, and the others one, two or three."""
        others = [[], ["bb"], ["cc", "ccc"], []]
        rows = {"plots": [["p"], ["q", "r"], ["s"], ["t"]], "title": ["a", "b", "c", ""], "other_titles": others}
        return Dataset.from_dict(rows)

    def pairs(self, movies: Dataset, share: float, **options) -> MoviePairs:
        return MoviePairs(movies, image_features=torch.zeros(len(movies), 1), title_share=share, **options)

    def shown(self, pairs: MoviePairs, epoch: int) -> list[str]:
        pairs.epoch = epoch
        return [pairs[i]["title"] for i in range(len(pairs))]

    def test_are_hidden_unless_a_share_is_asked_for(self, titled):
        assert "title" not in self.pairs(titled, 0.0)[0]

    def test_are_shown_by_seed_epoch_and_index_alone(self, titled):
        pairs, again, other = self.pairs(titled, 0.5), self.pairs(titled, 0.5), self.pairs(titled, 0.5, seed=1)
        first = [self.shown(pairs, epoch) for epoch in range(20)]
        random.seed(5)
        assert [self.shown(again, epoch) for epoch in reversed(range(20))] == first[::-1]
        assert [self.shown(other, epoch) for epoch in range(20)] != first

    def test_are_shown_to_their_share_of_the_items(self):
        movies = Dataset.from_dict({"plots": [["p"]] * 500, "title": ["a"] * 500})
        for share in (0.25, 0.8):
            pairs = self.pairs(movies, share)
            assert sum(map(bool, self.shown(pairs, 0))) / 500 == pytest.approx(share, abs=0.07)
            assert self.shown(pairs, 0) != self.shown(pairs, 1)

    def test_get_their_turn_each_and_a_movie_without_one_shows_none(self, titled):
        epochs = [self.shown(self.pairs(titled, 1.0), epoch) for epoch in range(30)]
        assert [set(titles) for titles in zip(*epochs, strict=True)] == [{"a"}, {"b", "bb"}, {"c", "cc", "ccc"}, {""}]

    def test_leave_the_draw_of_plots_alone(self, titled):
        plain, other = self.pairs(titled, 0.0), self.pairs(titled, 0.5)
        assert [drawn(plain, epoch) for epoch in range(9)] == [drawn(other, epoch) for epoch in range(9)]

    def test_are_the_same_where_they_are_features(self, titled):
        titles = ["", "a", "b", "bb", "c", "cc", "ccc"]
        raw = self.pairs(titled, 0.7)
        cached = self.pairs(titled, 0.7, title_features=torch.arange(1, 7).float()[:, None])
        for epoch in range(10):
            raw.epoch = cached.epoch = epoch
            for i in range(len(titled)):
                assert titles[int(cached[i]["title_text_features"])] == raw[i]["title"]

    def test_become_tokens_in_a_batch_and_no_title_a_mask_of_zeros(self, titled):
        pairs = self.pairs(titled, 1.0)
        batch = PairCollator(tiny_processor())([pairs[3], pairs[0]])
        assert batch["title_attention_mask"].tolist() == [[0, 0, 0], [1, 1, 1]]
        assert torch.equal(batch["title_input_ids"][1:], tiny_processor()(text="a", return_tensors="pt")["input_ids"])

    @pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
    def test_are_shown_to_a_share_between_0_and_1(self, share, titled):
        with pytest.raises(ValueError, match="title_share"):
            self.pairs(titled, share)

    def test_of_movies_without_any_are_no_part_of_an_item(self, movies):
        for without in (movies, movies.add_column("title", [""] * 4)):
            assert "title" not in MoviePairs(without, tiny_processor(), title_share=0.5)[0]


@pytest.fixture
def printed() -> Dataset:
    """Movies with a word each on their posters, but the last two with nothing and with what nobody has read."""
    words = [[{"text": "ab" * (1 + i % 5), "score": 0.9, "box": None}] for i in range(198)] + [[], None]
    image = Image.new("RGB", (20, 30))
    return Dataset.from_dict({"image": [image] * 200, "plots": [["a"]] * 200, "poster_text": words})


def shown(pairs: MoviePairs, epoch: int) -> list[str]:
    pairs.epoch = epoch
    return [pairs[i]["poster_text"] for i in range(len(pairs))]


class TestWhatIsPrintedOnPosters:
    def test_is_shown_where_that_is_asked_for(self, printed):
        assert "poster_text" not in MoviePairs(printed, tiny_processor())[0]
        texts = shown(MoviePairs(printed, tiny_processor(), use_poster_text=True), 0)
        assert texts == [*("ab" * (1 + i % 5) for i in range(198)), "", ""]

    def test_is_hidden_by_seed_epoch_and_index_alone(self, printed):
        options = {"use_poster_text": True, "poster_text_dropout": 0.25}
        pairs, again = (MoviePairs(printed, tiny_processor(), **options) for _ in range(2))
        all_of_it = shown(MoviePairs(printed, tiny_processor(), use_poster_text=True), 0)
        first = [shown(pairs, epoch) for epoch in range(4)]
        random.seed(5)
        assert [shown(again, epoch) for epoch in reversed(range(4))] == first[::-1]
        assert len({tuple(texts) for texts in first}) == 4
        assert shown(MoviePairs(printed, tiny_processor(), seed=1, **options), 0) != first[0]
        hidden = [[text == "" for text in texts[:198]] for texts in first]
        assert 0.15 < sum(map(sum, hidden)) / (4 * 198) < 0.35
        for texts in first:
            assert all(text in ("", whole) for text, whole in zip(texts, all_of_it, strict=True))

    @pytest.mark.parametrize(("share", "expected"), [(0.0, 198), (1.0, 0)])
    def test_is_hidden_never_or_always_at_the_ends(self, share, expected, printed):
        pairs = MoviePairs(printed, tiny_processor(), use_poster_text=True, poster_text_dropout=share)
        assert sum(map(bool, shown(pairs, 3))) == expected

    @pytest.mark.parametrize(("share", "read"), [(-0.1, True), (1.1, True), (float("nan"), True), (0.5, False)])
    def test_is_hidden_by_a_share_and_only_where_it_is_shown(self, share, read, printed):
        with pytest.raises(ValueError, match="poster_text_dropout"):
            MoviePairs(printed, tiny_processor(), use_poster_text=read, poster_text_dropout=share)

    def test_is_hidden_in_the_same_items_where_it_is_features(self, printed):
        options = {"use_poster_text": True, "poster_text_dropout": 0.5}
        raw = MoviePairs(printed, tiny_processor(), **options)
        features = torch.tensor([[float(bool(text)), 2.0 * bool(text)] for text in raw.poster_text])
        cached = MoviePairs(printed, tiny_processor(), poster_text_features=features, **options)
        texts = shown(raw, 2)
        cached.epoch = 2
        for i in range(len(printed)):
            assert "poster_text" not in cached[i]
            assert cached[i]["poster_text_features"].tolist() == [float(bool(texts[i])), 2.0 * bool(texts[i])]

    def test_leaves_the_draw_of_plots_alone(self, movies):
        movies = movies.add_column("poster_text", [[{"text": "ab", "score": 1.0, "box": None}]] * 4)
        options = {"use_poster_text": True, "poster_text_dropout": 0.5}
        plain, other = (MoviePairs(movies, tiny_processor(), **given) for given in ({}, options))
        assert [drawn(plain, epoch) for epoch in range(9)] == [drawn(other, epoch) for epoch in range(9)]

    def test_becomes_tokens_in_a_batch(self, printed):
        pairs = MoviePairs(printed, tiny_processor(), use_poster_text=True)
        batch = PairCollator(tiny_processor())([pairs[i] for i in (2, 198, 199)])
        assert batch["poster_attention_mask"].tolist() == [[1] * 8, [0] * 8, [0] * 8]
        expected = tiny_processor()(text="ababab", return_tensors="pt")["input_ids"]
        assert torch.equal(batch["poster_input_ids"][:1], expected) and batch["input_ids"].shape == (3, 3)

    def test_is_stacked_in_a_batch_where_it_is_features(self, printed):
        features = torch.randn(200, 6)
        pairs = MoviePairs(printed, tiny_processor(), use_poster_text=True, poster_text_features=features)
        batch = PairCollator(tiny_processor())([pairs[3], pairs[1]])
        assert torch.equal(batch["poster_text_features"], features[[3, 1]]) and "poster_input_ids" not in batch

    def test_is_not_read_by_a_collator_whose_processor_could(self, movies, monkeypatch):
        monkeypatch.setattr(
            "processing.posterclip.processing_posterclip.recognize_text", lambda *_: pytest.fail("read")
        )
        processor = tiny_processor()
        processor.run_ocr = True
        pairs = MoviePairs(movies, processor)
        assert not [name for name in PairCollator(processor)([pairs[0], pairs[1]]) if name.startswith("poster")]
