import io

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from processing.splits.near_duplicates import HASH_DISTANCE, near_duplicates, near_plots, near_posters, thumbnail
from tests.processing.catalogues import drawn as poster

PLOT = "A captain with one leg hunts the white whale that took the other, and in the end loses his ship and his life."


def recompressed(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=30)
    return Image.open(file)


ALTERED = {
    "the same": lambda image: image,
    "recompressed": recompressed,
    "smaller": lambda image: image.resize((60, 90)),
    "larger": lambda image: image.resize((480, 720)),
    "of another shape": lambda image: image.resize((134, 180)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "grey": ImageOps.grayscale,
    "cut": lambda image: image.crop((1, 2, 119, 178)),
}


def near(*posters):
    return near_posters(np.stack([thumbnail(image) for image in posters])).rows.tolist()


class TestPosters:
    @pytest.mark.parametrize("alter", ALTERED.values(), ids=ALTERED)
    def test_an_altered_poster_is_found_among_others(self, alter):
        others = [poster(seed) for seed in range(1, 8)]
        assert near(*others, poster(0), alter(poster(0))) == [[7, 8]]

    def test_different_posters_are_not_near(self):
        assert near(*(poster(seed) for seed in range(200))) == []

    def test_posters_whose_hashes_are_near_by_chance_are_not(self):
        one, other = poster(724), poster(1255)
        assert imagehash.phash(one) - imagehash.phash(other) <= HASH_DISTANCE
        assert near(one, other) == []

    def test_posters_of_one_colour_tell_nothing(self):
        assert near(*(Image.new("RGB", (20, 30), colour) for colour in ("black", "black", "white"))) == []

    def test_likeness_is_the_correlation_of_the_thumbnails(self):
        pictures = np.stack([thumbnail(poster(0)), thumbnail(recompressed(poster(0)))])
        expected = np.corrcoef(pictures.reshape(2, -1))[0, 1]
        assert near_posters(pictures).likeness == pytest.approx([expected]) and expected > 0.99

    def test_pairs_are_found_across_blocks_each_once(self, monkeypatch):
        pictures = np.stack([thumbnail(poster(seed % 5)) for seed in range(12)])
        whole = near_posters(pictures).rows.tolist()
        assert whole == [[i, j] for i in range(12) for j in range(i + 1, 12) if i % 5 == j % 5]
        monkeypatch.setattr("processing.splits.near_duplicates.BLOCK", 5)
        assert sorted(near_posters(pictures).rows.tolist()) == whole


class TestPlots:
    @pytest.mark.parametrize(
        "other",
        [
            PLOT,
            PLOT.upper().replace(",", " -"),
            PLOT.replace("captain", "sailor"),
            PLOT.replace("the white", "a white"),
            PLOT.removesuffix(" and his life."),
            f"It is the year 1851. {PLOT} Only one of the men comes home to tell of it, on a coffin for a raft.",
        ],
        ids=["same", "case and punctuation", "a word", "an article", "shorter", "part of a longer one"],
    )
    def test_a_plot_that_is_nearly_another(self, other):
        plots = [["A count leaves his castle in the mountains and comes to London by ship."], [PLOT], [other]]
        found = near_plots(plots)
        assert found.rows.tolist() == [[1, 2]] and 0.7 <= found.likeness[0] <= 1

    @pytest.mark.parametrize(
        "other",
        [
            "A captain with one leg hunts a thief who took the money, and in the end loses his heart and his ship.",
            " ".join(sorted(PLOT.split())),
            "The white whale.",
        ],
        ids=["a few words in common", "the same words", "three words of it"],
    )
    def test_a_plot_that_is_another(self, other):
        assert near_plots([[PLOT], [other]]).rows.tolist() == []

    def test_likeness_is_the_containment_of_three_word_shingles(self):
        words = [f"w{n}" for n in range(22)]
        found = near_plots([[" ".join(words)], [" ".join([*words[:18], "x", "y"])]])  # 16 of 18 shingles
        assert found.likeness == pytest.approx([16 / 18])

    @pytest.mark.parametrize(
        ("plot", "near", "other"),
        [
            (
                "船长追捕夺走他一条腿的白鲸，最后失去了他的船和生命。",
                "老船长追捕夺走他一条腿的白鲸，最后失去了船和生命！",
                "伯爵离开山中的城堡，乘船来到伦敦寻找新的生命。",
            ),
            (
                "船長は片足を奪った白鯨を追い、ついに船と命を失う。",
                "ある船長は片足を奪った白鯨を追い、ついに船と命を失った。",
                "伯爵は山の城を去り、船でロンドンへやって来て命を狙う。",
            ),
            (
                "กัปตันตามล่าวาฬขาวที่เอาขาของเขาไป และในที่สุดก็สูญเสียเรือและชีวิต",
                "กัปตันตามล่าวาฬขาวที่เอาขาของเขาไป และสุดท้ายก็สูญเสียเรือและชีวิต",
                "ท่านเคานต์ออกจากปราสาทบนภูเขาและเดินทางมายังลอนดอนด้วยเรือ",
            ),
        ],
        ids=["Chinese", "Japanese", "Thai"],
    )
    def test_plots_without_spaces_are_compared_by_their_characters(self, plot, near, other):
        assert near_plots([[plot], [other], [near]]).rows.tolist() == [[0, 2]]

    def test_short_plots_are_near_only_if_they_are_the_same(self):
        plots = [["A boxer trains."], ["a boxer, trains"], ["A boxer trains hard."], ["???"], ["???"], ["!!!"]]
        assert near_plots(plots).rows.tolist() == [[0, 1], [3, 4]]

    def test_any_plot_of_one_movie_counts_with_any_of_another_but_not_with_its_own(self):
        found = near_plots([[PLOT, PLOT[:-1]], ["Boxing.", PLOT.replace("captain", "sailor"), PLOT], ["Space."]])
        assert found.rows.tolist() == [[0, 1]] and found.likeness == pytest.approx([1])

    def test_pairs_are_found_across_blocks_each_once(self, monkeypatch):
        monkeypatch.setattr("processing.splits.near_duplicates.BLOCK", 2)
        plots = [[f"{PLOT} {'ab'[n % 2]}", "A short one."[: n + 3]] for n in range(5)]
        assert near_plots(plots).rows.tolist() == [[i, j] for i in range(5) for j in range(i + 1, 5)]


def test_pairs_of_posters_and_of_plots_are_found_together():
    plots = [["Boxing."], [PLOT], ["Sharks."], [PLOT.lower()]]
    pictures = np.stack([thumbnail(poster(seed)) for seed in (0, 1, 0, 3)])
    assert near_duplicates(plots, pictures).tolist() == [[0, 2], [1, 3]]
