"""`scripts/evaluate.py --titles use --plots all`: what is known of a movie."""

import json
from pathlib import Path

import pytest

from scripts import evaluate
from scripts.common.features import FeatureEncoder
from scripts.common.matching.matcher import FILE
from tests.scripts.common.evaluation.test_matcher_evaluation import second_stage
from tests.scripts.evaluations import change_rows, results_of

USED = ("--titles", "use", "--plots", "all")


@pytest.fixture
def titled(printed) -> Path:
    """A catalogue whose titles are what is printed on two in three posters, which the plots do not say."""
    change_rows(printed, lambda row: {"title": 4 * row["plot_short"][0], "plot_short": "xy", "plot_long": "yx"})
    return printed


def add_second_stage(model: str) -> None:
    """A second stage that turns the order of the first around."""
    saved = {"second_stage": second_stage(similarity=-1.0).to_dict(), "calibration": None}
    (Path(model) / FILE).write_text(json.dumps(saved))


def test_every_evaluation_shows_what_is_found_by_what_is_known(reader, titled, capsys):
    results = results_of(reader, titled)
    known = [(of["titles"], of["plots"], of["both_stages"]) for of in results["known"]]
    assert known == [("use", "all", False), ("use", "one", False), ("hide", "all", False), ("hide", "one", False)]
    assert (results["titles"], results["plots"], results["both_stages"]) == ("hide", "one", False)
    assert results["metrics"] == results["known"][-1]["metrics"] and "matching" not in results
    printed = capsys.readouterr().out
    assert f"{reader} (one plot) on test" in printed and "| titles and all plots, first stage |" in printed


def test_titles_that_are_used_find_what_plots_do_not(reader, titled, capsys):
    hidden, used = results_of(reader, titled), results_of(reader, titled, *USED)
    assert used["metrics"] == used["known"][0]["metrics"] == hidden["known"][0]["metrics"]
    way = "image_to_text"
    assert used["metrics"][way]["R@1"] > 0.5 > hidden["metrics"][way]["R@1"] == 0  # all plots are the same
    assert "has no second stage: the first alone was measured" in capsys.readouterr().out
    assert used["data_fingerprint"] == hidden["data_fingerprint"]


def test_a_second_stage_orders_what_the_first_finds_where_titles_are_used(reader, titled, capsys):
    add_second_stage(reader)
    results = results_of(reader, titled, *USED)
    assert [of["both_stages"] for of in results["known"]] == [True, False, True, False, False, False]
    both, first = (of["metrics"]["image_to_text"]["mean_rank"] for of in results["known"][:2])
    assert both == pytest.approx(7 - first)
    assert results["metrics"] == results["known"][0]["metrics"] and results["both_stages"]
    assert results["matching"]["right_among_candidates"]["share"] == 1
    printed = capsys.readouterr().out
    for words in ("both stages) on test", "precision asked", "whose movie is found one to one"):
        assert words in printed


def test_a_movie_with_two_posters_is_one_candidate_and_one_query(reader, titled):
    rows = [json.loads(line) for line in (titled / "metadata.jsonl").read_text().splitlines()]
    again = [{**row, "file_name": rows[0]["file_name"]} for row in rows[-2:]]
    (titled / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows + again)))
    add_second_stage(reader)
    results = results_of(reader, titled, *USED)
    assert results["metrics"]["pool"] == {"image_to_text": 6, "text_to_image": 8}
    assert "one_to_one" not in results["matching"]


def test_rows_that_a_catalogue_cannot_fill_are_left_out(model, catalogue):
    change_rows(catalogue, lambda row: {"title": "", "plot_long": ""})
    assert [(of["titles"], of["plots"]) for of in results_of(model, catalogue)["known"]] == [("hide", "one")]
    assert [of["plots"] for of in results_of(model, catalogue, "--plots", "all")["known"]] == ["one", "all"]


def test_titles_cannot_be_used_where_there_are_none(model, catalogue, monkeypatch):
    change_rows(catalogue, lambda row: {"title": ""})
    monkeypatch.setattr(FeatureEncoder, "images", lambda *_: pytest.fail("encoded"))
    with pytest.raises(SystemExit, match=r"titles: no movie of test of .*catalogue has a title to use"):
        evaluate.main([model, "--catalogue", str(catalogue), "--titles", "use"])


def test_what_is_known_tells_reports_and_names_apart(reader, titled, tmp_path):
    flags = ["--catalogue", str(titled), "--page", "False"]
    evaluate.main([reader, *flags])
    with pytest.raises(SystemExit, match=r"is another evaluation \(its titles, plots differ"):
        evaluate.main([reader, *flags, *USED])
    evaluate.main([reader, *flags, *USED, "--output", str(tmp_path / "used")])
    evaluate.main([f"{reader}/report-test", str(tmp_path / "used"), *flags, "--output", str(tmp_path / "both")])
    found = json.loads((tmp_path / "both" / "results.json").read_text())
    assert found["models"] == [f"{reader} (one plot)", f"{reader} (titles and all plots, first stage)"]


def test_two_models_that_match_are_compared_by_what_they_accept(reader, titled, tmp_path, capsys):
    add_second_stage(reader)
    evaluate.main([reader, reader, "--catalogue", str(titled), "--page", "False", *USED, "--output", str(tmp_path)])
    printed = capsys.readouterr().out.split("Matching with a confidence")[1]
    for words in ("found one to one", "complete table: could be answered at 95%", "calibration error"):
        assert words in printed


def test_a_report_with_other_titles_is_not_compared(reader, titled, tmp_path):
    flags = ["--catalogue", str(titled), "--page", "False", *USED]
    evaluate.main([reader, *flags])
    change_rows(titled, lambda row: {"title": f"{row['title']} II"})
    with pytest.raises(SystemExit, match=r"report-test is an evaluation with other titles than those of test of"):
        evaluate.main([f"{reader}/report-test", reader, *flags, "--output", str(tmp_path / "both")])


def test_a_report_of_before_titles_could_be_used_is_one_of_one_plot(reader, titled, tmp_path):
    flags = ["--catalogue", str(titled), "--page", "False"]
    evaluate.main([reader, *flags])
    file = Path(reader) / "report-test" / "results.json"
    results = json.loads(file.read_text())
    for name in ("titles", "plots", "both_stages", "known"):
        del results[name]
    file.write_text(json.dumps(results))
    evaluate.main([str(file.parent), reader, *flags, "--output", str(tmp_path / "both")])
    found = json.loads((tmp_path / "both" / "results.json").read_text())
    assert found["models"] == [f"A: {reader} (one plot)", f"B: {reader} (one plot)"]
    evaluate.main([reader, *flags])  # and it is replaced by one
    assert "known" in json.loads(file.read_text())
