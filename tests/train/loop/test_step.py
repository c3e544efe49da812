"""A step whose tensors stay where they are, as a CUDA graph needs them, against one that makes all of them anew."""

import numpy as np
import pytest
import torch
from distributed_helpers import forty_pictures, settings
from sentences import refused
from torch import nn
from torch.optim.swa_utils import AveragedModel

from diffdemo.device import autocast
from diffdemo.errors import TrainingError
from train.loop.randomness import derive_seed, generator
from train.loop.task import Task
from train.loop.trainer import Trainer

CPU = torch.device("cpu")


class NoisyTask(Task):
    """Denoise: with noise, dropout, and batch normalisation, whose means are no weights."""

    def __init__(self):
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU(), nn.Dropout(0.2)
        self.network = nn.Sequential(*layers, nn.Conv2d(8, 3, 3, padding=1))

    def loss(self, network, batch, labels, random, train):
        noise = torch.randn(batch.shape, generator=random)
        return (network(batch + noise) - noise).square().mean()

    def save_checkpoint(self, folder, weights, training):
        pass

    def draw(self, folder, network, name):
        pass


class Anew(Trainer):
    """The same step out of a generator, batches, a learning rate and averages that are new each time."""

    def start(self) -> None:
        super().start()
        self.own = [AveragedModel(self.task.network, multi_avg_fn=self.average(each.decay)) for each in self.averages]

    def average(self, decay):
        def update(averaged, current, count):
            torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + int(count)) / (10 + int(count))))

        return update

    def train_step(self) -> None:
        settings, network = self.settings, self.task.network
        torch.manual_seed(derive_seed(settings.seed, "dropout", self.step))
        rate = settings.learning_rate(self.images_seen, self.seconds)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = float(np.float32(rate))
        network.train()
        for place in range(settings.accumulate):
            random = generator(CPU, settings.seed, "step", self.step, *[place] * (place > 0))
            index = self.order.indices(self.images_seen, settings.batch_size)
            images = self.task.prepare(self.images[index], random, True)
            with autocast(CPU, self.precision):
                loss = self.task.loss(network, images, self.labels[index], random, True) / settings.accumulate
            self.scaler.scale(loss).backward()
            self.images_seen += settings.batch_size
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
        self.optimizer.step()
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        for average in self.own:
            average.update_parameters(network)
        self.step += 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_tensors_that_stay_where_they_are_give_the_same_bits_also_killed_and_resumed(tmp_path, precision):
    data = forty_pictures()
    chosen = {"precision": precision, "batch_size": 4, "accumulate": 2, "images": 8 * 30, "warmup_images": 80}
    anew = Anew(NoisyTask(), settings(tmp_path / "anew", **chosen), data, data, CPU)
    anew.start()
    for _ in range(30):
        anew.train_step()

    class Killed(Trainer):
        def train_step(self):
            super().train_step()
            if self.step == 17:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # which saves nothing; what was saved last is from step 16
        Killed(NoisyTask(), settings(tmp_path / "stays", **chosen), data, data, CPU).run()
    resumed = Trainer(NoisyTask(), settings(tmp_path / "stays", **chosen), data, data, CPU, resume=True)
    assert resumed.step == 16
    resumed.run()
    pairs = [(anew.task.network, resumed.task.network)]
    pairs += [(theirs.module, ours.module) for theirs, ours in zip(anew.own, resumed.averages, strict=True)]
    for theirs, ours in pairs:
        expected = theirs.state_dict()
        assert expected.keys() == ours.state_dict().keys()
        for name, tensor in ours.state_dict().items():
            assert torch.equal(tensor, expected[name]), name
    begun, *averages = (network[0].weight for network, _ in [(NoisyTask().network, None), *pairs])
    assert all(not torch.allclose(begun, weight, atol=1e-3) for weight in averages)


def test_a_step_is_recorded_only_where_it_can_be(tmp_path):
    data = forty_pictures()
    with refused(TrainingError, "--cuda-graph records the steps of one process on a CUDA device; leave it out here"):
        Trainer(NoisyTask(), settings(tmp_path, cuda_graph=True), data, data, CPU)
