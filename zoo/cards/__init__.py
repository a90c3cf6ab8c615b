"""Model cards: what a published model is, and what is claimed of it. No torch, no network.

card.py holds the fields, index.py finds models, page.py renders a card as README.md. Nothing is
imported here, as listing models must stay fast.
"""
