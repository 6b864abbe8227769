"""Train the lecture's job as a project in the Lightning–Hydra template's pattern.

    python train.py trainer.max_epochs=200 model.optimizer.lr=1e-3 seed=123
    python train.py -m model.optimizer.lr=1e-4,1e-3,1e-2        Hydra's basic launcher: one trial after the other

COPYCAT_DATA names the folder of the h5 files. Each trial ends with the line of results that ../../peers.py reads.
"""

import json
import logging
import time
from importlib.metadata import version
from typing import Any

import hydra
import pytorch_lightning as pl
from hyperparameters import log_hyperparameters
from instantiators import instantiate_all
from omegaconf import DictConfig
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger

log = logging.getLogger(__name__)
PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "hydra-core", "rich", "tensorboard")


def train(cfg: DictConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train and test; return the metrics, and the objects built, by name."""
    pl.seed_everything(cfg.seed, workers=True)

    log.info("Instantiating data <%s>", cfg.data._target_)
    datamodule: pl.LightningDataModule = hydra.utils.instantiate(cfg.data)
    log.info("Instantiating model <%s>", cfg.model._target_)
    model: pl.LightningModule = hydra.utils.instantiate(cfg.model)
    callbacks: list[Callback] = instantiate_all(cfg.get("callbacks"))
    loggers: list[Logger] = instantiate_all(cfg.get("logger"))
    log.info("Instantiating trainer <%s>", cfg.trainer._target_)
    trainer: pl.Trainer = hydra.utils.instantiate(cfg.trainer, callbacks=callbacks, logger=loggers)

    if loggers:
        log_hyperparameters(cfg, model=model, trainer=trainer)

    started = time.perf_counter()
    if cfg.train:
        trainer.fit(model, datamodule=datamodule, ckpt_path=cfg.ckpt_path)
    built = {"model": model, "datamodule": datamodule, "trainer": trainer, "seconds": time.perf_counter() - started}
    train_metrics = dict(trainer.callback_metrics)

    if cfg.test:
        best = trainer.checkpoint_callback.best_model_path if trainer.checkpoint_callback else ""
        # the module's hyper-parameters hold a partial, which torch's safe unpickler refuses
        trainer.test(model, datamodule=datamodule, ckpt_path=best or None, weights_only=False)
    return {**train_metrics, **trainer.callback_metrics}, built


@hydra.main(version_base="1.3", config_path="configs", config_name="train.yaml")
def main(cfg: DictConfig) -> float | None:
    """Train one run, or a trial of a sweep, and return the metric to optimize."""
    metrics, built = train(cfg)
    if cfg.train:
        result = {"seconds": built["seconds"], "loss": metrics["train/loss"].item()}
        print("\n" + json.dumps(result | {"versions": {package: version(package) for package in PACKAGES}}))
    return metrics[cfg.optimized_metric].item() if cfg.optimized_metric else None


if __name__ == "__main__":
    main()
