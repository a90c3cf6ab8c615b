"""Relaxations of ReLU: pure functions of the ends of its input, which choose slopes.

That is all a relaxation is. The offsets of its lines follow (zoo.relaxations.lines), so that
whatever it chooses, the lines enclose the ReLU. Adding one = adding a file, here or in another
package.
"""

from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import Lines, lines

__all__ = ["Lines", "Relaxation", "Slopes", "lines", "relaxations"]
