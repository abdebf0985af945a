"""Contracts for hypothesis: of both models, with everything in them that a contract can have."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

import tokenflex as tf

ONE_DAY = timedelta(days=1)
ZONES = st.sampled_from(["UTC", "Europe/Madrid", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "Asia/Kathmandu"])
WORDS = st.text(min_size=1, max_size=8)


def amounts(least: int, most: int = 10**13) -> st.SearchStrategy[Decimal]:
    """Numbers of at most four decimals, from `least` ten-thousandths on."""
    return st.integers(least, most).map(lambda units: Decimal(units) / 10_000)


PRICES = amounts(0, 10**6)


@st.composite
def years(draw: st.DrawFn) -> list[tf.ContractYear]:
    """Two to five years in up to seven pieces of any length, without gaps."""
    days = draw(st.integers(2 * 365, 5 * 365))
    cuts = sorted(draw(st.sets(st.integers(1, days - 1), max_size=6)))
    start = draw(st.dates(date(1971, 1, 1), date(2190, 1, 1)))
    bounds = [0, *cuts, days]
    return [
        tf.ContractYear(
            year=place + 1,
            start=start + bounds[place] * ONE_DAY,
            end=start + (bounds[place + 1] - 1) * ONE_DAY,
            tokens=draw(amounts(0)),
            carry_over=place < len(cuts) and draw(st.booleans()),
        )
        for place in range(len(bounds) - 1)
    ]


@st.composite
def packs(draw: st.DrawFn) -> list[tf.Pack]:
    found = []
    for name in draw(st.lists(WORDS, min_size=1, max_size=5, unique=True)):
        purchased = draw(st.dates(date(1971, 1, 1), date(2190, 1, 1)))
        days = draw(st.none() | st.integers(0, 500))
        end = None if days is None else purchased + days * ONE_DAY
        pack = tf.Pack(id=name, tokens=draw(amounts(1)), purchased=purchased, end=end)
        received = draw(st.none() | st.dates(purchased, pack.end))
        price = draw(st.none() | PRICES)
        found.append(
            tf.Pack(id=name, tokens=pack.tokens, purchased=purchased, end=pack.end, unit_price=price, received=received)
        )
    return found


@st.composite
def bookings(draw: st.DrawFn, lives: dict[str, tuple[date, date]], *, of_flex: bool) -> tf.Booking:
    pool = draw(st.sampled_from(sorted(lives)))
    day = draw(st.dates(*lives[pool]))
    kind = draw(st.sampled_from(["adjustment", "manual_consumption", *(["move"] if of_flex else [])]))
    tokens = draw(amounts(1))
    names = [pool, None] if of_flex else [pool, None, "CY", "MY"]
    return tf.Booking(
        day=day,
        tokens=-tokens if kind == "adjustment" and draw(st.booleans()) else tokens,
        kind=kind,  # type: ignore[arg-type] # one of the three
        pool=pool if kind == "move" else draw(st.sampled_from(names)),
        reason=draw(st.text(max_size=8)),
        team=draw(WORDS) if kind == "move" else None,
    )


@st.composite
def contracts(draw: st.DrawFn) -> tf.Contract:
    """A contract of Token Flex or Flex."""
    of_flex = draw(st.booleans())
    terms: dict[str, Any] = {"packs": draw(packs())} if of_flex else {"years": draw(years())}
    if of_flex:
        lives = {pack.id: (pack.start, pack.end) for pack in terms["packs"]}
    else:
        lives = {f"annual {year.year}": (year.start, year.end) for year in terms["years"]}
        lives["contract"] = (terms["years"][0].start, terms["years"][-1].end)
        terms["contract_tokens"] = draw(amounts(0))
        terms["servers"] = draw(st.dictionaries(WORDS.filter(lambda name: "," not in name), ZONES, max_size=3))
        terms["order"] = draw(st.sampled_from(["annual_first", "contract_first", "earliest_end", None]))
    tiers = sorted(draw(st.sets(st.integers(1, 10**6), max_size=3)))
    return tf.Contract(
        number=draw(WORDS),
        zone=draw(ZONES),
        bookings=draw(st.lists(bookings(lives, of_flex=of_flex), max_size=4)),
        prices=[tf.PriceTier(from_tokens=each, unit_price=draw(PRICES)) for each in ([0, *tiers] if tiers else [])],
        overage_price=draw(st.none() | PRICES),
        currency=draw(st.sampled_from(["USD", "EUR", "JPY"])),
        on_empty=draw(st.sampled_from(["overage", "refuse", "error"])),
        products=draw(st.none() | st.sets(WORDS, min_size=1, max_size=3)),
        perpetual=draw(
            st.lists(
                st.builds(
                    tf.PerpetualLicense, product=WORDS, seats=st.integers(1, 2**31 - 1), version=st.none() | WORDS
                ),
                max_size=2,
            )
        ),
        **terms,
    )
