"""Uploading a model folder to the Hugging Face hub, with a model card."""

from __future__ import annotations

import yaml

from llasa.base.errors import LlasaError, first_line
from llasa.base.hub import MODEL_FILES, is_hub_id
from llasa.models.folder import CARD, ModelFiles

_MARK = "---\n"


def publish(
    files: ModelFiles,
    repo_id: str,
    private: bool | None = None,
    token: str | None = None,
    message: str | None = None,
) -> str:
    """Upload a model folder, then its card, to a repository that is made where there is none.

    Returns its address. Raises `LlasaError` where the model is not a folder, or the hub refuses.
    """
    if files.root is None:
        raise LlasaError("Only a model folder can be uploaded: make one with 'llasa pack'.")
    if not is_hub_id(repo_id):
        raise LlasaError(f"{repo_id!r} is not a hub id: give owner/name.")
    from huggingface_hub import HfApi

    message = message or f"Upload {files.settings.name}"
    api = HfApi(token=token)
    try:
        address = api.create_repo(repo_id, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo_id,
            folder_path=files.root,
            commit_message=message,
            allow_patterns=[*MODEL_FILES],
            ignore_patterns=[CARD],
        )
        api.upload_file(
            path_or_fileobj=model_card(files, repo_id).encode(),
            path_in_repo=CARD,
            repo_id=repo_id,
            commit_message=f"{message}: model card",
        )
    except (OSError, ValueError) as error:  # those of the hub are among them
        raise LlasaError(
            f"{repo_id} could not be uploaded ({first_line(error)}): check the name and the "
            "connection, and log in with 'hf auth login'."
        ) from error
    return str(address)


def model_card(files: ModelFiles, repo_id: str) -> str:
    """The model card for the hub: metadata, the model's own text, and how to use it."""
    card = files.card()
    if card.startswith(_MARK):
        return card
    about: dict[str, object] = {"library_name": "llasa", "pipeline_tag": "text-to-speech"}
    if files.settings.languages:
        about["language"] = list(files.settings.languages)
    use = f'import llasa\n\ntts = llasa.from_pretrained("{repo_id}")\ntts("Hello.").play()'
    head = yaml.safe_dump(about, sort_keys=False)
    return f"{_MARK}{head}{_MARK}\n{card.rstrip()}\n\n## Use\n\n```python\n{use}\n```\n"
