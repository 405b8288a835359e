"""Result files: JSON lines, one record per line, written the moment it is known.

Kinds of records: ``environment`` (one per session, and one at its end), ``case`` (what a table is about),
``setup`` (how a contender was prepared, or why it takes no part) and ``round`` (one timed run). All but the
first carry the fingerprint of their environment.
"""

from __future__ import annotations

import json
from pathlib import Path

from .cases import Case, Contender

#: What every record of a contender begins with, and the status of a set-up.
HEADER = ("record", "suite", "case", "contender", "fingerprint", "status")


def read_records(path: Path) -> list[dict]:
    """Read a result file; a last line cut short by an interruption is left out."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    # Every complete record ends its line: what follows the last line break is a stump.
    return [json.loads(line) for line in lines[:-1] if line]


def _drop_stump(path: Path) -> None:
    """Cut off a last record that an interruption left unfinished, so that the next one starts a line."""
    content = path.read_bytes()
    complete = content.rfind(b"\n") + 1
    if complete < len(content):
        with open(path, "rb+") as file:
            file.truncate(complete)


class Store:
    """A result file being written.

    Parameters
    ----------
    path : Path
    suite : str
        Named in every record.
    environment : dict
        From `environment.describe`; its fingerprint says which old records count as already measured.
    """

    def __init__(self, path: Path, suite: str, environment: dict):
        self.path = path
        self.suite = suite
        self.fingerprint = environment["fingerprint"]
        self._setups: dict = {}
        self._rounds: dict = {}
        self._cases: set = set()
        if path.exists():
            _drop_stump(path)
            self._take_over(read_records(path))

    def _take_over(self, records: list[dict]) -> None:
        for record in records:
            if record.get("fingerprint") != self.fingerprint or record.get("suite") != self.suite:
                continue
            key = record.get("case"), record.get("contender")
            if record["record"] == "setup":
                self._setups[key] = record
            elif record["record"] == "round":
                self._rounds.setdefault(key, {})[record["round"]] = record
            elif record["record"] == "case":
                self._cases.add(record["case"])

    def write(self, record: dict) -> None:
        """Append one record and see it on disk."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def _add(self, kind: str, case: Case, contender: Contender | None, values: dict) -> dict:
        record = {"record": kind, "suite": self.suite, "case": case.name}
        if contender is not None:
            record["contender"] = contender.name
        record |= {"fingerprint": self.fingerprint, **values}
        self.write(record)
        return record

    def add_case(self, case: Case) -> None:
        """Record what a table is about, once."""
        if case.name not in self._cases:
            self._cases.add(case.name)
            self._add("case", case, None, case.as_record())

    def add_setup(self, case: Case, contender: Contender, status: str, **values) -> None:
        """Record that a contender is ready, or why it is not; the last word counts."""
        record = self._add("setup", case, contender, {"status": status, **values})
        self._setups[case.name, contender.name] = record

    def add_round(self, case: Case, contender: Contender, index: int, **values) -> None:
        """Record one timed run."""
        record = self._add("round", case, contender, {"round": index, **values})
        self._rounds.setdefault((case.name, contender.name), {})[index] = record

    def setup(self, case: Case, contender: Contender) -> dict | None:
        """Return the last set-up record of a contender."""
        return self._setups.get((case.name, contender.name))

    def has_round(self, case: Case, contender: Contender, index: int) -> bool:
        """Whether a round of a contender is on file."""
        return index in self._rounds.get((case.name, contender.name), {})

    def finished(self, case: Case, contender: Contender, repeat: int) -> bool:
        """Whether nothing is left to measure."""
        setup = self.setup(case, contender)
        if setup is None:
            return False
        return setup["status"] != "ready" or all(self.has_round(case, contender, i) for i in range(repeat))
