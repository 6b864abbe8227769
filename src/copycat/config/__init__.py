"""Compose words into one checked configuration, and build what its targets name.

Imports nothing of Copycat.
Public names: `compose.compose`, `errors.UserError`.
"""
