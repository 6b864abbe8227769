"""The exit statuses of every command."""

DONE, FAILED, USAGE_ERROR, INTERRUPTED = 0, 1, 2, 130
"""USAGE_ERROR: the call was wrong. INTERRUPTED: what a shell reports for a program that Ctrl-C ended."""
