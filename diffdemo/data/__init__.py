"""Data sets and pictures, on their way in and out."""

from diffdemo.data.dataset import (
    CIFAR10_CLASSES,
    IMAGE_SHAPE,
    SPLITS,
    Dataset,
    create_cat_dog_dataset,
    load_dataset,
    make_toy_dataset,
)

__all__ = [
    "CIFAR10_CLASSES",
    "IMAGE_SHAPE",
    "SPLITS",
    "Dataset",
    "create_cat_dog_dataset",
    "load_dataset",
    "make_toy_dataset",
]
