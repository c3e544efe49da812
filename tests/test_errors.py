"""A message is one sentence on one line, whatever the names in it hold."""

from hypothesis import given
from hypothesis import strategies as st

from diffdemo.errors import LONGEST_REASON, DiffdemoError, reason


@given(st.text() | st.text("\n\r\x1b\x85\u2028 a"))
def test_a_message_is_one_line_and_as_it_was_written_if_that_is_one(said):
    told = str(DiffdemoError(said))
    assert told.splitlines() == [told] * bool(said)
    assert "\x1b" not in told
    if said.isprintable():
        assert told == said


@given(st.text(min_size=1) | st.text("ab .", min_size=LONGEST_REASON, max_size=3 * LONGEST_REASON))
def test_a_reason_fits_into_a_sentence(said):
    told = reason(ValueError(said))
    assert "\n" not in told and len(told) <= LONGEST_REASON + len(" ...")
    assert told.endswith(" ...") or not told.endswith(".")
