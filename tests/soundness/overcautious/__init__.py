"""Certifiers that prove less than they could, one a file, of the same form as the mutants.

They are sound: no attack finds them. Only a comparison with what ought to be proved does.
"""
