"""`python -m train.all`: how time is divided, what becomes of failures, and one real run of everything."""

import json

import pytest
from sentences import refused
from training_helpers import Script

import diffdemo
import train.all
from diffdemo import registry
from diffdemo.data import make_toy_dataset
from diffdemo.errors import TrainingError
from train.all import PARTS, Options, Part, Plan


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved: clock(minutes)."""
    now = [1000.0]
    monkeypatch.setattr(train.all.time, "monotonic", lambda: now[0])

    def move(minutes: float) -> None:
        now[0] += 60 * minutes

    return move


def parts(*shares: float) -> list[Part]:
    return [Part(f"part {number}", "module", (), share) for number, share in enumerate(shares)]


def test_time_is_divided_by_shares_and_start_up_is_taken_off(clock):
    first, second, third = chosen = parts(3, 1, 1)
    plan = Plan(chosen, 25)
    minutes = plan.minutes(first)
    assert minutes == pytest.approx(15 - train.all.FIRST_OVERHEAD)
    clock(minutes + 1)  # starting up and drawing took a minute
    plan.close(first, "done", 60 * (minutes + 1), minutes)
    assert plan.minutes(second) == pytest.approx((25 - minutes - 1) / 2 - 1)
    clock(4)
    plan.close(second, "done", 60 * 4, 3.5)
    assert plan.minutes(third) == pytest.approx(25 - minutes - 1 - 4 - 0.5)
    clock(4.9)
    assert plan.minutes(third) == pytest.approx((25 - minutes - 1 - 8.9) / 2)  # too little to take anything off


def test_a_failure_leaves_its_time_to_the_others(clock):
    first, second, third = chosen = parts(1, 1, 2)
    plan = Plan(chosen, 40)
    clock(0.5)
    plan.close(first, "failed", 30, 9.7)
    assert plan.minutes(second) == pytest.approx(39.5 / 3 - train.all.FIRST_OVERHEAD)
    assert plan.left == [second, third]


def test_what_is_done_is_not_done_again(clock):
    chosen = parts(1, 1, 2)
    plan = Plan(chosen, 40, {"part 0": {"outcome": "done"}, "part 1": {"outcome": "failed"}})
    assert plan.left == chosen[1:]
    assert plan.minutes(chosen[1]) == pytest.approx(40 / 3 - train.all.FIRST_OVERHEAD)


def test_shares_are_a_flag():
    names = [part.name for part in PARTS]
    assert [part.name for part in Options().parts()] == names
    changed = {part.name: part.share for part in Options(shares="ddpm_unet=9,patch_unet=0").parts()}
    assert changed["ddpm_unet"] == 9 and "patch_unet" not in changed and len(changed) == len(names) - 1
    pair = {part.name: part.share for part in PARTS if part.name in ("simple_unet", "attention_unet")}
    assert len(set(pair.values())) == 1  # or comparing them would mean nothing


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shares": "unet=1"}, "--shares names 'unet'; choose from: attention_unet"),
        ({"shares": "ddpm_unet"}, "--shares must look like ddpm_unet=2"),
        ({"shares": "ddpm_unet=-1"}, "with a number of 0 or more, not 'ddpm_unet=-1'"),
        ({"shares": ",".join(f"{part.name}=0" for part in PARTS)}, "give at least one a number above 0"),
        ({"images": -1}, "--images must be 0 or more, not -1"),
        ({"max_minutes": 0.0}, "--max-minutes must be above 0, not 0.0"),
    ],
)
def test_bad_flags_are_refused_with_a_sentence(options, said):
    with refused(TrainingError, said):
        Options(**options).parts()


def test_everything_is_trained_listed_installed_and_resumed(tmp_path):
    """The smoke run of every script: pictures of its own, tiny networks, and a part that cannot work at first."""
    data, out, shelf = make_toy_dataset(tmp_path / "toy", per_class=24), tmp_path / "runs", tmp_path / "shelf"
    script = Script("train.all")
    flags = ["--data", data, "--out", out, "--max-minutes", 30, "--images", 320, "--size", "tiny", "--install", shelf]
    out.mkdir()
    (out / "simple_unet").write_text("in the way")
    said, error = script.finish(*flags, code=2)
    assert "Not trained: simple_unet; their messages are above, and --resume tries again." in error
    assert "simple_unet cannot be used: File exists" in error
    table = {line.split()[0]: line.split()[1] for line in said.splitlines()[-len(PARTS) :]}
    assert table == {part.name: "failed" if part.name == "simple_unet" else "done" for part in PARTS}
    assert "simple_unet" not in {model["key"] for model in diffdemo.list_models(shelf)}

    (out / "simple_unet").unlink()
    weights = (out / "attention_unet" / "model.safetensors").read_bytes()
    script.finish(*flags, "--resume")
    assert (out / "attention_unet" / "model.safetensors").read_bytes() == weights  # what was done is left alone
    outcomes = json.loads((out / "all.json").read_text())
    assert {entry["outcome"] for entry in outcomes.values()} == {"done"}
    models = diffdemo.list_models(shelf)
    assert [model["key"] for model in models] == list(registry.SPECS)
    for model in models:
        assert model["images_seen"] > 0 and model["minutes"] is not None and model["hardware"]
        images = diffdemo.load(model["key"], device="cpu", checkpoints=shelf).sample(steps=2, seeds=[1])
        assert images.shape == (1, 32, 32, 3)
    assert not list(shelf.rglob("state.safetensors"))

    _, error = script.finish("--out", out, code=2)
    assert "holds runs already; add --resume to go on" in error
    _, error = script.finish("--out", tmp_path / "nothing", "--resume", code=2)
    assert "There is nothing to resume" in error
