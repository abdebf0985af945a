//! One line of a log: its envelope, and the event or the fact about the server that its message holds. Pure functions
//! over bytes; nothing here knows of other lines.

use memchr::{memchr, memmem, memrchr};

use super::Kind;
use super::stamp::{self, Stamp};

/// The longest line that is looked into. No daemon writes one of half this length, and what is searched several times
/// over needs a bound.
pub(super) const MAX_LINE: usize = 8192;

/// How far into a message the `@` of a glued event is looked for.
const MAX_NAME: usize = 1024;

/// A line with its envelope taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub stamp: Stamp,
    pub daemon: &'a [u8],
    pub message: &'a [u8],
}

/// Takes the envelope `H:MM:SS (daemon) message` apart; none when the line has none.
#[inline]
pub(super) fn envelope(line: &[u8]) -> Option<Line<'_>> {
    let (stamp, at) = stamp::read(line)?;
    let (daemon, message) = daemon(&line[at..])?;
    Some(Line { stamp, daemon, message })
}

/// `(name) message`, where the message and the blank before it may be missing.
#[inline]
pub(super) fn daemon(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = text.strip_prefix(b"(")?;
    let end = rest.iter().take(65).position(|&byte| !is_name_byte(byte))?;
    if end == 0 || rest[end] != b')' {
        return None;
    }
    let message = &rest[end + 1..];
    match message {
        [] => Some((&rest[..end], message)),
        [b' ', message @ ..] => Some((&rest[..end], message)),
        _ => None,
    }
}

#[inline]
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') || byte >= 0x80
}

#[inline]
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0)
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(*first)
    {
        text = rest;
    }
    trim_end(text)
}

fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text
        && is_blank(*last)
    {
        text = rest;
    }
    text
}

/// The kind of event that a message begins with, and what follows the kind.
#[inline]
pub(super) fn event_kind(message: &[u8]) -> Option<(Kind, &[u8])> {
    let (kind, length) = match message {
        [b'O', b'U', b'T', b':', b' ', ..] => (Kind::Out, 5),
        [b'I', b'N', b':', b' ', ..] => (Kind::In, 4),
        [b'D' | b'U' | b'Q', ..] => [
            (Kind::Denied, b"DENIED: ".as_slice()),
            (Kind::Unsupported, b"UNSUPPORTED: "),
            (Kind::Upgrade, b"UPGRADE: "),
            (Kind::Queued, b"QUEUED: "),
            (Kind::Dequeued, b"DEQUEUED: "),
        ]
        .iter()
        .find(|(_, word)| message.starts_with(word))
        .map(|(kind, word)| (*kind, word.len()))?,
        _ => return None,
    };
    Some((kind, &message[length..]))
}

/// What an event line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event<'a> {
    pub kind: Kind,
    pub feature: &'a [u8],
    pub user: &'a [u8],
    pub host: &'a [u8],
    pub licenses: u32,
    pub data: Option<&'a [u8]>,
    pub reason: Option<&'a [u8]>,
    pub version: Option<&'a [u8]>,
    pub handle: Option<u64>,
    /// The text after the feature.
    pub tail: &'a [u8],
}

/// Reads an event from what follows its kind. Gives the event and where the next line begins in `text`, if one is
/// glued to it. None when the text is no event.
pub(super) fn event(kind: Kind, text: &[u8]) -> Option<(Event<'_>, Option<usize>)> {
    let (feature, end, mut at) = feature(text)?;
    let tail = &text[end..];
    at += fingerprint(&text[at..]);
    let who = &text[at..];
    let first_at = memchr(b'@', who)?;
    let mut end = first_at + host_end(&who[first_at..]);
    let mut glued = None;
    if let Some(start) = glued_host(who, end) {
        end = start;
        glued = Some(at + start);
    }
    let who = trim_end(&who[..end]);
    let split = memrchr(b'@', who)?;
    let (user, host) = (&who[..split], &who[split + 1..]);
    if trim(user).is_empty() || host.is_empty() || holds_event(user, tail) {
        return None;
    }
    let mut event =
        Event { kind, feature, user, host, licenses: 1, data: None, reason: None, version: None, handle: None, tail };
    if glued.is_none() {
        let end = extras(text, at + end, &mut event)?;
        glued = (end < text.len()).then_some(end);
    }
    Some((event, glued))
}

