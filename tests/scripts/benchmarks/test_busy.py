import json
import subprocess
import sys

import pytest

from scripts.benchmarks import busy


def test_a_command_is_measured_alone_and_beside_busy_processes(tmp_path, capsys):
    output = tmp_path / "busy.json"
    words = f"{sys.executable} -c 'import os; print(os.environ[\"OMP_WAIT_POLICY\"])'"
    busy.main(["--command", words, "--rounds", "1", "--output", str(output)])
    rows = json.loads(output.read_text())["sections"]["busy"]["rows"]
    assert [row["machine"] for row in rows] == list(busy.ROWS) and rows[0]["times alone"] == 1
    assert "busy, threads spin" in capsys.readouterr().out


def test_busy_processes_end_with_their_context(monkeypatch):
    started = []
    original = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda words: started.append(original(words)) or started[-1])
    with busy.busy_processes(2):
        assert [process.poll() for process in started] == [None, None]
    assert all(process.poll() is not None for process in started)


def test_a_command_that_fails_stops_the_benchmark(tmp_path):
    with pytest.raises(SystemExit, match="exit status 3"):
        busy.main(["--command", f"{sys.executable} -c 'raise SystemExit(3)'", "--output", str(tmp_path / "busy.json")])
    assert not (tmp_path / "busy.json").exists()
