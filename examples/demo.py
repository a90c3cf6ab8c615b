"""Certify the default model on real handwritten digits, attack it, and draw its curve."""

from pathlib import Path

import zoo
from zoo.attacks.pgd import PGD
from zoo.cli.certify import print_rows

NAME = "linf_dist_mlp3.digits_eps0.1"

model = zoo.load(NAME)

# Every test image at the eps that the model is published for: proved, and attacked.
at_claim = zoo.evaluate(model, attack=PGD(steps=20))
print_rows(list(at_claim.rows), json=False, quiet=False, verbose=False)
row = at_claim.rows[0]
print(
    f"{row.n_certified} of {row.n} images are certified: their class cannot change, whatever is "
    f"done to each\npixel within {row.eps} of the grey scale. {row.attack} attacked the\n"
    f"{row.n_clean} images that are classified correctly and fooled the model on "
    f"{row.n_falsified}, none of them certified.\n"
)

# The whole curve comes from one forward pass: the margin of an image is twice its radius.
curve = zoo.evaluate(model, eps="0:0.2:41", attack=None)
folder = Path("demo")
folder.mkdir(exist_ok=True)
curve.to_csv(folder / "curve.csv")
print("curve:", zoo.plot(folder / "curve.csv", path=folder / "curve.png"))
