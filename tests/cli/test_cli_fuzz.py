"""Whatever is typed, a command ends with what was asked for or with one sentence."""

import io
from contextlib import redirect_stderr, redirect_stdout

from doses import SMALL_DOSE
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from diffdemo.__main__ import main

COMMANDS = ["list", "sample", "classify", "reconstruct", "nearest"]
FLAGS = [
    "--model",
    "--class",
    "--steps",
    "--seed",
    "-n",
    "--sampler",
    "--eta",
    "--variance",
    "--guidance",
    "--guidance-interval",
    "--guide",
    "--precision",
    "--device",
    "--out",
    "--npy",
    "--scale",
    "--from",
    "--stop-after",
    "--draws",
    "--by",
    "--json",
    "--data",
    "--help",
    "--nonsense",
]
NUMBERS = ["0", "1", "2", "-1", "1e9", "nan", "inf", "1.5", "0.3,5", "5,0.3", str(2**64), "٣"]
NAMES = ["attention_unet", "any", "cat", "ddpm", "heun", "no-class", "weak-model", "bf16", "cpu", "pixels", "a.png"]
PLACES = ["out.png", "out.gif", "out.npy", "folder/", "", ".", "a.png/b.png", "\0", "x" * 300]
WORDS = st.sampled_from([*FLAGS, *NUMBERS, *NAMES, *PLACES]) | st.text(max_size=8)


@SMALL_DOSE
@given(command=st.sampled_from(COMMANDS), words=st.lists(WORDS, max_size=7))
@example(command="list", words=["x" * 300] * 3)  # typer's sentence repeats them all
@example(command="classify", words=["\n"])  # a file's name may hold a new line; the sentence that names it may not
def test_whatever_is_typed_is_done_or_refused_in_a_sentence(tiny_checkpoints, tmp_path, monkeypatch, command, words):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("a.png")
    few = ["--steps", "2"] if command == "sample" else ["--draws", "1"] if command == "classify" else []
    said, wrong = io.StringIO(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(wrong):
        code = main([command, "--checkpoints", str(tiny_checkpoints), *few, *words])
    wrong = wrong.getvalue()
    if code:
        assert code in (1, 2) and wrong.startswith("Error: ") and wrong.endswith(".\n"), wrong
        assert wrong.count("\n") == 1 and len(wrong) < 900, wrong
    else:
        assert "Traceback" not in wrong
