"""`python -m train.all`: how time is divided, what becomes of failures, and one real run of everything."""

import importlib
import json
import sys
from dataclasses import replace

import pytest
from sentences import refused
from training_helpers import Script

import diffdemo
import train.all
import train.plans
from diffdemo import registry
from diffdemo.data import make_toy_dataset
from diffdemo.errors import TrainingError
from train.all import Options
from train.flags import run_command
from train.plans import FIRST_OVERHEAD, PLANS, Part, Plan

PARTS = PLANS["usual"]


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved: clock(minutes)."""
    now = [1000.0]
    monkeypatch.setattr(train.plans.time, "monotonic", lambda: now[0])

    def move(minutes: float) -> None:
        now[0] += 60 * minutes

    return move


def parts(*shares: float) -> list[Part]:
    return [Part(f"part {number}", "module", (), share) for number, share in enumerate(shares)]


def test_time_is_divided_by_shares_and_start_up_is_taken_off(clock):
    first, second, third = chosen = parts(3, 1, 1)
    plan = Plan(chosen, 25)
    minutes = plan.minutes(first)
    assert minutes == pytest.approx((25 - 3 * FIRST_OVERHEAD) * 3 / 5)
    clock(minutes + 1)  # starting up and drawing took a minute
    plan.close(first, "done", 60 * (minutes + 1), minutes)
    assert plan.minutes(second) == pytest.approx((25 - minutes - 1 - 2 * 1) / 2)
    clock(4)
    plan.close(second, "done", 60 * 4, 3.5)
    assert plan.minutes(third) == pytest.approx(25 - minutes - 1 - 4 - 0.5)
    clock(25 - minutes - 1 - 4 - 0.6)
    assert plan.minutes(third) == pytest.approx(0.6 / 2)  # too little to take anything off


def test_what_is_compared_gets_equal_time(clock):
    first, second, third = [*parts(1), *[replace(part, like="part 0") for part in parts(1, 1)[1:]], *parts(1, 1, 1)[2:]]
    plan = Plan([first, second, third], 30)
    clock(13)
    plan.close(first, "done", 60 * 13, 9.0)
    assert plan.minutes(second) == 9.0
    clock(8)
    assert plan.minutes(second) == pytest.approx(30 - 21 - 4)  # no more than there is
    assert {part.like for part in PARTS if part.name == "simple_unet"} == {"attention_unet"}


def test_a_failure_leaves_its_time_to_the_others(clock):
    first, second, third = chosen = parts(1, 1, 2)
    plan = Plan(chosen, 40)
    clock(0.5)
    plan.close(first, "failed", 30, 9.7)
    assert plan.minutes(second) == pytest.approx((39.5 - 2 * FIRST_OVERHEAD) / 3)
    assert plan.left == [second, third]


def test_what_is_done_is_not_done_again(clock):
    chosen = parts(1, 1, 2)
    plan = Plan(chosen, 40, {"part 0": {"outcome": "done"}, "part 1": {"outcome": "failed"}})
    assert plan.left == chosen[1:]
    assert plan.minutes(chosen[1]) == pytest.approx((40 - 2 * FIRST_OVERHEAD) / 3)


@pytest.mark.parametrize("outcome", ["interrupted", "drawing"])  # the last if it was killed, or it would be over
def test_an_interrupted_part_gets_what_it_was_given_and_the_others_the_rest(clock, outcome):
    first, second = chosen = parts(1, 1)
    plan = Plan(chosen, 30, {"part 0": {"outcome": outcome, "seconds": 180.0, "minutes": 12.0}})
    assert plan.left == chosen
    assert plan.minutes(first, trained=3.0) == 12.0  # or its learning rate would fall otherwise than it was meant to
    clock(9.5)
    plan.close(first, "done", 60 * 9.5, 12.0, trained=3.0)
    assert plan.minutes(second) == pytest.approx(30 - 9.5 - 0.5)
    assert Plan(chosen, 30).minutes(first, trained=3.0) == pytest.approx(3 + 15 - FIRST_OVERHEAD)


def test_the_plan_for_a_gpu_has_flags_that_its_scripts_take_and_a_pair_that_differs_in_attention_only(monkeypatch):
    taken = {}
    for part in PLANS["gpu"]:
        script = importlib.import_module(part.module)
        monkeypatch.setattr(sys, "argv", [part.module, *part.flags])
        run_command(lambda *objects: taken.update({part.name: objects[:2]}), script.Options, script.Settings)  # noqa: B023
    (first, settings), (other, other_settings) = taken["attention_unet"], taken["simple_unet"]
    assert (settings, replace(first, model="")) == (other_settings, replace(other, model=""))
    largest = max(part.share for part in PLANS["gpu"])
    assert [part.name for part in PLANS["gpu"] if part.share == largest] == ["attention_unet", "simple_unet"]
    assert all(
        settings.images > 10**8 and not settings.patience for _, settings in taken.values()
    )  # the clock ends all


@pytest.mark.parametrize("signalled", [False, True])
def test_a_part_that_hangs_is_stopped_and_one_that_is_interrupted_remembers_its_minutes(
    tmp_path, monkeypatch, signalled
):
    """With a script that only waits in place of one that trains."""
    monkeypatch.setattr(train.all, "_command", lambda *_: [sys.executable, "-c", "import time; time.sleep(60)"])
    plan, options = Plan(parts(1), 1), Options(out=tmp_path, grace_minutes=0.001)
    monkeypatch.setattr(plan, "minutes", lambda *_: 0.005)
    monkeypatch.setattr(train.all, "LEAST_MINUTES", 0.0)
    train.all._train(plan.left[0], options, plan, lambda: signalled, {})
    assert plan.outcomes["part 0"]["outcome"] == ("interrupted" if signalled else "took too long")
    assert plan.outcomes["part 0"]["minutes"] == 0.005


# Trains for no time and draws for a second: its arguments are its folder and the code that it ends with.
DRAWS = """
import sys, time
from pathlib import Path
from diffdemo.records.files import TRAINED
out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
(out / "began").write_text(str(time.time()))
(out / "before").write_text((out.parent / "all.json").read_text())
(out / TRAINED).touch()
time.sleep(1)
(out / "ended").write_text(str(time.time()))
sys.exit(int(sys.argv[2]))
"""


@pytest.fixture
def drawers(tmp_path, monkeypatch):
    """`train.all` on two parts that do as `DRAWS` says, the first of which ends with a code; their folders."""

    def run(code: int = 0, **options) -> list:
        def command(part: Part, options: Options, minutes: float) -> list[str]:
            return [sys.executable, "-c", DRAWS, str(options.out / part.name), str(code * (part.name == "part 0"))]

        monkeypatch.setattr(train.all, "_command", command)
        monkeypatch.setattr(Options, "parts", lambda self: parts(1, 1))
        train.all.main(Options(out=tmp_path, **options), set())
        return [tmp_path / part.name for part in parts(1, 1)]

    return run


@pytest.mark.parametrize("ahead", [False, True])
def test_a_part_begins_while_the_one_before_draws_if_it_may(drawers, ahead):
    first, second = drawers(ahead=ahead)
    assert (float((second / "began").read_text()) < float((first / "ended").read_text())) == ahead
    assert {entry["outcome"] for entry in json.loads((first.parent / "all.json").read_text()).values()} == {"done"}
    # What is read if everything is killed meanwhile: the first is not over before it is drawn.
    assert json.loads((second / "before").read_text())["part 0"]["outcome"] == ("drawing" if ahead else "done")


@pytest.mark.parametrize("ahead", [False, True])
def test_a_part_that_fails_while_it_draws_is_not_done(drawers, tmp_path, ahead):
    with refused(TrainingError, "Not trained: part 0; their messages are above"):
        drawers(code=3, ahead=ahead)
    outcomes = json.loads((tmp_path / "all.json").read_text())
    assert [entry["outcome"] for entry in outcomes.values()] == ["failed", "done"]


def test_the_next_network_is_compiled_ahead_in_a_folder_that_does_not_stay(drawers, tmp_path, monkeypatch):
    warmed = []

    def warm(command: list[str], out) -> train.running.Warming:
        warmed.append(out)
        return train.running.Warming(command, out)

    monkeypatch.setattr(train.all, "Warming", warm)
    drawers(ahead=True, compile=True)
    assert warmed == [tmp_path / ".ahead" / "part 1"]  # nothing comes after the second
    assert not warmed[0].exists()


def test_what_is_compiled_ahead_is_the_parts_own_network_for_a_few_pictures(tmp_path):
    part = PLANS["gpu"][0]
    options = Options(out=tmp_path, plan="gpu", size="reference", compile=True, cuda_graph=True, resume=True)
    warm = train.all._command(part, replace(options, resume=False, images=train.all.AHEAD_IMAGES), 0.0)
    real = train.all._command(part, replace(options, resume=False), 5.0)
    assert "--cuda-graph" in warm and "--compile" in warm and warm[-4:-2] == ["--images", "2560"]
    assert [word for word in real if word not in warm] == ["5.000"]


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
        ({"threads": -1}, "--threads must be 0 or more, not -1"),
        ({"plan": "cpu"}, "--plan must be usual or gpu, not 'cpu'"),
        ({"grace_minutes": 0.0}, "--grace-minutes must be above 0, not 0.0"),
        ({"max_minutes": 0.0}, "--max-minutes must be above 0, not 0.0"),
    ],
)
def test_bad_flags_are_refused_with_a_sentence(options, said):
    with refused(TrainingError, said):
        Options(**options).parts()


def test_everything_is_trained_listed_installed_and_resumed(tmp_path):
    """The smoke run of every script: pictures of its own, tiny networks, and a part that cannot work at first."""
    data, out, zoo = make_toy_dataset(tmp_path / "toy", per_class=24), tmp_path / "runs", tmp_path / "zoo"
    script = Script("train.all")
    flags = ["--data", data, "--out", out, "--max-minutes", 30, "--images", 320, "--size", "tiny", "--install", zoo]
    flags += ["--ahead"]  # while one draws, the next one trains
    out.mkdir()
    (out / "simple_unet").write_text("in the way")
    said, error = script.finish(*flags, code=2)
    assert "Not trained: simple_unet; their messages are above, and --resume tries again." in error
    assert "simple_unet cannot be used: File exists" in error
    table = {line.split()[0]: line.split()[1] for line in said.splitlines()[-len(PARTS) :]}
    assert table == {part.name: "failed" if part.name == "simple_unet" else "done" for part in PARTS}
    assert "simple_unet" not in {model["key"] for model in diffdemo.list_models(zoo)}

    (out / "simple_unet").unlink()
    weights = (out / "attention_unet" / "model.safetensors").read_bytes()
    script.finish(*flags, "--resume")
    assert (out / "attention_unet" / "model.safetensors").read_bytes() == weights  # what was done is left alone
    outcomes = json.loads((out / "all.json").read_text())
    assert {entry["outcome"] for entry in outcomes.values()} == {"done"}
    models = diffdemo.list_models(zoo)
    assert [model["key"] for model in models] == list(registry.SPECS)
    for model in models:
        assert model["images_seen"] > 0 and model["minutes"] is not None and model["hardware"]
        images = diffdemo.load(model["key"], device="cpu", checkpoints=zoo).sample(steps=2, seeds=[1])
        assert images.shape == (1, 32, 32, 3)
    assert not list(zoo.rglob("state.safetensors"))

    _, error = script.finish("--out", out, code=2)
    assert "holds runs already; add --resume to go on" in error
    _, error = script.finish("--out", tmp_path / "nothing", "--resume", code=2)
    assert "There is nothing to resume" in error
