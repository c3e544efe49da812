"""What training scripts of denoisers share: their flags, their loss, and how a checkpoint describes them."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from diffdemo import validate
from diffdemo.checkpoint import load_network, parameter_count
from diffdemo.description import CheckpointInfo
from diffdemo.errors import TrainingError
from diffdemo.process.diffusion import Diffusion
from diffdemo.process.schedule import SPACINGS, NoiseSchedule
from diffdemo.records.commands import shell_line
from diffdemo.registry import ModelSpec, spec
from train.flags import flag, named, of_size
from train.loop.run import RunOptions
from train.loop.task import Task
from train.tasks.samples import draw_samples

SIZES = (
    "small is the best value on a CPU; reference is the full network and the classic recipe; tiny shows in seconds "
    "that everything works."
)
# What a checkpoint to start from has decided already, in every script.
FIXED_BY_WEIGHTS = {"size", "dropout", "schedule", "schedule_steps", "beta_start", "beta_end", "prediction"}


@dataclass(frozen=True)
class DiffusionOptions(RunOptions):
    """Flags of every denoiser's training; scripts inherit them and may set other defaults."""

    init_from: str | None = flag(None, "Start from the weights and settings of this checkpoint folder.", "none")
    size: str = flag("small", SIZES)
    dropout: float | None = of_size("Dropout inside the network.")
    schedule: str = flag("linear", "Noise schedule: linear or cosine.")
    schedule_steps: int = flag(1000, "Training steps T of the schedule.")
    beta_start: float | None = flag(
        None, "First beta of the linear schedule; least beta of the cosine one.", "0.0001; cosine 1e-8"
    )
    beta_end: float | None = flag(
        None, "Last beta of the linear schedule; largest of the cosine one.", "0.02; cosine 0.999"
    )
    prediction: str = flag("edm", "What the network predicts: noise, clean, velocity or edm (preconditioned).")
    weighting: str = flag("flat", "Loss weighting: flat or min_snr.")
    noise_levels: str = flag("lognormal", "How often training visits each noise level: uniform or lognormal.")
    class_dropout: float = flag(
        0.1, "How often the class is hidden, 0 to 1, so that guidance has something to compare."
    )
    guidance_scale: float = flag(4.0, "Guidance that the checkpoint is shown with; short training wants more of it.")
    spacing: str = flag(
        "trailing", "Of the steps that it is shown with: trailing, or karras, which asks more of the network."
    )

    fixed_by_weights: ClassVar[set[str]] = FIXED_BY_WEIGHTS

    def __post_init__(self):
        super().__post_init__()
        validate.real_number("--guidance-scale", self.guidance_scale, 0, validate.MAX_GUIDANCE)
        validate.real_number("--class-dropout", self.class_dropout, 0, 1)
        validate.choice("spacing", self.spacing, SPACINGS)

    def network_settings(self) -> dict:
        """The settings of the network that were named, by the names of its config."""
        return named(self, "dropout")

    def noise_schedule(self) -> NoiseSchedule:
        """The schedule that was named, with its own betas where they were not."""
        usual = NoiseSchedule.cosine() if self.schedule == "cosine" else NoiseSchedule(self.schedule)
        return replace(usual, steps=self.schedule_steps, **named(self, "beta_start", "beta_end"))


