"""Measure an autoencoder again: `python -m benchmarks.latent_quality` prints as JSON what config.json has as metrics.

PSNR of test pictures, PCA's beside it, how often the classifier on the latents is right, and the silhouette of their
t-SNE map. It takes about a minute on one CPU core.
"""

import argparse
import json
import sys

import diffdemo
from diffdemo.data import load_dataset
from diffdemo.errors import DiffdemoError, RequestError
from diffdemo.latent.space import measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="latent_diffusion", help="a model, or a checkpoint's folder")
    parser.add_argument("--data", default="data", help="data folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    args = parser.parse_args()
    try:
        model = diffdemo.load(args.model, device=args.device)
        if model.info.spec.space != "latents":
            raise RequestError(f"{model.key} works on pixels and has no autoencoder; choose latent_diffusion.")
        train_data, test_data = (load_dataset(args.data, split).only(model.classes) for split in ("train", "test"))
        print(json.dumps(measure(model.network, train_data, test_data), indent=2))
    except DiffdemoError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
