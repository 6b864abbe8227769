"""Run again what a folder recorded, and compare to the bit.

May import `inspection` and what lies below it.
Public names: `rerun.rerun`, `comparison.compare`, `report`.
"""
