"""What a recipe says. Checked without torch; every key is known or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from zoo.architectures import check_architecture, check_values
from zoo.data.names import check_data_name
from zoo.eps import format_eps
from zoo.fields import BoundName, EpsField, Number, Strict, by_name
from zoo.names import is_name, parse_name
from zoo.objectives import Objective, objectives
from zoo.schedules import Constant, Schedule
from zoo.terms import Term, terms


class ModelSpec(BaseModel):
    """Architecture by its name in timm's registry, and its arguments.

    With `folded: true` a published net is trained on in its published form, at p = inf and without
    dropout; the other arguments are then that net's, and need not be said.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @model_validator(mode="after")
    def _known(self) -> ModelSpec:
        check_architecture(self.name, self.arguments)
        check_values(self.arguments)
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})

    @property
    def folded(self) -> bool:
        """Whether it is a published form that is trained on."""
        return self.arguments.get("folded", False)


class Optimizer(Strict):
    """Optimiser by its name in timm, and how it moves.

    Attributes:
        weight_decay: of all but the weights of distance layers, the objective's own included.
        lp_decay: of the weights of distance layers (zoo.training.lp_decay).
        fused: take torch's fused step, where the optimiser has one: other bits than without, in a
            quarter of the time, which counts in small batches.
        objective_lr: learning rate of the objective's own parameters, as a share of the schedule's.
        clip_norm: gradients whose l_2 norm, over all parameters, is larger are scaled down to it.
    """

    name: str = "adam"
    betas: tuple[Number, Number] = (0.9, 0.999)
    eps: Annotated[Number, Field(gt=0)] = 1e-8
    weight_decay: Annotated[Number, Field(ge=0)] = 0.0
    lp_decay: Annotated[Number, Field(ge=0)] = 0.0
    objective_lr: Annotated[Number, Field(ge=0)] = 1.0
    fused: bool = False
    clip_norm: Annotated[Number, Field(gt=0)] | None = None


class Teaching(Strict):
    """Soft labels from a trained net (zoo.training.teacher), weighed by schedules.distill.

    Attributes:
        source: the teacher: a published name, a weight folder or a run folder.
        sharpness: factor of its logits before the softmax.
        scale: initial value of the trainable factor of the student's.
    """

    source: str
    sharpness: Annotated[Number, Field(gt=0)] = 1.0
    scale: Annotated[Number, Field(gt=0)] = 1.0


