"""The networks as plain modules, their losses and metrics, and the LightningModule around them.

May import `config`.
Public names: `networks`, `losses.Loss`, `classifier.Classifier`.
"""
