"""The names of the prediction types and the samplers, for whoever checks one without PyTorch.

The functions themselves stand in `diffdemo.process.diffusion.PREDICTIONS` and `diffdemo.process.samplers.SAMPLERS`.
"""

PREDICTION_NAMES = ("noise", "clean", "velocity", "edm")
SAMPLER_NAMES = ("ddpm", "ddim", "dpmpp", "heun")
# Names for people, in the order in which they are offered.
SAMPLER_TITLES = {"dpmpp": "DPM-Solver++", "ddim": "DDIM", "ddpm": "DDPM", "heun": "Heun"}
