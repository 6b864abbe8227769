"""Change training images at random.

May import `data` and `config`.
Public names: `transforms.Augmentation`, `mixing.MixUp`, `mixing.CutMix`, `pipeline.Pipeline`.
"""
