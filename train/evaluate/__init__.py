"""How good a model is: `python -m train.evaluate`."""
