"""The model card as a page: README.md of a weight folder, in the Hugging Face layout."""

from __future__ import annotations

import statistics
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from zoo.cards.card import Card
from zoo.data.names import CAVEATS
from zoo.eps import format_eps

# Bounds that the stand-alone checker proves by.
CHECKED = (
    *("lipschitz", "interval", "best"),
    *("crown_ibp", "crown_ibp_zero", "cap_ibp", "smooth_tight"),
)
_PAGE = """\
---
{{ front_matter }}---
# {{ card.name }}

{{ card.source }}. Certified on {{ card.data }} within ε = {{ eps }} (ℓ∞, pixels in [0, 1]\
{{ ", perturbed images stay in [0, 1]" if card.clip }}), \
{{ card.counts.n }} {{ card.split }} images.

{% if card.data in caveats %}
**{{ caveats[card.data] }}**

{% endif %}
| | images | % |
|---|---|---|
| classified correctly | {{ card.counts.n_clean }} | {{ "%.2f" | format(card.clean_acc) }} |
| under attack, {{ card.attack }} | \
{{ card.counts.n_certified + card.counts.n_unknown }} | \
{{ "%.2f" | format(card.empirical_acc) if card.empirical_acc is not none else "" }} |
| **certified (A and B)** | **{{ card.counts.n_certified }}** | \
**{{ "%.2f" | format(card.certified_acc) }}** |
| A: the exact function of these float32 weights | {{ card.counts.n_certified_a }} | \
{{ "%.2f" | format(card.percent(card.counts.n_certified_a)) }} |
| B: the {{ card.dtype }} program on every {{ card.dtype }} image in the box | \
{{ card.counts.n_certified_b }} | {{ "%.2f" | format(card.percent(card.counts.n_certified_b)) }} |
| the same bound, rounding ignored | {{ card.counts.n_certified_naive }} | \
{{ "%.2f" | format(card.percent(card.counts.n_certified_naive)) }} |
{% for name, value in card.reported.items() %}
| {{ name }}, as the paper reports it | | {{ value }} |
{% endfor %}

A: certified in real arithmetic for the published weights. B: certified for this {{ card.dtype }}
program on every {{ card.dtype }} image in the ball. Both are checked without tolerance; the ball is
centred at the stored pixels, and ε = {{ eps }} is exact.

Bound: {{ card.bound }}. Verdict of every image: `certificates.csv`\
{{ " (sha256 `%s`)" % card.certificates_sha256 if card.certificates_sha256 }}.
{% if card.slack %}
Rounding cost margins {{ "%.2g" | format(card.slack.mean) }} logits on average, \
{{ "%.2g" | format(card.slack.largest) }} at most.
{% endif %}
{% if card.logits_sha256 %}
Logits of the whole split, the same bits on every IEEE machine: sha256 `{{ card.logits_sha256 }}`.
{% endif %}
Weights: sha256 `{{ card.sha256 }}`, {{ card.params }} parameters, {{ card.bytes }} bytes.
Test split: sha256 `{{ card.split_sha256 }}`.

## Use

```python
import zoo

model = zoo.load("{{ card.name }}")
report = zoo.evaluate(model)
```

## Check

```
zoo certify --check {{ card.name }}
{% if card.bound not in checked %}
{% elif card.data in ("digits", "mnist") %}
python tools/check_certificates.py weights/{{ card.name }}   # numpy alone
{% else %}
python -c "import numpy, zoo.data.load as zoo; images = zoo.load_data('{{ card.data }}'); \
numpy.savez('test.npz', x_NCHW=images.x_NCHW, y_N=images.y_N)"
python tools/check_certificates.py weights/{{ card.name }} --data test.npz   # numpy alone
{% endif %}
```

## Make again

```
{% if card.pruned_from %}
zoo prune {{ card.pruned_from }} --out FOLDER
{% elif card.averaged_from %}
zoo average {% for member in card.averaged_from %}{{ member.name }} {% endfor %}\
--views {{ card.arch_args["views"] | join(",") }} --name {{ card.name }} --out FOLDER
{% else %}
zoo train {{ card.name }} seed={{ card.training.seed }}\
{{ " --from %s" % card.training.init if card.training.init }}
{% endif %}
```

{% if card.pruned_from %}
The edges of {{ card.pruned_from }} (sha256 `{{ card.pruned_from_sha256 }}`) that win the maximum of
their neuron for at least one training image; that net was trained so:
{% endif %}
{% if card.averaged_from %}
The mean of the logits of these nets, each shown the image in these ways: \
{{ card.arch_args["views"] | join(", ") }}.

{% for member in card.averaged_from %}
- {{ member.name }} (sha256 `{{ member.sha256 }}`)
{% endfor %}

The first of them was trained so:
{% endif %}

Seed {{ card.training.seed }}, commit `{{ card.training.commit }}`, torch {{ card.training.torch }},
{{ card.training.seconds }} s on {{ card.training.device }}\
{{ ", %d thread(s)" % card.training.threads if card.training.threads }}. \
{{ "Training started from %s (sha256 `%s`). " % (card.training.init, card.training.init_sha256) \
if card.training.init }}\
{% set taught = card.training.teacher, card.training.teacher_sha256 %}
{{ "Soft labels came from %s (sha256 `%s`). " % taught if card.training.teacher }}\
The weights are those of epoch {{ card.training.selected_epoch }}, chosen without test images.
{% if card.siblings %}

| seed | validation, certified % | classified correctly | certified (A and B) | seconds |
|---|---|---|---|---|
{% for each in card.seeds %}
| {{ each.seed }} | {{ "%.2f" | format(each.validation_certified_acc) }} | {{ each.n_clean }} | \
{{ each.n_certified }} | {{ each.seconds }} |
{% endfor %}

Seed {{ card.training.seed }} is published, chosen by validation images. All \
{{ card.seeds | length }} certify {{ "%.2f" | format(mean) }} % on average, standard deviation \
{{ "%.2f" | format(spread) }}.
{% endif %}
{% if card.learning_curves %}

![learning curves]({{ card.learning_curves }})
{% endif %}
"""


def render_page(card: Card) -> str:
    """README.md of a card."""
    environment = Environment(undefined=StrictUndefined, autoescape=False, trim_blocks=True)
    front_matter = yaml.safe_dump(_front_matter(card), sort_keys=False, allow_unicode=True)
    page = environment.from_string(_PAGE)
    certified = [100 * each.n_certified / card.counts.n for each in card.seeds]
    return page.render(
        card=card,
        eps=format_eps(card.eps),
        front_matter=front_matter,
        caveats=CAVEATS,
        checked=CHECKED,
        mean=statistics.mean(certified),
        spread=statistics.stdev(certified) if len(certified) > 1 else 0.0,
    )


def _front_matter(card: Card) -> dict[str, Any]:
    """Metadata that the Hub reads, results in its model-index form."""
    metrics: list[dict[str, Any]] = [
        {"type": "accuracy", "value": card.clean_acc},
        {
            "type": "certified_accuracy",
            "value": card.certified_acc,
            "args": {"norm": card.norm, "eps": format_eps(card.eps), "bound": card.bound},
        },
    ]
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"type": card.data, "name": card.data, "split": card.split},
        "metrics": metrics,
    }
    return {
        "license": card.license.lower(),
        "library_name": "zoo",
        "pipeline_tag": "image-classification",
        "tags": ["certified-robustness", "linf"],
        "model-index": [{"name": card.name, "results": [result]}],
    }
