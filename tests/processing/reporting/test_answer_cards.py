import numpy as np
import pytest
from PIL import Image

from processing.evaluation.retrieval import evaluate_pool, top_answers
from processing.reporting.answer_cards import (
    THUMBNAIL,
    Answer,
    Card,
    answer_cards,
    best_rows,
    draw_cards,
    make_cards,
    spread_rows,
    worst_rows,
)
from processing.reporting.charts.style import save
from tests.processing.evaluation.test_retrieval import unit
from tests.processing.evaluations import evaluation, movies


def test_the_worst_rows_are_those_whose_right_answer_came_last():
    ranks = np.random.default_rng(8).permutation(100) + 1
    assert ranks[worst_rows(ranks)].tolist() == list(range(100, 88, -1))


def test_spread_rows_reach_from_the_first_to_the_last():
    rows = spread_rows(100)
    assert len(rows) == 12 and rows[[0, -1]].tolist() == [0, 99] and set(np.diff(rows)) == {9}


def test_the_best_rows_lead_with_the_widest_margin_among_those_found_first():
    rng = np.random.default_rng(9)
    posters = unit(rng, 40, 8)
    plots = posters + 0.5 * rng.normal(size=posters.shape)
    plots /= np.linalg.norm(plots, axis=1, keepdims=True)
    ids = np.arange(40)
    found = evaluate_pool(posters, plots, ids, ids).image_to_text
    scores = np.sort(posters @ plots.T, axis=1)
    lead = np.where(found == 1, scores[:, -1] - scores[:, -2], -1)
    assert best_rows(top_answers(posters, plots, 2)[1], found).tolist() == np.argsort(-lead)[:12].tolist()


def test_the_right_answer_stands_where_its_rank_says_also_among_equal_scores():
    rows = movies().select(range(6))
    posters = plots = np.eye(6)[[0, 0, 0, 3, 3, 5]]  # three plots are equal, and two
    pool = evaluate_pool(posters, plots, range(6), range(6))
    cards = make_cards(rows, top_answers(posters, plots, 4), pool, np.arange(6))
    right = [[answer.right for answer in card.answers] for card in cards]
    assert [each.index(True) + 1 for each in right] == [card.rank for card in cards] == [3, 3, 3, 2, 2, 1]
    pool = evaluate_pool(posters[[0] * 6], plots[[0] * 6], range(6), range(6))
    (card,) = make_cards(rows, top_answers(posters[[0] * 6], plots[[0] * 6], 4), pool, np.array([0]))
    assert card.rank == 6 and len(card.answers) == 3 and not any(answer.right for answer in card.answers)


def test_a_movie_with_two_posters_is_one_answer_and_the_right_one_for_both():
    rows = movies().select([0, 0, 1, 2])
    ids, posters = rows["id"][:], np.eye(4)[[0, 0, 1, 2]]
    pool = evaluate_pool(posters, posters[[0, 2, 3]], ids, ["0", "1", "2"])
    best, scores = top_answers(posters, posters[[0, 2, 3]], 4)
    for card in answer_cards(rows, (np.array([0, 2, 3])[best], scores), pool)["spread"]:
        assert card.rank == 1 and [answer.right for answer in card.answers] == [True, False, False]
        assert len({answer.title for answer in card.answers}) == 3


def test_a_card_has_the_posters_title_and_the_movies_that_score_best():
    rows, embeds, answers, pool, _ = evaluation()
    card = answer_cards(rows, answers, pool)["worst"][0]
    row = rows["title"][:].index(card.title)
    assert card.rank == pool.image_to_text.max() == pool.image_to_text[row]
    scores = embeds[1].to_array() @ embeds[0].to_array()[row]
    assert [answer.score for answer in card.answers] == pytest.approx(np.sort(scores)[::-1][:3], abs=1e-6)
    assert [answer.title for answer in card.answers] == [rows["title"][j] for j in np.argsort(-scores)[:3]]


@pytest.mark.parametrize(
    ("poster", "colour"),
    [
        (Image.fromarray(np.full((6, 4), 257 * 100, np.uint16)), (100, 100, 100)),
        (Image.new("RGBA", (4, 6), (0, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGB", (2000, 3000), "navy"), (0, 0, 128)),
    ],
    ids=["16-bit grey", "transparent", "large"],
)
def test_a_poster_is_shown_as_the_model_gets_it_and_small(poster, colour):
    embeds = np.eye(1), np.eye(1)
    columns = {"title": ["A"], "plots": [["a"]]}

    class Movies:
        """One movie with a poster in memory, which a dataset would convert."""

        def __getitem__(self, key):
            return columns[key] if isinstance(key, str) else {"image": poster}

    (card,) = make_cards(Movies(), top_answers(*embeds, 4), evaluate_pool(*embeds, [1], [1]), np.array([0]))
    assert card.poster.getpixel((0, 0)) == colour
    assert card.poster.width <= THUMBNAIL[0] and card.poster.height <= THUMBNAIL[1]


@pytest.mark.parametrize("text", ["", "x" * 100_000, "七人の侍 " * 100, "$x^", "\x00\t\n" * 300])
def test_any_title_is_drawn(text, tmp_path):
    answers = [Answer(text, text, 0.5, right=False)] * 3
    save(draw_cards([Card(Image.new("RGB", (2, 3)), text, answers, 10**9)], "Cards"), tmp_path / "cards.png")
    with Image.open(tmp_path / "cards.png") as drawn:
        assert drawn.width == 1080
