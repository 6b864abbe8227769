"""A run's command, configuration, fingerprints and rerun command among TensorBoard's texts."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import text

from copycat.inspection.callbacks.inspector import Inspector, boards
from copycat.records.run_folder import CONFIG, read_manifest
from copycat.training.run_context import RunContext

OF_CODE = ("version", "digest", "commit")
OF_ENVIRONMENT = ("python", "platform", "cpu", "cores", "threads", "accelerator", "precision", "packages_digest")


class Texts(Inspector):
    """Write a run's command, configuration and fingerprints, read from the run folder at its start."""

    def on_run_start(self, context: RunContext) -> None:
        """Write the texts to TensorBoard."""
        if not (found := boards(context.loggers)):
            return
        manifest = read_manifest(context.folder)
        folder = shlex.quote(str(context.folder))
        asked = manifest["request"]
        said = {
            "run/command": _block(shlex.join(["copycat", "train", *asked["overrides"]])),
            "run/rerun": _block(f"copycat rerun {folder}\ncopycat resume {folder}\ncopycat report {folder}"),
            "run/fingerprint": _block(json.dumps(_fingerprint(manifest["provenance"]), indent=2, ensure_ascii=False)),
            "run/config": _block((context.folder / CONFIG).read_text(encoding="utf-8")),
        }
        texts = Summary()
        for tag, words in said.items():
            texts.MergeFrom(text(tag, words))  # type: ignore[no-untyped-call]
        for board in found:
            board.write(texts)


def _fingerprint(ran_on: Mapping[str, Any]) -> dict[str, Any]:
    code, environment = ran_on["code"], ran_on["environment"]
    packages = environment.get("packages") or {}
    return {
        "code": {name: code.get(name) for name in OF_CODE},
        "environment": {name: environment.get(name) for name in OF_ENVIRONMENT},
        "packages": {name: packages.get(name) for name in ("torch", "pytorch-lightning", "hydra-core", "numpy")},
        "data": ran_on["data"],
    }


def _block(words: str) -> str:
    """Return text as a Markdown code block."""
    return "\n".join(f"    {line}" for line in words.splitlines())
