"""A run's command, configuration, fingerprints and rerun command among TensorBoard's texts."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import text

from copycat.inspection.callbacks.inspector import Inspector, tensorboard_loggers
from copycat.records.run_folder import CONFIG, read_manifest
from copycat.training.run_context import RunContext

CODE_KEYS = ("version", "digest", "commit")
ENVIRONMENT_KEYS = ("python", "platform", "cpu", "cores", "threads", "accelerator", "precision", "packages_digest")


class Texts(Inspector):
    """Write a run's command, configuration and fingerprints, read from the run folder at its start.

    An extension changes command and configuration: they are written once more at its end.
    """

    def on_run_start(self, context: RunContext) -> None:
        """Write the texts to TensorBoard."""
        if tensorboard_loggers(context.loggers):
            _write(context, read_manifest(context.folder))

    def on_run_end(self, context: RunContext) -> None:
        """Write the texts of an extended run."""
        if tensorboard_loggers(context.loggers):
            manifest = read_manifest(context.folder)
            if any(key.startswith("max_") for entry in manifest["resumed"] for key in entry):
                _write(context, manifest)


def _write(context: RunContext, manifest: Mapping[str, Any]) -> None:
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