class Schedules(Strict):
    """Functions of progress; eps is the training eps in pixel units, p the exponent of the net.

    kappa is the weight of what is certified against the clean loss. Terms of an objective may name
    further ones.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Schedule]  # pyright: ignore[reportIncompatibleVariableOverride]

    lr: Schedule
    eps: Schedule
    p: Schedule = Constant(name="constant", value=float("inf"))
    lam: Schedule | None = None
    kappa: Schedule | None = None
    distill: Schedule | None = None

    @property
    def given(self) -> Mapping[str, Schedule]:
        """Those that the recipe has, by name."""
        known = {name: getattr(self, name) for name in type(self).model_fields}
        present = {name: each for name, each in known.items() if each is not None}
        return {**present, **self.further}

    @property
    def further(self) -> Mapping[str, Schedule]:
        """Those of names that only a term knows."""
        return self.__pydantic_extra__

    def at(self, t: float) -> dict[str, float]:
        """Value of each schedule at progress t."""
        return {name: schedule(t) for name, schedule in self.given.items()}


class AffineRange(Strict):
    """Largest rotation and shear in degrees, shift in pixels, and relative change of size."""

    rotate: Annotated[Number, Field(ge=0, le=180)] = 0.0
    shift: Annotated[Number, Field(ge=0)] = 0.0
    scale: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    shear: Annotated[Number, Field(ge=0, lt=90)] = 0.0


class Augmentation(Strict):
    """Random affine maps, random crop after edge padding by `pad` pixels, horizontal flips."""

    affine: AffineRange = AffineRange()
    pad: Annotated[int, Field(ge=0)] = 0
    flip: bool = False


class Recipe(Strict):
    """A training run: equal recipes and seeds give equal weights on equal machines.

    Attributes:
        name: of the recipe file, and of the weights it makes.
        eps: the claim, in pixel units; what certification uses. Training has schedules.eps.
        train_on: "train" leaves the validation split out; "train+validation" trains on both.
        select: which weights the run keeps: those of the last epoch, or of the epoch that certifies
            the most validation images (never test images) when put to p = inf.
        evaluate_every: epochs between two looks at the validation split.
        ema: decay of an average of the weights that is kept beside them and then published.
        recalibrate: batches from which running means are collected anew, at p = inf and with all
            inputs, for each net that is validated or kept; 0 keeps those of training.
        precision: bfloat16 runs matrix products and convolutions of the training steps under
            autocast; validation and certification stay in float32.
        teacher: a net whose opinion counts beside the labels.
        init: what training starts from instead of random weights: a published name, a weight folder
            or a run folder.
        source: where method and figures come from.
        reported: published figures, in percent, for comparison.
    """

    name: str
    source: str = ""
    reported: dict[str, Number] = Field(default_factory=dict)
    data: str
    eps: EpsField
    model: ModelSpec
    bound: BoundName = "lipschitz"
    objective: SerializeAsAny[Annotated[Objective, by_name(objectives)]]
    optimizer: Optimizer = Optimizer()
    schedules: Schedules
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    augment: Augmentation = Augmentation()
    train_on: Literal["train", "train+validation"] = "train"
    select: Literal["last", "best"] = "last"
    evaluate_every: Annotated[int, Field(ge=1)] = 1
    ema: Annotated[Number, Field(gt=0, lt=1)] | None = None
    recalibrate: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    init: str | None = None
    teacher: Teaching | None = None

    @field_validator("name")
    @classmethod
    def _no_path(cls, name: str) -> str:
        # Run folders are called after it.
        if not 0 < len(name) <= 100 or name[0] == "." or set(name) & set("/\\\n\t"):
            raise ValueError("a name has 1 to 100 characters, no slash, and no dot in front")
        return name

    @field_validator("data")
    @classmethod
    def _known_data(cls, name: str) -> str:
        check_data_name(name)
        return name

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        read, given = self.objective.knobs, self.schedules.given
        if missing := sorted(read - given.keys()):
            raise ValueError(f"the objective reads schedules that are not given: {missing}")
        # A name that is misspelt would pass for a further one.
        if unread := sorted(self.schedules.further.keys() - read):
            raise ValueError(f"the objective reads no schedules of these names: {unread}")
        if (self.teacher is None) != (self.schedules.distill is None):
            raise ValueError("teacher and its weight, schedules.distill, come together")
        if self.model.folded and self.schedules.p != Constant(name="constant", value=float("inf")):
            raise ValueError(
                "model.folded: a published form is a net at p = inf, at finite p its biases mean "
                "something else\n  leave schedules.p out, or model.folded"
            )
        if self.select == "best" and self.train_on != "train":
            raise ValueError("select: best needs validation images: set train_on: train")
        if is_name(self.name):
            claimed = parse_name(self.name)
            if (claimed.data, claimed.eps) != (self.data, self.eps):
                raise ValueError(
                    f"the name {self.name} says {claimed.data} at eps {format_eps(claimed.eps)}, "
                    f"the recipe says {self.data} at eps {format_eps(self.eps)}"
                )
        return self


def known_keys(path: tuple[str | int, ...]) -> list[str]:
    """Keys that a recipe knows at a place, for suggestions; [] where there is no fixed set."""
    models: list[type[BaseModel]] = [Recipe]
    for part in path:
        if isinstance(part, int):  # an entry of a list
            continue
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        named = [model for model in models if _kind(model) == (part,)]
        models = named or [model for field in fields for model in _models(field.annotation)]
    return sorted({key for model in models for key in model.model_fields})


def _kind(model: type[BaseModel]) -> tuple[Any, ...]:
    """The name by which a mapping asks for this model; () for one that has no such name."""
    return get_args(model.model_fields["name"].annotation) if "name" in model.model_fields else ()


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that a field can hold."""
    for base, registry in ((Objective, objectives), (Term, terms)):
        if annotation is base:
            return [registry[name] for name in registry]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]