/// Whether what looks like a user is the rest of a torn line and a whole event glued to it.
fn holds_event(user: &[u8], tail: &[u8]) -> bool {
    memmem::find(user, b") ").is_some() && find_glued_event(tail, 1).is_some()
}

/// The feature, in quotes or as one word, where it ends, and where the text after it and a blank begins.
fn feature(text: &[u8]) -> Option<(&[u8], usize, usize)> {
    let (feature, end) = if let Some(quoted) = text.strip_prefix(b"\"") {
        let length = memchr(b'"', quoted)?;
        (&quoted[..length], length + 2)
    } else {
        let length = text.iter().position(|&byte| is_blank(byte))?;
        (&text[..length], length)
    };
    let blanks = text[end..].iter().take_while(|&&byte| is_blank(byte)).count();
    (!feature.is_empty() && blanks > 0).then_some((feature, end, end + blanks))
}

/// The length of `(00B0 EF6E AFC6 B280 ) ` or `(PORT_AT_HOST_PLUS   ) `, which stands before the user where the feature
/// was refused; 0 if there is none.
fn fingerprint(text: &[u8]) -> usize {
    let Some(rest) = text.strip_prefix(b"(") else { return 0 };
    let is_part = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b' ' | b'_');
    let length = rest.iter().take_while(|byte| is_part(byte)).count();
    if length >= 4 && rest[length..].starts_with(b") ") { length + 3 } else { 0 }
}

/// Where the host ends, in a text that begins at an `@` before it.
fn host_end(text: &[u8]) -> usize {
    for (at, _) in text.iter().enumerate().filter(|&(_, &byte)| matches!(byte, b' ' | b'\t')) {
        match &text[at + 1..] {
            [] | [b' ' | b'\t' | b'(' | b'[' | b'"', ..] | [b'^', b'^', b'^', ..] => return at,
            _ => {}
        }
    }
    text.len()
}

/// Where the time of a next line begins when that line follows the host with nothing between: `…u@h10:22:33 (x) …`.
fn glued_host(who: &[u8], end: usize) -> Option<usize> {
    let start = end.checked_sub(8)?;
    let is_time = |start: usize| who[start + 1..end].contains(&b':') && is_known_line(&who[start..]);
    if is_time(start) {
        return Some(start);
    }
    is_time(start + 1).then_some(start + 1)
}

/// Reads what follows the host. Gives where it ends: where a glued line begins, or with the text. None when a count is
/// no number.
fn extras<'a>(text: &'a [u8], mut at: usize, event: &mut Event<'a>) -> Option<usize> {
    loop {
        if let Some(start) = glued_after(text, at) {
            return Some(start);
        }
        at += text[at..].iter().take_while(|&&byte| is_blank(byte)).count();
        let rest = &text[at..];
        at += match rest {
            [] => return Some(text.len()),
            [b'[', ..] => {
                let (data, length) = bracketed(rest);
                event.data = event.data.or(Some(data));
                length
            }
            [b'(', ..] => {
                let (text, length) = parenthesized(rest);
                parentheses(text, event)?;
                length
            }
            [b'"', quoted @ ..] if quoted.contains(&b'"') => {
                let length = memchr(b'"', quoted).unwrap_or(quoted.len());
                let version = &quoted[..length];
                event.version = event.version.or(Some(version.strip_prefix(b"v").unwrap_or(version)));
                length + 2
            }
            [b'^', b'^', b'^', details @ ..] => {
                let length = memmem::find(details, b"^^^").unwrap_or(details.len());
                verbose(&details[..length], event);
                (length + 6).min(rest.len())
            }
            _ => rest.iter().position(|&byte| is_blank(byte)).unwrap_or(rest.len()).max(1),
        };
    }
}

/// Where the next line begins, if one does at `at`, be it after blanks.
fn glued_after(text: &[u8], at: usize) -> Option<usize> {
    let blanks = text[at..].iter().take_while(|&&byte| is_blank(byte)).count();
    let start = at + blanks;
    let is_digit = text.get(start).is_some_and(u8::is_ascii_digit);
    (is_digit && is_known_line(&text[start..])).then_some(start)
}

/// What stands in `[data]`, which may hold brackets, and the length with them.
fn bracketed(text: &[u8]) -> (&[u8], usize) {
    let closes = |at: usize| text[at] == b']' && text.get(at + 1).is_none_or(|&next| is_blank(next));
    let end = (1..text.len()).find(|&at| closes(at));
    end.map_or((trim_end(&text[1..]), text.len()), |at| (&text[1..at], at + 1))
}

