import json

import pytest

from scripts.benchmarks import steps
from scripts.benchmarks.measure import table
from tests.tiny import tiny_model, tiny_processor


def test_what_is_printed_is_what_the_file_holds(tmp_path, capsys, monkeypatch):
    model = tiny_model(use_poster_text=True, char_ngram_dim=16)
    for encoder in (model.vision_model, model.text_model):
        encoder.requires_grad_(False)
    monkeypatch.setattr(steps, "preset", lambda vision, text: model)
    monkeypatch.setattr(steps.PosterCLIPProcessor, "from_vision_text_pretrained", lambda *_: tiny_processor())
    for name, value in {"EPOCHS": 1, "BATCH": 4, "NGRAM_DIM": 16, "NGRAMS": 4}.items():
        monkeypatch.setattr(steps, name, value)
    before, file = model.visual_projection.weight.clone(), tmp_path / "out.json"
    steps.main(["--movies", "8", "--rounds", "1", "--output", str(file)])
    section = json.loads(file.read_text())["sections"]["steps"]
    assert table(section) in capsys.readouterr().out
    assert [row["training"] for row in section["rows"]] == ["bare PyTorch loop", "PosterCLIPTrainer"]
    assert section["rows"][0]["times the bare loop's"] == 1 and (model.visual_projection.weight != before).any()


@pytest.mark.parametrize(
    ("flags", "message"), [(["--movies", "1"], "at least 2 movies"), (["--output", "."], r"\. cannot be written")]
)
def test_a_wrong_argument_stops_before_anything_is_measured(flags, message):
    with pytest.raises(SystemExit, match=message):
        steps.main(flags)
