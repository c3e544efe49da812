"""What is checked by its name alone is what there is."""

from diffdemo.process.diffusion import PREDICTIONS
from diffdemo.process.names import PREDICTION_NAMES, SAMPLER_NAMES, SAMPLER_TITLES
from diffdemo.process.samplers import SAMPLERS


def test_names_are_those_of_the_functions_in_their_order():
    assert tuple(PREDICTIONS) == PREDICTION_NAMES
    assert tuple(SAMPLERS) == SAMPLER_NAMES
    assert SAMPLER_TITLES.keys() == SAMPLERS.keys()