/// What stands in `(…)`, where inner parentheses pair and those in quotes do not count, and the length with them.
fn parenthesized(text: &[u8]) -> (&[u8], usize) {
    for honours_quotes in [true, false] {
        let (mut depth, mut is_quoted) = (0_u32, false);
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'"' => is_quoted = honours_quotes && !is_quoted,
                b'(' if !is_quoted => depth += 1,
                b')' if !is_quoted && depth == 1 => return (&text[1..at], at + 1),
                b')' if !is_quoted => depth -= 1,
                _ => {}
            }
        }
    }
    (trim_end(&text[1..]), text.len())
}

/// `n licenses`, `a->b licenses`, or a reason.
fn parentheses<'a>(text: &'a [u8], event: &mut Event<'a>) -> Option<()> {
    let count = text.strip_suffix(b" licenses").or_else(|| text.strip_suffix(b" license"));
    match count {
        Some(count) if !count.contains(&b' ') => {
            let arrow = memmem::find(count, b"->");
            event.licenses = stamp::number(arrow.map_or(count, |at| &count[at + 2..]))?;
            if let Some(at) = arrow {
                stamp::number(&count[..at])?;
                event.reason = Some(count);
            }
        }
        _ => event.reason = event.reason.or(Some(text)),
    }
    Some(())
}

/// The version and the handle of `version user ip pid handle …`. The user may hold blanks, so the handle is the first
/// word that is a hexadecimal number with its prefix.
fn verbose<'a>(text: &'a [u8], event: &mut Event<'a>) {
    let mut words = text.split(|&byte| is_blank(byte)).filter(|word| !word.is_empty());
    event.version = event.version.or(words.next());
    event.handle = words.find_map(|word| {
        let digits = word.strip_prefix(b"0x").or_else(|| word.strip_prefix(b"0X"))?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    });
}

