"""What is printed on posters, in an evaluation: read, given, or blanked out."""

import dataclasses
import json
import sys

import pytest
import torch
from datasets import DatasetDict, List, Value
from PIL import Image

from modeling import PosterCLIPModel
from processing.catalogue.catalogue import load_catalogue
from processing.data.text_removal import remove_poster_text
from processing.posterclip import ocr
from scripts import evaluate
from tests.scripts.evaluations import results_of
from tests.tiny import tiny_processor


class TestAModelThatReadsPosters:
    def test_is_evaluated_by_what_the_catalogue_says_is_printed(self, reader, printed):
        results = results_of(reader, printed)
        movies, words = load_catalogue(str(printed)).splits["test"], tiny_processor()
        texts = [plots[0] for plots in movies["plots"]]
        given = {"images": list(movies["image"]), "poster_text": movies["poster_text"][:], "text": texts}
        with torch.no_grad():
            logits = (
                PosterCLIPModel.from_pretrained(reader).eval()(**words(**given, return_tensors="pt")).logits_per_image
            )
        ranks = 1 + (logits > logits.diagonal()[:, None]).sum(1)
        assert results["metrics"]["image_to_text"]["mean_rank"] == pytest.approx(ranks.double().mean().item())
        with_words = torch.tensor([bool(lines) for lines in movies["poster_text"]])
        assert with_words.sum() == 4 and (ranks[with_words] == 1).all()
        assert results["catalogue"]["poster_text"] == {"given": 18, "read": 0, "without_text": 6, "failed": []}

    def test_sees_pictures_alone_where_the_text_is_blanked(self, reader, printed):
        blank = results_of(reader, printed, "--remove_poster_text", "True")
        for row in (rows := [json.loads(line) for line in (printed / "metadata.jsonl").read_text().splitlines()]):
            poster = Image.open(printed / row["file_name"])
            remove_poster_text(poster, row["poster_text"]).save(printed / row["file_name"])
            row["poster_text"] = []
        (printed / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
        alone = results_of(reader, printed)
        assert blank["metrics"] == alone["metrics"] and blank["remove_poster_text"] and not alone["remove_poster_text"]

    def test_is_evaluated_in_every_other_way_as_well(self, reader, printed, tmp_path, capsys):
        plain = results_of(reader, printed)
        cached = [
            results_of(reader, printed, "--feature_cache", str(tmp_path / "cache"), "--one_to_one", "True")
            for _ in range(2)
        ]
        assert plain["metrics"] == cached[0]["metrics"] == cached[1]["metrics"]
        assert cached[0]["one_to_one"]["assignment"]["right_pairs"] >= 4 / 6
        legacy = ["--legacy_protocol", "True", "--trained_splits", "train"]
        masked = results_of(reader, printed, "--mask_titles", "True", *legacy, "--pool_sizes", "2")
        assert masked["mask_titles"] and masked["legacy_protocol"]["all"]["count"] == 18
        assert masked["pool_sizes"]["image_to_text"].keys() == {"2", "6"}

    def test_needs_posters_that_somebody_has_read_or_ocr(self, reader, catalogue, monkeypatch):
        monkeypatch.setitem(sys.modules, "rapidocr", None)
        ocr._engine.cache_clear()
        with pytest.raises(SystemExit, match=r"6 posters of .* are not read.*pip install"):
            results_of(reader, catalogue)


def test_posters_without_their_text_are_evaluated_where_that_is_asked_for(model, catalogue, tmp_path, monkeypatch):
    source, load = load_catalogue(str(catalogue)), evaluate.CatalogueArguments.load
    lines = List({"text": Value("string"), "score": Value("float64"), "box": List(Value("float64"))})
    text = [{"text": "all of it", "score": 1.0, "box": [0.0, 0.0, 1.0, 1.0]}]

    def with_text(arguments, needed):
        splits = load(arguments, needed).splits
        read = {
            name: split.select_columns([column for column in split.column_names if column != "poster_text"])
            .flatten_indices()
            .add_column("poster_text", [text] * len(split), feature=lines)
            for name, split in splits.items()
        }
        return dataclasses.replace(source, splits=DatasetDict(read))

    monkeypatch.setattr(evaluate.CatalogueArguments, "load", with_text)
    cache = ["--feature_cache", str(tmp_path / "cache")]  # filled with features of the posters as they are
    found = {}
    for blank in (False, True):
        found[blank] = results_of(model, catalogue, *cache, "--remove_poster_text", str(blank))
        assert found[blank]["remove_poster_text"] == blank
    assert found[True]["metrics"] != found[False]["metrics"]
    assert found[True]["data_fingerprint"] == found[False]["data_fingerprint"]
