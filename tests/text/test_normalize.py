"""Texts as they are written and as they are said."""
# ruff: noqa: E501

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llasa.base.errors import LlasaError
from llasa.text.normalize import normalize_text, normalized
from llasa.text.traced import Traced

SAID = """
I have 3 dogs and 1,234 cats. -> I have three dogs and one thousand two hundred thirty-four cats.
Pi is 3.14, not -2. -> Pi is three point one four, not minus two.
Agent 007 -> Agent zero zero seven
No digits, no change. -> No digits, no change.
99999999999999999999 -> nine nine nine nine nine nine nine nine nine nine nine nine nine nine nine nine nine nine nine nine
A4 and B52s -> A four and B fifty-two s

5:30pm -> five thirty PM
At 5:00, 17:05 or 9:00 am. -> At five o'clock, seventeen oh five or nine AM.
5pm -> five PM
It's 7:45 PM. -> It's seven forty-five PM.
At 5 p.m. -> At five PM.
at 5 p.m. sharp -> at five PM sharp
9am-5pm -> nine AM to five PM
9am–5pm -> nine AM to five PM
9:00-17:00 -> nine o'clock to seventeen hundred
17:45 -> seventeen forty-five
14:30 -> fourteen thirty
12:00:30 -> twelve o'clock and thirty seconds
16:9 -> sixteen to nine
Mon-Fri 9-5 -> Monday to Friday nine to five
The meeting is on 3/5/2026 at 5:30pm, costs $3.50. -> The meeting is on March fifth, twenty twenty-six at five thirty PM, costs three dollars and fifty cents.
On 2024-05-06. -> On May sixth, twenty twenty-four.
On 12/31/1999, at 5:30 p.m. -> On December thirty-first, nineteen ninety-nine, at five thirty PM.
due on 3/5 -> due on March fifth
31.12.2024 -> December thirty-first, twenty twenty-four
May 6, 2005 and 3 Jan. -> May sixth, two thousand five and January third
March 3–5 -> March third to fifth
In May 2020 -> In May twenty twenty
The 21st of 3rd -> The twenty-first of third
In 1990 and the 1980s. -> In nineteen ninety and the nineteen eighties.
'90s -> nineties
the 90s -> the nineties
the ’90s -> the nineties
in her 20s -> in her twenties
1990–95 -> nineteen ninety to ninety-five
1914-1918 -> nineteen fourteen to nineteen eighteen
In 2000 or 1900 -> In two thousand or nineteen hundred

555-0173 -> five five five, zero one seven three
Please call me back at 555-0173. -> Please call me back at five five five, zero one seven three.
(415) 555-2671 -> four one five, five five five, two six seven one
1-800-555-0199 -> one, eight zero zero, five five five, zero one nine nine
+44 20 7946 0958 -> plus four four, two zero, seven nine four six, zero nine five eight
+1 (415) 555-2671 -> plus one, four one five, five five five, two six seven one
100-1000 people -> one hundred to one thousand people
Your order number is 48291. -> Your order number is four eight two nine one.
Order #48291 -> Order four eight two nine one
Your code is 4829. -> Your code is four eight two nine.
ISBN 978-3-16-148410-0 -> ISBN nine seven eight, three, one six, one four eight four one zero, zero
Room 101 -> Room one oh one
Room 12 -> Room twelve
Flight UA 492 -> Flight UA four ninety-two
4111 1111 1111 1111 -> four one one one, one one one one, one one one one, one one one one
48291736 -> four eight two nine one seven three six
1000000 -> one million
v1.2.3 -> version one point two point three
192.168.0.1 -> one nine two dot one six eight dot zero dot one
Python 3.11 -> Python three point one one

It costs $3.50 or €1. -> It costs three dollars and fifty cents or one euro.
£0.01, $5 million, ¥300, $2.5bn -> one penny, five million dollars, three hundred yen, two point five billion dollars
The total is $42.99. -> The total is forty-two dollars and ninety-nine cents.
$1,234.56 -> one thousand two hundred thirty-four dollars and fifty-six cents
US$20 -> twenty US dollars
20€ -> twenty euros
3,50 € -> three euros and fifty cents
20 USD -> twenty dollars
EUR 20 -> twenty euros
-$5 -> minus five dollars
$1.2M -> one point two million dollars
$10-20 -> ten to twenty dollars
$10-$20 -> ten dollars to twenty dollars
50¢ -> fifty cents
$5/month -> five dollars per month

10–14 -> ten to fourteen
won 3-1 -> won three to one
5-10% -> five to ten percent
1/2 -> one half
1/2 cup -> one half cup
½ cup -> one half cup
1½ cups -> one and a half cups
2 1/2 -> two and a half
3/4 -> three quarters
8/10 -> eight out of ten
24/7 -> twenty-four seven
10k -> ten thousand
3.5k -> three point five thousand
4K -> four K
1080p -> ten eighty P
60fps -> sixty frames per second
2x4 -> two by four
10x -> ten times
1e6 -> one times ten to the power of six
5 km, 1 kg, 20 °C and 3.5% -> five kilometers, one kilogram, twenty degrees Celsius and three point five percent
3.5 kg -> three point five kilograms
3.5kg -> three point five kilograms
-5°C -> minus five degrees Celsius
10 km² -> ten square kilometers
16GB -> sixteen gigabytes
60 mph for 2 h -> sixty miles per hour for two hours
5'10" -> five foot ten
COVID-19 -> COVID nineteen
a 3-day trip -> a three-day trip
5+3=8 -> five plus three equals eight
5 - 3 = 2 -> five minus three equals two
10 > 5 -> ten is greater than five
x² -> x squared
C++ and C# -> C plus plus and C sharp
18+ -> eighteen plus
100% -> one hundred percent
~5 -> about five
Tom & Jerry, 5-10 of them, #1 -> Tom and Jerry, five to ten of them, number one
R&amp;D -> R and D
and/or -> and or

Apt. 4B, Seat 4B, Row 12B, seat 12L -> Apartment four B, Seat four B, Row twelve B, seat twelve L
221B Baker Street -> two twenty-one B Baker Street
Room 101B -> Room one oh one B
3M tape and a 7B -> three M tape and a seven B
1.2M, 3.5B, 5M users and 2bn -> one point two million, three point five billion, five million users and two billion
a 401k or 401(k) plan -> a four oh one K or four oh one K plan
He is 6 ft. -> He is six feet.
He is 6 ft. tall, near Ft. Worth. -> He is six feet tall, near Fort Worth.
by .5 percent, -.25 or $.50 -> by zero point five percent, minus zero point two five or fifty cents
He hit .300. -> He hit zero point three zero zero.
I use .NET and .py files -> I use dot NET and dot py files
5$, 20 US$ and 5 $. -> five dollars, twenty US dollars and five dollars.
√9, 2√3, 10^3, 10⁶ and x^n -> the square root of nine, two times the square root of three, ten to the power of three, ten to the power of six and x to the power of n
№ 5 -> number five
20℃ -> twenty degrees Celsius
1 , 2 ! -> one, two!

Henry VIII -> Henry the Eighth
Louis XIV's -> Louis the Fourteenth's
World War II -> World War Two
Chapter IV -> Chapter four
Rocky II -> Rocky two
Size XL -> Size XL
Main St. -> Main Street.
On Main St. and Elm -> On Main Street and Elm
St. Paul -> Saint Paul
in St. Louis -> in Saint Louis
221B Baker St., London -> two twenty-one B Baker Street, London
123 Elm Dr. -> one twenty-three Elm Drive.
1600 Pennsylvania Ave -> sixteen hundred Pennsylvania Avenue
Dr. Smith met Mr. Jones, e.g. at No. 5. -> Doctor Smith met Mister Jones, for example at Number five.
Dr Smith -> Doctor Smith
Mr. Bennet -> Mister Bennet
Apples, etc. Then more, etc. and so on, etc. -> Apples, et cetera. Then more, et cetera and so on, et cetera.
The U.S. Navy -> The US Navy
in the U.S. -> in the US.
J. S. Bach -> J S Bach
OK. -> Okay.
NASA and the FBI met the CEO of IBM in the USA. -> NASA and the FBI met the CEO of IBM in the USA.

see https://example.com/a?b=1. -> see example dot com slash a question mark b equals one.
www.example.org -> www dot example dot org
example.com -> example dot com
john.doe@example.com -> john dot doe at example dot com
@user_name -> at user name
#HelloWorld -> hashtag Hello World
README.md -> README dot MD
Ｒｏｏｍ １２ -> Room twelve
snake_case -> snake case
"""
PAIRS = [tuple(line.split(" -> ")) for line in SAID.split("\n") if line]


