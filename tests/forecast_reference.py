"""The default model of a forecast and the test for a whole end, in plain loops, for one cell."""

from __future__ import annotations

from statistics import fmean

YEAR = 364


def mean(values: list[float]) -> float:
    return fmean(values) if values else 0.0


def weekday_model(tokens: list[float], free: list[bool]) -> tuple[list[float], list[float], float]:
    """Tokens of each weekday, what part of it a holiday takes, and the daily slope."""
    since = max(0, len(tokens) - YEAR)
    tokens, free = tokens[since:], free[since:]
    weekday = [(since + day) % 7 for day in range(len(tokens))]
    used = [day for day, amount in enumerate(tokens) if amount]
    first = min(used[0] if used else len(tokens), max(0, len(tokens) - 28))
    seen = [day >= first for day in range(len(tokens))]
    work = [seen[day] and not free[day] for day in range(len(tokens))]

    def means(amounts: list[float]) -> list[float]:
        found = []
        for each in range(7):
            days = [day for day in range(len(amounts)) if weekday[day] == each]
            working = [amounts[day] for day in days if work[day]]
            found.append(mean(working) if working else mean([amounts[day] for day in days]))
        return found

    def weeks(amounts: list[float], average: list[float]) -> list[tuple[float, float]]:
        """Used and expected of each whole week, counted from the end."""
        start = len(amounts) % 7
        sums = []
        for monday in range(start, len(amounts), 7):
            days = [day for day in range(monday, monday + 7) if work[day]]
            sums.append((sum(amounts[day] for day in days), sum(average[weekday[day]] for day in days)))
        return sums

    slope, line = trend(weeks(tokens, means(tokens)), len(tokens))
    flat = [amount / part for amount, part in zip(tokens, line, strict=True)]
    average = means(flat)
    level = present_level(weeks(flat, average))
    holidays = [day for day in range(len(flat)) if free[day] and seen[day]]
    ordinary = sum(average[weekday[day]] for day in holidays)
    count = len(holidays) if ordinary > 0 else 0
    taken = sum(flat[day] for day in holidays) / ordinary if count else 0.0
    quiet = [min(average) / each if each > 0 else 1.0 for each in average]
    parts = [(count * taken + each) / (count + 1) for each in quiet]
    return [each * level for each in average], parts, slope


def trend(weeks: list[tuple[float, float]], days: int) -> tuple[float, list[float]]:
    """The slope of a day in parts of the last day's level, and the line, which is 1 on the last day."""
    known = [(place, used / expected) for place, (used, expected) in enumerate(weeks) if expected > 0]
    if len(known) < 39:
        return 0.0, [1.0] * days
    middle, height = mean([place for place, _ in known]), mean([level for _, level in known])
    spread = sum((place - middle) ** 2 for place, _ in known)
    slope = sum((place - middle) * (level - height) for place, level in known) / spread
    rest = {place: level - height - slope * (place - middle) for place, level in known}
    squares = sum(each**2 for each in rest.values())
    pairs = sum(rest[place] * rest[place + 1] for place in rest if place + 1 in rest)
    rho = min(max(pairs / squares if squares > 0 else 0.0, 0.0), 0.95)
    error = squares / (len(known) - 2) / spread * (1 + rho) / (1 - rho)
    slope *= max(0.0, 1 - 4 * error / slope**2) if slope else 0.0
    end = max(height + slope * (len(weeks) - 1 - middle + 3 / 7), 0.1)
    daily = slope / 7 / end
    return daily, [max(1 + daily * (day - days + 1), 0.1) for day in range(days)]


def present_level(weeks: list[tuple[float, float]]) -> float:
    deviation = [used / expected - 1 if expected > 0 else 0.0 for used, expected in weeks]
    if len(weeks) // 4 < 2:
        return 1.0
    later = []
    for place in range(1, len(weeks) - 3):
        used, expected = (sum(week[which] for week in weeks[place : place + 4]) for which in (0, 1))
        later.append(used / expected - 1 if expected > 0 else 0.0)
    typical = mean([each**2 for each in deviation])
    found = []
    for memory in (0.2, 0.5, 0.9):
        recent, last = [], 0.0
        for each in deviation:
            last += memory * (each - last)
            recent.append(last)
        pairs = list(zip(recent, later, strict=False))
        above = sum(a * b for a, b in pairs) / 4 + typical
        below = sum(a * a for a, _ in pairs) / 4 + 2 * typical
        part = above / below if below > 0 else above
        part = min(max(part + (1 + 3 * part) / (len(weeks) // 4), 0.0), 1.0)
        found.append((sum((b - part * a) ** 2 for a, b in pairs), 1 + part * recent[-1]))
    return max(0.0, min(found, key=lambda each: each[0])[1])


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
