"""Texts that Hypothesis makes."""

from __future__ import annotations

from hypothesis import strategies as st

any_text = st.text(st.characters(codec="utf-8"), max_size=400)
prose = st.lists(
    st.sampled_from(["a", "word", "Dr.", "end.", "well,", "你好。", "3.14", "«no»", "why?!", "é"]),
    max_size=120,
).map(" ".join)
