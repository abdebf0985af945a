"""A firm's audit of a month and of the next, with what became of differences planted a known number of times."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import planted_doubles as firm
import tokenflex as tf
from planted_audit import OURS, SERVERS, Planted, Use, other_row, use_of

NEXT = firm.MONDAYS[3]
"""From here on the first audit has nothing."""


@dataclass
class Months:
    """Use and rows of the vendor as the first audit saw them and as the second sees them."""

    then: Planted = field(default_factory=Planted)
    now: Planted = field(default_factory=Planted)
    changes: Counter[str] = field(default_factory=Counter)
    """How many rows of each change were planted."""
    matched_by: Counter[str] = field(default_factory=Counter)
    """How many corrections."""
    products: list[str] = field(default_factory=lambda: ["CENT", "SHORT", "NIGHT", "RTE", "MSK"])

    def product(self) -> str:
        """One that nobody else uses; five tokens a day."""
        return self.products.pop()

    def both(self, *uses: Use) -> None:
        self.then.uses += uses
        self.now.uses += uses

    def audits(self, level: Any) -> tuple[tf.Reconciliation, tf.Reconciliation]:
        return tuple(audit(made, level) for made in (self.then, self.now))  # type: ignore[return-value]  # two of them


def audit(made: Planted, level: Any) -> tf.Reconciliation:
    made.uses.sort(key=lambda use: (use.start, use.user, use.product))
    sessions = made.logged()
    return tf.reconcile(
        made.charges(sessions), made.statement(), rule=firm.RULE, rates=OURS, servers=SERVERS, sessions=sessions,
        coverage=made.coverage(), level=level, problems=tf.Problems(),
    )  # fmt: skip


def plant(seed: int, each: int) -> Months:
    """Clean use of fifteen people over four weeks, the last of which only the second audit sees.

    The first of each site works every day, so that no day is without rows of either side.
    """
    rng = random.Random(seed)
    made = Months()
    names = [f"{site}{number:02}" for site in firm.SERVERS for number in range(5)]
    weeks = [(name, monday) for name in names for monday in firm.MONDAYS[:3] if name[-1] != "0"]
    rng.shuffle(weeks)
    taken: set[tuple[str, date]] = set()
    for planter in PLANTERS:
        for _ in range(each):
            name, monday = weeks.pop()
            # From Monday to Friday, so that every week has a day before and after.
            taken |= {(name, monday + timedelta(days=number)) for number in range(5)}
            planter(made, name, monday + timedelta(days=rng.randint(1, 2)))
    for name in names:
        for day in (monday + timedelta(days=number) for monday in firm.MONDAYS for number in range(5)):
            if (name, day) not in taken and (name[-1] == "0" or rng.random() < 0.8):
                uses = [Use(**vars(use)) for use in firm.whole_day(name, day)]
                made.now.uses += uses
                made.then.uses += uses if day < NEXT else []
    return made


def nine_to_twelve(name: str, day: date, product: str = "ACD", **more: Any) -> Use:
    return use_of(name, day, (9, 12), product, **more)


def given_back(made: Months, name: str, day: date, tokens: int, **fields: str) -> None:
    """A row by which the vendor gives tokens back, in the week that only the second audit sees."""
    made.changes["correction"] += 1
    row = other_row(name, NEXT + timedelta(days=2), transactionDate=str(NEXT + timedelta(days=3)), reasonType="REFUND",
                    reasonComment=f"as agreed for {day}", tokenPool="CY", usageCategory="MANUAL_ADJUSTMENT",
                    tokensConsumed=f"-{tokens}")  # fmt: skip
    made.now.other.append({**row, **fields})


def still_open(made: Months, name: str, day: date) -> None:
    # Two days apart, so that neither can be the other's.
    made.both(nine_to_twelve(name, day, at="vendor"), nine_to_twelve(name, day + timedelta(days=2), at="ours"))
    made.changes["still_open"] += 2


def restated(made: Months, name: str, day: date) -> None:
    use = nine_to_twelve(name, day)
    made.then.uses.append(replace(use, more=Decimal(4)))
    made.now.uses.append(use)
    made.changes["corrected_by_vendor"] += 1


def taken_back(made: Months, name: str, day: date) -> None:
    made.then.uses.append(nine_to_twelve(name, day, at="vendor"))
    made.changes["corrected_by_vendor"] += 1


def late_row(made: Months, name: str, day: date) -> None:
    use = nine_to_twelve(name, day, at="ours")
    made.then.uses.append(use)
    made.now.uses.append(replace(use, at="both"))
    made.changes["corrected_by_vendor"] += 1


def late_log(made: Months, name: str, day: date) -> None:
    use = nine_to_twelve(name, day, at="vendor")
    made.then.uses.append(use)
    made.now.uses.append(replace(use, at="both"))
    made.changes["corrected_by_us"] += 1


def late_on_both_sides(made: Months, name: str, day: date) -> None:
    made.now.uses.append(nine_to_twelve(name, day))
    made.changes["late"] += 1


def settled_and_changed(made: Months, name: str, day: date) -> None:
    use = nine_to_twelve(name, day)
    made.then.uses.append(use)
    made.now.uses.append(replace(use, more=Decimal(2)))
    made.changes["changed_by_vendor"] += 1


def log_withdrawn(made: Months, name: str, day: date) -> None:
    use = nine_to_twelve(name, day)
    made.then.uses.append(use)
    made.now.uses.append(replace(use, at="vendor"))
    made.changes["changed_by_us"] += 1


def withdrawn(made: Months, name: str, day: date) -> None:
    made.then.uses.append(nine_to_twelve(name, day))
    made.changes["withdrawn"] += 1


def cloud(made: Months, name: str, day: date) -> None:
    row = other_row(name, day, usageCategory="CLOUD_PRODUCT", tokensConsumed="3")
    made.then.other.append(row)
    made.now.other.append(row)
    made.changes["not_comparable"] += 1


def adjusted(made: Months, name: str, day: date) -> None:
    """One by one, and of two differences of one amount the nearer one first."""
    made.both(nine_to_twelve(name, day, at="vendor"), nine_to_twelve(name, day + timedelta(days=1), at="vendor"))
    made.changes["corrected_by_adjustment"] += 1
    made.changes["still_open"] += 1
    made.matched_by["difference"] += 1
    given_back(made, name, day + timedelta(days=1), 7)


def adjusted_in_a_lump(made: Months, name: str, day: date) -> None:
    product = made.product()
    made.both(
        *(nine_to_twelve(name, day + timedelta(days=number), product=product, at="vendor") for number in range(3))
    )
    made.changes["corrected_by_adjustment"] += 3
    made.matched_by["user_and_product"] += 1
    given_back(made, name, day, 15, productLineCode=product)


def adjusted_by_product(made: Months, name: str, day: date) -> None:
    """What nobody is named for; the product is used by nobody else."""
    product = made.product()
    more: dict[str, Any] = {"product": product, "at": "vendor"}
    made.both(nine_to_twelve(name, day, **more), nine_to_twelve(name, day + timedelta(days=1), **more))
    made.changes["corrected_by_adjustment"] += 2
    made.matched_by["user_and_product"] += 1
    given_back(made, name, day, 10, userName="", productLineCode=product)


def adjusted_wrongly(made: Months, name: str, day: date) -> None:
    """By a token less than what is open."""
    made.both(nine_to_twelve(name, day, at="vendor"))
    made.changes["still_open"] += 1
    made.matched_by["unmatched"] += 1
    given_back(made, name, day, 6)


PLANTERS = (
    still_open, restated, taken_back, late_row, late_log, late_on_both_sides, settled_and_changed, log_withdrawn,
    withdrawn, cloud, adjusted, adjusted_in_a_lump, adjusted_by_product, adjusted_wrongly,
)  # fmt: skip
