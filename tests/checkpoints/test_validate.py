"""What people type: understood, or refused with a sentence that says what would be right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentences import refused

from diffdemo import validate
from diffdemo.errors import RequestError
from diffdemo.process.guidance import checked_guidance

anything = st.one_of(
    st.text(max_size=30),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.booleans(),
    st.none(),
    st.lists(st.integers(), max_size=3),
    st.binary(max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.complex_numbers(),
)


@pytest.mark.parametrize("value", [7, "7", " 7 ", 7.0, np.int64(7), np.float32(7)])
def test_a_whole_number_is_understood_however_it_comes(value):
    number = validate.whole_number("steps", value, 1, 10)
    assert number == 7 and type(number) is int


@pytest.mark.parametrize("value", [0, -1, 11, 3.5, "3.5", "abc", "", None, True, False, [7], "7e0", float("inf")])
def test_what_is_no_whole_number_in_the_range_is_refused(value):
    with refused(RequestError, "^steps must be a whole number from 1 to 10(, not |; there is none)"):
        validate.whole_number("steps", value, 1, 10)


@pytest.mark.parametrize("value", [2**64 - 1, np.uint64(2**64 - 1), str(2**64 - 1)])
def test_the_largest_seed_keeps_all_of_its_bits(value):
    assert validate.seeds([value, 2**53 + 1, np.int64(2**53 + 1)]) == [2**64 - 1, 2**53 + 1, 2**53 + 1]


def guided(scale, classes=("cat",), interval="all", guide="no-class", weak=False):
    return checked_guidance(scale, interval, guide, key="m", classes=classes, has_weak_model=weak)


@settings(deadline=None)
@given(anything)
def test_anything_at_all_is_either_in_range_or_refused(value):
    checks = [
        (lambda: validate.whole_number("steps", value, 1, 1000), lambda n: type(n) is int and 1 <= n <= 1000),
        (lambda: validate.real_number("guidance", value, 0, 20), lambda n: type(n) is float and 0 <= n <= 20),
        (lambda: validate.seeds(value), lambda s: s and all(0 <= seed < 2**64 for seed in s)),
        (lambda: validate.steps(value), lambda n: 1 <= n <= 1000),
        (lambda: validate.choice("sampler", value, ["ddim", "heun"]), lambda name: name in ("ddim", "heun")),
        (lambda: validate.class_index(value, ("cat", "dog"), "m"), lambda k: k in (None, 0, 1)),
        (lambda: guided(value), lambda guidance: 0 <= guidance.scale <= 20),
        (lambda: guided(2, interval=value), lambda guidance: guidance.at(1e9) in (1, 2)),
        (lambda: guided(2, guide=value), lambda guidance: guidance.guide == "no-class"),
        (lambda: validate.sampler_options("ddim", {"eta": value}), lambda options: 0 <= options["eta"] <= 1),
        (lambda: validate.consecutive_seeds(value, 3), lambda s: len(s) == 3),
        (lambda: validate.consecutive_seeds(3, value, most=10), lambda s: 1 <= len(s) <= 10),
    ]
    for check, holds in checks:
        try:
            result = check()
        except RequestError as error:
            assert str(error).endswith(".") and "\n" not in str(error) and len(str(error)) < 300
        else:
            assert holds(result)


@pytest.mark.parametrize("value", [2, "2", 2.0, np.float64(2), "2e0"])
def test_a_real_number_is_understood_however_it_comes(value):
    assert validate.real_number("guidance", value, 0, 20) == 2.0


@pytest.mark.parametrize("value", [-0.01, 20.01, "nan", float("nan"), float("-inf"), "much", None, True, [], 10**400])
def test_what_is_no_number_in_the_range_is_refused(value):
    with refused(RequestError, "^guidance must be a number from 0 to 20(, not |; there is none)"):
        validate.real_number("guidance", value, 0, 20)


def test_one_seed_is_a_list_of_one():
    assert validate.seeds(3) == validate.seeds("3") == validate.seeds([3]) == validate.seeds(range(3, 4)) == [3]
    assert validate.seeds(np.arange(3)) == [0, 1, 2]


@pytest.mark.parametrize("values", [-1, 2**64, [0, 2**64], [1.5], ["x"], None, [None]])
def test_what_is_no_seed_is_refused(values):
    with refused(RequestError, "seed must be a whole number from 0 to 18446744073709551615"):
        validate.seeds(values)


def test_no_seeds_are_refused():
    with refused(RequestError, "at least one seed"):
        validate.seeds([])


def test_consecutive_seeds_end_at_the_last_one_there_is():
    assert validate.consecutive_seeds(5, 3) == [5, 6, 7]
    assert validate.consecutive_seeds(2**64 - 3, "3") == [2**64 - 3, 2**64 - 2, 2**64 - 1]
    with refused(RequestError, f"use {2**64 - 3} or less"):
        validate.consecutive_seeds(2**64 - 2, 3)
    with refused(RequestError, "the number of images must be a whole number from 1 to 16, not 17"):
        validate.consecutive_seeds(0, 17, most=16)


def test_steps_may_be_as_many_as_the_schedule_has():
    assert validate.steps(1000) == 1000 and validate.steps("50", most=50) == 50
    with refused(RequestError, "from 1 to 50, not 51"):
        validate.steps(51, most=50)


def test_classes_have_the_label_of_their_place_and_any_is_none():
    classes = ("cat", "dog")
    assert [validate.class_index(name, classes, "m") for name in ("cat", "dog", "any", None)] == [0, 1, None, None]
    with refused(RequestError, "There is no class 'cow'; choose one of: cat, dog"):
        validate.class_index("cow", classes, "m")


def test_an_unconditional_model_has_no_class_and_no_guidance():
    assert validate.class_index(None, (), "m") is None and validate.class_index("any", (), "m") is None
    assert guided(1, ()).scale == 1.0
    with refused(RequestError, "m is unconditional and takes no class, not 'cat'"):
        validate.class_index("cat", (), "m")
    for scale in (0, 2.5):
        with refused(RequestError, f"m is unconditional and takes no guidance but 1, not {scale:g}"):
            guided(scale, ())


def test_a_choice_that_is_none_names_those_there_are():
    with refused(RequestError, r"There is no sampler 'euler'; choose one of: ddpm, ddim"):
        validate.choice("sampler", "euler", ["ddpm", "ddim"])
    with refused(RequestError, r"There is no sampler 'e{30}.*\.\.\.;"):
        validate.choice("sampler", "e" * 1000, ["ddpm", "ddim"])


def test_sampler_options_belong_to_their_sampler():
    assert validate.sampler_options("ddim", {"eta": "0.5"}) == {"eta": 0.5}
    assert validate.sampler_options("ddpm", {"variance": "large"}) == {"variance": "large"}
    assert validate.sampler_options("heun", {}) == {}
    with refused(RequestError, "eta is a setting of the sampler ddim, not of heun"):
        validate.sampler_options("heun", {"eta": 0.5})
    with refused(RequestError, "variance is a setting of the sampler ddpm, not of ddim"):
        validate.sampler_options("ddim", {"variance": "small"})
    with refused(RequestError, "There is no setting 'churn'"):
        validate.sampler_options("heun", {"churn": 1})
    with refused(RequestError, "eta must be a number from 0 to 1"):
        validate.sampler_options("ddim", {"eta": 1.5})
    with refused(RequestError, "There is no variance 'huge'; choose one of: small, large"):
        validate.sampler_options("ddpm", {"variance": "huge"})