class DenoisingTask(Task):
    """Denoising examples of one class each, or of no class.

    Args:
        model: the architecture.
        config: settings of the network.
        diffusion: schedule, prediction type and loss.
        classes: names in the order of the labels; none if the network is unconditional.
        class_dropout: how often training hides the class.
        guidance_scale, spacing: with which samples are drawn.
    """

    # What samples are drawn with, and what the checkpoint recommends.
    sampler, steps = "dpmpp", 20

    def __init__(
        self,
        model: ModelSpec,
        config: object,
        diffusion: Diffusion,
        classes: tuple[str, ...],
        class_dropout: float = 0.1,
        guidance_scale: float = 1.0,
        spacing: str = "trailing",
    ):
        self.model, self.config, self.diffusion = model, config, diffusion
        self.classes, self.class_dropout = classes, class_dropout
        self.guidance_scale, self.spacing = guidance_scale if classes else 1.0, spacing
        self.network: nn.Module = model.build(config)

    def to(self, device: torch.device) -> None:
        super().to(device)
        self.diffusion.to(device)

    def loss(self, network: nn.Module, batch: Tensor, labels: Tensor, random: torch.Generator, train: bool) -> Tensor:
        """Denoising loss at random steps; the class is hidden now and then."""
        t = self.diffusion.draw_timesteps(len(batch), random)
        eps = torch.randn(batch.shape, generator=random, device=batch.device)
        if not self.classes:
            return self.denoising_loss(network, batch, t, eps)
        if train:
            hidden = torch.rand(len(batch), generator=random, device=batch.device) < self.class_dropout
            labels = torch.where(hidden, len(self.classes), labels)
        return self.denoising_loss(network, batch, t, eps, labels)

    def denoising_loss(self, network: nn.Module, x0: Tensor, t: Tensor, eps: Tensor, *condition: Tensor) -> Tensor:
        """Scalar loss of clean examples x0 at steps t, (N,), with noise eps; by default that of `Diffusion`."""
        return self.diffusion.loss(network, x0, t, eps, *condition)

    def info(self, training: dict) -> CheckpointInfo:
        """The description of a checkpoint of this network."""
        return CheckpointInfo(
            key=self.model.key,
            model=asdict(self.config),
            diffusion={"schedule": asdict(self.diffusion.schedule), "prediction": self.diffusion.prediction},
            classes=self.classes,
            parameters=parameter_count(self.network),
            defaults={
                "sampler": self.sampler,
                "steps": min(self.steps, self.diffusion.schedule.steps),
                "guidance_scale": self.guidance_scale,
                "spacing": self.spacing,
            },
            training=training,
        )

    def draw(self, folder: Path, network: nn.Module, name: str) -> None:
        draw_samples(folder, network, self.info({}), name)


def make_task(
    key: str, options: DiffusionOptions, classes: tuple[str, ...], given: set[str], kind: type = DenoisingTask
) -> DenoisingTask:
    """The task that the options ask for, a `kind` of DenoisingTask, on a data set of these classes.

    Raises:
        TrainingError: a flag contradicts the weights in --init-from, or the data has other classes.
    """
    before = None
    if not options.init_from:
        model = spec(key)
        classes = classes if model.classes else ()
        config = model.configure(options.size, num_classes=len(classes), **options.network_settings())
        schedule, prediction, weights = options.noise_schedule(), options.prediction, None
    else:
        network, info = load_network(Path(options.init_from))
        _check_start(key, options, info, classes, given)
        model, config, classes, weights = info.spec, network.config, info.classes, network.state_dict()
        schedule, prediction = NoiseSchedule(**info.diffusion["schedule"]), info.diffusion["prediction"]
        before = {name: fact for name, fact in info.training.items() if name != "autoencoder"}
    diffusion = Diffusion(schedule, prediction, options.weighting, options.noise_levels)
    task = kind(model, config, diffusion, classes, options.class_dropout, options.guidance_scale, options.spacing)
    task.started_from = before
    if weights:
        task.network.load_state_dict(weights)
    return task


def _check_start(
    key: str, options: DiffusionOptions, info: CheckpointInfo, classes: tuple[str, ...], given: set[str]
) -> None:
    fixed = sorted(given & options.fixed_by_weights)
    if fixed and not options.resume:
        raise TrainingError(
            f"--{fixed[0].replace('_', '-')} is decided by the weights in {options.init_from}; leave it out."
        )
    if key != info.key:
        raise TrainingError(f"{options.init_from} holds a {info.key}, not a {key}; name a checkpoint of {key}.")
    if info.classes and info.classes != classes:
        raise TrainingError(
            f"{options.init_from} knows the classes {', '.join(info.classes)}, but the data has {', '.join(classes)}; "
            "use data with the same class folders."
        )


def how_to_sample(folder: Path, task: DenoisingTask) -> str:
    """The command that draws from a run's checkpoint."""
    chosen = ["--class", task.classes[0]] if task.classes else []
    words = ["python", "-m", "diffdemo", "sample", "--model", str(folder), *chosen, "--steps", str(task.steps)]
    command = shell_line([*words, "-n", "4", "--out", "out.png"])
    return f"The checkpoint lies in {folder}. To sample from it:\n  {command}"
