"""The entry point: commands, exit codes, suggestions, signals and pipes."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from l2l_rnn.cli import main, program
from l2l_rnn.cli.program import COMMANDS
from l2l_rnn.errors import DataError

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "l2l_rnn"]


def run(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, **options
    )


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_the_help_lists_commands_examples_and_exit_codes(arguments, capsys):
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in COMMANDS)
    assert "examples:" in shown
    assert "130  interrupted" in shown


def test_without_a_command_it_shows_the_help_and_fails(capsys):
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_examples_of_its_command(command, capsys):
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    examples = shown.partition("examples:\n")[2].partition("exit codes:")[0]
    assert examples.count(f"l2l-rnn {command}") >= 2
    assert "--json" in shown
    assert "--debug" in shown
    assert "Optional[" not in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_imports_no_torch(command):
    script = (
        "import sys\nfrom l2l_rnn.cli import main\n"
        f"assert main({[*command, '--help']!r}) == 0\n"
        "assert not {'torch', 'numpy', 'learn2learn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lst"], "unknown command 'lst'; did you mean 'list'?"),
        (["--versoin"], "unknown flag '--versoin'"),
        (["list", "--jsn", "--debg"], "2 problems:\n  unknown flag --jsn; did you mean 'json'?"),
        (["list", "langages"], "unknown name 'langages'; did you mean 'languages'"),
        (["doctor", "--quick", "3"], "nrecognized arguments: 3"),
    ],
)
def test_wrong_usage_has_exit_code_2_and_a_suggestion(arguments, said, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""
    assert "--help' for the flags" in captured.err


def raising(error):
    def fail(given):
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("from_hf: no"), 1, "l2l-rnn list: from_hf: no\n"),
        (ZeroDivisionError("of a"), 1, "unexpected error: ZeroDivisionError: of a\nRun it with"),
        (PermissionError(13, "denied", "a.csv"), 1, "denied: 'a.csv'"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (SystemExit(3), 3, ""),
        (SystemExit("bad"), 1, ""),
    ],
)
def test_errors_have_exit_codes_and_no_traceback(error, code, said, monkeypatch, capsys):
    monkeypatch.setattr(program, "_run", raising(error))
    assert main(["list"]) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown


def test_debug_shows_the_traceback(monkeypatch, capsys):
    monkeypatch.setattr(program, "_run", raising(DataError("no")))
    assert main(["list", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_the_handlers_of_signals_are_restored():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    main(["--version"])
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_it_runs_in_a_thread(capsys):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["--version"])))
    thread.start()
    thread.join()
    assert codes == [0]


@pytest.mark.parametrize("module", ["l2l_rnn", "l2l_rnn.cli"])
def test_it_runs_as_a_module(module):
    command = [sys.executable, "-m", module, "--version"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("l2l-rnn ")


def test_without_jsonargparse_it_says_what_to_install():
    script = (
        "import sys\nsys.modules['jsonargparse'] = None\n"
        "from l2l_rnn.cli import main\nassert main(['--help']) == 0\nsys.exit(main(['list']))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install jsonargparse (it is in the extra 'cli' of l2l_rnn)" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_importing_ends_it_cleanly(number):
    ready = "import sys; sys.stderr.write('ready\\n'); sys.stderr.flush()"
    script = (
        "import sys\nfrom l2l_rnn.cli import main, program\n"
        "import l2l_rnn.cli.commands.doctor as doctor\n"
        "run = doctor.run\n"
        f"def slow(*groups):\n    {ready}\n    return run(*groups)\n"
        "doctor.run = slow\nsys.exit(main(['doctor']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr.readline() == "ready\n"  # torch is imported from here on
    process.send_signal(number)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert "Traceback" not in errors


def test_a_closed_pipe_is_silent():
    line = f"{sys.executable} -m l2l_rnn list --json | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (0, 141)  # 0 if head was slower than the list
    assert done.stdout == "{\n"
    assert done.stderr == ""


def test_a_pipe_that_is_closed_at_once_gives_141():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, "list"], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_warning_is_one_line_on_stderr(monkeypatch, capsys):
    import warnings

    def warn(given):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("slow\nmodel", UserWarning, stacklevel=1)
        return 0

    monkeypatch.setattr(program, "_run", warn)
    assert main(["list"]) == 0
    assert "warning: slow model\n" in capsys.readouterr().err
