"""The command line: zoo VERB, one file a verb. Results on stdout, everything else on stderr."""

from zoo.cli.app import main

__all__ = ["main"]
