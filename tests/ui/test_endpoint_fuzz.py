"""Whatever an endpoint is sent, it answers, or with one sentence; and the next one is served as ever."""

import re

import pytest
from doses import SMALL_DOSE
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.support.browser import open_shelf, served
from benchmarks.support.visitor import Visitor

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["cat", "simple_unet", "ddpm", "gif", "all", "0.3,5", "weak-model", "/etc/passwd", 1001, 8]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["path", "__type__", "a"]), inner),
    max_leaves=4,
)
NAMES = ["generate", "save", "inside", "forward", "denoise_from", "classify", "compare", "training", "nearest"]


@pytest.fixture(scope="module")
def visitor(tiny_checkpoints):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFDEMO_MAX_SECONDS", "1")
        with served(open_shelf(tiny_checkpoints)) as address:
            yield Visitor(address, "fuzz")


@SMALL_DOSE
@given(name=st.sampled_from(NAMES), junk=st.dictionaries(st.integers(0, 30), JUNK, max_size=4))
def test_whatever_is_sent_is_answered_or_refused_in_a_sentence(visitor, name, junk):
    event = visitor.event(name)
    inputs = [visitor._values[number] for number in event["inputs"]]
    # What is no file at all Gradio refuses by itself, before it calls the endpoint and without a word.
    data = [
        junk.get(place, one.get("value")) if one.get("label") != "picture" else None for place, one in enumerate(inputs)
    ]
    answer = visitor.send(event["id"], data)
    if answer.status_code == 200:
        with visitor.listening() as told:
            error = visitor.outcome(told).error
        assert error != "no details" and "Traceback" not in error, data
        assert not error or re.search(r"[.!:\w)\]}'\"]$", error.strip()), error
    else:
        assert answer.status_code in (400, 413, 422), answer.text
