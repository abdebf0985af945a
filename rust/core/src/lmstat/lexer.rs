//! The lines of `lmstat -a`, each read for itself.

use crate::flexlm::stamp::date;
use crate::time::{DAY, SECOND};

/// The date and time in `Flexible License Manager status on Fri 10/20/2017 17:02`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub year: u32,
    /// Microseconds since 1970-01-01T00:00:00 on the local clock.
    pub local: i64,
    /// Whether the name of the weekday, where it is English, is that of the date.
    pub is_weekday_right: bool,
}

/// The date and time in `start Tue 10/15 8:50`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    weekday: Option<i32>,
    month: u32,
    day: u32,
    year: Option<u32>,
    of_day: i64,
}

/// A line of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct UserLine<'a> {
    pub user: &'a str,
    pub host: &'a str,
    pub display: Option<&'a str>,
    pub version: Option<&'a str>,
    pub server_host: Option<&'a str>,
    pub port: Option<u32>,
    pub handle: Option<u64>,
    pub start: Option<Start>,
    pub licenses: u32,
    pub linger: Option<u64>,
    pub pid: Option<u64>,
    pub is_queued: bool,
    /// The end of the line, where it is of no known form.
    pub unread: Option<&'a str>,
}

/// `Users of f:  (Total of 16 licenses issued;  Total of 1 license in use)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage<'a> {
    pub feature: &'a str,
    pub issued: Option<u32>,
    pub in_use: Option<u32>,
    pub is_uncounted: bool,
    /// What the server says in place of its counts.
    pub message: Option<&'a str>,
    /// Whether the line has one of the known forms.
    pub is_known: bool,
}

/// `8 RESERVATIONs for GROUP g (host/port)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reserved<'a> {
    pub licenses: u32,
    pub kind: &'a str,
    pub name: &'a str,
    pub server_host: Option<&'a str>,
    pub port: Option<u32>,
}

/// `"f" v2.0, vendor: adskflex, expiry: 1-jan-2027`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct License<'a> {
    pub version: &'a str,
    pub vendor: &'a str,
    pub expiry: Option<&'a str>,
}

pub(super) fn header(text: &str) -> Option<Header> {
    let mut words = text.split_ascii_whitespace().peekable();
    let weekday = words.next_if(|word| !word.starts_with(|c: char| c.is_ascii_digit())).map(weekday);
    let mut parts = words.next()?.split('/').map(number);
    let (month, day, year) = (parts.next()??, parts.next()??, parts.next()??);
    let days = date(full_year(year), month, day)?;
    let of_day = time_of_day(words.next()?)?;
    let is_weekday_right = weekday.flatten().is_none_or(|named| named == weekday_of(days));
    Some(Header { year: full_year(year), local: i64::from(days) * DAY + of_day, is_weekday_right })
}

/// The weekday of an English name, 0 for Sunday.
fn weekday(word: &str) -> Option<i32> {
    const NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let short = word.get(..3)?.to_ascii_lowercase();
    NAMES.iter().position(|&name| name == short).map(|at| at as i32)
}

fn weekday_of(days: i32) -> i32 {
    // 1970-01-01 was a Thursday.
    (days + 4).rem_euclid(7)
}

fn full_year(year: u32) -> u32 {
    if year < 100 { 2000 + year } else { year }
}

