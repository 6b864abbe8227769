"""Inspect runs: the callbacks that measure training, and the pages made from run folders.

May import `training` and what lies below it.
Public names: `network.inspect_network`, and the packages below.
"""
