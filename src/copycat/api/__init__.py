"""Offer Copycat to Python: train, and read, use and repeat what was recorded.

May import every package but `cli`.
Public names: those of `copycat.__all__`, which `import copycat` loads when they are used.
"""