/// What a message that is no event says about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// Nothing that matters here.
    Other,
    /// A date, and with some the time of day.
    Date(i32, Option<u32>),
    /// The manager's start-up banner.
    Banner { host: &'a [u8], date: Option<i32> },
    /// The manager has started a vendor daemon, perhaps again.
    Started { daemon: &'a [u8], again: bool },
    /// A daemon is about to stop; its own last line follows where it can.
    Stopping { daemon: &'a [u8] },
    /// A daemon's own last line.
    Exiting { daemon: &'a [u8], is_ordered: bool, text: &'a [u8] },
    /// The manager has found a daemon gone.
    Exited { daemon: &'a [u8], status: &'a [u8] },
    /// A daemon gives up because the manager is gone.
    Lost,
    /// A vendor daemon reads its license file again.
    Reread,
    /// Whether this server reports use to the vendor.
    Reporting(bool),
    /// A list of features begins.
    Serving(&'a [u8]),
    /// Possibly part of a list of features.
    List(&'a [u8]),
}

/// Reads a message that is no event.
pub(super) fn message<'a>(daemon: &'a [u8], text: &'a [u8]) -> Message<'a> {
    match text {
        [b'(', b'@', ..] => log_statistics(text),
        [b'T', ..] if text.starts_with(b"TIMESTAMP ") => {
            stamp::slashed_date(trim(&text[10..])).map_or(Message::Other, |date| Message::Date(date, None))
        }
        [b'S', ..] if text.starts_with(b"Server's System Date and Time: ") => dated(&text[31..]),
        [b'S', ..] if text.starts_with(b"Server started on ") => {
            let list = memmem::find(text, b" for:").map_or(&text[text.len()..], |at| &text[at + 5..]);
            Message::Serving(list)
        }
        _ if daemon.ends_with(b"_pluggin") => reporting(text),
        _ => life(daemon, text),
    }
}

/// `(@adskflex-SLOG@) Time: …`. The other lines of these statistics carry dates of the past.
fn log_statistics(text: &[u8]) -> Message<'_> {
    let Some(end) = memmem::find(&text[..text.len().min(80)], b"-SLOG@) ") else { return Message::Other };
    let text = &text[end + 8..];
    [b"Time: ".as_slice(), b"Start-Date: ", b"Reread time: "]
        .iter()
        .find_map(|label| text.strip_prefix(*label))
        .map_or(Message::Other, dated)
}

fn dated(text: &[u8]) -> Message<'_> {
    stamp::written_date(text).map_or(Message::Other, |(date, clock)| Message::Date(date, Some(clock)))
}

fn reporting(text: &[u8]) -> Message<'_> {
    if contains(text, b"Non Reporting mode") || contains(text, b"Non-Reporting mode") {
        Message::Reporting(false)
    } else if contains(text, b"Reporting mode") {
        Message::Reporting(true)
    } else {
        Message::Other
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memmem::find(text, part).is_some()
}

fn is_manager(daemon: &[u8]) -> bool {
    daemon == b"lmgrd" || daemon == b"lmadmin"
}

/// Starts, stops, crashes and rereads, and what is left of the start-up block.
fn life<'a>(daemon: &'a [u8], text: &'a [u8]) -> Message<'a> {
    let by_manager = is_manager(daemon);
    if by_manager && let Some(banner) = banner(text) {
        return banner;
    }
    let (first, rest) = word(text);
    let (second, after) = word(rest);
    match (first, second) {
        (b"Started" | b"REStarted", _) if by_manager && is_daemon(second) && after.starts_with(b"(") => {
            Message::Started { daemon: second, again: first == b"REStarted" }
        }
        (b"Shutting", b"down") if by_manager && is_daemon(word(after).0) => Message::Stopping { daemon: word(after).0 },
        (b"Shutdown", b"requested") => Message::Stopping { daemon },
        (b"daemon", b"shutdown") if after.starts_with(b"requested") => Message::Stopping { daemon },
        (b"EXITING", _) => Message::Exiting { daemon, is_ordered: is_ordered(text), text },
        (_, b"exiting") if is_daemon(first) && after.is_empty() => {
            Message::Exiting { daemon: first, is_ordered: true, text }
        }
        (_, b"exited") if by_manager && is_daemon(first) && after.starts_with(b"with status ") => {
            Message::Exited { daemon: first, status: trim(&after[5..]) }
        }
        (b"Lost", b"connection") if text.starts_with(b"Lost connection to lmgrd, heartbeat timeout") => Message::Lost,
        (b"Rereading", b"license") if !by_manager && after.starts_with(b"file") => Message::Reread,
        _ if is_list(text) => Message::List(text),
        _ => Message::Other,
    }
}

/// The first word of a text and what follows it and its blanks.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&byte| is_blank(byte)).unwrap_or(text.len());
    let blanks = text[end..].iter().take_while(|&&byte| is_blank(byte)).count();
    (&text[..end], &text[end + blanks..])
}

fn is_daemon(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= 64 && name.iter().all(|&byte| is_name_byte(byte))
}

/// `EXITING DUE TO SIGNAL 15 …` is a stop; the signals of a fault are not.
fn is_ordered(text: &[u8]) -> bool {
    let signal = memmem::find(text, b"SIGNAL ").map(|at| word(&text[at + 7..]).0);
    signal.and_then(stamp::number).is_none_or(|signal| matches!(signal, 0..=3 | 15))
}

/// `FlexNet Licensing (v11.18 …) started on HOST (IBM PC) (5/5/2022)`.
fn banner(text: &[u8]) -> Option<Message<'_>> {
    let at = memmem::find(text, b" started on ")?;
    if text.starts_with(b"Server started") {
        return None;
    }
    let (host, rest) = word(&text[at + 12..]);
    if host.is_empty() {
        return None;
    }
    let last = memrchr(b'(', rest).map(|at| trim(&rest[at + 1..]));
    let date = last.and_then(|text| stamp::slashed_date(text.strip_suffix(b")").unwrap_or(text)));
    Some(Message::Banner { host, date })
}

/// Whether a text could be part of a list of features: words of their alphabet, `(consisting of:` and `)`.
fn is_list(text: &[u8]) -> bool {
    let is_part = |&byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'+' | b'(' | b')' | b':' | b' ' | b'\t')
    };
    !text.is_empty() && text.iter().all(is_part)
}