@pytest.mark.parametrize(("written", "said"), PAIRS)
def test_english(written: str, said: str) -> None:
    assert normalize_text(written) == said


@pytest.mark.parametrize("said", sorted({said for _, said in PAIRS}))
def test_twice_is_once(said: str) -> None:
    assert normalize_text(said) == said


@pytest.mark.parametrize(
    ("language", "written", "said"),
    [
        ("de", "Am 3. Mai 2024", "Am dritten Mai zweitausendvierundzwanzig"),
        ("de", "3,50 € oder 20 €", "drei Euro und fünfzig Cent oder zwanzig Euro"),
        ("de-AT", "1.234 Leute, 3,14, -5 °C", None),
        ("fr", "Le 1er mai, 3,50 €", "Le premier mai, trois euros et cinquante centimes"),
        ("fr", "21 chiens, 10 %", "vingt et un chiens, dix pour cent"),
        ("es", "El 3 de mayo de 2024", "El tres de mayo de dos mil veinticuatro"),
        ("es", "1.234 personas", "mil doscientos treinta y cuatro personas"),
    ],
)
def test_other_languages(language: str, written: str, said: str | None) -> None:
    result = normalize_text(written, language)
    if said is not None:
        assert result == said
    assert not any(char.isdigit() for char in result)
    assert normalize_text(result, language) == result


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("0123456789 .,:/-$€%°CkgmstndrhMay#@&aApXIV'½²"), max_size=30))
def test_whatever_comes_is_said(text: str) -> None:
    assert not any(char in "0123456789" for char in normalize_text(text))


def test_languages() -> None:
    assert normalize_text("cani", "it") == "cani"
    with pytest.raises(
        LlasaError, match=r"^Numbers cannot be spelled out in 'it': valid are en, .*, zh\.$"
    ):
        normalize_text("5 cani", "it")
    with pytest.raises(LlasaError, match="'english' is not a language"):
        normalize_text("5", "english")


def test_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    assert normalize_text("今天很好。") == "今天很好。"
    monkeypatch.setitem(sys.modules, "wetext", None)
    with pytest.raises(LlasaError, match=r"package wetext .*: run pip install .*normalize-zh\]"):
        normalize_text("今天5度")
    monkeypatch.undo()
    pytest.importorskip("wetext")
    assert normalize_text("今天是5度。") == "今天是五度。"


def test_places() -> None:
    """What is said stands for what was written."""
    written = "It costs $3.50 at 5pm, Dr. Smith."
    said = normalized(Traced.of(written))
    start = said.text.index("three")
    assert written[slice(*said[start : start + 5].span)] == "$3.50"
    assert written[slice(*said[said.text.index("Doctor") + 2 :][:3].span)] == "r."
    assert written[slice(*said.span)] == written
