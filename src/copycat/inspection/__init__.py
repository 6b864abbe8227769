"""Look into runs: what is measured while they train, and the pages made of their folders.

May import `training` and what lies below it.
Public names: `network.inspect`, and the packages below.
"""
