"""The training loop that every model shares.

A training script brings a `Task`: the network, its loss, and what to draw now and then. The loop does the rest: moving
average, precision, accumulation, clipping, warm-up and decay, early stopping, saving and resuming.
"""

import contextlib
import signal
import time
from dataclasses import asdict, replace

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from diffdemo.data import Dataset
from diffdemo.device import autocast, choose_precision, hardware_name, peak_memory
from diffdemo.errors import CheckpointError, DiffdemoError, Interrupted, TrainingError
from train.history import Row, write_history
from train.progress import Progress
from train.randomness import DataOrder, derive_seed, generator
from train.settings import Settings
from train.state import load_state, optimizer_tensors, restore_optimizer, save_state
from train.task import Task

STEPS_PER_ROW = 50
STEPS_PER_CHECK = 10
BAD_STEPS_IN_A_ROW = 10  # a stray overflow happens; this many mean that the run has diverged
VALIDATION_IMAGES = 1024


def average(decay: float):
    """The moving average of weights with warm-up: in a short run a slow average would still be full of noise."""

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + int(count)) / (10 + int(count))))

    return update


class Trainer:
    """One run. `Trainer(...).run()` trains until the budget is spent and leaves a checkpoint in `settings.out`.

    Args:
        task: network, loss and drawings.
        settings: see `Settings`.
        train_data: what to train on.
        val_data: held-out pictures, for the validation loss.
        device: where to train.
        resume: go on from `settings.out`, exactly where that run was saved last.
    """

    def __init__(
        self,
        task: Task,
        settings: Settings,
        train_data: Dataset,
        val_data: Dataset,
        device: torch.device,
        resume: bool = False,
    ):
        self.task, self.settings, self.device = task, settings, device
        self.precision = choose_precision(settings.precision, device)
        self.images, self.labels = train_data.tensors(device)
        every = max(1, len(val_data) // VALIDATION_IMAGES)
        self.val_images, self.val_labels = (part[::every][:VALIDATION_IMAGES] for part in val_data.tensors(device))
        self.order = DataOrder(len(train_data), settings.seed)

        task.to(device)
        if device.type != "mps":
            task.network.to(memory_format=torch.channels_last)
        self.averaged = AveragedModel(task.network, multi_avg_fn=average(settings.ema_decay))
        self.averaged.requires_grad_(False)
        self.parameters = [p for p in task.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, settings.lr, betas=(0.9, 0.99), weight_decay=settings.weight_decay, fused=True
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        self.network = torch.compile(task.network) if settings.compile else task.network

        self.step, self.images_seen, self.seconds, self.waiting = 0, 0, 0.0, 0
        self.best_val_loss = float("inf")
        self.rows: list[Row] = []
        # Kept on the device and read rarely: looking at a number makes a GPU wait.
        self.sums = torch.zeros(3, device=device)  # loss, norm of the gradient, steps; since the last row
        self.bad = torch.zeros(2, device=device)  # skipped steps: in all, and in a row just now
        if resume:
            self._restore()

    def run(self) -> None:
        """Train to the end of the budget; an interruption saves the run first.

        Raises:
            Interrupted: Ctrl-C or SIGTERM; the run is saved.
            TrainingError: several steps in a row were not finite.
            CheckpointError: the result could not be written.
        """
        settings = self.settings
        settings.out.mkdir(parents=True, exist_ok=True)
        self.start()
        with Progress(settings, self.images_seen, self.seconds) as self._progress, _interruptible() as interrupted:
            while not self._over():
                self.train_step()
                self._progress.update(self.images_seen, self.seconds)
                if self.step % STEPS_PER_CHECK == 0:
                    self._check_finite()
                if self.step % STEPS_PER_ROW == 0:
                    self._close_row()
                self._after_epoch()
                if time.monotonic() - self._saved > 60 * settings.save_minutes:
                    self._save_quietly()
                if interrupted():
                    self._save()
                    raise Interrupted(f"Interrupted and saved after {self.images_seen:,} images; go on with --resume.")
        if self.sums[2] > 0:
            self._close_row()
        self._save()
        self.task.draw(settings.out, self.averaged.module, "final")

    def _over(self) -> bool:
        settings = self.settings
        stalled = bool(settings.patience) and self.waiting >= settings.patience
        return stalled or settings.progress(self.images_seen, self.seconds) >= 1

    def start(self) -> None:
        """Set the run's clock going."""
        self._started, self._saved = time.monotonic() - self.seconds, time.monotonic()

    def train_step(self) -> None:
        """One optimizer step on the next pictures."""
        settings = self.settings
        torch.manual_seed(derive_seed(settings.seed, "dropout", self.step))
        lr = settings.learning_rate(self.images_seen, self.seconds)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        random = generator(self.device, settings.seed, "step", self.step)
        self.task.network.train()
        total = torch.zeros((), device=self.device)
        for _ in range(settings.accumulate):
            images, labels = self._batch(random)
            with autocast(self.device, self.precision):
                loss = self.task.loss(self.network, images, labels, random, True) / settings.accumulate
            self.scaler.scale(loss).backward()
            total += loss.detach()
            self.images_seen += settings.batch_size
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, settings.clip_norm, foreach=True)
        bad = (~(total.isfinite() & norm.isfinite())).float()
        # The fused optimizer leaves everything as it was where this is 1, without anyone waiting for the answer.
        self.optimizer.found_inf = bad
        self.optimizer.step()
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.averaged.update_parameters(self.task.network)

        self.bad[0] += bad
        self.bad[1] = (self.bad[1] + 1) * bad
        fine = torch.stack([total, norm, torch.ones_like(norm)])
        self.sums += torch.where(bad > 0, torch.zeros_like(fine), fine)
        self.step += 1
        self.seconds = time.monotonic() - self._started

    def _batch(self, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """The next pictures, as the task wants them, and their labels (N,)."""
        index = self.order.indices(self.images_seen, self.settings.batch_size).to(self.device, non_blocking=True)
        return self.task.prepare(self.images[index], random, True), self.labels[index]

    def _check_finite(self) -> None:
        if self.bad[1] >= BAD_STEPS_IN_A_ROW:
            raise TrainingError(
                f"The last {int(self.bad[1])} steps had a loss or gradient that is not finite; "
                "resume with a lower --lr or with --precision fp32."
            )

    def _close_row(self, val_loss: float | str = "") -> None:
        """Append the means since the last row to the history, or only a validation loss if there are none."""
        loss, norm, count = self.sums.tolist()
        if count:
            lr = self.settings.learning_rate(self.images_seen, self.seconds)
            epoch = round(self.images_seen / self.order.size, 4)
            skipped = int(self.bad[0])
            row = Row(self.step, self.images_seen, epoch, loss / count, val_loss, lr, norm / count, skipped)
            self.rows.append(row)
            self._progress.loss = row.loss
        elif self.rows and val_loss != "":
            self.rows[-1] = replace(self.rows[-1], val_loss=val_loss)
        self.sums.zero_()

    def _after_epoch(self) -> None:
        """At the end of an epoch: validation, patience, and now and then a sample grid."""
        before = self.images_seen - self.settings.step_images
        epoch = self.images_seen // self.order.size
        if epoch > before // self.order.size:
            val_loss = self._validate()
            self._close_row(val_loss)
            self.waiting = 0 if val_loss < self.best_val_loss else self.waiting + 1
            self.best_val_loss = min(val_loss, self.best_val_loss)
            if self.task.draws_after(epoch, self.order.size):
                self._draw_quietly(f"epoch_{epoch:04}")
        every = self.settings.sample_every_images
        if every and self.images_seen // every > before // every:
            self._draw_quietly(f"images_{self.images_seen // every * every:09}")

    def _draw_quietly(self, name: str) -> None:
        """Draw in the middle of a run; without room for the picture the run goes on and says so."""
        try:
            self.task.draw(self.settings.out, self.averaged.module, name)
        except (DiffdemoError, OSError) as error:
            self._progress.say(f"Not drawn: {error}")

    @torch.no_grad()
    def _validate(self) -> float:
        network = self.averaged.module.eval()
        random = generator(self.device, self.settings.seed, "validation")  # always the same noise: losses compare
        losses = []
        for images, labels in zip(self.val_images.split(256), self.val_labels.split(256), strict=True):
            batch = self.task.prepare(images, random, False)
            with autocast(self.device, self.precision):
                losses.append(self.task.loss(network, batch, labels, random, False) * len(images))
        return float(torch.stack(losses).sum() / len(self.val_images))

    def _save_quietly(self) -> None:
        """Save in the middle of a run; without room for it the run goes on and says so."""
        try:
            self._save()
        except (CheckpointError, OSError) as error:
            self._progress.say(f"Not saved: {error}")
            self._saved = time.monotonic()

    def _save(self) -> None:
        settings = self.settings
        write_history(settings.out / "history.csv", self.rows)
        groups = {
            "network": self.task.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer),
            "loop": {"sums": self.sums, "bad": self.bad},
        }
        facts = {name: getattr(self, name) for name in self._facts} | {
            "scaler": self.scaler.state_dict(),
            "rows": [asdict(row) for row in self.rows],
        }
        save_state(settings.out, groups, facts)
        self.task.save_checkpoint(settings.out, self.averaged.module.state_dict(), self._training())
        self._saved = time.monotonic()

    _facts = ("step", "images_seen", "seconds", "waiting", "best_val_loss")

    def _restore(self) -> None:
        groups, facts = load_state(self.settings.out)
        try:
            self.task.network.load_state_dict(groups["network"])
            self.averaged.load_state_dict(groups["averaged"])
            restore_optimizer(self.optimizer, groups.get("optimizer", {}))
        except (KeyError, RuntimeError, ValueError) as error:
            raise TrainingError(
                f"{self.settings.out} holds a run of another network; resume with its flags."
            ) from error
        self.sums.copy_(groups["loop"]["sums"])
        self.bad.copy_(groups["loop"]["bad"])
        self.bad[1] = 0  # whoever resumes after several bad steps has changed something
        self.scaler.load_state_dict(facts["scaler"])
        self.rows = [Row(**row) for row in facts["rows"]]
        for name in self._facts:
            setattr(self, name, facts[name])

    def _training(self) -> dict:
        """What a checkpoint says about how it was trained."""
        settings, recent = self.settings, self.rows[-20:]  # a single row is too noisy to stand for the loss reached
        return {
            "images_seen": self.images_seen,
            "minutes": round(self.seconds / 60, 1),
            "images_per_second": round(self.images_seen / max(self.seconds, 1e-9), 1),
            "hardware": hardware_name(self.device),
            "loss": round(sum(row.loss for row in recent) / len(recent), 5) if recent else None,
            "val_loss": next((round(row.val_loss, 5) for row in reversed(self.rows) if row.val_loss != ""), None),
            "peak_memory_mib": peak_memory(self.device),
            "skipped_steps": int(self.bad[0]),
            "seed": settings.seed,
            "batch_size": settings.step_images,
            "lr": settings.lr,
            "ema_decay": settings.ema_decay,
            "precision": self.precision,
        }


@contextlib.contextmanager
def _interruptible():
    """Turn Ctrl-C and SIGTERM into a question the loop asks between steps, so that nothing is lost half-way."""
    seen = []
    previous = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError):  # only the main thread may do this
            previous[number] = signal.signal(number, lambda *_: seen.append(True))
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
