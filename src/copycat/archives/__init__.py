"""Pack runs and sweeps into one file, unpack a stranger's safely, and clean folders of what nothing needs.

May import `sweeps` and what lies below it.
Public names: `packing.pack`, `unpacking.unpack`, `cleaning.find_removable`.
"""
