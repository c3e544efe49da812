"""The command line answers a mistake, a full disk or Ctrl-C with one sentence, and leaves no trace of the attempt."""

import errno
import os
import re
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from cli_helpers import COMMAND, REPOSITORY, complaint, contents, tiny_sampling
from PIL import Image

import diffdemo

BAD_REQUESTS = [
    *[(f"--steps {value}", r"steps must be a whole number from 1 to 1000") for value in (0, -1, 1001, 3.5, "abc")],
    *[(f"-n {value}", r"number of images must be a whole number from 1") for value in (0, -3, "abc", "1e9")],
    *[(f"--seed {value}", r"seed must be a whole number") for value in (-1, 2**64, "1e30", "abc", 1.5)],
    *[(f"--guidance {value}", r"guidance must be a number from 0 to 20") for value in ("nan", -1, "abc", "inf", 20.1)],
    (f"--seed {2**64 - 1} -n 2", r"seed must leave room for 2 images"),
    ("--sampler ddim --eta 1.5", r"eta must be a number from 0 to 1"),
    ("--sampler ddpm --eta 0.5", r"eta is a setting of the sampler ddim, not of ddpm"),
    ("--sampler ddim --variance small", r"variance is a setting of the sampler ddpm, not of ddim"),
    ("--sampler ddpm --variance huge", r"choose one of: small, large"),
    ("--sampler euler", r"choose one of: ddpm, ddim, dpmpp, heun"),
    ("--class unicorn", r"no class 'unicorn'; choose one of: airplane"),
    ("--model nonsense", r"no model 'nonsense'; choose one of: simple_unet"),
    ("--device tpu", r"choose one of: auto, cpu, cuda, mps"),
    ("--scale 0", r"scale must be a whole number"),
    ("--out {tmp}/a.jpg", r"--out is a \.png, \.gif, \.mp4 file or a folder, not 'a\.jpg'"),
    ("--out {tmp}/a.npy", r"arrays are written with --npy"),
    ("--out=", r"--out needs a name"),
    ("--npy {tmp}/a.png", r"--npy writes a \.npy file"),
    ("--npy {tmp}/folder.npy", r"folder\.npy is a folder already"),
    ("--out {tmp}/keep/", r"keep is a file already"),
    ("-n 65 --out {tmp}/a.gif", r"An animation shows at most 64 images, not 65"),
    ("-n 50000 --out {tmp}/a.png", r"too many pixels"),
    ("--step 3", r"--step.*see python -m diffdemo sample --help"),
    ("--steps", r"--steps.*requires an argument"),
    ("extra", r"unexpected extra argument"),
]


@pytest.fixture
def sample(tiny_checkpoints):
    with tiny_sampling(tiny_checkpoints) as run:
        yield run


@pytest.mark.parametrize(("arguments", "expected"), BAD_REQUESTS, ids=[arguments for arguments, _ in BAD_REQUESTS])
def test_a_bad_request_gets_a_sentence_and_changes_nothing(sample, tmp_path, monkeypatch, capsys, arguments, expected):
    (tmp_path / "keep").write_bytes(b"precious")
    (tmp_path / "sample.png").write_bytes(b"precious")
    (tmp_path / "folder.npy").mkdir()
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    said = complaint(capsys, sample(*arguments.format(tmp=tmp_path).split(" ")), 2)
    assert re.search(expected, said), said
    assert contents(tmp_path) == before


def test_a_device_that_is_not_there_is_a_bad_request(sample, capsys):
    missing = "mps" if torch.cuda.is_available() else "cuda"
    assert f"no {missing} device" in complaint(capsys, sample("--device", missing), 2)


def _truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _edit(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"airplane"', '"aeroplane"'))


@pytest.mark.parametrize(
    ("damage", "expected"), [(_truncate, "truncated"), (_edit, "edited"), (shutil.rmtree, "no checkpoint of")]
)
def test_a_damaged_checkpoint_is_said_to_be(sample, tiny_checkpoints, tmp_path, capsys, damage, expected):
    shutil.copytree(tiny_checkpoints, tmp_path / "damaged")
    damage(tmp_path / "damaged" / "attention_unet")
    code = sample("--checkpoints", tmp_path / "damaged", "--out", tmp_path / "a.png")
    assert expected in complaint(capsys, code, 1)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("option", ["--out {}/a.png", "--out {}/a.gif", "--out {}/folder/", "--npy {}/a.npy"])
def test_a_place_that_cannot_be_written_to_is_found_before_anything_is_computed(
    sample, tmp_path, monkeypatch, capsys, option
):
    (tmp_path / "file").write_bytes(b"precious")  # no folder can be made below a file, not even by an administrator
    monkeypatch.setattr(diffdemo, "load", lambda *_, **__: pytest.fail("the model was loaded"))
    code = sample(*option.format(tmp_path / "file").split())
    assert "cannot be written: Not a directory" in complaint(capsys, code, 1)
    assert contents(tmp_path) == {str(tmp_path / "file"): b"precious"}


@pytest.mark.parametrize("names", [["a.png"], ["a.gif"], ["new/"], ["old/"], ["a.npy"], ["a.png", "a.npy"]])
def test_when_space_runs_out_nothing_is_written_and_nothing_lost(sample, tmp_path, capsys, names):
    for name in ("a.png", "a.gif", "a.npy"):
        (tmp_path / name).write_bytes(b"precious")
    (tmp_path / "old").mkdir()
    before = contents(tmp_path)
    outputs = [part for name in names for part in ("--npy" if "npy" in name else "--out", f"{tmp_path}/{name}")]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # like a full disk: writing more than this fails
    try:
        code = sample("-n", 2, *outputs)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "cannot be written: File too large" in complaint(capsys, code, 1)
    assert contents(tmp_path) == before


def test_if_the_second_file_fails_the_first_is_not_written_either(sample, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.npy").write_bytes(b"precious")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    code = sample("--out", tmp_path / "a.png", "--npy", tmp_path / "a.npy")
    assert "a.png cannot be written: No space left on device." in complaint(capsys, code, 1)
    assert contents(tmp_path) == {str(tmp_path / "a.npy"): b"precious"}


def test_ctrl_c_ends_a_long_run_that_shows_its_progress_without_a_trace(tiny_checkpoints, tmp_path):
    (tmp_path / "a.npy").write_bytes(b"precious")
    command = [*COMMAND, "sample", "--model", "simple_unet", "--steps", "1000", "-n", "5000", "--npy"]
    command += [str(tmp_path / "a.npy"), "--out", f"{tmp_path}/folder/", "--checkpoints", str(tiny_checkpoints)]
    run = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell has it ignored
    )
    try:
        progress = run.stderr.read(20)  # waits for the progress bar: now it is sampling
        run.send_signal(signal.SIGINT)
        said, complained = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130 and said == b""
    assert b"0%|" in progress
    assert complained.endswith(b"Error: Stopped by Ctrl-C; no file was left unfinished.\n")
    assert b"Traceback" not in complained
    assert contents(tmp_path) == {str(tmp_path / "a.npy"): b"precious"}


def test_the_process_ends_with_the_exit_code_of_the_error():
    run = subprocess.run(
        [*COMMAND, "sample", "--model", "simple_unet", "--seed", "-1"], cwd=REPOSITORY, capture_output=True
    )
    assert (run.returncode, run.stdout) == (2, b"")
    assert run.stderr == b"Error: seed must be a whole number from 0 to 18446744073709551615, not '-1'.\n"
