//! The lines of a report log, each read for itself. A line is words between blanks, or between double quotes.

use crate::flexlm::stamp::{date, slashed_date};
use crate::time::{DAY, SECOND};

/// How a record says when it was: each format of the log leaves out what it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// `mm/dd/yyyy hh:mm[:ss]`: microseconds since 1970-01-01T00:00:00 on the local clock.
    Full(i64),
    /// `mm/dd hh:mm[:ss]`: month, day, microseconds of the day.
    Day(u32, u32, i64),
    /// `hh:mm`.
    Clock(i64),
}

/// What a record tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum What {
    Out,
    In,
    InUse,
    Deny,
    Queue,
    Dequeue,
    Reread,
    Shutdown,
}

/// A record of use or of the server's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub what: What,
    pub product: &'a str,
    pub version: &'a str,
    pub user: &'a str,
    pub host: &'a str,
    pub data: &'a str,
    pub count: u32,
    pub handle: Option<u64>,
    pub why: Option<i32>,
    pub is_asked_again: bool,
    pub when: When,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// `RLM Report Log Format …`: a log begins.
    Format,
    /// `ISV: name, …`.
    Isv(&'a str),
    /// `START host mm/dd/yyyy hh:mm`.
    Start(&'a str, i64),
    /// Minutes west of UTC, and whether summer time is in force at times.
    Zone(i32, bool),
    /// A date and time by itself, or with the log's end.
    Date(i64),
    /// The log ends, and another goes on.
    End(Option<i64>),
    Record(Record<'a>),
    /// A record that says nothing of use.
    Other,
    /// No record at all.
    Unknown,
    /// A record of a known kind that cannot be read.
    Bad,
}

/// Cuts a line into words. None where a quote is not closed.
fn words(line: &str) -> Option<Vec<&str>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, left) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len())),
        };
        words.push(word);
        rest = left.trim_start();
    }
    Some(words)
}

