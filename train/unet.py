"""Train a UNet on pictures: `python -m train.unet --model attention_unet --out runs/attention`."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from diffdemo import validate
from diffdemo.checkpoint import CheckpointInfo, load_network, parameter_count, save_checkpoint
from diffdemo.data import Dataset, load_dataset
from diffdemo.device import choose_device
from diffdemo.diffusion import Diffusion
from diffdemo.errors import TrainingError
from diffdemo.registry import ModelSpec, spec
from diffdemo.schedule import NoiseSchedule
from train.flags import flag, run_command
from train.loop import Trainer
from train.resume import alone, remember, settings_of
from train.samples import draw_samples, draw_summary
from train.settings import Settings

# What --size changes besides the network, for flags that are not named. The reference is the classic recipe; the small
# one is what made the best pictures for its minutes on two CPU cores, and is what the flags' defaults say.
REFERENCE_RECIPE = {
    "batch_size": 200,
    "lr": 3e-4,
    "patience": 10,
    "prediction": "noise",
    "noise_levels": "uniform",
    "ema_decay": 0.9999,
}
# What a checkpoint to start from has decided already.
FIXED_BY_WEIGHTS = {"size", "channels", "blocks_per_level", "patch_size", "num_heads", "time_embedding_dim", "dropout"}
FIXED_BY_WEIGHTS |= {"schedule", "schedule_steps", "beta_start", "beta_end", "prediction"}
REFERENCE_EPOCHS = {"simple_unet": 200, "attention_unet": 50}


@dataclass(frozen=True)
class Options:
    """What only a UNet's training has; left out, model settings are those of --size."""

    model: str = flag("attention_unet", "simple_unet or attention_unet.")
    data: Path = flag(Path("data"), "Data folder: a cache, torchvision's files, or a folder of class folders.")
    device: str = flag("auto", "auto, cpu, cuda or mps.")
    threads: int = flag(0, "CPU threads; 0 is all of them.")
    resume: bool = flag(False, "Go on exactly where the run in --out was saved last, with its own flags.")
    init_from: str = flag("", "Start from the weights and settings of this checkpoint folder.")
    size: str = flag("small", "small is the best value on a CPU; reference is the full network and the classic recipe.")
    channels: str = flag("", "Width of each level, finest first, such as 64,128,128.")
    blocks_per_level: int = flag(0, "Residual blocks of each level.")
    patch_size: int = flag(0, "1, 2 or 4: pictures enter the network as patches of so many pixels a side.")
    num_heads: int = flag(0, "Attention heads.")
    time_embedding_dim: int = flag(0, "Width of the time and class embedding.")
    dropout: float = flag(0.0, "Dropout in residual blocks.")
    schedule: str = flag("linear", "Noise schedule: linear or cosine.")
    schedule_steps: int = flag(1000, "Training steps T of the schedule.")
    beta_start: float = flag(1e-4, "First beta of the linear schedule.")
    beta_end: float = flag(0.02, "Last beta of the linear schedule.")
    prediction: str = flag("edm", "What the network predicts: noise, clean, velocity or edm (preconditioned).")
    weighting: str = flag("flat", "Loss weighting: flat or min_snr.")
    noise_levels: str = flag("lognormal", "How often training visits each noise level: uniform or lognormal.")
    class_dropout: float = flag(
        0.1, "How often the class is hidden, 0 to 1, so that guidance has something to compare."
    )
    guidance_scale: float = flag(4.0, "Guidance that the checkpoint is shown with; short training wants more of it.")
    epochs: int = flag(0, "End after so many epochs, in place of --images; 0 is not used.")

    def network_settings(self) -> dict:
        """The model settings that were named."""
        named = {
            name: getattr(self, name)
            for name in ("blocks_per_level", "patch_size", "num_heads", "time_embedding_dim", "dropout")
            if getattr(self, name)
        }
        if self.channels:
            try:
                named["channels"] = tuple(int(width) for width in self.channels.split(","))
            except ValueError:
                raise TrainingError(f"--channels must be widths such as 64,128,128, not {self.channels!r}.") from None
        return named

    def noise_schedule(self) -> NoiseSchedule:
        """The schedule that was named."""
        if self.schedule == "cosine":
            return NoiseSchedule.cosine(self.schedule_steps)
        return NoiseSchedule(self.schedule, self.schedule_steps, self.beta_start, self.beta_end)


