"""Draw the synthetic images: cats against other animals and objects, the same pixels on every machine.

Imports `data/` and `config/`. Public: `dataset.Drawn`, the source of `data=drawn`.
"""