/// `hh:mm`, `hh:mm:ss` or `hh:mm:ss.t` in microseconds.
fn clock(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.split(':').map(|part| part.parse::<u32>().ok().filter(|_| part.len() <= 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    if hour > 23 || minute > 59 || second > 59 || parts.next().is_some() || fraction.len() > 6 {
        return None;
    }
    let fraction = if fraction.is_empty() { 0 } else { format!("{fraction:0<6}").parse::<u32>().ok()? };
    Some(i64::from(3600 * hour + 60 * minute + second) * SECOND + i64::from(fraction))
}

fn full(day: &str, time: &str) -> Option<i64> {
    Some(i64::from(slashed_date(day.as_bytes())?) * DAY + clock(time)?)
}

fn when(day: &str, time: &str) -> Option<When> {
    if let Some(full) = full(day, time) {
        return Some(When::Full(full));
    }
    let (month, day) = day.split_once('/')?;
    let (month, day) = (month.parse().ok()?, day.parse().ok()?);
    // A leap year shows whether there is such a day at all.
    date(2000, month, day)?;
    Some(When::Day(month, day, clock(time)?))
}

/// The first date and time among words: older servers write fewer words before it, newer ones more.
fn first_when(words: &[&str]) -> Option<When> {
    words.windows(2).find_map(|pair| when(pair[0], pair[1]))
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok().filter(|&handle| handle != u64::MAX)
}

pub(super) fn read(line: &str) -> Line<'_> {
    let text = line.trim();
    if text.starts_with("RLM Report Log Format") {
        return Line::Format;
    }
    if let Some(rest) = text.strip_prefix("ISV:") {
        return Line::Isv(rest.split(',').next().unwrap_or_default().trim());
    }
    if text.is_empty() || text.starts_with("REPROCESSED ") || text.starts_with("LICENSE FILE") {
        return Line::Other;
    }
    let kind = text.split_ascii_whitespace().next().unwrap_or_default();
    if kind.starts_with(|c: char| c.is_ascii_digit()) {
        let mut parts = text.split_ascii_whitespace();
        let (day, time) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        return if kind.contains('/') { full(day, time).map_or(Line::Bad, Line::Date) } else { Line::Unknown };
    }
    let is_record = kind.len() > 1 && kind.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    if !is_record {
        return Line::Unknown;
    }
    let Some(words) = words(text) else { return Line::Bad };
    match (kind, words.as_slice()) {
        ("START", [_, host, day, time, ..]) => full(day, time).map_or(Line::Bad, |at| Line::Start(host, at)),
        ("TIMEZONE", [_, west, rest @ ..]) => match west.parse::<i32>() {
            Ok(west) if west.abs() < 1440 => Line::Zone(west, rest.first().is_some_and(|rules| *rules != "0")),
            _ => Line::Bad,
        },
        ("END", [_, day, time, ..]) => Line::End(full(day, time)),
        ("END" | "SWITCH", _) => Line::End(None),
        ("OUT" | "IN" | "INUSE" | "DENY" | "QUE" | "DEQUE" | "REREAD" | "SHUTDOWN", _) => {
            record(kind, &words).map_or(Line::Bad, Line::Record)
        }
        ("START" | "TIMEZONE", _) => Line::Bad,
        _ => Line::Other,
    }
}

/// Reads a record by how many words it has: that tells the small format from the others.
fn record<'a>(kind: &str, words: &[&'a str]) -> Option<Record<'a>> {
    let number = |text: &str| text.parse::<u32>().ok();
    let nothing = Record {
        what: What::Shutdown,
        product: "",
        version: "",
        user: "",
        host: "",
        data: "",
        count: 1,
        handle: None,
        why: None,
        is_asked_again: false,
        when: When::Clock(0),
    };
    let used = |what, product: &'a str, version: &'a str, user: &'a str, host: &'a str, data: &'a str| Record {
        what,
        product,
        version,
        user,
        host,
        data,
        ..nothing.clone()
    };
    Some(match (kind, words) {
        ("OUT", [_, product, version, _pool, user, host, data, count, _, _, handle, _share, rest @ ..]) => Record {
            count: number(count)?,
            handle: Some(hex(handle)?),
            when: first_when(rest)?,
            ..used(What::Out, product, version, user, host, data)
        },
        ("OUT", [_, product, version, user, host, data, count, handle, _share, time]) => Record {
            count: number(count)?,
            handle: Some(hex(handle)?),
            when: When::Clock(clock(time)?),
            ..used(What::Out, product, version, user, host, data)
        },
        ("IN", [_, why, product, version, user, host, data, count, _, _, handle, day, time, ..]) => Record {
            why: Some(why.parse().ok()?),
            count: number(count)?,
            handle: Some(hex(handle)?),
            when: when(day, time)?,
            ..used(What::In, product, version, user, host, data)
        },
        ("DEQUE", [_, why, product, version, user, host, data, count, handle, day, time, ..]) => Record {
            why: Some(why.parse().ok()?),
            count: number(count)?,
            handle: Some(hex(handle)?),
            when: when(day, time)?,
            ..used(What::Dequeue, product, version, user, host, data)
        },
        ("IN" | "DEQUE", [_, why, count, handle, time]) => Record {
            what: if kind == "IN" { What::In } else { What::Dequeue },
            why: Some(why.parse().ok()?),
            count: number(count)?,
            handle: Some(hex(handle)?),
            when: When::Clock(clock(time)?),
            ..nothing
        },
        ("INUSE", [_, product, version, _pool, user, host, data, count, handle, rest @ ..]) => Record {
            count: number(count)?,
            handle: Some(hex(handle)?),
            when: first_when(rest)?,
            ..used(What::InUse, product, version, user, host, data)
        },
        ("QUE", [_, product, version, user, host, data, count, handle, time]) => Record {
            count: number(count)?,
            handle: Some(hex(handle)?),
            when: When::Clock(clock(time)?),
            ..used(What::Queue, product, version, user, host, data)
        },
        ("QUE", [_, product, version, user, host, data, count, handle, rest @ ..]) => Record {
            count: number(count)?,
            handle: Some(hex(handle)?),
            when: first_when(rest)?,
            ..used(What::Queue, product, version, user, host, data)
        },
        ("DENY", [_, product, version, user, host, data, count, why, last, day, time, ..]) => Record {
            count: number(count)?,
            why: Some(why.parse().ok()?),
            is_asked_again: number(last)? == 0,
            when: when(day, time)?,
            ..used(What::Deny, product, version, user, host, data)
        },
        ("REREAD" | "SHUTDOWN", [_, user, host, day, time, ..]) => Record {
            what: if kind == "REREAD" { What::Reread } else { What::Shutdown },
            user,
            host,
            when: when(day, time)?,
            ..nothing
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_of(line: &str) -> Record<'_> {
        match read(line) {
            Line::Record(record) => record,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn records_of_the_standard_format() {
        let out = record_of(r#"OUT cad 2.0 1 ana pc1 "" 2 3 0 1a2 1a2 4d1 "p 1" "cad" "2.0" 09/04 08:15:30"#);
        assert_eq!((out.what, out.product, out.user, out.host, out.count), (What::Out, "cad", "ana", "pc1", 2));
        assert_eq!(out.handle, Some(0x1a2));
        assert_eq!(out.when, When::Day(9, 4, (8 * 3600 + 15 * 60 + 30) * SECOND));
        let old = record_of(r#"OUT cad 2.0 1 ana pc1 "" 1 3 0 1a2 1a2 4d1 "p 1" 09/04 08:15:30"#);
        assert_eq!((old.handle, old.when), (out.handle, out.when));
        let back = record_of(r#"IN 4 cad 2.0 ana pc1 "" 2 1 0 1a2 09/04 09:00:00.1234"#);
        assert_eq!((back.what, back.why, back.handle), (What::In, Some(4), Some(0x1a2)));
        assert_eq!(back.when, When::Day(9, 4, 9 * 3600 * SECOND + 123_400));
        let deny = record_of(r#"DENY cad 2.0 "" "" "" 1 -22 0 09/04 09:01"#);
        assert_eq!((deny.user, deny.why, deny.is_asked_again), ("", Some(-22), true));
        assert_eq!(record_of(r#"INUSE cad 2.0 1 ana pc1 "" 1 ff 4d1 09/04 00:00:00"#).handle, Some(255));
        assert_eq!(record_of(r#"INUSE cad 2.0 1 ana pc1 "" 1 ff ff 4d1 09/04 00:00:00"#).handle, Some(255));
        assert_eq!(record_of("SHUTDOWN root lic1 09/04 10:00:00").what, What::Shutdown);
    }

    #[test]
    fn records_of_the_small_format() {
        let out = record_of(r#"OUT cad 2.0 ana pc1 "" 1 1a2 0 08:15"#);
        assert_eq!((out.handle, out.when), (Some(0x1a2), When::Clock((8 * 3600 + 15 * 60) * SECOND)));
        let back = record_of("IN 1 1 1a2 08:20");
        assert_eq!((back.product, back.handle), ("", Some(0x1a2)));
        assert_eq!(record_of(r#"QUE cad 2.0 ana pc1 "" 1 1a2 08:15"#).what, What::Queue);
        assert_eq!(record_of("DEQUE 6 1 1a2 08:15").what, What::Dequeue);
    }

    #[test]
    fn lines_about_the_log() {
        assert_eq!(read("RLM Report Log Format 0, version 12.3, authenticated"), Line::Format);
        assert_eq!(read("ISV: demo, RLM version 12.3 BL2"), Line::Isv("demo"));
        assert!(matches!(read("START lic1 09/04/2025 00:00:04"), Line::Start("lic1", _)));
        assert!(matches!(read("START lic1 09/04/2025 00:00"), Line::Start("lic1", _)));
        assert_eq!(read("TIMEZONE -420 0"), Line::Zone(-420, false));
        assert_eq!(read("TIMEZONE 480 x # PST"), Line::Zone(480, true));
        assert!(matches!(read("09/04/2025 00:30"), Line::Date(_)));
        assert!(matches!(read("END 09/04/2025 00:30"), Line::End(Some(_))));
        assert_eq!(read("SWITCH to new.log"), Line::End(None));
        for line in ["", "PRODUCT cad 2.0 1 5", "AUTH section=1", "METER_DEC 1", "NEWKIND a b", "LICENSE FILE a.lic"] {
            assert_eq!(read(line), Line::Other, "{line}");
        }
        for line in ["OUT cad", "OUT \"cad", "IN x 1 1a2 08:20", "IN 1 1 1a2 25:20", "START lic1", "TIMEZONE x"] {
            assert_eq!(read(line), Line::Bad, "{line}");
        }
        for line in ["13/45/2025 00:30", "IN 1 1 ffffffffffffffff 08:00", "SHUTDOWN a b 02/30 10:00:00"] {
            assert_eq!(read(line), Line::Bad, "{line}");
        }
        for line in ["hello world", "12 monkeys", "Logfile format (C)"] {
            assert_eq!(read(line), Line::Unknown, "{line}");
        }
    }
}
