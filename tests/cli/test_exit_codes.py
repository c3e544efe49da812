"""One policy for exit codes: 2 is a request that makes no sense, 1 something that cannot be used, 130 Ctrl-C."""

import io
import shutil
import sys

import pytest

from diffdemo.__main__ import main
from diffdemo.cli.errors import UsageError, exit_code, sentence
from diffdemo.errors import CheckpointError, DataError, Interrupted, RequestError, TrainingError
from train.evaluate import __main__ as evaluate
from train.flags import run_app, run_command


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no such option"), 2),
        (RequestError("steps"), 2),
        (TrainingError("--lr"), 2),
        (caused(RequestError("out.png cannot be written"), OSError()), 1),
        (CheckpointError("damaged"), 1),
        (DataError("empty"), 1),
        (OSError(28, "No space left on device", "a.png"), 1),
        (Interrupted("stopped and saved"), 130),
    ],
)
def test_every_error_has_its_code_and_one_sentence(error, code):
    assert exit_code(error) == code
    said = sentence(error, "python -m x --help")
    assert said and "\n" not in said
    if isinstance(error, OSError):
        assert said == "a.png cannot be used: No space left on device."


def test_a_broken_checkpoint_ends_every_program_with_the_same_code(tiny_checkpoints, tmp_path, monkeypatch, capsys):
    broken = shutil.copytree(tiny_checkpoints / "simple_unet", tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"cut")
    assert main(["sample", "--model", str(broken), "--out", str(tmp_path / "a.png")]) == 1
    first = capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["evaluate", "--model", str(broken), "--no-fid"])
    with pytest.raises(SystemExit) as ended:
        run_command(evaluate.main, evaluate.Options)
    assert ended.value.code == 1 and capsys.readouterr().err == first


@pytest.mark.parametrize(
    "run", [main, lambda words: run_app(lambda: print(words[1]))], ids=["python -m diffdemo", "python -m train"]
)
def test_a_name_that_the_terminal_has_no_letters_for_is_printed_with_escapes(run, tmp_path, monkeypatch):
    (folder := tmp_path / "\u043a\u043e\u0442 \udce9").mkdir()
    monkeypatch.setattr(sys, "argv", ["x"])
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed := io.BytesIO(), encoding="cp1252"))
    run(["--checkpoints", str(folder)] if run is not main else ["list", "--checkpoints", str(folder)])
    sys.stdout.flush()
    assert rb"\u043a\u043e\u0442 \udce9" in printed.getvalue()
