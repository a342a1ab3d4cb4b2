"""Markdown as a person would read it out."""

from __future__ import annotations

import pytest

from llasa.text import Form, Passage, Reading, Script, read_text

NOTE = """\
---
title: A note
---

## Getting started

First install the **package**, then run the `command` &amp; wait.
The second line \\*goes\\* on.

- [ ] Remember to __save__ your work.
- Item two
  goes on

  in a paragraph of its own

1. One
2. Two

See the [user guide](https://example.org/guide.html), ask [Siobhan](shivawn).

```python
x = 1

y = 2
```

| Name | Price |
|------|-------|
| Tea  | $2    |

> A quotation
> on two lines.

![A fox](fox.png) and <b>bold</b> words. <break time="1s"/> ~~Gone~~ end

<!-- nothing -->
"""
SAID = [
    "Getting started",
    "First install the package, then run the command and wait.",
    "The second line *goes* on.",
    "Remember to save your work.",
    "Item two goes on",
    "in a paragraph of its own",
    "one. One",
    "two. Two",
    "See the user guide, ask shivawn.",
    "Code example.",
    "Name, Price",
    "Tea, two dollars",
    "A quotation on two lines.",
    "A fox and bold words.",
    "Gone end",
]


def read(text: str, size: int | None = None) -> list[Passage]:
    reading = Reading(format_in="markdown")
    if size is None:
        return read_text(text, reading, Form(), 200, 0)
    script = Script(reading, Form(), 200, 0)
    parts = [p for i in range(0, len(text), size) for p in script.read(text[i : i + size])]
    return [*parts, *script.read("", final=True)]


def test_what_is_said() -> None:
    assert [part.text for part in read(NOTE)] == SAID


@pytest.mark.parametrize("size", [1, 3, 50, 1000])
def test_in_fragments(size: int) -> None:
    assert read(NOTE, size) == read(NOTE)


@pytest.mark.parametrize("end", ["\u2028", "\x85", "\x0b"])
def test_lines_end_where_markdown_says_so(end: str) -> None:
    text = f"One{end}{end}two three.\n\nFour.\n"
    assert [part.text for part in read(text, 1)] == [part.text for part in read(text)]
    assert len(read(text)) == 2


def test_what_is_shown() -> None:
    shown = [NOTE[slice(*part.span)] for part in read(NOTE)]
    assert shown[0] == "Getting started"
    assert shown[1] == "First install the **package**, then run the `command` &amp; wait."
    assert shown[8].startswith("See the [user guide](https://example.org/guide.html), ask [Siobhan")
    assert shown[9] == "```python\nx = 1\n\ny = 2\n```\n"
    assert shown[-1] == "Gone~~ end"


def test_pauses() -> None:
    pauses = {part.text: part.pause for part in read(NOTE)}
    assert pauses["Getting started"] > pauses["Tea, two dollars"]
    assert [part.before > 0 for part in read(NOTE)] == [False] * 14 + [True]


def test_as_a_plain_text_marks_are_kept() -> None:
    (part,) = read_text("**so**", Reading(), Form(), 100, 0)
    assert part.text == "**so**"
