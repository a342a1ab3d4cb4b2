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
        ("<table>\n<tr>\n<td></td><td>a</td><td>b</td></tr></table>", "a, b"),
        ("a<!-- <p> --><!-->b<!-- --!>c<!x>d<?y z='>e</>f", "abcdef"),
        ("<P CLASS='>' Hidden>a</P><p title=\"it's\" x=a/>b</p>", "b"),
        ("<p>a<script>'<p>' </scripts </script >b", "ab"),
    ],
)
def test_what_is_read(page: str, text: str) -> None:
    assert html_text(page)[0] == text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<html><head><meta charset=utf-8><title>T</title><body><p>a", "a"),
        ("<head><title>T</title><p>a", "a"),
        ("<ruby>漢<rp>(<rt>かん<rp>)</ruby>字", "漢字"),
        ("<ul><li hidden>a<li>b<ul><li hidden>c</ul>d</ul>", "- b\n\nd"),
        ("<p hidden>a<p>b<div>c<p hidden>d</div>e", "b\n\nc\n\ne"),
        ("<table><tr hidden><td>a<tr><td hidden>b<td>c</table>", "c"),
        ("<dl><dt>a<dd hidden>b<dt>c</dl>", "a\n\nc"),
        ("<div>a<nav>b</i></p></x>c</div>d", "a\n\nd"),
    ],
)
def test_end_tags_may_be_missing(page: str, text: str) -> None:
    assert html_text(page)[0] == text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<!DOCTYPE html><p>[a]></p>", "[a]>"),
        ("<!DOCTYPE html [\n<!ENTITY b \"c\">\n<!ENTITY d 'e'>\n] ><p>a</p>", "a"),
        ("<!DOCTYPE html SYSTEM 'x' []><p>a</p>", "a"),
        ("<p>a <![CDATA[<b> & ]] &amp; ]]>c</p>", "a <b> & ]] &amp; c"),
        ("<script><![CDATA[ x ]]></script><style>/*<![CDATA[*/ y /*]]>*/</style>a", "a"),
        ("<![if !lists]>a<![endif]><![", "a"),
    ],
)
def test_declarations_are_not_read(page: str, text: str) -> None:
    assert html_text(page)[0] == text


@pytest.mark.timeout(60)  # in `html.parser` many of these take minutes
@pytest.mark.parametrize(
    "piece",
    [
        *("<", "<a", "<a ", "</a", "</a ", "<!", "<![", "<![CDATA[", "<!--", "<!DOCTYPE a[", "<?"),
        *("<script>", "<script></", "<a b='", '<a "', "&", "&#", "<p hidden>", "</p>", "<td>", "]"),
    ],
)
def test_long_pages_without_ends(piece: str) -> None:
    for begin in ("", "<!DOCTYPE a[", "<a "):
        html_text(begin + piece * 50_000)


def test_pages_know_whether_they_have_a_heading() -> None:
    assert html_text("<p>a</p><h2>b</h2>")[1]
    assert not html_text("<p>a</p><h2> </h2>")[1]


@given(st.text(st.sampled_from("<>/&;!-='\" aphr1\n[]?#xlinsct:")))
def test_any_page_has_a_text(page: str) -> None:
    assert "\n\n\n" not in html_text(page)[0]
