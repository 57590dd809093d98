import html
import re

import pytest

from processing.reporting.matching_tables import confidence_rows, matched_rows, matching_comparison_rows
from processing.reporting.report import (
    comparison_words,
    summary_sentence,
    write_comparison,
    write_page,
    write_report,
)
from processing.reporting.tables import (
    comparison_rows,
    group_rows,
    known_rows,
    legacy_protocol_rows,
    one_to_one_rows,
    pool_rows,
    pool_size_rows,
)
from tests.processing.evaluations import HARM, comparison, evaluation, matching

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A folder with the reports of an evaluation and of a comparison."""
    folder = tmp_path_factory.mktemp("pages")
    rows, embeds, answers, pool, results = evaluation()
    write_report(folder / "evaluation", rows, embeds, answers, pool, results)
    *_, other_pool, other = evaluation(noise=1.0)
    other["matching"] = matching(error=0.2)
    write_comparison(folder / "comparison", comparison(results, other), (pool, other_pool))
    return folder


def text_of(path):
    """What a reader sees, without tags and with single spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", path.read_text(encoding="utf-8"))).split())


def test_every_number_of_the_tables_is_on_the_page(pages):
    results = evaluation()[-1]
    text = text_of(pages / "evaluation" / "index.html")
    tables = [
        pool_rows(results["metrics"]),
        pool_size_rows(results["pool_sizes"]),
        one_to_one_rows(results["one_to_one"]),
        legacy_protocol_rows(results["legacy_protocol"]),
        *(group_rows(*kind) for kind in results["groups"].items()),
        known_rows(results["known"]),
        matched_rows(results["matching"]),
        confidence_rows(results["matching"]),
    ]
    for row in (row for table in tables for row in table):
        assert " ".join(" ".join(row).split()) in text


@pytest.mark.parametrize(
    "told",
    [
        *("5e1f" * 16, "7a2c" * 16, "c0ffee" * 6 + " , with changes", "series (seed 7)", "train 1,234, test 20 movies"),
        *("3 bad rows left out", "titles left in the plots", "seed 42", "0.00123", "hit rate", "A tie counts against"),
        *(
            "Known of a movie titles and all plots, both stages",
            "ranked by cosine similarity, and the first candidates",
        ),
    ],
)
def test_a_page_tells_what_was_measured_on_what(pages, told):
    assert told in text_of(pages / "evaluation" / "index.html")


def test_what_a_catalogue_says_is_text_and_never_markup(pages):
    for name in ("evaluation", "comparison"):
        source = (pages / name / "index.html").read_text(encoding="utf-8")
        assert "<script" not in source and html.escape(HARM, quote=False).split("'")[0] in source
        assert HARM in html.unescape(source)


