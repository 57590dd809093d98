import json
import shutil

import pytest
import torch

from scripts import train
from tests.processing.data.streams import in_shards, movie, write_shards
from tests.scripts.train_runs import record, weights

QUICK = ["--streaming", "True", "--shuffle_buffer", "4", "--learning_rate", "1e-2"]
QUICK += ["--per_device_train_batch_size", "4", "--use_cpu", "True", "--disable_tqdm", "True"]


@pytest.fixture
def movies(tmp_path) -> str:
    """Thirteen movies to train on in three shards, three to evaluate on."""
    write_shards(tmp_path / "movies", [[movie(i) for i in (20, 21, 22)]], "validation")
    return write_shards(tmp_path / "movies", in_shards(6, 2, 5))


def assert_same_weights(folder, other):
    expected, got = weights(folder), weights(other)
    assert expected.keys() == got.keys()
    for name, weight in expected.items():
        assert torch.equal(weight, got[name]), name


def test_a_model_is_trained_on_a_stream_and_evaluated_on_a_split_of_it(movies, encoders, tmp_path):
    settings = ["--catalogue", movies, *encoders, *QUICK, "--max_steps", "5", "--vision_mode", "frozen"]
    settings += ["--eval_strategy", "steps", "--eval_steps", "2", "--metric_for_best_model", "MRR"]
    train.main([*settings, "--output_dir", str(tmp_path / "run")])
    written = record(tmp_path / "run")
    assert written["catalogue"] == {
        **{"source": movies, "streaming": True, "shards": 3, "plot_columns": ["plots", "plot"]},
        "bad_rows": {"count": 0},
    }
    assert [entry["step"] for entry in written["log"] if "eval_MRR" in entry] == [2, 4, 5]


def test_a_model_that_reads_posters_is_trained_and_evaluated_on_what_the_rows_say_is_printed(encoders, tmp_path):
    def rows(*numbers: int, unread: tuple[int, ...] = ()) -> list[dict]:
        lines = [{"text": "ab", "score": 0.9, "box": None}]
        return [movie(i, poster_text=None if i in unread else lines[i % 2 :]) for i in numbers]

    reads = [*encoders, *QUICK, "--use_poster_text", "True", "--max_steps", "4", "--eval_strategy", "steps"]
    source = write_shards(tmp_path / "movies", [rows(*range(6))])
    write_shards(tmp_path / "movies", [rows(20, 21, 22)], "validation")
    train.main(["--catalogue", source, *reads, "--output_dir", str(tmp_path / "run")])
    assert record(tmp_path / "run")["config"]["use_poster_text"]

    write_shards(tmp_path / "movies", [rows(20, 21, 22, unread=(21,))], "validation")
    with pytest.raises(SystemExit, match=r"\(id m21\), 21.png: no poster_text"):
        train.main(["--catalogue", source, *reads, "--output_dir", str(tmp_path / "other")])


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_resumed_run_ends_with_the_same_weights(workers, movies, encoders, tmp_path):
    """A pass has 13 movies and a step 8 of them: the run is broken off in its third pass."""
    settings = ["--catalogue", movies, *encoders, *QUICK, "--max_steps", "6", "--save_steps", "4"]
    settings += ["--gradient_accumulation_steps", "2", "--dataloader_num_workers", workers]
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train.main([*settings, "--output_dir", str(whole)])
    shutil.copytree(whole / "checkpoint-4", resumed / "checkpoint-4")
    train.main([*settings, "--output_dir", str(resumed), "--resume_from_checkpoint", "True"])
    assert_same_weights(whole, resumed)
    state = json.loads((resumed / "checkpoint-6" / "trainer_state.json").read_text())
    assert state["global_step"] == 6 and state["num_train_epochs"] == 1


def test_a_run_that_is_over_is_not_trained_further(movies, encoders, tmp_path):
    settings = ["--catalogue", movies, *encoders, *QUICK, "--max_steps", "2", "--save_steps", "2"]
    settings += ["--lr_scheduler_type", "constant"]
    train.main([*settings, "--output_dir", str(tmp_path / "run")])
    shutil.copytree(tmp_path / "run" / "checkpoint-2", tmp_path / "again" / "checkpoint-2")
    train.main([*settings, "--output_dir", str(tmp_path / "again"), "--resume_from_checkpoint", "True"])
    assert_same_weights(tmp_path / "run", tmp_path / "again")


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_bad_row_stops_the_run_with_one_line_or_is_counted(workers, encoders, tmp_path):
    rows = [*in_shards(5)[0], movie(7, plot="", plots=[])]
    settings = ["--catalogue", write_shards(tmp_path / "movies", [rows]), *encoders, *QUICK, "--max_steps", "4"]
    settings += ["--output_dir", str(tmp_path / "run"), "--dataloader_num_workers", workers]
    with pytest.raises(SystemExit, match=r"^error: bad row: row \d of the stream \(id m7\), 7.png: no plot[^\n]*$"):
        train.main(settings)
    train.main([*settings, "--on_bad_rows", "skip"])
    assert record(tmp_path / "run")["catalogue"]["bad_rows"] == {"count": 1}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--max_steps"),
        (["--max_steps", "2", "--train_splits", "extra"], "no split 'extra'; it has train, validation"),
        (["--max_steps", "2", "--plot_columns", "overview"], "columns: id, plot, plots, genres"),
        (["--max_steps", "2", "--dataloader_num_workers", "4"], "4 workers"),
        (["--max_steps", "2", "--eval_strategy", "steps", "--eval_split", "test"], "no split 'test'"),
    ],
)
def test_what_a_stream_cannot_do_is_refused_before_it_starts(flags, message, movies, encoders, tmp_path):
    with pytest.raises(SystemExit, match=message):
        train.main(["--catalogue", movies, *encoders, *QUICK, *flags, "--output_dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("movies.dat", "is the MovieLens layout, which cannot be streamed"),
        ("dataset_dict.json", "is a saved dataset, which cannot be streamed"),
        ("notes", "cannot be streamed .DataFilesNotFoundError"),
    ],
)
def test_a_layout_that_does_not_stream_is_refused(file, message, encoders, tmp_path):
    (tmp_path / "movies").mkdir()
    (tmp_path / "movies" / file).write_text("{}")
    flags = ["--catalogue", str(tmp_path / "movies"), *encoders, *QUICK, "--max_steps", "2"]
    with pytest.raises(SystemExit, match=message):
        train.main([*flags, "--output_dir", str(tmp_path / "run")])
