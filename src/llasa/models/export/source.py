"""What all exports of a language model share: its parts, tokens and chat template."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from llasa.base.errors import LlasaError
from llasa.base.files import published_folder
from llasa.base.hub import find_folder
from llasa.lm.checkpoint import load_llama, stored_dtype
from llasa.lm.llama import Llama
from llasa.models.find import find_lm
from llasa.models.folder import DESCRIPTOR, ModelConfig, is_model_folder
from llasa.vocabulary.prompts import SYSTEM_TEXT, TASKS
from llasa.vocabulary.tokenizer import CONTROL_TOKENS, phone_token
from llasa.vocabulary.vocabulary import Vocabulary

_CONTENT = """\
{%- if message['role'] == 'user' and '$start' not in message['content'] -%}
$instruction$start{{ $prefix message['content'] }}$end
{%- else -%}
{{ message['content'] }}
{%- endif -%}"""
_COMPACT = f"""\
{{%- for message in messages -%}}
{{%- if message['role'] != 'system' -%}}
{_CONTENT}
{{%- endif -%}}
{{%- endfor -%}}
{{%- if add_generation_prompt -%}}$answer{{%- endif -%}}"""
_LLAMA3 = f"""\
<|begin_of_text|><|start_header_id|>system<|end_header_id|>{{{{ $system }}}}<|eot_id|>
{{%- for message in messages -%}}
{{%- if message['role'] != 'system' -%}}
<|start_header_id|>{{{{ message['role'] }}}}<|end_header_id|>{{{{ '\\n\\n' }}}}
{_CONTENT}
{{%- if message['role'] == 'user' or not loop.last -%}}<|eot_id|>{{%- endif -%}}
{{%- endif -%}}
{{%- endfor -%}}
{{%- if add_generation_prompt -%}}
<|start_header_id|>assistant<|end_header_id|>{{{{ '\\n\\n' }}}}$answer
{{%- endif -%}}"""


@dataclass(frozen=True)
class ExportSource:
    """A language model in the precision that it is stored in, and its vocabulary."""

    llama: Llama
    vocabulary: Vocabulary
    sampling: dict[str, Any]
    """Defaults of the model; empty for a folder with nothing but a language model."""
    name: str

    @classmethod
    def open(cls, model: str | Path) -> ExportSource:
        """Of a shipped model, a model folder, a folder with a language model, or a hub id.

        Raises `LlasaError` where that is none, or damaged.
        """
        folder = find_folder(find_lm(model))
        vocabulary = Vocabulary.load(folder)
        llama = load_llama(folder, stored_dtype(folder))
        if llama.config.vocab_size < vocabulary.size:
            raise LlasaError(
                f"{folder} has a vocabulary of {vocabulary.size:,} tokens, but weights of only "
                f"{llama.config.vocab_size:,}: the files belong to different models."
            )
        sampling: dict[str, Any] = {}
        name = Path(model).name
        if is_model_folder(folder.parent):
            settings = ModelConfig.read(folder.parent / DESCRIPTOR)
            sampling, name = settings.sampling, settings.name
        return cls(llama, vocabulary, sampling, name)

    @property
    def start(self) -> int:
        """What Transformers and llama.cpp call the token at the beginning."""
        first = self.vocabulary.added_tokens.get("<|begin_of_text|>")
        return self.vocabulary.control_id("TEXT_UNDERSTANDING_START") if first is None else first


def speech_tokens(vocabulary: Vocabulary) -> list[str]:
    """Names of all tokens after the base tokenizer's: control tokens, codes, phones."""
    codes = (f"<|s_{code}|>" for code in range(vocabulary.codebook_size))
    return [*CONTROL_TOKENS, *codes, *map(phone_token, vocabulary.phones)]


def chat_template(vocabulary: Vocabulary, prefix: str = "") -> str:
    """A Jinja template whose text becomes the ids of `Vocabulary.tts_prompt`.

    The user's message is what is spoken, unless it holds the control tokens itself. The answer may
    be begun with `<|SPEECH_GENERATION_START|>` and the codes of a recording. The system turn is
    that of the training. `prefix` comes before each text that is spoken.
    """
    instruction, given, said = TASKS["tts"]
    start, end, answer = f"<|{given}_START|>", f"<|{given}_END|>", f"<|{said}_START|>"
    compact = vocabulary.style == "compact"
    return Template(_COMPACT if compact else _LLAMA3).substitute(
        start=start,
        end=end,
        answer=answer,
        instruction="" if compact else instruction,
        prefix=f"{prefix!r} +" if prefix else "",
        system=repr(SYSTEM_TEXT),
    )


@contextmanager
def new_folder(out: str | Path) -> Iterator[Path]:
    """A temporary folder that is renamed to `out` at the end; `LlasaError` if `out` exists."""
    out = Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise LlasaError(f"{out} exists: name a folder that does not.")
    with published_folder(out.absolute()) as folder:
        yield folder
