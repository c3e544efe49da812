"""The training loop that every model shares.

A training script brings a `Task`: the network, its loss, and what to draw now and then. The loop does the rest: moving
averages, precision, accumulation, clipping, warm-up and decay, early stopping, saving and resuming, on one process or
several (see `train.loop.distributed`).
"""

import time
from collections.abc import Callable

import torch

from diffdemo.data import Dataset
from diffdemo.device import (
    PRECISIONS,
    Recorded,
    autocast,
    choose_precision,
    compile_network,
    hardware_name,
    peak_memory,
)
from diffdemo.errors import DiffdemoError, Interrupted, TrainingError
from diffdemo.records.files import HISTORY, LAST, SNAPSHOTS, TRAINED, at_epoch, at_images
from train.loop.averages import MovingAverage, flatten
from train.loop.distributed import ALONE, Group
from train.loop.heldout import HeldOut
from train.loop.history import Meter, write_history
from train.loop.interrupt import interruptible
from train.loop.progress import Progress, drawing
from train.loop.randomness import DataOrder, derive_seed
from train.loop.settings import Settings
from train.loop.state import load_state, restore, save_state, state_of
from train.loop.task import Task

STEPS_PER_ROW = 50
STEPS_PER_CHECK = 10


class Trainer:
    """One run. `Trainer(...).run()` trains until the budget is spent and leaves a checkpoint in `settings.out`.

    Args:
        task: network, loss and drawings.
        settings: see `Settings`.
        train_data: what to train on.
        val_data: held-out pictures, for the validation loss.
        device: where to train.
        resume: go on from `settings.out`, exactly where that run was saved last.
        group: the processes that train together; by default this one alone.

    Attributes:
        averaged: the moving average that is drawn on the way.
        slow: a second one, or None.
        shipped: the one that becomes the checkpoint.
    """

    def __init__(
        self,
        task: Task,
        settings: Settings,
        train_data: Dataset,
        val_data: Dataset,
        device: torch.device,
        resume: bool = False,
        group: Group = ALONE,
    ):
        self.task, self.settings, self.device, self.group = task, settings, device, group
        if settings.cuda_graph and (device.type != "cuda" or group.size > 1):
            raise TrainingError("--cuda-graph records the steps of one process on a CUDA device; leave it out here.")
        state = load_state(settings.out) if resume else {}
        # What a CPU was measured to be fast at stays, and is the same in all processes: other bits come of another.
        before = state.get("measured", {}).get(device.type, "auto")
        name = before if settings.precision == "auto" else settings.precision
        chosen, _ = group.agree(PRECISIONS.index(choose_precision(name, device)))
        self.precision = PRECISIONS[int(chosen)]
        self.images, self.labels = train_data.tensors(device)
        self.held_out = HeldOut(task, val_data, settings.seed, device, self.precision)
        self.step_images = settings.step_images * group.size
        self.order = DataOrder(len(train_data), settings.seed)

        task.to(device)
        if device.type != "mps":
            task.network.to(memory_format=torch.channels_last)
        group.share(task.network.state_dict().values())
        weights, slow_decay = flatten(task.network), settings.slow_ema_decay
        self.averaged = MovingAverage(task.network, weights, settings.ema_decay)
        self.slow = MovingAverage(task.network, weights, slow_decay) if slow_decay else None
        self.averages = list(filter(None, (self.averaged, self.slow)))
        self.shipped, self.average_losses = self.averaged, {}
        self.parameters = [p for p in task.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            torch.tensor(settings.lr, device=device),
            betas=(0.9, 0.99),
            weight_decay=settings.weight_decay,
            fused=True,
            capturable=device.type == "cuda",
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        self.network = compile_network(task.network, device) if settings.compile else task.network

        self.step, self.images_seen, self.seconds, self.waiting = 0, 0, 0.0, 0
        self.best_val_loss = float("inf")
        self.meter = Meter(device)
        # All that a step is given lies where it lay before, so that it can be recorded.
        self._index = torch.zeros(settings.accumulate, settings.batch_size, dtype=torch.long, device=device)
        self._randoms = [torch.Generator(device) for _ in self._index]
        self._compute = Recorded(self._step, self._randoms) if settings.cuda_graph else self._step
        if resume:
            restore(self, state)

    def run(self) -> None:
        """Train to the end of the budget; an interruption saves the run first.

        Raises:
            Interrupted: Ctrl-C or SIGTERM; the run is saved.
            TrainingError: several steps in a row were not finite.
            CheckpointError: the result could not be written.
        """
        settings = self.settings
        settings.out.mkdir(parents=True, exist_ok=True)
        if settings.snapshot_every_images and self.step == 0 and self.task.started_from:
            self._keep_snapshot(at_images(0))
        self.start()
        progress = Progress(settings, self.images_seen, self.seconds, silent=not self.group.first)
        with progress as self._progress, interruptible() as interrupted:
            while not self._over():
                self.train_step()
                self._progress.update(self.images_seen, self.seconds)
                if self.step % STEPS_PER_CHECK == 0:
                    self.meter.check_finite()
                if self.step % STEPS_PER_ROW == 0:
                    self._close_row()
                self._after_epoch()
                if time.monotonic() - self._saved > 60 * settings.save_minutes:
                    self._save_quietly()
                # One clock for all processes: it decides the learning rate, and when the run ends.
                self.seconds, stop = self.group.agree(self.seconds, interrupted())
                if stop:
                    self._save()
                    self.group.wait()  # or torchrun would end the first while it saves, because another one is gone
                    raise Interrupted(f"Interrupted and saved after {self.images_seen:,} images; go on with --resume.")
        self._close_row()
        if self.group.first:
            self._close_row(self._choose_average())
            self._save()
            (settings.out / TRAINED).touch()
            with drawing():
                self.task.draw(settings.out, self.shipped.module, LAST)

    def _over(self) -> bool:
        settings = self.settings
        stalled = bool(settings.patience) and self.waiting >= settings.patience
        return stalled or settings.progress(self.images_seen, self.seconds) >= 1

    def start(self) -> None:
        """Set the run's clock going."""
        self._started, self._saved = time.monotonic() - self.seconds, time.monotonic()

    def train_step(self) -> None:
        """One optimizer step on the next pictures."""
        settings, group = self.settings, self.group
        torch.manual_seed(derive_seed(settings.seed, "dropout", self.step, *group.seed_parts))
        for parameters in self.optimizer.param_groups:
            parameters["lr"].fill_(self._learning_rate())
        for average in self.averages:
            average.count()
        # By a batch's place in the step, so that the noise is the same whether one process takes all or several share.
        for place, (index, random) in enumerate(zip(self._index, self._randoms, strict=True)):
            place = place * group.size + group.rank
            random.manual_seed(derive_seed(settings.seed, "step", self.step, *[place] * (place > 0)))
            first = self.images_seen + settings.batch_size * group.rank
            index.copy_(self.order.indices(first, settings.batch_size), non_blocking=True)
            self.images_seen += settings.batch_size * group.size
        self.task.network.train()
        self._compute()
        self.step += 1
        self.seconds = time.monotonic() - self._started

    def _step(self) -> None:
        """What a step computes, of the pictures in `_index`: all of it on the device, and nobody waits for a number."""
        total = torch.zeros((), device=self.device)
        for index, random in zip(self._index, self._randoms, strict=True):
            images = self.task.prepare(self.images[index], random, True)
            with autocast(self.device, self.precision):
                loss = self.task.loss(self.network, images, self.labels[index], random, True)
                loss = loss / self.settings.accumulate
            self.scaler.scale(loss).backward()
            total += loss.detach()
        # Before it is known whether they are finite: what one process skips, all skip.
        self.group.average([total, *(p.grad for p in self.parameters if p.grad is not None)])
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm, foreach=True)
        bad = (~(total.isfinite() & norm.isfinite())).float()
        # The fused optimizer leaves everything as it was where this is 1, without anyone waiting for the answer.
        self.optimizer.found_inf = bad
        self.optimizer.step()
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        for average in self.averages:
            average.update()
        self.meter.add(total, norm, bad)

    def _learning_rate(self) -> float:
        return self.settings.learning_rate(self.images_seen, self.seconds, self.group.size)

    def _close_row(self, val_loss: float | str = "") -> None:
        """Append the means since the last row to the history, or only a validation loss if there are none."""
        epoch = self.images_seen / self.order.size
        self.meter.close_row(self.step, self.images_seen, epoch, self._learning_rate(), val_loss)
        if self.meter.rows:
            self._progress.loss = self.meter.rows[-1].loss

    def _after_epoch(self) -> None:
        """At the end of an epoch: validation, patience, and now and then a sample grid."""
        before = self.images_seen - self.step_images
        epoch = self.images_seen // self.order.size
        if epoch > before // self.order.size:
            val_loss, _ = self.group.agree(self.held_out.loss(self.averaged.module) if self.group.first else 0.0)
            self._close_row(val_loss)
            self.waiting = 0 if val_loss < self.best_val_loss else self.waiting + 1
            self.best_val_loss = min(val_loss, self.best_val_loss)
            wanted = epoch == 1 or epoch % self.settings.draw_epochs == 0
            if wanted and self.task.draws_after(epoch, self.order.size):
                self._draw_quietly(at_epoch(epoch))
        if seen := self._passed(self.settings.sample_every_images):
            self._draw_quietly(at_images(seen))
        if seen := self._passed(self.settings.snapshot_every_images):
            self._quietly("Not kept", self._keep_snapshot, at_images(seen))

    def _passed(self, every: int) -> int:
        """The multiple of `every` images that the last step has reached; 0 if it reached none, or `every` is 0."""
        before = self.images_seen - self.step_images
        return self.images_seen // every * every if every and self.images_seen // every > before // every else 0

    def _keep_snapshot(self, name: str) -> None:
        """A checkpoint of the weights as they are now, which the end of the run does not replace."""
        self.task.save_checkpoint(
            self.settings.out / SNAPSHOTS / name, self.averaged.module.state_dict(), self._training()
        )

    def _draw_quietly(self, name: str) -> None:
        if self.group.first:
            with drawing(self._progress.say):
                self.task.draw(self.settings.out, self.averaged.module, name)

    def _quietly(self, trouble: str, write: Callable[..., None], *what: object) -> None:
        """Write something in the middle of a run; without room for it the run goes on and says so."""
        if not self.group.first:
            return
        try:
            write(*what)
        except (DiffdemoError, OSError) as error:
            self._progress.say(f"{trouble}: {error}")

    def _choose_average(self) -> float:
        """Of two moving averages, ship the one with the lower loss on held-out pictures; that loss."""
        losses = {averaged: self.held_out.loss(averaged.module) for averaged in self.averages}
        self.shipped = min(losses, key=losses.get)
        if self.slow:
            self.average_losses = {f"{averaged.decay:g}": round(loss, 6) for averaged, loss in losses.items()}
        return losses[self.shipped]

    def _save_quietly(self) -> None:
        """Save in the middle of a run; the next try is a while later, whether or not there was room for it."""
        self._quietly("Not saved", self._save)
        self._saved = time.monotonic()

    def _save(self) -> None:
        if not self.group.first:
            return
        settings = self.settings
        write_history(settings.out / HISTORY, self.meter.rows)
        save_state(settings.out, state_of(self))
        self.task.save_checkpoint(settings.out, self.shipped.module.state_dict(), self._training())
        self._saved = time.monotonic()

    def _training(self) -> dict:
        """What a checkpoint says about how it was trained."""
        settings, rows = self.settings, self.meter.rows
        recent = rows[-20:]  # a single row is too noisy to stand for the loss reached
        several = f"{self.group.size} x " if self.group.size > 1 else ""
        facts = {
            "images_seen": self.images_seen,
            "minutes": round(self.seconds / 60, 1),
            "images_per_second": round(self.images_seen / max(self.seconds, 1e-9), 1),
            "hardware": several + hardware_name(self.device),
            "loss": round(sum(row.loss for row in recent) / len(recent), 5) if recent else None,
            "val_loss": next((round(row.val_loss, 5) for row in reversed(rows) if row.val_loss != ""), None),
            "peak_memory_mib": peak_memory(self.device),
            "skipped_steps": self.meter.skipped,
            "seed": settings.seed,
            "batch_size": self.step_images,
            "lr": settings.lr,
            "ema_decay": self.shipped.decay,
            "precision": self.precision,
        }
        return facts | ({"average_losses": self.average_losses} if self.average_losses else {})