class UNetTask:
    """Denoising pictures of one class each.

    Args:
        model: the architecture.
        config: settings of the network.
        diffusion: schedule, prediction type and loss.
        classes: names in the order of the labels.
        class_dropout: how often training hides the class.
    """

    def __init__(
        self, model: ModelSpec, config: object, diffusion: Diffusion, classes: tuple[str, ...], class_dropout: float
    ):
        if not 0 <= class_dropout <= 1:
            raise TrainingError(f"--class-dropout must be from 0 to 1, not {class_dropout}.")
        self.model, self.config, self.diffusion = model, config, diffusion
        self.classes, self.class_dropout = classes, class_dropout
        self.network: nn.Module = model.build(config)
        # For the checkpoint's description: what made it, and how it is best shown.
        self.command, self.guidance_scale = "", 1.0

    def loss(
        self, network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator, train: bool
    ) -> Tensor:
        """Denoising loss of `diffdemo.diffusion.Diffusion`; the class is hidden now and then."""
        t = self.diffusion.draw_timesteps(len(images), generator)
        eps = torch.randn(images.shape, generator=generator, device=images.device)
        if train:
            hidden = torch.rand(len(images), generator=generator, device=images.device) < self.class_dropout
            labels = torch.where(hidden, len(self.classes), labels)
        return self.diffusion.loss(network, images, t, eps, labels)

    def info(self, training: dict) -> CheckpointInfo:
        """The description of a checkpoint of this network."""
        return CheckpointInfo(
            key=self.model.key,
            model=asdict(self.config),
            diffusion={"schedule": asdict(self.diffusion.schedule), "prediction": self.diffusion.prediction},
            classes=self.classes,
            parameters=parameter_count(self.network),
            defaults={
                "sampler": "dpmpp",
                "steps": min(20, self.diffusion.schedule.steps),
                "guidance_scale": self.guidance_scale if self.classes else 1.0,
            },
            training=training | {"command": self.command},
        )

    def save_checkpoint(self, folder: Path, weights: dict[str, Tensor], training: dict) -> None:
        save_checkpoint(folder, self.info(training), weights)

    def draw(self, folder: Path, network: nn.Module, name: str) -> None:
        draw_samples(folder, network, self.info({}), name)


def main(options: Options, settings: Settings, given: set[str]) -> None:
    """Train the simple or the attention UNet, and leave a checkpoint that the demo can use.

    For example, in a quarter of an hour on two CPU cores:

        python -m train.unet --model attention_unet --max-minutes 15 --compile --out runs/attention
    """
    options, settings = settings_of(options, settings, given)
    if not options.resume:
        options, settings = _with_recipe(options, settings, given)
    validate.real_number("--guidance-scale", options.guidance_scale, 0, validate.MAX_GUIDANCE)
    if options.threads:
        torch.set_num_threads(options.threads)
    choose_device(options.device)  # a wrong device or width is said before any data is read
    options.network_settings()
    train_data, val_data = load_dataset(options.data, "train"), load_dataset(options.data, "test")
    if options.epochs:
        settings = replace(settings, images=options.epochs * len(train_data))
    torch.manual_seed(settings.seed)
    with alone(settings.out):
        task, network = _train(options, settings, train_data, val_data, given)
        draw_summary(settings.out, network, task.info({}), val_data)
    print(f"The checkpoint lies in {settings.out}. To sample from it:")
    print(f"  python -m diffdemo sample --model {settings.out} --class {task.classes[0]} --steps 20 -n 4 --out out.png")


def _train(
    options: Options, settings: Settings, train_data: Dataset, val_data: Dataset, given: set[str]
) -> tuple[UNetTask, nn.Module]:
    """Run the training to its end; return the task and the averaged network."""
    device = choose_device(options.device)
    task = _task(options, train_data.classes, given)
    task.diffusion.to(device)
    trainer = Trainer(task, settings, train_data, val_data, device, options.resume)
    task.command, task.guidance_scale = remember(options, settings), options.guidance_scale
    print(
        f"{task.model.key}: {parameter_count(task.network):,} parameters on {train_data.source}, {trainer.precision}."
    )
    trainer.run()
    return task, trainer.averaged.module


def _with_recipe(options: Options, settings: Settings, given: set[str]) -> tuple[Options, Settings]:
    """Fill in the reference recipe where --size asks for it, except for the flags that were named."""
    if options.size != "reference" or options.init_from:
        return options, settings
    recipe = {**REFERENCE_RECIPE, "epochs": 0 if "images" in given else REFERENCE_EPOCHS.get(options.model, 0)}
    wanted = {name: value for name, value in recipe.items() if name not in given}
    return tuple(
        replace(part, **{f.name: wanted[f.name] for f in fields(part) if f.name in wanted})
        for part in (options, settings)
    )


def _task(options: Options, classes: tuple[str, ...], given: set[str]) -> UNetTask:
    """The task that the options ask for, on a data set of these classes."""
    model = spec(options.model)
    diffusion = Diffusion(options.noise_schedule(), options.prediction, options.weighting, options.noise_levels)
    if not options.init_from:
        config = model.configure(options.size, num_classes=len(classes), **options.network_settings())
        return UNetTask(model, config, diffusion, classes, options.class_dropout)
    network, info = load_network(Path(options.init_from))
    if (fixed := sorted(given & FIXED_BY_WEIGHTS)) and not options.resume:
        raise TrainingError(
            f"--{fixed[0].replace('_', '-')} is decided by the weights in {options.init_from}; leave it out."
        )
    if "model" in given and options.model != info.key:
        raise TrainingError(f"{options.init_from} holds a {info.key}, not a {options.model}; leave --model out.")
    if info.classes != classes:
        raise TrainingError(
            f"{options.init_from} knows the classes {', '.join(info.classes)}, but the data has {', '.join(classes)}; "
            "use data with the same class folders."
        )
    diffusion = Diffusion(
        NoiseSchedule(**info.diffusion["schedule"]),
        info.diffusion["prediction"],
        options.weighting,
        options.noise_levels,
    )
    task = UNetTask(info.spec, network.config, diffusion, classes, options.class_dropout)
    task.network.load_state_dict(network.state_dict())
    return task


if __name__ == "__main__":
    run_command(main, Options, Settings)
