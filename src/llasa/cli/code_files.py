"""Files of codes: .npy (codes alone), .safetensors and .json (with the codec they belong to)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import read_bytes, write_atomic
from llasa.base.names import did_you_mean

SUFFIXES = (".npy", ".safetensors", ".json")


def check_suffix(path: str) -> str:
    """The suffix; `LlasaError` for one that is not among `SUFFIXES`."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise LlasaError(
            f"{path} is not a file of codes: end it in {', '.join(SUFFIXES)}."
            f"{did_you_mean(suffix, SUFFIXES)}"
        )
    return suffix


def write_codes(path: str, codes: NDArray[np.int64], codec: str, frame_rate: float) -> None:
    """Write codes (n,) and, but for .npy, the id of their codec, in one step."""
    suffix = check_suffix(path)
    if suffix == ".json":
        values = {"codec": codec, "frame_rate": frame_rate, "codes": codes.tolist()}
        data = jsonl.render(values)
    elif suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, codes.astype(np.int32))
        data = buffer.getvalue()
    else:
        from safetensors.numpy import save

        about = {"codec": codec, "frame_rate": repr(frame_rate)}
        data = save({"codes": codes.astype(np.int32)}, metadata=about)
    write_atomic(path, data)


def read_codes(path: str) -> tuple[NDArray[np.int64], str]:
    """Codes (n,) and the id of their codec ("" where the file does not tell)."""
    suffix, data = check_suffix(path), read_bytes(Path(path), "a file of codes")
    about: Mapping[str, str] = {}
    try:
        if suffix == ".json":
            about = jsonl.parse_object(data, path)
            found: Any = about["codes"]
        elif suffix == ".npy":
            found = np.load(io.BytesIO(data), allow_pickle=False)
        else:
            from safetensors import safe_open

            with safe_open(path, framework="numpy") as file:
                found, about = file.get_tensor("codes"), file.metadata() or {}
        codes, codec = np.asarray(found), str(about.get("codec", ""))
    except Exception as error:  # damaged bytes can raise anything
        raise LlasaError(f"{path} is damaged: it holds no codes.") from error
    # X-codec2's own tools write (1, 1, n).
    codes = codes.reshape(-1) if codes.size and codes.size == max(codes.shape, default=0) else codes
    if codes.ndim != 1 or not codes.size or codes.dtype.kind not in "iu":
        raise LlasaError(f"{path} is damaged: codes are a list of whole numbers.")
    return codes.astype(np.int64), codec
