"""Classifiers for tests."""

from dataclasses import asdict

import torch

from diffdemo.checkpoint import parameter_count, save_checkpoint
from diffdemo.data import CIFAR10_CLASSES
from diffdemo.measure.classifier import ClassifierInfo
from diffdemo.models.classifier import Classifier, ClassifierConfig


def save_classifier(folder):
    torch.manual_seed(0)
    network = Classifier(config := ClassifierConfig((8, 16)))
    info = ClassifierInfo(asdict(config), CIFAR10_CLASSES, parameter_count(network))
    save_checkpoint(folder, info, network.state_dict())
