"""SIGINT and SIGTERM end the benchmarks cleanly, at any moment of a real process."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from benchmarks import command_line
from benchmarks.few_shot.specs import SPECS
from benchmarks.interruption import Interruption

ROOT = Path(__file__).parents[2]
SIGNALS = [signal.SIGTERM, signal.SIGINT]
TERM, INT = SIGNALS
LOADING, DATA, TRAINING = "Loading torch", "Preparing the data", "[2/9]"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")


class Command:
    """A command that runs in its own process; `errors` is what it wrote to stderr so far."""

    def __init__(self, *words, module="benchmarks"):
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, words)],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A background job of a shell ignores SIGINT, and so would its child.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.printed = ""
        self.seen = threading.Condition()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.seen:
                self.printed += line
                self.seen.notify_all()

    def wait_for(self, text):
        with self.seen:
            assert self.seen.wait_for(lambda: text in self.printed, timeout=120), self.printed

    def end(self, number=None):
        """Send a signal, and return the exit status."""
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(timeout=120)
        self.reader.join()
        self.process.stdout.close()
        assert "Traceback" not in self.printed
        assert "Exception ignored" not in self.printed
        return status


@pytest.fixture
def start():
    """A function that starts a command, which ends with the test."""
    started = []

    def start(*words, **options):
        started.append(Command(*words, **options))
        return started[-1]

    yield start
    for command in started:
        command.process.kill()
        command.process.wait()
        command.reader.join()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "moment", "pause"),
    [
        (TERM, LOADING, 0.0),
        (INT, LOADING, 0.0),
        (INT, LOADING, 0.7),
        (TERM, DATA, 0.0),
        (INT, TRAINING, 0.5),
    ],
)
def test_a_signal_ends_a_run_cleanly(number, moment, pause, start, tmp_path):
    command = start("run", "sinusoids", "--full", "--seed", 3, "--out", tmp_path)
    command.wait_for(moment)
    time.sleep(pause)
    assert command.end(number) == 128 + number
    lines = command.printed.splitlines()
    if moment in (LOADING, DATA):
        saved = "No method was started."
    else:
        path = tmp_path / "sinusoids-full-partial.json"
        saved = f"1 of 9 methods are finished and saved in {path}: from scratch."
        assert json.loads(path.read_text())["methods"][0]["label"] == "from scratch"
    again = f"python -m benchmarks run sinusoids --full --seed 3 --out {tmp_path} --resume"
    assert lines[-2:] == [f"Interrupted by {number.name}. {saved}", f"Continue with: {again}"]
    assert not [path for path in tmp_path.iterdir() if ".json." in path.name]  # half-written files


@pytest.mark.slow
def test_a_signal_during_evaluation_and_a_second_run_before_it(start, tmp_path, capsys):
    words = ["run", "languages", "--only", "TF-IDF*", "--out", str(tmp_path)]
    command = start(*words)
    command.wait_for("evaluation on")
    with pytest.raises(SystemExit) as refused:
        command_line.main([*words, "--resume"])
    assert refused.value.code == 2
    assert f"another run is writing to {tmp_path}/languages-default.json" in capsys.readouterr().err
    assert command.end(TERM) == 143
    count = len(SPECS["languages"].entries["default"])
    assert f"0 of {count} methods are finished.\nContinue with: " in command.printed
    assert command.printed.endswith(f"--only 'TF-IDF*' --out {tmp_path} --resume\n")


@pytest.mark.slow
def test_a_killed_run_continues_to_the_result_of_an_unbroken_one(start, tmp_path, capsys):
    def run(folder, *options):
        words = ["run", "sinusoids", "--quick", "--out", str(tmp_path / folder), *options]
        assert command_line.main(words) == 0
        found = json.loads((tmp_path / folder / "sinusoids-quick.json").read_text())
        rows = [
            {key: row[key] for key in ("label", "options", "scores")} for row in found["methods"]
        ]
        points = [
            [point["validation"] for point in row["training"]["points"]]
            for row in found["methods"]
            if row["training"]
        ]
        return rows, points, found["unfinished"]

    command = start("run", "sinusoids", "--quick", "--out", tmp_path / "broken")
    command.wait_for("[4/9]")
    assert command.end(signal.SIGKILL) == -signal.SIGKILL
    resumed = run("broken", "--resume")
    assert "[3/9]" not in capsys.readouterr().err
    assert resumed == run("whole")
    assert not list((tmp_path / "broken").glob("*partial*"))


ALGORITHMIC = "benchmarks.algorithmic.run"
TINY = ("--hidden-size=4", "--slots=4", "--slot-size=4", "--evaluation-sequences=2")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_during_the_imports_of_an_algorithmic_run(number, start, tmp_path):
    command = start("copy", "--out", tmp_path, module=ALGORITHMIC)
    time.sleep(0.5)
    assert command.end(number) == 128 + number
    assert f"Interrupted by {number.name}. Nothing was computed yet." in command.printed


@pytest.mark.slow
def test_a_signal_during_an_algorithmic_training_evaluates_the_network(start, tmp_path):
    words = ("copy", "--memory=lstm", *TINY, "--every=20", "--out", tmp_path)
    command = start(*words, module=ALGORITHMIC)
    command.wait_for(" left")
    assert command.end(TERM) == 143
    result = json.loads((tmp_path / "memory-copy-lstm-seed0.json").read_text())
    assert result["ended"] == "interrupted"
    assert result["sequences"] >= 20
    assert set(result["wrong_bits"]) == {"10", "20", "50", "120"}
    assert "; the first one tells how long the training takes" in command.printed


# ---------------------------------------------------------------- the handler, in a small process

SCRIPT = """
import os, signal, sys
from benchmarks.interruption import interruption
interruption.install()
interruption.saved, interruption.advice = "All is saved.", "Go on."
number = int(sys.argv[1])
"""
IN_A_DESTRUCTOR = """
class Value:
    def __del__(self):
        os.kill(os.getpid(), number)
        for _ in range(1000): pass
