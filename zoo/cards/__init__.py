"""Model cards: what a published model is, and what is claimed of it. No torch, no network."""

from zoo.cards.card import Card, Counts, Curve
from zoo.cards.index import IndexEntry, info, list_models, read_index

__all__ = ["Card", "Counts", "Curve", "IndexEntry", "info", "list_models", "read_index"]
