"""Define networks as plain modules, losses and metrics, and the LightningModule that trains them.

May import `config`.
Public names: `networks`, `losses.Loss`, `classifier.Classifier`.
"""
