"""Hands the run's hyper-parameters to its loggers."""

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

GROUPS = ("model", "data", "trainer", "callbacks", "task_name", "tags", "ckpt_path", "seed")


def log_hyperparameters(cfg: DictConfig, *, model: pl.LightningModule, trainer: pl.Trainer) -> None:
    """The configuration's main groups, and the counts of the model's parameters."""
    config = OmegaConf.to_container(cfg, resolve=True)
    found = {group: config.get(group) for group in GROUPS}
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    found["model/params/total"] = sum(size for size, _ in sizes)
    found["model/params/trainable"] = sum(size for size, trains in sizes if trains)
    found["model/params/non_trainable"] = sum(size for size, trains in sizes if not trains)
    for logger in trainer.loggers:
        logger.log_hyperparams(found)
