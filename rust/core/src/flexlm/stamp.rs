//! The time stamps of a line and the dates that its text can hold.

/// Seconds in a day.
pub(super) const DAY: i64 = 86_400;

/// What a line begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// `H:MM:SS`: seconds of the local day.
    Clock(u32),
    /// A date and time of ISO 8601.
    Full(Full),
    /// The shape of a time that no clock shows, such as 25:61:61.
    Impossible,
}

/// A date and time of ISO 8601.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    /// The local date, in days since 1970-01-01.
    pub date: i32,
    /// Seconds of the local day.
    pub clock: u32,
    /// The fraction of the second.
    pub micros: u32,
    /// Seconds to add to UTC for the local time; none when the stamp names no zone.
    pub offset: Option<i32>,
}

/// Reads the stamp at the start of `text`, which must be followed by one blank. Gives the stamp and where the rest
/// begins.
#[inline]
pub(super) fn read(text: &[u8]) -> Option<(Stamp, usize)> {
    let (hour, at) = match text {
        [h1 @ b'0'..=b'9', h2 @ b'0'..=b'9', b':', ..] => (10 * digit(*h1) + digit(*h2), 2),
        [b' ', h @ b'0'..=b'9', b':', ..] => (digit(*h), 2),
        [h @ b'0'..=b'9', b':', ..] => (digit(*h), 1),
        [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'-', ..] => return read_full(text),
        _ => return None,
    };
    let &[b':', m1, m2, b':', s1, s2, b' ', ..] = &text[at..] else { return None };
    if ![m1, m2, s1, s2].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (minute, second) = (10 * digit(m1) + digit(m2), 10 * digit(s1) + digit(s2));
    if hour > 23 || minute > 59 || second > 59 {
        return Some((Stamp::Impossible, at + 7));
    }
    Some((Stamp::Clock(3600 * hour + 60 * minute + second), at + 7))
}

#[inline]
fn digit(byte: u8) -> u32 {
    u32::from(byte - b'0')
}

/// `2026-09-05T12:13:14.5-04:00 `, also with `Z`, `+0200`, `+02` or no zone.
fn read_full(text: &[u8]) -> Option<(Stamp, usize)> {
    let year = number(text.get(..4)?)?;
    let (month, day) = (number(text.get(5..7)?)?, number(text.get(8..10)?)?);
    let (hour, minute, second) = (number(text.get(11..13)?)?, number(text.get(14..16)?)?, number(text.get(17..19)?)?);
    if text[7] != b'-' || !matches!(text[10], b'T' | b't' | b' ') || text[13] != b':' || text[16] != b':' {
        return None;
    }
    let mut at = 19;
    let mut micros = 0;
    if let Some(b'.' | b',') = text.get(at) {
        at += 1;
        let mut unit = 100_000;
        while let Some(byte @ b'0'..=b'9') = text.get(at) {
            micros += unit * digit(*byte);
            unit /= 10;
            at += 1;
        }
    }
    let (offset, length) = read_offset(&text[at..])?;
    at += length;
    if text.get(at) != Some(&b' ') {
        return None;
    }
    let date = date(year, month, day).filter(|_| hour < 24 && minute < 60 && second < 60);
    let Some(date) = date else { return Some((Stamp::Impossible, at + 1)) };
    let clock = 3600 * hour + 60 * minute + second;
    Some((Stamp::Full(Full { date, clock, micros, offset }), at + 1))
}

/// Seconds east of UTC, and the length of the text.
fn read_offset(text: &[u8]) -> Option<(Option<i32>, usize)> {
    let sign = match text.first()? {
        b'Z' | b'z' => return Some((Some(0), 1)),
        b'+' => 1,
        b'-' => -1,
        _ => return Some((None, 0)),
    };
    let hours = number(text.get(1..3)?)?;
    let (minutes, length) = match text.get(3..) {
        Some([b':', rest @ ..]) if rest.len() >= 2 => (number(&rest[..2])?, 6),
        Some([b'0'..=b'9', b'0'..=b'9', ..]) => (number(&text[3..5])?, 5),
        _ => (0, 3),
    };
    if hours > 18 || minutes > 59 {
        return None;
    }
    Some((Some(sign * (3600 * hours + 60 * minutes) as i32), length))
}

/// A short decimal number, all of `text`.
pub(crate) fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 10 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = text.iter().fold(0_u64, |value, byte| 10 * value + u64::from(byte - b'0'));
    u32::try_from(value).ok()
}

