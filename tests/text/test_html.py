"""Pages as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llasa.text.html import html_text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>It was a <i>dark</i>\n night.</p>tail", "It was a dark night.\n\ntail"),
        ("<h1>One<br/>The &amp; Storm</h1><p>A&nbsp;b&#8217;s", "# One The & Storm\n\nA b’s"),
        ("<p>A rose,<br>is a rose<br/><br/>\nis.</p>", "A rose,\nis a rose\nis."),
        ("<ul><li>milk</li><li><p>bread</p></li></ul><p>x</p>", "- milk\n\n- bread\n\nx"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a, b\n\nc"),
        ("<div>a<div>b</div>c</div>", "a\n\nb\n\nc"),
        ("<head><title>T</title></head><script>x<1</script><style>p{}</style>a", "a"),
        ("<script src='x'/><title/><p>a</p>", "a"),
        ("<nav><ol><li>One</li></ol></nav><p>a</p>", "a"),
        ("<p>a<a epub:type='noteref' href='#n'><sup>1</sup></a> b</p>", "a b"),
        ("<p>a</p><aside role='doc-footnote'><aside>x</aside>y</aside><p>b</p>", "a\n\nb"),
        ("<p>a<span epub:type='pagebreak' title='7'/> b <span hidden=''>c</span></p>", "a b"),
        ("<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp></ruby>字", "漢字"),
        ("<p> \n </p><hr/><p></p>", ""),
        ("a < b & c <unknown>d</p></div>", "a < b & c d"),
    ],
)
def test_what_is_read(page: str, text: str) -> None:
    assert html_text(page)[0] == text


def test_pages_know_whether_they_have_a_heading() -> None:
    assert html_text("<p>a</p><h2>b</h2>")[1]
    assert not html_text("<p>a</p><h2> </h2>")[1]


@given(st.text(st.sampled_from("<>/&;!-='\" aphr1\n[]?#xlinsct:")))
def test_any_page_has_a_text(page: str) -> None:
    assert "\n\n\n" not in html_text(page)[0]