Value()
print("still here")
"""
IN_A_CALLBACK = """
import ctypes
kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
def compare(a, b):
    os.kill(os.getpid(), number)
    return 0
ctypes.CDLL(None).qsort((ctypes.c_int * 4)(4, 3, 2, 1), 4, 4, kind(compare))
print("still here")
"""
HELD = """
with interruption.held():
    os.kill(os.getpid(), number)
    print("written")
print("still here")
"""
FORKED = """
import time
ready, write = os.pipe()
child = os.fork()
while not child:
    os.write(write, b".")
    time.sleep(0.01)
os.read(ready, 1)
os.kill(child, number)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
os.kill(os.getpid(), number)
"""
RAISES = """
interruption.raises = True
try:
    with interruption.held():
        os.kill(os.getpid(), number)
        print("written")
    print("still here")
except KeyboardInterrupt:
    print("evaluated", interruption.status)
os.kill(os.getpid(), number)
print("still here")
"""


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    ("script", "printed"),
    [
        (IN_A_DESTRUCTOR, ""),
        (IN_A_CALLBACK, ""),
        (HELD, "written\n"),
        (FORKED, "{}\n"),
        (RAISES, "written\nevaluated {}\n"),
    ],
)
def test_the_handler_is_never_swallowed(script, printed, number):
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT + script, str(int(number))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert ended.returncode == 128 + number
    assert ended.stdout == printed.format(128 + number)
    assert ended.stderr == f"\nInterrupted by {number.name}. All is saved.\nGo on.\n"


def test_a_background_job_keeps_ignoring_ctrl_c():
    script = SCRIPT + "os.kill(os.getpid(), signal.SIGINT)\nprint('still here')"
    ended = subprocess.run(
        [sys.executable, "-c", script, "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "still here\n", "")


def test_the_message_without_advice():
    interruption = Interruption()
    assert interruption.message == "Nothing was computed yet."
    assert interruption.status == 130
