"""Load, split and augment images, and give batches to the Trainer.

May import `config`.
Public names: `datamodule.DataModule`, `split.Part`.
"""
