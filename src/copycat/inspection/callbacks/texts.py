"""A run's command, configuration, fingerprints and rerun command among TensorBoard's texts."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import text

from copycat.inspection.callbacks.inspector import Inspector, tensorboard_loggers
from copycat.records.run_folder import CONFIG
from copycat.training.run_context import RunContext

CODE_KEYS = ("version", "digest", "commit")
ENVIRONMENT_KEYS = ("python", "platform", "cpu", "cores", "threads", "accelerator", "precision", "packages_digest")


class Texts(Inspector):
    """Write a run's command, configuration and fingerprints at its start.

    An extension changes command and configuration: they are written once more at its end.
    """

    def on_run_start(self, context: RunContext) -> None:
        """Write the texts to TensorBoard."""
        if tensorboard_loggers(context.loggers):
            _write(context)

    def on_run_end(self, context: RunContext) -> None:
        """Write the texts of an extended run."""
        is_extended = any(key.startswith("max_") for entry in context.manifest.get("resumed", ()) for key in entry)
        if is_extended and tensorboard_loggers(context.loggers):
            _write(context)


def _write(context: RunContext) -> None:
    manifest = context.manifest
    folder = shlex.quote(str(context.folder))
    fingerprint = json.dumps(_fingerprint(manifest["provenance"]), indent=2, ensure_ascii=False)
    contents = {
        "run/command": _code_block(shlex.join(["copycat", "train", *manifest["request"]["overrides"]])),
        "run/rerun": _code_block(f"copycat rerun {folder}\ncopycat resume {folder}\ncopycat report {folder}"),
        "run/fingerprint": _code_block(fingerprint),
        "run/config": _code_block((context.folder / CONFIG).read_text(encoding="utf-8")),
    }
    texts = Summary()
    for tag, content in contents.items():
        texts.MergeFrom(text(tag, content))  # type: ignore[no-untyped-call]
    for logger in tensorboard_loggers(context.loggers):
        logger.write(texts, context.epochs)


def _fingerprint(provenance: Mapping[str, Any]) -> dict[str, Any]:
    code, environment = provenance["code"], provenance["environment"]
    packages = environment.get("packages") or {}
    return {
        "code": {name: code.get(name) for name in CODE_KEYS},
        "environment": {name: environment.get(name) for name in ENVIRONMENT_KEYS},
        "packages": {name: packages.get(name) for name in ("torch", "pytorch-lightning", "hydra-core", "numpy")},
        "data": provenance["data"],
    }


def _code_block(content: str) -> str:
    """Return text as a Markdown code block."""
    return "\n".join(f"    {line}" for line in content.splitlines())