fn number(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// `8:50` or `8:50:12` in microseconds.
fn time_of_day(text: &str) -> Option<i64> {
    let mut parts = text.split(':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    let is_time = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
    is_time.then(|| i64::from(3600 * hour + 60 * minute + second) * SECOND)
}

fn start(text: &str) -> Option<Start> {
    let mut words = text.split_ascii_whitespace().peekable();
    let weekday = words.next_if(|word| !word.starts_with(|c: char| c.is_ascii_digit())).and_then(weekday);
    let mut parts = words.next()?.split('/').map(number);
    let (month, day) = (parts.next()??, parts.next()??);
    let year = match parts.next() {
        Some(year) => Some(full_year(year?)),
        None => None,
    };
    let of_day = time_of_day(words.next()?)?;
    // A leap year shows whether there is such a day at all.
    date(year.unwrap_or(2000), month, day)?;
    words.next().is_none().then_some(Start { weekday, month, day, year, of_day })
}

impl Start {
    /// The local time of the start, and the code of the problem where it does not agree with the rest.
    ///
    /// The year is the latest that lets the use begin before the snapshot. Where the weekday is not that of the date
    /// then, it is the year before it, if that agrees. A start up to a day after the snapshot, on the right weekday,
    /// is a difference of the clocks and no use of a year ago.
    pub(super) fn local(&self, snapshot: &Header) -> (i64, Option<&'static str>) {
        let found = |year: u32| {
            let days = date(year, self.month, self.day)?;
            let agrees = self.weekday.is_none_or(|weekday| weekday == weekday_of(days));
            Some((i64::from(days) * DAY + self.of_day, agrees))
        };
        let late = |local: i64| (local > snapshot.local).then_some("start_after_snapshot");
        if let Some((local, agrees)) = self.year.and_then(found) {
            return (local, if agrees { late(local) } else { Some("weekday_mismatch") });
        }
        // Leap days are eight years apart at most.
        let years = (snapshot.year.saturating_sub(9)..=snapshot.year + 1).rev();
        let mut possible = years.filter_map(found).filter(|&(local, agrees)| {
            local <= snapshot.local || self.weekday.is_some() && agrees && local <= snapshot.local + DAY
        });
        match (possible.next(), possible.next()) {
            (Some((local, true)), _) => (local, late(local)),
            (Some(_), Some((local, true))) => (local, None),
            (Some((local, false)), _) => (local, Some("weekday_mismatch")),
            // Only near 1970 there is no such year.
            (None, _) => (snapshot.local, Some("weekday_mismatch")),
        }
    }
}

/// `host/27000 1403` or `host/27000`.
fn place(text: &str) -> Option<(&str, Option<u32>, Option<u64>)> {
    let (host, rest) = text.rsplit_once('/')?;
    let (port, handle) = match rest.split_once(' ') {
        Some((port, handle)) => (port, Some(handle.trim())),
        None => (rest, None),
    };
    let handle = match handle {
        Some(handle) => Some(handle.parse::<u64>().ok()?),
        None => None,
    };
    Some((host, number(port), handle))
}

/// Reads the line of a user, or says that it is none.
pub(super) fn user_line(line: &str) -> Option<UserLine<'_>> {
    let text = line.trim();
    let at = text.rfind("), start ").or_else(|| text.rfind(") queued for "))?;
    let (head, tail) = (&text[..at], &text[at + 1..]);
    let (head, where_from) = head.rsplit_once(" (")?;
    let (server_host, port, handle) = place(where_from)?;
    let (names, version) = match head.strip_suffix(')').and_then(|head| head.rsplit_once(" (")) {
        Some((names, version)) => (names, version.strip_prefix('v').or(Some(version))),
        None => (head, None),
    };
    let (user, host, display) = names_of(names)?;
    let mut read = UserLine {
        user,
        host,
        display,
        version: version.filter(|version| !version.is_empty()),
        server_host: Some(server_host).filter(|host| !host.is_empty()),
        port,
        handle,
        licenses: 1,
        ..UserLine::default()
    };
    read.tail(tail);
    Some(read)
}

/// User, host and display. The user may hold blanks; a display that is empty leaves two blanks before the version.
fn names_of(names: &str) -> Option<(&str, &str, Option<&str>)> {
    let has_display = !names.ends_with(' ');
    let names = names.trim();
    let (rest, last) = names.rsplit_once(' ')?;
    let rest = rest.trim_end();
    if has_display && let Some((user, host)) = rest.rsplit_once(' ') {
        return Some((user.trim(), host, Some(last)));
    }
    Some((rest, last, None))
}

impl<'a> UserLine<'a> {
    /// Reads what follows the place: start, licenses, linger, process; in any order.
    fn tail(&mut self, tail: &'a str) {
        let mut rest = tail;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if rest.is_empty() {
                return;
            }
            let Some(left) = self.piece(rest) else {
                self.unread = Some(rest);
                return;
            };
            rest = left;
        }
    }

    fn piece(&mut self, rest: &'a str) -> Option<&'a str> {
        if let Some(text) = rest.strip_prefix("start ") {
            let end = text.find(',').into_iter().chain(text.find(" (")).min().unwrap_or(text.len());
            self.start = Some(start(&text[..end])?);
            return Some(&text[end..]);
        }
        if let Some(text) = rest.strip_prefix("queued for ") {
            self.is_queued = true;
            return self.count(text);
        }
        if let Some(text) = rest.strip_prefix("(linger:") {
            let (seconds, left) = text.split_once(')')?;
            self.linger = Some(seconds.split('/').next()?.trim().parse().ok()?);
            return Some(left);
        }
        if let Some(text) = rest.strip_prefix("PID:") {
            let text = text.trim_start();
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            self.pid = Some(text[..end].parse().ok()?);
            return Some(&text[end..]);
        }
        self.count(rest)
    }

    /// `16 licenses`.
    fn count(&mut self, text: &'a str) -> Option<&'a str> {
        let (digits, left) = text.split_once(' ')?;
        let left = left.strip_prefix("license")?;
        self.licenses = number(digits)?;
        Some(left.strip_prefix('s').unwrap_or(left))
    }
}

/// Reads `Users of …`, where the text is what follows these words.
pub(super) fn usage(text: &str) -> Option<Usage<'_>> {
    let (feature, rest) = text.split_once(": ")?;
    let rest = rest.trim();
    let inside = rest.strip_prefix('(').map_or(rest, |rest| rest.strip_suffix(')').unwrap_or(rest));
    let mut read = Usage { feature: feature.trim(), is_known: true, ..Usage::default() };
    if let Some(error) = inside.strip_prefix("Error:") {
        read.issued = first_number(error);
        read.message = Some(error.trim());
    } else if inside.get(..9).is_some_and(|word| word.eq_ignore_ascii_case("uncounted")) {
        read.is_uncounted = true;
    } else if let Some(counts) = inside.strip_prefix("Total of ") {
        let (issued, in_use) = match counts.split_once("Total of ") {
            Some((issued, in_use)) => (issued, Some(in_use)),
            None => (counts, None),
        };
        read.issued = first_number(issued);
        read.in_use = in_use.and_then(first_number);
        read.is_known = read.issued.is_some() && (in_use.is_none() || read.in_use.is_some());
    } else {
        read.message = Some(inside);
        read.is_known = false;
    }
    (!read.feature.is_empty()).then_some(read)
}

fn first_number(text: &str) -> Option<u32> {
    text.split_ascii_whitespace().next().and_then(number)
}

pub(super) fn reserved(line: &str) -> Option<Reserved<'_>> {
    let (licenses, rest) = line.trim().split_once(" RESERVATION")?;
    let rest = rest.strip_prefix('s').unwrap_or(rest).strip_prefix(" for ")?;
    let (kind, rest) = rest.split_once(' ')?;
    let (name, at) = match rest.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (")) {
        Some((name, at)) => (name, Some(place(at)?)),
        None => (rest, None),
    };
    let (server_host, port) = at.map_or((None, None), |(host, port, _)| (Some(host), port));
    Some(Reserved { licenses: number(licenses)?, kind, name: name.trim(), server_host, port })
}

