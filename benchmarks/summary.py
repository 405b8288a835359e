"""From records to figures: medians, spreads and ratios."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

#: A spread (interquartile range over median) above this marks a figure as noisy.
NOISY = 0.15
#: Status of a contender that was timed without reaching a solution.
NOT_CONVERGED = "not converged"


@dataclass(frozen=True)
class Row:
    """One contender in one table.

    Attributes
    ----------
    name, dtype, note : str
    ours : bool
    status : str
        ``"ready"`` where there are figures, else why not.
    values : list of float
        One per round; where a peer was timed but did not converge, the one time until it gave up.
    setup : dict
        The set-up record.
    rounds : list of dict
        The records that `values` come from.
    ratio : float or None
        Ours over this one, medians of the same rounds.
    ratio_spread : float or None
        Interquartile range of the ratios of single rounds, over their median.
    target : float or None
        The ratio should stay under it.
    """

    name: str
    dtype: str
    ours: bool
    status: str
    values: list[float]
    setup: dict
    note: str = ""
    versus: str | None = None
    ratio: float | None = None
    ratio_spread: float | None = None
    target: float | None = None
    rounds: list[dict] = field(default_factory=list)

    @property
    def converged(self) -> bool:
        """Whether the figure is that of a solution."""
        return self.status != NOT_CONVERGED

    @property
    def median(self) -> float | None:
        """Median over the rounds."""
        return statistics.median(self.values) if self.values else None

    @property
    def iqr(self) -> tuple[float, float] | None:
        """Lower and upper quartile."""
        return quartiles(self.values) if self.values else None

    @property
    def noisy(self) -> bool:
        """Whether the figure should not be quoted."""
        if any(value <= 0 for value in self.values):  # a difference of two runs, all of it noise
            return True
        spreads = [spread(self.values), self.ratio_spread]
        return any(s is not None and s > NOISY for s in spreads)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none or no figure."""
        if self.target is None or self.ratio is None:
            return None
        return self.ratio <= self.target


@dataclass(frozen=True)
class Table:
    """One case of one suite, measured."""

    suite: str
    case: dict
    rows: list[Row] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Heading."""
        return self.case["title"]

    @property
    def quantity(self) -> str:
        """What is measured."""
        return self.case["task"]["quantity"]


def quartiles(values: list[float]) -> tuple[float, float]:
    """Lower and upper quartile, by linear interpolation between the order statistics."""
    if len(values) == 1:
        return values[0], values[0]
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper


def spread(values: list[float]) -> float | None:
    """Interquartile range over the median's size; None for fewer than three values."""
    if len(values) < 3:
        return None
    lower, upper = quartiles(values)
    middle = abs(statistics.median(values))
    return (upper - lower) / middle if middle > 0 else float("inf")


def environments(records: list[dict]) -> list[dict]:
    """Environment records in order, those of a session's end included."""
    return [r for r in records if r["record"] == "environment"]


def tables(records: list[dict]) -> list[Table]:
    """Summarise the records of a result file, one table per case, in their order.

    Where a file holds several environments (a resumed run after an update), each case is taken from the
    last one that measured it: figures of two environments are never mixed.
    """
    newest = {}
    for record in records:
        if record["record"] == "case":
            newest[record["suite"], record["case"]] = record
    return [_table(case, records) for case in newest.values()]


def _table(case: dict, records: list[dict]) -> Table:
    keys = ("suite", "case", "fingerprint")
    mine = [r for r in records if all(r.get(k) == case[k] for k in keys)]
    setups = {r["contender"]: r for r in mine if r["record"] == "setup"}
    rounds: dict[str, dict[int, dict]] = {}
    for record in mine:
        if record["record"] == "round":
            rounds.setdefault(record["contender"], {})[record["round"]] = record
    rows = [
        _row(contender, setups.get(contender["name"]), rounds)
        for contender in case["contenders"]
        if contender["name"] in setups
    ]
    return Table(case["suite"], case, rows)


def _row(contender: dict, setup: dict, rounds: dict[str, dict[int, dict]]) -> Row:
    own = rounds.get(contender["name"], {})
    values = [record["value"] for _, record in sorted(own.items())]
    if setup["status"] == NOT_CONVERGED:
        values = [setup["run"]["seconds"]]
    ratio, ratio_spread = _ratio(rounds.get(contender["versus"], {}), own)
    described = {k: contender[k] for k in ("name", "dtype", "ours", "note", "versus", "target")}
    return Row(
        **described,
        status=setup["status"],
        values=values,
        setup=setup,
        ratio=ratio,
        ratio_spread=ratio_spread,
        rounds=[record for _, record in sorted(own.items())],
    )


def _ratio(ours: dict[int, dict], peer: dict[int, dict]) -> tuple[float | None, float | None]:
    """Ratio of medians over the rounds both took part in, and the spread of the single ratios."""
    common = sorted(set(ours) & set(peer))
    if not common:
        return None, None
    pairs = [(ours[i]["value"], peer[i]["value"]) for i in common]
    medians = [statistics.median(side) for side in zip(*pairs)]
    if medians[1] <= 0:
        return None, None
    return medians[0] / medians[1], spread([u / p for u, p in pairs if p > 0])
