import json

import pytest

from processing.results import write_results


def test_results_carry_versions_and_time(tmp_path):
    write_results(tmp_path / "deep" / "results.json", {"R@1": 0.25})
    record = json.loads((tmp_path / "deep" / "results.json").read_text())
    assert record["R@1"] == 0.25 and {"torch", "transformers", "python"} <= record["versions"].keys() and record["time"]


def test_a_number_that_json_does_not_have_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "results.json"
    write_results(path, {"R@1": 0.25})
    before = path.read_bytes()
    with pytest.raises(ValueError):
        write_results(path, {"R@1": float("nan")})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
