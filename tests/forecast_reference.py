"""The default model of a forecast and the test for a whole end, in plain loops, for one cell."""

from __future__ import annotations

from statistics import fmean

import numpy as np

YEAR = 364
LASTING = (0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.999)


def mean(values: list[float]) -> float:
    return fmean(values) if values else 0.0


def weekday_model(
    tokens: list[float], free: list[bool], ahead: int
) -> tuple[list[float], list[float], list[float] | None]:
    """Tokens of each weekday, what part of it a holiday takes, and the level of each week to come; None if nothing."""
    used = [day for day, amount in enumerate(tokens) if amount]
    first = min(used[0] if used else len(tokens), max(0, len(tokens) - 28))
    seen = [day >= first for day in range(len(tokens))]
    work = [seen[day] and not free[day] for day in range(len(tokens))]
    since = max(0, len(tokens) - YEAR)
    average = []
    for each in range(7):
        days = [day for day in range(since, len(tokens)) if day % 7 == each]
        working = [tokens[day] for day in days if work[day]]
        average.append(mean(working) if working else mean([tokens[day] for day in days]))
    weeks = []
    for monday in range(len(tokens) % 7, len(tokens), 7):
        days = [day for day in range(monday, monday + 7) if work[day]]
        expected = sum(average[day % 7] for day in days)
        weeks.append(sum(tokens[day] for day in days) / expected if expected > 0 else None)
    holidays = [day for day in range(len(tokens)) if free[day] and seen[day]]
    ordinary = sum(average[day % 7] for day in holidays)
    count = len(holidays) if ordinary > 0 else 0
    taken = sum(tokens[day] for day in holidays) / ordinary if count else 0.0
    quiet = [min(average) / each if each > 0 else 1.0 for each in average]
    parts = [(count * taken + each) / (count + 1) for each in quiet]
    return average, parts, levels(weeks, ahead) if any(level is not None for level in weeks) else None


def levels(weeks: list[float | None], ahead: int) -> list[float]:
    """The level of each week to come, by the covariances of weeks written out."""
    known = [place for place, level in enumerate(weeks) if level is not None]
    level = np.array([level for level in weeks if level is not None])
    years = np.array([(place - len(weeks) + 1) / 52 for place in known])
    count = max(len(known), 2)
    told, said = [], []
    for lasting, thought_of in zip(LASTING, (2, 1, 1, 1, 1, 1, 1, 2, 4), strict=True):
        for ratio in (0, 1, 4, 16) if lasting else (0,):
            own = ratio * (1 - lasting**2) / (1 + ratio * (1 - lasting**2))
            apart = np.abs(np.subtract.outer(known, known))
            covariance = (1 - own) * np.power(float(lasting), apart) + own * (apart == 0)
            inverse = np.linalg.inv(covariance)
            ones = inverse.sum()
            middle_level, middle = inverse.sum(axis=0) @ level / ones, inverse.sum(axis=0) @ years / ones
            off, along = level - middle_level, years - middle
            rest = max(off @ inverse @ off, count * 1e-20)
            spread = max(along @ inverse @ along, 0)
            free = max(rest - (along @ inverse @ off) ** 2 / (spread if spread > 0 else 1), count * 1e-20)
            prior = free / max(count - 2, 1) / 0.2**2
            slope = (along @ inverse @ off) / (spread + prior)
            with_line = max(rest - slope * (along @ inverse @ off), count * 1e-20)
            likely = -0.5 * (np.linalg.slogdet(covariance)[1] + np.log(ones)) + np.log(
                thought_of / (4 if lasting else 1)
            )
            for its_slope, squares, thought in ((0, rest, 0.75), (slope, with_line, 0.25)):
                line = 0.5 * np.log(prior / (prior + spread)) if its_slope is slope else 0
                told.append(np.log(thought) + likely + line - 0.5 * (count - 1) * np.log(squares))
                ways = []
                for week in range(1, ahead + 1):
                    like = (1 - own) * np.power(float(lasting), week + len(weeks) - 1 - np.array(known))
                    foretold = like @ inverse @ (off - its_slope * along)
                    ways.append(middle_level + its_slope * (min(week, len(weeks)) / 52 - middle) + foretold)
                said.append(ways)
    weight = np.exp(np.array(told) - max(told))
    found: list[float] = np.maximum(weight / weight.sum() @ np.array(said), 0).tolist()
    return found


def collapse(tokens: list[float], free: list[bool], tokens_a_charge: float) -> tuple[int, float, float] | None:
    """Days, share and least share before, of the stretch at the end that stands out most."""
    count, found = len(tokens), []
    for days in range(1, min(63, count // 3) + 1):
        before = count - days
        since = max(0, before - YEAR)
        known = [day for day in range(since, before) if not free[day]]
        average = [mean([tokens[day] for day in known if day % 7 == each]) for each in range(7)]
        holidays = [day for day in range(since, before) if free[day]]
        ordinary = sum(average[day % 7] for day in holidays)
        part = sum(tokens[day] for day in holidays) / ordinary if ordinary > 0 else 0.0
        expected = [average[day % 7] * (part if free[day] else 1) for day in range(count)]
        at_end = sum(expected[before:])
        if at_end < 20 * tokens_a_charge or at_end == 0:
            continue
        first = next((day for day, amount in enumerate(tokens) if amount), 0)
        shares = []
        for start in range(first, before - days + 1):
            wanted = sum(expected[start : start + days])
            if wanted >= at_end / 2 and wanted > 0:
                shares.append(sum(tokens[start : start + days]) / wanted)
        share = sum(tokens[before:]) / at_end
        if shares and share < min(shares) / 2:
            found.append((round(share / min(shares), 9), days, share, min(shares)))
    return min(found)[1:] if found else None
