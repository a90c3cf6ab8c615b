"""Soundness bugs, one a file: each makes certificates wrong, and a hunt must find it.

A module here has

    plant(patch)   plants the bug with pytest's MonkeyPatch
    PITFALL        its number in the table of tests/soundness/pitfalls.py, or None
    HUNTS          the hunts that find it, the most telling first

A bug is found because its file lies in this folder; every real one that turns up is added to them.
"""