def test_a_page_is_one_file(pages):
    for name in ("evaluation", "comparison"):
        source = (pages / name / "index.html").read_text(encoding="utf-8")
        links = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s]*)""", source)
        assert links and all(link.startswith("data:") for link in links)
        images = re.findall(r"<img [^>]*>", source)
        assert len(images) == {"evaluation": 8 + 3 * 12, "comparison": 3}[name]
        assert all(re.search(r'alt="[^"]{10,}', image) for image in images)


@pytest.mark.slow
def test_the_same_evaluation_gives_the_same_bytes(pages, tmp_path):
    write_report(tmp_path, *evaluation())
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == sorted(path.name for path in (pages / "evaluation").iterdir())
    assert "examples.png" in files
    for name in files:
        assert (tmp_path / name).read_bytes() == (pages / "evaluation" / name).read_bytes(), name


def test_a_page_stands_without_what_is_optional(pages, tmp_path):
    results = evaluation()[-1]
    for name in ("one_to_one", "legacy_protocol", "code", "seed", "matching"):
        del results[name]
    results |= {"training": None, "trained_movies": None, "titles": "hide", "plots": "one", "both_stages": False}
    results |= {"mask_titles": True, "known": []}
    write_page(tmp_path / "index.html", results, [], {})
    text = text_of(tmp_path / "index.html")
    assert "Which movies the model was trained on is not recorded" in text and "One movie for each poster" not in text
    assert "Known of a movie: one plot, titles masked in the plots. The model finds the right movie of 20" in text
    assert "confidence" not in text.lower() and "By what is known" not in text


def test_a_page_says_that_a_model_has_no_second_stage_and_no_confidence(tmp_path):
    results = evaluation()[-1] | {"both_stages": False}
    write_page(tmp_path / "index.html", results, [], {})
    assert "has no second stage ( matcher.json )" in text_of(tmp_path / "index.html")
    for name in ("complete_table", "half_of_the_table"):
        del results["matching"][name]
    results["matching"]["one_to_one"] = {"right_pairs": results["matching"]["one_to_one"]["right_pairs"]}
    write_page(tmp_path / "index.html", results, [], {})
    assert "The second stage has no confidence" in text_of(tmp_path / "index.html")


def test_a_page_tells_of_a_model_that_was_trained_on_a_stream(tmp_path):
    results = evaluation()[-1]
    stream = {"source": "someone/movies", "streaming": True, "shards": 4, "plot_columns": None}
    training = {"train_splits": ["train"], "catalogue": stream, "arguments": {}}
    write_page(tmp_path / "index.html", results | {"training": training, "trained_movies": None}, [], {})
    assert "train of someone/movies , as a stream" in text_of(tmp_path / "index.html")


def test_movies_that_were_trained_on_are_called_so(tmp_path):
    results = evaluation()[-1]
    write_page(tmp_path / "index.html", results, [], {})
    assert "trained on none of the movies evaluated here" in text_of(tmp_path / "index.html")
    found = {"trained_on": ["7", "9"], "chosen_by": ["3"], "complete": False}
    write_page(tmp_path / "index.html", results | {"trained_movies": found}, [], {})
    text = text_of(tmp_path / "index.html")
    for words in ("trained on 2 of the movies", "(7, 9): the numbers show memory", "chosen by 1", "does not name"):
        assert words in text


def test_the_summary_is_in_numbers():
    results = evaluation()[-1]
    for way in ("image_to_text", "text_to_image"):
        results["metrics"][way]["R@1"], results["metrics"]["intervals"][way]["R@1"] = 0.219, [0.196, 0.242]
    assert summary_sentence(results) == (
        "Known of a movie: titles and all plots, both stages. "
        "The model finds the right movie of 20 first for 21.9 % of posters (19.6-24.2; chance 5.0), "
        "and the right poster of 20 first for 21.9 % of movies (19.6-24.2; chance 5.0)."
    )


def test_a_comparison_says_which_differences_exclude_zero(pages):
    results = evaluation()[-1]
    both = comparison(results, results)
    assert comparison_words(both)[0] == (
        "From poster to movie, the second model is better by R@1 (+10.00); "
        "the first model is better by mean rank (+1.5); no difference is shown by MRR."
    )
    rows = comparison_rows(both)
    assert rows[0] == ["metric", *both["models"], "difference", "95% interval"]
    assert [row[-2:] for row in rows[1:4]] == [
        ["+10.00", "+5.00 to +15.00"],
        ["+0.0123", "-0.0100 to +0.0300"],
        ["+1.5", "+0.5 to +2.5"],
    ]
    assert all(" ".join(row[-2:]) in text_of(pages / "comparison" / "index.html") for row in rows)


def test_a_comparison_shows_how_both_match(pages):
    text = text_of(pages / "comparison" / "index.html")
    rows = matching_comparison_rows(["a", "b"], [matching(), matching(error=0.2)])
    assert rows[1][0] == "posters whose movie is a candidate" and rows[1][-1] == "+0.0"
    assert all(" ".join(row) in text for row in rows[1:])


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["evaluation", "comparison"])
def test_a_browser_shows_it_whole(pages, chromium, name, width):
    """Pictures load, nothing is requested from elsewhere, nothing fails, and only tables scroll sideways."""
    page = chromium.new_page(viewport={"width": width, "height": 900})
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    address = (pages / name / "index.html").as_uri()
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("[...document.images].forEach(image => image.loading = 'eager')")
    page.wait_for_function("[...document.images].every(image => image.complete)")
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert [url for url in asked if not url.startswith("data:")] == [address] and not wrong
    page.close()
