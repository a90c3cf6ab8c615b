"""A relaxation of one's own, and the zoo's commands with it.

python examples/relaxation.py certify conv1.mnist_eps0.3_ibp --bound crown_ibp:half --n 500
"""

from zoo.cli import main
from zoo.relaxations import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import chord, stable


@relaxations.register("half")
class Half(Relaxation):
    """The lower line between 0 and z."""

    continuous, rational = False, True

    def __call__(self, lower, upper):
        return Slopes(stable(0.5, lower, upper), chord(lower, upper))


if __name__ == "__main__":
    main()
