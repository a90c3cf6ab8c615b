"""Training that survives anything: faults planted, signals sent, files damaged; results counted.

Run by themselves with ``make faults`` these tests take their full counts, else a few of each kind.
A package, so that its conftest does not hide that of the tests around it.
"""
