"""Text on its way to speech: what people type is what is heard.

`Script` is the gate: `clean` (any text) -> `structure` or `markdown` (paragraphs, lists, pauses,
`sentences`) -> `lexicon` (names) -> `normalize` (numbers, signs) -> `form` (what a model has seen).
"""

from llasa.text.clean import MAX_CHARS, check_text, clean_text, no_words
from llasa.text.form import PLAIN, Form
from llasa.text.lexicon import Lexicon, read_lexicon, user_lexicon
from llasa.text.normalize import LANGUAGES, normalize_text
from llasa.text.passages import FORMATS, READING, Passage, Reading, Script, TextFormat, read_text
from llasa.text.sentences import pause_after, split_sentences
from llasa.text.splitting import CHUNK_CHARS

__all__ = [
    "CHUNK_CHARS",
    "FORMATS",
    "LANGUAGES",
    "MAX_CHARS",
    "PLAIN",
    "READING",
    "Form",
    "Lexicon",
    "Passage",
    "Reading",
    "Script",
    "TextFormat",
    "check_text",
    "clean_text",
    "no_words",
    "normalize_text",
    "pause_after",
    "read_lexicon",
    "read_text",
    "split_sentences",
    "user_lexicon",
]