/// Whether a text is a whole line of a kind that daemons write: the end of the line before it may be lost.
pub(super) fn is_known_line(text: &[u8]) -> bool {
    let Some(line) = envelope(text) else { return false };
    if line.stamp == Stamp::Impossible {
        return false;
    }
    if let Some((_, rest)) = event_kind(line.message) {
        return memchr(b'@', &rest[..rest.len().min(MAX_NAME)]).is_some();
    }
    match message(line.daemon, line.message) {
        Message::Other => {
            [b"(@".as_slice(), b"-----", b"Rereading ", b"Server's System ", b"TIMESTAMP ", b"DENIED", b"SLOG: "]
                .iter()
                .any(|start| line.message.starts_with(start))
        }
        Message::List(_) => false,
        _ => true,
    }
}

/// Where a glued line begins at or after `least` in a line that is no event: at a stamp with a daemon and a known
/// message.
pub(super) fn find_glued(line: &[u8], least: usize) -> Option<usize> {
    let mut from = least;
    while let Some(found) = memchr(b'(', line.get(from..)?) {
        let at = from + found;
        from = at + 1;
        let Some(before) = line[..at].strip_suffix(b" ") else { continue };
        let is_time = matches!(before, [.., b'0'..=b'9' | b'Z']);
        if !is_time {
            continue;
        }
        let word = memrchr(b' ', before).map(|blank| blank + 1);
        let starts = [at.checked_sub(9), at.checked_sub(8), word];
        let known = starts.into_iter().flatten().find(|&start| start >= least && is_known_line(&line[start..]));
        if known.is_some() {
            return known;
        }
    }
    None
}

/// Where an undamaged event with a quoted feature begins within a text that is none itself.
pub(super) fn find_glued_event(line: &[u8], least: usize) -> Option<usize> {
    let start = find_glued(line, least)?;
    let (_, rest) = event_kind(envelope(&line[start..])?.message)?;
    rest.starts_with(b"\"").then_some(start)
}

