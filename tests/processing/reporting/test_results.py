import json
import subprocess

import pytest

from processing.reporting import results
from processing.reporting.results import check_same_data, code, read_results, write_results


def test_results_carry_code_versions_machine_and_time(tmp_path):
    write_results(tmp_path / "deep" / "results.json", {"R@1": 0.25})
    record = read_results(tmp_path / "deep" / "results.json")
    assert record["R@1"] == 0.25 and {"torch", "transformers", "python"} <= record["versions"].keys() and record["time"]
    assert record["machine"]["threads"] >= 1 and record["code"] == code()


def test_a_number_that_json_does_not_have_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "results.json"
    write_results(path, {"R@1": 0.25})
    before = path.read_bytes()
    with pytest.raises(ValueError):
        write_results(path, {"R@1": float("nan")})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"R@1": 0.5}'])
def test_a_file_that_holds_no_results_is_named(content, tmp_path):
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"results\.json holds no results"):
        read_results(path)


def test_code_is_told_by_its_commit_and_whether_files_differ_from_it(tmp_path, monkeypatch):
    def git(*arguments: str) -> str:
        names = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(
            ["git", *names, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    monkeypatch.setattr(results, "CLONE", tmp_path)
    assert code() == {"commit": None, "dirty": False}
    git("init")
    (tmp_path / "modeling").mkdir()
    (tmp_path / "modeling" / "model.py").write_text("layers = 1")
    (tmp_path / "README.md").write_text("One layer.")
    git("add", ".")
    git("commit", "--message", "One layer")
    (tmp_path / "README.md").write_text("A layer.")
    assert code() == {"commit": git("rev-parse", "HEAD").strip(), "dirty": False}
    (tmp_path / "modeling" / "model.py").write_text("layers = 2")
    assert code()["dirty"]
    (tmp_path / "installed").mkdir()
    monkeypatch.setattr(results, "CLONE", tmp_path / "installed")  # in an environment in somebody's clone
    assert code() == {"commit": None, "dirty": False}


class TestOneTable:
    whales = {"split": "test", "data_fingerprint": {"train": "0", "test": "3f"}}  # noqa: RUF012

    def test_is_of_one_pool_whatever_else_was_evaluated(self):
        check_same_data({"A": self.whales, "B": json.loads('{"split": "test", "data_fingerprint": {"test": "3f"}}')})

    def test_does_not_mix_fingerprints(self):
        other = {"split": "test", "data_fingerprint": {"test": "a1"}}
        with pytest.raises(ValueError, match="A and C were evaluated on other data"):
            check_same_data({"A": self.whales, "B": self.whales, "C": other})

    def test_does_not_mix_splits(self):
        other = {"split": "train", "data_fingerprint": {"train": "0"}}
        with pytest.raises(ValueError, match="A and B were evaluated on other splits: test and train"):
            check_same_data({"A": self.whales, "B": other})