/// Days since 1970-01-01 of a date that exists and that a log can have.
pub(crate) fn date(year: u32, month: u32, day: u32) -> Option<i32> {
    const BEFORE_MONTH: [u32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    const LENGTHS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !(1970..2200).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let month = month as usize - 1;
    if day == 0 || day > LENGTHS[month] + u32::from(is_leap && month == 1) {
        return None;
    }
    let past = year - 1;
    let leap_days = past / 4 - past / 100 + past / 400 - 477;
    let of_year = BEFORE_MONTH[month] + day - 1 + u32::from(is_leap && month > 1);
    Some((365 * (year - 1970) + leap_days + of_year) as i32)
}

/// `m/d/yyyy`, all of `text`.
pub(crate) fn slashed_date(text: &[u8]) -> Option<i32> {
    let mut parts = text.split(|&byte| byte == b'/').map(number);
    let (month, day, year) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() { None } else { date(year, month, day) }
}

/// `Thu May 05 2022 08:42:20 …` or `Thu May  5 08:42:20 2022`: the date and the seconds of the day.
pub(super) fn written_date(text: &[u8]) -> Option<(i32, u32)> {
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    words.next()?;
    let month = words.next()?;
    let month = MONTHS.chunks(3).position(|name| name.eq_ignore_ascii_case(month))? as u32 + 1;
    let day = number(words.next()?)?;
    let (third, fourth) = (words.next()?, words.next()?);
    let (year, clock) = if third.contains(&b':') { (fourth, third) } else { (third, fourth) };
    let date = date(number(year)?, month, day)?;
    let mut parts = clock.split(|&byte| byte == b':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    (hour < 24 && minute < 60 && second < 60).then_some((date, 3600 * hour + 60 * minute + second))
}

/// `2022-05-05`, for messages.
pub(crate) fn date_text(date: i32) -> String {
    match jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(date).unwrap_or_default()) {
        Ok(date) => date.to_string(),
        Err(_) => format!("day {date}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hour_is_padded_with_a_blank_or_a_zero_or_not_at_all() {
        let clock = Some((Stamp::Clock(8 * 3600 + 42 * 60 + 45), 9));
        assert_eq!(read(b" 8:42:45 (a) x"), clock);
        assert_eq!(read(b"08:42:45 (a) x"), clock);
        assert_eq!(read(b"8:42:45 (a) x"), clock.map(|(stamp, _)| (stamp, 8)));
        assert_eq!(read(b"23:59:59 "), Some((Stamp::Clock(86_399), 9)));
    }

    #[test]
    fn an_impossible_time_is_told_from_no_time() {
        assert_eq!(read(b"25:61:61 (a) x"), Some((Stamp::Impossible, 9)));
        assert_eq!(read(b"24:00:00 (a) x").map(|(stamp, _)| stamp), Some(Stamp::Impossible));
        for text in ["", "8", "8:", "8:4:45 ", "8:42:45", "a:42:45 ", "123:42:45 ", "  8:42:45 ", "8:42:4x "] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn iso_stamps_with_every_spelling_of_the_offset() {
        for (text, micros, offset) in [
            ("2026-09-05T12:13:14-04:00 ", 0, Some(-14_400)),
            ("2026-09-05T12:13:14Z ", 0, Some(0)),
            ("2026-09-05T12:13:14+0200 ", 0, Some(7200)),
            ("2026-09-05T12:13:14+02 ", 0, Some(7200)),
            ("2026-09-05T12:13:14.25+05:30 ", 250_000, Some(19_800)),
            ("2026-09-05 12:13:14.1234567Z ", 123_456, Some(0)),
            ("2026-09-05T12:13:14 ", 0, None),
        ] {
            let full = Full { date: 20_701, clock: 43_994, micros, offset };
            assert_eq!(read(text.as_bytes()), Some((Stamp::Full(full), text.len())), "{text}");
        }
        assert_eq!(read(b"2026-02-30T12:13:14Z ").map(|(stamp, _)| stamp), Some(Stamp::Impossible));
        assert_eq!(read(b"2026-09-05T12:13:14+25:00 "), None);
        assert_eq!(read("2026-09-05T12:1".as_bytes()), None);
    }

    #[test]
    fn dates_agree_with_a_calendar_library() {
        for day in 0..84_006_i32 {
            let known = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(day)).unwrap();
            let (year, month) = (u32::try_from(known.year()).unwrap(), u32::try_from(known.month()).unwrap());
            assert_eq!(date(year, month, u32::try_from(known.day()).unwrap()), Some(day));
        }
        for (year, month, day) in
            [(2022, 2, 29), (2022, 13, 1), (2022, 0, 1), (2022, 4, 31), (2022, 1, 0), (2200, 1, 1)]
        {
            assert_eq!(date(year, month, day), None);
        }
    }

    #[test]
    fn dates_in_the_text() {
        assert_eq!(slashed_date(b"5/5/2022"), Some(19_117));
        assert_eq!(slashed_date(b"13/5/2022"), None);
        assert_eq!(slashed_date(b"5/5/2022/1"), None);
        let known = Some((19_117, 8 * 3600 + 42 * 60 + 20));
        assert_eq!(written_date(b"Thu May 05 2022 08:42:20 Hora de verano romance"), known);
        assert_eq!(written_date(b"Thu May  5 08:42:20 2022"), known);
        assert_eq!(written_date(b"Thu Mai 05 2022 08:42:20"), None);
        assert_eq!(written_date(b""), None);
        assert_eq!(date_text(19_117), "2022-05-05");
    }
}
