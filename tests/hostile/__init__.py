"""Files that were made to harm: none is used, run or waited for, and each gets a clear error.

Run by themselves with ``pytest tests/hostile --full`` these tests take their full counts.
"""
