"""Transport maps: training steps against OTT's, maps with known truth against baselines, gaps of optimal maps."""

from __future__ import annotations

from benchmarks.cases import Case, Contender
from benchmarks.map_problems import OPTIMAL, GapSpec, MapSpec
from benchmarks.map_tasks import ToGap, ToMap, ToSteps

from .base import Suite

F32 = "float32"
#: Ours should do so many times more training steps per second than OTT.
FASTER = 3.0
#: Unexplained variance in percent that ours should stay under, by dimension.
GAUSSIAN, CONVEX = {2: 1.0, 8: 1.0, 32: 1.0, 128: 5.0}, {2: 3.0, 8: 3.0, 16: 3.0}
#: From this dimension on ours should be better than maps without gap, and than entropic maps.
MANY_DIMENSIONS = 16
#: CPU seconds that a fit may take, by dimension: about twice what fits took when the suite was written.
BUDGET = {2: 60.0, 3: 60.0, 4: 60.0, 8: 60.0, 16: 90.0, 32: 90.0, 128: 180.0}
#: Gaps of optimal maps, relative to the mean size of the costs.
EXACT, DEBIASED = 1e-9, 2e-3
#: Smoothing of entropic maps, relative to the mean cost.
BLURS = (0.05, 0.01)

NO_GAP = {"options": {"strength": 0.0}}
PLAIN = {"options": {"strength": 0.0, "start": "identity"}}


def training(name: str, cost: str, strength: float, **more) -> Case:
    """Steps per second, and the quality of the map after all of them."""

    def options(estimator: str) -> dict:
        return {"strength": strength, "estimator": estimator}

    contenders = [
        Contender("ours", "ours_maps:Training", options("exact"), F32),
        Contender("ott", "ott_maps:Training", {"strength": strength}, F32, "ours", 1 / FASTER),
    ]
    if strength:
        contenders.insert(1, Contender("ours-debiased", "ours_maps:Training", options("debiased"), F32, "ours"))
    spec = MapSpec("moons", cost=cost, dtype=F32, **more.pop("problem", {}))
    task = ToSteps(strength=strength, faster=FASTER, **more)
    gap = f"with {strength:g} times the gap" if strength else "without gap"
    title = f"training between a moon and an S-curve, {cost} cost, {gap}, {task.steps} steps"
    return Case(name, title, spec, task, tuple(contenders))


def known(name: str, spec: MapSpec, most: float | None, **more) -> Case:
    """A map whose truth is known, from samples."""
    names = ["ours-no-gap", "ours-plain"]
    contenders = [
        Contender("ours", "ours_maps:NetworkFit", note="defaults of MongeGapMap"),
        Contender("ours-no-gap", "ours_maps:NetworkFit", NO_GAP, versus="ours", note="strength=0"),
        Contender("ours-plain", "ours_maps:NetworkFit", PLAIN, versus="ours", note="and start='identity'"),
    ]
    for blur in BLURS:
        options = {"map": "EntropicMap", "options": {"reg": blur, "reg_relative_to": "mean"}}
        names.append(f"ours-entropic-{blur:g}")
        contenders.append(Contender(names[-1], "ours_maps:Fit", options, versus="ours"))
    for each in ("Linear", "Identity"):
        options = {"map": f"{each}Map"}
        contenders.append(Contender(f"ours-{each.lower()}", "ours_maps:Fit", options, versus="ours"))
    task = ToMap(
        budget=BUDGET[spec.d], most=most, beaten=tuple(names) if spec.d >= MANY_DIMENSIONS else (), **more
    )
    title = f"{spec.law} map from {spec.n} samples, d = {spec.d}, {task.budget:g} CPU seconds at most"
    return Case(name, title, spec, task, tuple(contenders))


def sphere(name: str, spec: MapSpec, **more) -> Case:
    """A rotation of the sphere, with and without gap."""
    entropic = {"map": "EntropicMap"}
    entropic["options"] = {
        "cost": "sphere", "projection": "barycentric", "reg": BLURS[-1], "reg_relative_to": "mean"
    }  # fmt: skip
    plain = {"network": "plain"}
    contenders = (
        Contender("ours", "ours_maps:NetworkFit", plain, note="plain network, not near the identity at first"),
        Contender("ours-no-gap", "ours_maps:NetworkFit", {**plain, **NO_GAP}, versus="ours", note="strength=0"),
        Contender(f"ours-entropic-{BLURS[-1]:g}", "ours_maps:Fit", entropic, versus="ours", note="barycentric"),
    )
    task = ToMap(budget=BUDGET[spec.d], figure="angle", beaten=("ours-no-gap",), **more)
    title = f"rotation of the sphere from {spec.n} samples, d = {spec.d}, {task.budget:g} CPU seconds at most"
    return Case(name, title, spec, task, contenders)


def gap(name: str, spec: GapSpec) -> Case:
    """Gaps of maps that are optimal."""
    contenders = (
        Contender("ours-exact", "ours_maps:Gap", {"estimator": "exact"}),
        Contender("ours-debiased", "ours_maps:Gap", {"estimator": "debiased"}, versus="ours-exact"),
        Contender("ott", "ott_maps:Gap", versus="ours-debiased", note="entropic"),
    )
    title = f"gaps of {', '.join(OPTIMAL[spec.cost])}; {spec.cost} cost, n = {spec.n}, d = {spec.d}"
    task = ToGap(most={"ours-exact": EXACT, "ours-debiased": DEBIASED})
    return Case(name, title, spec, task, contenders)


def samples(law: str, d: int, **more) -> MapSpec:
    """20 000 samples, 10 000 new points."""
    return MapSpec(law, d, held_out=10_000, **more)


SUITE = Suite(
    "maps",
    "transport maps: training against OTT, maps with known truth against baselines, gaps of optimal maps",
    (
        training("moons-no-gap", "sqeuclidean", 0.0),
        training("moons-sqeuclidean", "sqeuclidean", 0.1),
        training("moons-euclidean", "euclidean", 2.0),
        *(known(f"gaussian-{d}", samples("gaussian", d), most) for d, most in GAUSSIAN.items()),
        *(known(f"convex-{d}", samples("convex-gradient", d), most) for d, most in CONVEX.items()),
        *(sphere(f"sphere-{d}", samples("sphere-rotation", d, cost="sphere")) for d in (3, 4)),
        *(gap(f"gap-{cost}-{n}", GapSpec(cost, n)) for cost in OPTIMAL for n in (256, 512, 1024, 2048)),
    ),
    repeat=3,
    max_seconds=900.0,
)