pub(super) fn license(line: &str) -> Option<License<'_>> {
    let (_, rest) = line.trim().strip_prefix('"')?.split_once("\" v")?;
    let (version, rest) = rest.split_once(", vendor: ")?;
    let (vendor, rest) = rest.split_once(',').map_or((rest, None), |(vendor, rest)| (vendor, Some(rest)));
    let expiry = rest.and_then(|rest| rest.trim().strip_prefix("expiry: ")).map(str::trim);
    Some(License { version: version.trim(), vendor: vendor.trim(), expiry })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> i64 {
        format!("{text}Z").parse::<jiff::Timestamp>().unwrap().as_microsecond()
    }

    fn placed(snapshot: &str, text: &str) -> (i64, Option<&'static str>) {
        start(text).unwrap().local(&header(snapshot).unwrap())
    }

    #[test]
    fn the_header_dates_the_snapshot() {
        let read = header("Fri 10/20/2017 17:02").unwrap();
        assert_eq!((read.local, read.is_weekday_right), (local("2017-10-20T17:02:00"), true));
        assert!(!header("Thu 10/20/2017 17:02").unwrap().is_weekday_right);
        assert!(header("Vie 10/20/2017 17:02").unwrap().is_weekday_right);
        for bad in ["", "Fri", "Fri 20/10/2017 17:02", "Fri 10/20/2017", "Fri 2/29/2017 1:00", "Fri 10/20/2017 24:00"] {
            assert_eq!(header(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_year_of_a_start_is_the_latest_possible() {
        assert_eq!(placed("Tue 1/6/2026 9:00", "Tue 1/6 8:50"), (local("2026-01-06T08:50:00"), None));
        assert_eq!(placed("Tue 1/6/2026 9:00", "Wed 12/31 8:50"), (local("2025-12-31T08:50:00"), None));
        assert_eq!(placed("Tue 1/6/2026 9:00", "Thu 2/29 8:50"), (local("2024-02-29T08:50:00"), None));
    }

    #[test]
    fn the_weekday_checks_the_year() {
        // 3/5 is a Thursday in 2026, a Wednesday in 2025.
        assert_eq!(placed("Fri 3/6/2026 9:00", "Wed 3/5 8:50"), (local("2025-03-05T08:50:00"), None));
        assert_eq!(
            placed("Fri 3/6/2026 9:00", "Mon 3/5 8:50"),
            (local("2026-03-05T08:50:00"), Some("weekday_mismatch"))
        );
        assert_eq!(placed("Fri 3/6/2026 9:00", "Jue 3/5 8:50"), (local("2026-03-05T08:50:00"), None));
    }

    #[test]
    fn a_start_just_after_the_snapshot_is_a_difference_of_clocks() {
        let late = Some("start_after_snapshot");
        assert_eq!(placed("Fri 3/6/2026 9:00", "Fri 3/6 9:02"), (local("2026-03-06T09:02:00"), late));
        assert_eq!(placed("Wed 12/31/2025 23:59", "Thu 1/1 0:01"), (local("2026-01-01T00:01:00"), late));
    }

    #[test]
    fn users_in_every_spelling() {
        let line = "    pav2 PAV2LT PAV2LT (v1.0) (WSERVICES/27000 1403), start Tue 10/15 8:50";
        let read = user_line(line).unwrap();
        assert_eq!((read.user, read.host, read.display), ("pav2", "PAV2LT", Some("PAV2LT")));
        assert_eq!((read.version, read.server_host, read.port), (Some("1.0"), Some("WSERVICES"), Some(27000)));
        assert_eq!((read.handle, read.licenses, read.unread, read.is_queued), (Some(1403), 1, None, false));
        let line = format!("{line}, 16 licenses (linger: 239100), PID: 77");
        let read = user_line(&line).unwrap();
        assert_eq!((read.licenses, read.linger, read.pid, read.unread), (16, Some(239_100), Some(77), None));
        let read = user_line("Ana Ruiz pc 1 /dev/tty (v2) (s/1 5) queued for 3 licenses").unwrap();
        assert_eq!((read.user, read.host, read.display), ("Ana Ruiz pc", "1", Some("/dev/tty")));
        assert_eq!((read.licenses, read.is_queued, read.start), (3, true, None));
        let read = user_line("ana lic pc1  (v2) (s/1), start Tue 10/15 8:50").unwrap();
        assert_eq!((read.user, read.host, read.display, read.handle), ("ana lic", "pc1", None, None));
        assert_eq!(user_line("ana pc1 (s/1 5), start Tue 10/15 8:50").unwrap().version, None);
        let odd = user_line("a b c (v1) (s/1 5), start Tue 13/45 8:50").unwrap();
        assert_eq!((odd.start, odd.unread), (None, Some("start Tue 13/45 8:50")));
        for bad in ["", "floating license", "a (s/1 5), start Tue 1/1 1:00", "a b c (v1) (s/1 x), start Tue 1/1 1:00"] {
            assert_eq!(user_line(bad), None, "{bad}");
        }
    }

    #[test]
    fn counts_of_a_feature() {
        let read = usage("87224ACD_2020_0F:  (Total of 16 licenses issued;  Total of 1 license in use)").unwrap();
        assert_eq!((read.feature, read.issued, read.in_use), ("87224ACD_2020_0F", Some(16), Some(1)));
        let read = usage("f: (Total of 5 licenses available)").unwrap();
        assert_eq!((read.issued, read.in_use, read.is_known), (Some(5), None, true));
        assert!(usage("f:  (Uncounted, node-locked)").unwrap().is_uncounted);
        let read = usage("f:  (Error: 2 licenses, unsupported by licensed server)").unwrap();
        assert_eq!((read.issued, read.message), (Some(2), Some("2 licenses, unsupported by licensed server")));
        assert!(!usage("f:  (something new)").unwrap().is_known);
        assert!(!usage("f:  (Total of 99999999999 licenses issued;  Total of 1 license in use)").unwrap().is_known);
        assert_eq!(usage("f"), None);
    }

    #[test]
    fn reservations_and_licenses() {
        let read = reserved("      8 RESERVATIONs for GROUP design team (lic01/27000)").unwrap();
        assert_eq!((read.licenses, read.kind, read.name), (8, "GROUP", "design team"));
        assert_eq!((read.server_host, read.port), (Some("lic01"), Some(27000)));
        assert_eq!(reserved("1 RESERVATION for USER ana").unwrap().name, "ana");
        assert_eq!(reserved("x RESERVATION for USER ana"), None);
        let read = license("  \"f\" v2.0, vendor: adskflex, expiry: permanent(no expiration date)").unwrap();
        assert_eq!((read.version, read.vendor), ("2.0", "adskflex"));
        assert_eq!(read.expiry, Some("permanent(no expiration date)"));
        assert_eq!(license("\"f\" v2.0, vendor: adskflex").unwrap().expiry, None);
    }
}