/// Whether a line without a readable envelope looks like an event all the same.
pub(super) fn looks_like_event(line: &[u8]) -> bool {
    let finder = memmem::find_iter(line, b") ");
    finder.take(64).any(|at| event_kind(&line[at + 2..]).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Event<'_> {
        let (event, glued) = parsed(line).unwrap_or_else(|| panic!("no event: {line}"));
        assert_eq!(glued, None, "{line}");
        Event { tail: b"", ..event }
    }

    fn parsed(line: &str) -> Option<(Event<'_>, Option<usize>)> {
        let (kind, rest) = event_kind(envelope(line.as_bytes())?.message)?;
        event(kind, rest)
    }

    fn plain<'a>(kind: Kind, feature: &'a str, user: &'a str, host: &'a str) -> Event<'a> {
        let (feature, user, host) = (feature.as_bytes(), user.as_bytes(), host.as_bytes());
        Event {
            kind,
            feature,
            user,
            host,
            licenses: 1,
            data: None,
            reason: None,
            version: None,
            handle: None,
            tail: b"",
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the fields it is compared with are options")]
    fn bytes(text: &str) -> Option<&[u8]> {
        Some(text.as_bytes())
    }

    #[test]
    fn checkout() {
        let event = read(" 8:42:45 (adskflex) OUT: \"87537INVPROSA_2022_0F\" ANA@pc00243  ");
        assert_eq!(event, plain(Kind::Out, "87537INVPROSA_2022_0F", "ANA", "pc00243"));
    }

    #[test]
    fn check_in() {
        let event = read("10:20:30 (adskflex) IN: \"87556CIV3D_2022_0F\" ana@pc00314  ");
        assert_eq!(event, plain(Kind::In, "87556CIV3D_2022_0F", "ana", "pc00314"));
    }

    #[test]
    fn count() {
        let known = plain(Kind::Out, "hfsshpc", "u", "h");
        let event = read("21:06:15 (ansyslmd) OUT: \"hfsshpc\" u@h  (20 licenses) ");
        assert_eq!(event, Event { licenses: 20, ..known });
        assert_eq!(read("21:06:15 (ansyslmd) OUT: \"hfsshpc\" u@h  (1 license) "), known);
        assert_eq!(parsed("21:06:15 (ansyslmd) OUT: \"hfsshpc\" u@h  (x licenses) "), None);
        assert_eq!(parsed("21:06:15 (ansyslmd) OUT: \"hfsshpc\" u@h  (99999999999 licenses) "), None);
    }

    #[test]
    fn data() {
        let known = plain(Kind::Out, "MSCONE", "u", "h");
        let event = read("16:12:16 (MSC) OUT: \"MSCONE\" u@h [MSCONE:ODYSSEE_CAE] (60 licenses)");
        assert_eq!(event, Event { data: bytes("MSCONE:ODYSSEE_CAE"), licenses: 60, ..known });
        assert_eq!(read("16:12:16 (MSC) OUT: \"MSCONE\" u@h [32206]").data, bytes("32206"));
        assert_eq!(read("16:12:16 (MSC) OUT: \"MSCONE\" u@h [a[1]b] ").data, bytes("a[1]b"));
        assert_eq!(read("16:12:16 (MSC) OUT: \"MSCONE\" u@h [open").data, bytes("open"));
    }

    #[test]
    fn upgrade() {
        let event = read(" 5:23:21 (parteklm) UPGRADE: \"flow_base\" u@h  (5->6 licenses) ");
        let known = plain(Kind::Upgrade, "flow_base", "u", "h");
        assert_eq!(event, Event { licenses: 6, reason: bytes("5->6"), ..known });
        assert_eq!(parsed(" 5:23:21 (parteklm) UPGRADE: \"flow_base\" u@h  (5->x licenses) "), None);
    }

    #[test]
    fn reclaimed_shutdown_and_unknown() {
        let event = read("11:02:14 (adskflex) IN: \"64300ACD_F\" USER07@COMPUTER04  (INACTIVE)");
        assert_eq!(event.reason, bytes("INACTIVE"));
        assert_eq!(read(" 8:14:44 (MLM) IN: \"MATLAB\" u@B16  (SHUTDOWN)").reason, bytes("SHUTDOWN"));
        let event = read(" 8:14:44 (MLM) IN: \"MATLAB\" u@B16  (15 licenses) (SHUTDOWN)");
        assert_eq!((event.licenses, event.reason), (15, bytes("SHUTDOWN")));
        assert_eq!(read("11:31:59 (saltd) IN: \"NS5010\" u@h  (UNKNOWN)").reason, bytes("UNKNOWN"));
    }

    #[test]
    fn denied() {
        let reason = |extra: &str| {
            let line = format!("15:28:58 (adskflex) DENIED: \"64300ACD_F\" u@h  {extra}");
            let event = read(&line);
            (
                String::from_utf8(event.reason.unwrap().to_vec()).unwrap(),
                event.version.map(|version| String::from_utf8(version.to_vec()).unwrap()),
            )
        };
        assert_eq!(
            reason("(Licensed number of users already reached. (-4,342))"),
            ("Licensed number of users already reached. (-4,342)".to_owned(), None)
        );
        assert_eq!(
            reason("(Licensed number of users already reached. (-4,342:10054 \"Connection reset by peer\"))").0,
            "Licensed number of users already reached. (-4,342:10054 \"Connection reset by peer\")"
        );
        assert_eq!(reason("(-4,342:10054 \"a ) within quotes\")").0, "-4,342:10054 \"a ) within quotes\"");
        assert_eq!(
            reason("\"v2023.12\"(License server system does not support this version of this feature. (-25,334))"),
            (
                "License server system does not support this version of this feature. (-25,334)".to_owned(),
                Some("2023.12".to_owned())
            )
        );
        assert_eq!(reason("(not closed (-4,342)").0, "not closed (-4,342)");
    }

    #[test]
    fn unsupported_with_a_fingerprint() {
        let known = plain(Kind::Unsupported, "87537INVPROSA_2022_0F", "u", "h");
        let known = Event { reason: bytes("No such feature exists. (-5,346)"), ..known };
        for fingerprint in ["00B0 EF6E AFC6 B280 ", "PORT_AT_HOST_PLUS   "] {
            let line = format!(
                " 8:42:42 (adskflex) UNSUPPORTED: \"87537INVPROSA_2022_0F\" ({fingerprint}) u@h  (No such feature exists. (-5,346))"
            );
            assert_eq!(read(&line), known);
        }
    }

    #[test]
    fn verbose() {
        let line = "8:41:54 (demo) OUT: \"f1\" u@h ^^^ 1.0 my user 127.0.0.1 29865 0x12CE 1 0 p 2024/1/2 3:4:5 0 ^^^";
        let known = plain(Kind::Out, "f1", "u", "h");
        assert_eq!(read(line), Event { version: bytes("1.0"), handle: Some(0x12CE), ..known });
        let too_large = line.replace("0x12CE", "0x1234567890123456789");
        assert_eq!(read(&too_large).handle, None);
    }

    #[test]
    fn unquoted() {
        let event = read("10:00:00 (telelogic) OUT: TLSTOK-token u@h  [DOORS] (3 licenses)");
        let known = plain(Kind::Out, "TLSTOK-token", "u", "h");
        assert_eq!(event, Event { data: bytes("DOORS"), licenses: 3, ..known });
    }

    #[test]
    fn queued_and_dequeued() {
        assert_eq!(read("10:00:00 (x) QUEUED: \"f\" u@h  ").kind, Kind::Queued);
        assert_eq!(read("10:00:00 (x) DEQUEUED: \"f\" u@h  ").kind, Kind::Dequeued);
    }

    #[test]
    fn the_user_runs_to_the_last_at_sign_before_the_host() {
        for (who, user, host) in [
            ("José Ángel Ruiz@Taller  ", "José Ángel Ruiz", "Taller"),
            ("ana@firm.example@pc1  ", "ana@firm.example", "pc1"),
            ("D.O-e$ª@pc-1.local", "D.O-e$ª", "pc-1.local"),
            ("Jo (Taller)@pc1  (INACTIVE)", "Jo (Taller)", "pc1"),
            ("u@My PC  (u@elsewhere)", "u", "My PC"),
            (" u @h [x@y]", "u ", "h"),
        ] {
            let line = format!("10:00:00 (x) OUT: \"f\" {who}");
            let event = read(&line);
            assert_eq!((event.user, event.host), (user.as_bytes(), host.as_bytes()), "{who}");
        }
    }

    #[test]
    fn broken_events() {
        for text in ["\"f\" ", "\"f u@h", "\"\" u@h", "\"f\"u@h", "", "f", "\"f\" nobody  ", "\"f\" @h", "\"f\" u@  "] {
            assert_eq!(parsed(&format!("10:00:00 (x) OUT: {text}")), None, "{text}");
        }
    }

    #[test]
    fn no_events() {
        for line in [
            " 8:59:34 (adskflex) SERVER-OUT: Failed to send the message(71) <END>",
            "10:00:00 (adskflex) Checkin failed feature 87537INVPROSA_2022_0F",
            "10:00:00 (adskflex) OUT:\"f\" u@h",
        ] {
            assert_eq!(event_kind(envelope(line.as_bytes()).unwrap().message), None, "{line}");
        }
        for line in
            ["", "(x) OUT: \"f\" u@h", "10:00:00 OUT: \"f\" u@h", "10:00:00 (a b) OUT: \"f\" u@h", "10:00:00 ()"]
        {
            assert_eq!(envelope(line.as_bytes()), None, "{line}");
        }
        assert!(looks_like_event(b"(x) OUT: \"f\" u@h"));
        assert!(!looks_like_event(b"SERVER-OUT: (x) failed"));
    }

    #[test]
    fn a_line_glued_to_an_event() {
        for head in ["u@h  ", "u@h", "u@h  (INACTIVE)", "u@h [x] (3 licenses) ", "u@h  (a (-4,342))"] {
            for next in ["10:22:33 (adskflex) OUT: \"x\" a@b", " 8:22:33 (lmgrd) TIMESTAMP 5/5/2022"] {
                let line = format!("\"f\" {head}{next}");
                let (event, glued) = event(Kind::Out, line.as_bytes()).unwrap();
                assert_eq!((event.user, event.host), (b"u".as_slice(), b"h".as_slice()), "{line}");
                let rest = std::str::from_utf8(&line.as_bytes()[glued.unwrap()..]).unwrap();
                assert_eq!(rest.trim_start(), next.trim_start(), "{line}");
            }
        }
    }

    #[test]
    fn names_and_reasons_cannot_fake_a_line() {
        for who in
            ["x 10:22:33 (a) OUT: y@h  ", "u@h  (see 10:22:33 (adskflex) OUT: \"x\" a@b)", "u@h  10:22:33 (adskflex)"]
        {
            let line = format!("\"f\" {who}");
            assert_eq!(event(Kind::Out, line.as_bytes()).unwrap().1, None, "{who}");
        }
    }

    #[test]
    fn a_line_glued_to_another_line() {
        let next = "10:22:33 (adskflex) OUT: \"x\" a@b";
        for head in [" 8:42:45 (lmgrd) TIMESTAMP 5/5/2022", " 8:42:45 (lmgrd) Done reread ", "torn"] {
            assert_eq!(find_glued(format!("{head}{next}").as_bytes(), 3), Some(head.len()), "{head}");
        }
        let iso = "torn 2026-09-05T12:13:14-04:00 (adskflex) OUT: \"x\" a@b";
        assert_eq!(find_glued(iso.as_bytes(), 1), Some(5));
        assert_eq!(find_glued(next.as_bytes(), 9), None);
        assert_eq!(find_glued(b"(@x-SLOG@) 00000016 ms at 10:22:33(6/8/2017),(u,h,1) 10:22:33 (none)", 1), None);
    }

    #[test]
    fn anchors_and_lines_that_are_none() {
        let read = |text: &'static str| message(b"adskflex", text.as_bytes());
        assert_eq!(read("TIMESTAMP 5/5/2022"), Message::Date(19_117, None));
        let dated = Message::Date(19_117, Some(8 * 3600 + 42 * 60 + 20));
        assert_eq!(read("Server's System Date and Time: Thu May 05 2022 08:42:20 Hora de verano romance"), dated);
        for label in ["Start-Date", "Time", "Reread time"] {
            let text = format!("(@adskflex-SLOG@) {label}: Thu May 05 2022 08:42:20 EDT");
            assert_eq!(message(b"adskflex", text.as_bytes()), dated);
        }
        for text in [
            "(@adskflex-SLOG@) 00001485 ms at Thu May 05 2022 08:42:31 Hora de verano romance,#1,(u,h,1)",
            "(@adskflex-SLOG@) Peak private bytes 1K attempted at Mon May 09 2022 08:42:31 Hora de verano romance",
            "TIMESTAMP 15/15/2022",
        ] {
            assert_eq!(read(text), Message::Other, "{text}");
        }
    }

    #[test]
    fn the_life_of_a_server() {
        let read = |daemon: &'static str, text: &'static str| message(daemon.as_bytes(), text.as_bytes());
        let banner = "FlexNet Licensing (v11.18.0.0 build 275847 x64_n6) started on heqowa23 (IBM PC) (5/5/2022)";
        assert_eq!(read("lmgrd", banner), Message::Banner { host: b"heqowa23", date: Some(19_117) });
        let daemon = b"adskflex".as_slice();
        assert_eq!(read("lmgrd", "Started adskflex (pid 4440)"), Message::Started { daemon, again: false });
        let started = Message::Started { daemon, again: true };
        assert_eq!(read("lmgrd", "REStarted adskflex (internet tcp_port 2080 pid 4440)"), started);
        assert_eq!(read("lmgrd", "Shutting down adskflex pid=4440"), Message::Stopping { daemon });
        assert_eq!(read("adskflex", "Shutdown requested from u@h IP=1.2.3.4"), Message::Stopping { daemon });
        let text = "EXITING DUE TO SIGNAL 15 Exit reason 4";
        let exiting = Message::Exiting { daemon, is_ordered: true, text: text.as_bytes() };
        assert_eq!(read("adskflex", text), exiting);
        assert!(matches!(read("adskflex", "EXITING DUE TO SIGNAL 11"), Message::Exiting { is_ordered: false, .. }));
        assert!(matches!(read("lmgrd", "adskflex exiting"), Message::Exiting { is_ordered: true, .. }));
        let exited = Message::Exited { daemon, status: b"status 58 ()" };
        assert_eq!(read("lmgrd", "adskflex exited with status 58 ()"), exited);
        assert_eq!(read("adskflex", "Lost connection to lmgrd, heartbeat timeout expired, exiting."), Message::Lost);
        assert_eq!(read("adskflex", "Rereading license file..."), Message::Reread);
        assert_eq!(read("lmgrd", "Rereading license file... Requested from u@h"), Message::Other);
        assert_eq!(read("adskflex", "Server started on heqowa23 for:\taa_r"), Message::Serving(b"\taa_r"));
        let mode = "INFO: Plugin not loaded, NLM Server is running in Non Reporting mode.";
        assert_eq!(read("adskflex_pluggin", mode), Message::Reporting(false));
        assert_eq!(read("adskflex_pluggin", "INFO: running in Reporting mode."), Message::Reporting(true));
    }
}
