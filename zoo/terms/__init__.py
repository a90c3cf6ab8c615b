"""Terms: what a training loss is a sum of, scalars of one batch. Adding one = adding a file."""

from zoo.terms.base import AnyTerm, Term, terms, total
from zoo.terms.view import View

__all__ = ["AnyTerm", "Term", "View", "terms", "total"]
