"""Attacks: what a certificate must survive. Adding one = adding a file."""

from zoo.attacks.base import Attack, attack, attacks

__all__ = ["Attack", "attack", "attacks"]
