"""The zones that `infer_zones` chooses from when the caller names none: one for each offset and change of clocks.

The weights are rough shares of the people who use such software, [I]: they only decide between neighbours that the data
leaves open, and keep users who work at night from being taken for islanders.
"""

from __future__ import annotations

from typing import Final

CANDIDATES: Final[dict[str, float]] = {
    # The Pacific and the Americas, west to east. The clock changes as in the United States unless said.
    "Etc/GMT+12": 0.01,  # nobody lives there
    "Pacific/Pago_Pago": 0.02,  # never
    "Pacific/Honolulu": 0.5,  # never
    "Pacific/Marquesas": 0.01,  # never
    "America/Anchorage": 0.5,
    "America/Los_Angeles": 8,
    "America/Phoenix": 1.5,  # never
    "America/Denver": 4,
    "America/Chicago": 9,
    "America/Mexico_City": 4,  # until 2022
    "America/New_York": 13,
    "America/Bogota": 4,  # never
    "America/Halifax": 1,
    "America/Santiago": 2,  # as in the south
    "America/Caracas": 1,  # never
    "America/St_Johns": 0.3,
    "America/Sao_Paulo": 5,  # until 2019, as in the south
    "America/Noronha": 0.02,  # never
    # Europe and Africa.
    "Atlantic/Azores": 0.1,
    "Atlantic/Cape_Verde": 0.1,  # never
    "Europe/London": 8,
    "Africa/Abidjan": 0.5,  # never
    "Europe/Madrid": 15,  # all of central Europe
    "Africa/Lagos": 1,  # never
    "Europe/Athens": 4,  # all of eastern Europe
    "Africa/Cairo": 1,  # since 2023, from the last Friday of April
    "Africa/Johannesburg": 2,  # never
    "Asia/Jerusalem": 1,  # from the Friday before the last Sunday of March
    "Europe/Istanbul": 3,  # since 2016 never; Moscow too
    # Asia, where the clock is hardly changed any more.
    "Asia/Riyadh": 3,
    "Asia/Tehran": 0.5,
    "Asia/Dubai": 3,
    "Asia/Kabul": 0.1,
    "Asia/Karachi": 1.5,
    "Asia/Kolkata": 12,
    "Asia/Kathmandu": 0.2,
    "Asia/Dhaka": 1,
    "Asia/Yangon": 0.2,
    "Asia/Bangkok": 4,
    "Asia/Singapore": 14,  # China, Malaysia, the Philippines and Western Australia too
    "Asia/Tokyo": 9,  # Korea too
    # Australia and the Pacific; the clock changes as in the south.
    "Australia/Darwin": 0.1,  # never
    "Australia/Adelaide": 0.7,
    "Australia/Brisbane": 1.5,  # never
    "Australia/Sydney": 4,
    "Pacific/Noumea": 0.1,  # never
    "Pacific/Auckland": 1.5,
    "Pacific/Fiji": 0.05,  # never since 2021
    "Pacific/Chatham": 0.01,
    "Pacific/Tongatapu": 0.02,  # never
    "Pacific/Kiritimati": 0.01,  # never
}
"""IANA names, and the weight of each."""

FRIDAY_WEEKENDS: Final = frozenset(
    {
        "Africa/Algiers",
        "Africa/Cairo",
        "Africa/Khartoum",
        "Africa/Tripoli",
        "Asia/Aden",
        "Asia/Amman",
        "Asia/Baghdad",
        "Asia/Bahrain",
        "Asia/Damascus",
        "Asia/Dhaka",
        "Asia/Dubai",
        "Asia/Jerusalem",
        "Asia/Kuwait",
        "Asia/Muscat",
        "Asia/Qatar",
        "Asia/Riyadh",
    }
)
"""Zones where most people are off on Friday and Saturday, or were (Dubai until 2022); both weeks are tried there."""
