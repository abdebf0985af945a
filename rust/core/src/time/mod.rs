//! Zones and local days. Time is microseconds since 1970-01-01T00:00:00Z everywhere.

pub mod day;
pub mod zone;

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds in a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// Microseconds in an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Microseconds in a day of 24 h.
pub const DAY: i64 = 24 * HOUR;
/// The first instant that a time in data may have: 1970-01-01T00:00:00Z.
pub const MIN_TIME: i64 = 0;
/// The first instant that is too late for a time in data: 2200-01-01T00:00:00Z.
///
/// License logs begin in 1988 and end today. The bounds keep tables of days small and catch the usual broken values
/// (year 9999, nanoseconds taken for microseconds) where they enter.
pub const MAX_TIME: i64 = 84_006 * DAY;
