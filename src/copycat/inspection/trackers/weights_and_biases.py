"""Weights & Biases, online or offline."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from copycat.inspection.trackers.tracker import Row, TrackedRun, Tracker


class WandbLogger(Tracker):
    """Send a run to Weights & Biases.

    Args:
        folder: the run folder.
        save_dir: folder of W&B's own files, in its sub-folder wandb.
        project: W&B project.
        entity: W&B user or team; None: the account's default.
        mode: `online`, `offline` or `disabled`; None: the variable WANDB_MODE, else `online`.
        run_name: name of the run; None: its folder's, below `output_dir`.
        timeout: seconds to wait for W&B at the start, and for the uploads at the end.
        log_model: upload the final weights.
    """

    package = "wandb"
    name = "wandb"

    def __init__(
        self,
        folder: str,
        *,
        save_dir: str,
        project: str = "copycat",
        entity: str | None = None,
        mode: str | None = None,
        run_name: str | None = None,
        timeout: float = 90,
        log_model: bool = True,
    ) -> None:
        """Keep the settings."""
        super().__init__(folder, log_model=log_model)
        self._settings: dict[str, Any] = {"dir": save_dir, "project": project, "entity": entity, "mode": mode}
        self._run_name, self._timeout = run_name, timeout
        self._run: Any = None

    @property
    def save_dir(self) -> str:
        """Return the folder of W&B's files."""
        return str(self._settings["dir"])

    @property
    def experiment(self) -> Any:
        """Return the `wandb.Run`, for a user's callback."""
        return self._run

    def connect(self, run: TrackedRun) -> str:
        """Begin a W&B run, beside others of this process, or resume one."""
        import wandb

        self._run = wandb.init(
            **self._settings,
            id=run.run_id,
            resume="allow",
            reinit="create_new",
            name=self._run_name or run.name,
            group=run.sweep,
            config=dict(run.config),
            allow_val_change=True,  # a resumed run may have more epochs
            settings=wandb.Settings(
                console="off", silent=True, init_timeout=self._timeout, finish_timeout=self._timeout
            ),
        )
        self._run.define_metric("epoch")
        self._run.define_metric("*", step_metric="epoch")
        return str(self._run.id)

    def count_sent(self, recorded: int) -> int:
        """Return the number of epochs on the server; offline none, as each folder is to hold the whole run.

        A killed process may leave an offline folder empty, and uploading a later one replaces what an earlier one sent.
        """
        return 0 if self._run.offline else min(recorded, int(self._run.step))

    def send(self, rows: Sequence[Row]) -> None:
        """Log each epoch as a step; W&B merges into the last one what belongs to no epoch."""
        for epoch, row in rows:
            self._run.log({"epoch": epoch, **row}, step=epoch)

    def send_image(self, tag: str, content: bytes, step: int) -> None:
        """Log an image beside the metrics of its epoch."""
        import wandb

        with Image.open(BytesIO(content)) as image:
            # a later step would leave no place for the first epoch of a run that is extended
            self._run.log({tag: wandb.Image(image)}, step=max(0, self._sent - 1))

    def send_file(self, path: Path) -> None:
        """Log a file as a version of an artifact of the run, without a copy in W&B's cache."""
        import wandb

        kind = "model" if path.suffix == ".safetensors" else "run"
        artifact = wandb.Artifact(f"{path.stem}-{self.run_id}", type=kind)
        artifact.add_file(str(path), policy="immutable")
        self._run.log_artifact(artifact)

    def finish(self, status: str, final: Mapping[str, float], *, step: int) -> None:
        """Write the summary and end the run."""
        self._run.summary.update({**final, "status": status})
        self._run.finish(exit_code=0 if status in ("completed", "pruned") else 1)
