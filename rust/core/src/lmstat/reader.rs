//! From files to rows: knows in which output, server and feature a line stands.

use std::collections::HashMap;

use super::lexer::{self, Header};
use super::{Checkout, Feature, NO_TIME, Names, Options, Reservation, Series, Snapshot, Status};
use crate::error::{Error, Result};
use crate::flexlm::{FileReport, Input, Problem, Progress};
use crate::intern::{Interner, NONE};
use crate::lines::{read_through, settle_kinds, shown, stem, zone_of};
use crate::time::zone::Zone;

const HEADER: &str = "Flexible License Manager status on ";
const SERVER: &str = "License server status:";

/// Texts with which `lmstat` begins, by which an output glued to the end of another is told.
const BEGINNINGS: [&str; 3] = ["lmutil - Copyright", "lmstat - Copyright", HEADER];

/// Beginnings of lines that say nothing of use.
const SILENT: [&str; 24] = [
    "lmutil - ",
    "lmstat - ",
    "Copyright",
    "[Detecting",
    "License file(s) on",
    "License file",
    "License path:",
    "License files:",
    "Vendor daemon status",
    "Feature usage info",
    "floating license",
    "nodelocked license",
    "node-locked license",
    "uncounted nodelocked",
    "uncounted license",
    "vendor_string:",
    "vendor string:",
    "NOTE:",
    "Note:",
    "For further information",
    "FlexNet Licensing error",
    "FLEXnet Licensing error",
    "System Error:",
    "---",
];

pub(super) fn read(inputs: Vec<Input>, options: &Options, progress: Progress<'_>) -> Result<Series> {
    let mut series = Series::default();
    let mut strangers = Vec::new();
    let mut done = 0;
    for (number, input) in inputs.into_iter().enumerate() {
        let mut file = FileReader::new(&mut series, options, &input.name);
        let mut lines = read_through(input, options.encoding, progress, done, |line| file.physical_line(line))?;
        let is_any = file.is_any;
        file.finish(lines.bytes(), lines.damage.take())?;
        done += lines.bytes();
        if !is_any {
            strangers.push((number, lines.looks_like()));
        }
    }
    settle_kinds("output of lmstat", &mut series.files, &strangers, &mut series.problems)?;
    Ok(series)
}

/// The header of the output that is being read.
struct Output {
    header: Option<Header>,
    line: u32,
    has_server: bool,
}

struct FileReader<'a> {
    series: &'a mut Series,
    options: &'a Options,
    name: String,
    file: u32,
    report: FileReport,
    line: u32,
    output: Option<Output>,
    /// The last server that was named: an output that says none is of the same.
    server: Option<u32>,
    /// The snapshot and the feature that the lines belong to.
    snapshot: Option<u32>,
    feature: Option<usize>,
    /// The licenses of the users and reservations listed under the feature.
    listed: u64,
    is_daemon_list: bool,
    /// Whether any line is of `lmstat`.
    is_any: bool,
    /// The last instant of each server in this file, and the zone of each.
    running: HashMap<u32, i64>,
    zones: HashMap<u32, &'a Zone>,
}

impl<'a> FileReader<'a> {
    fn new(series: &'a mut Series, options: &'a Options, name: &str) -> Self {
        let file = series.names.file.intern(name.as_bytes());
        Self {
            series,
            options,
            name: name.to_owned(),
            file,
            report: FileReport { name: name.to_owned(), ..FileReport::default() },
            line: 0,
            output: None,
            server: None,
            snapshot: None,
            feature: None,
            listed: 0,
            is_daemon_list: false,
            is_any: false,
            running: HashMap::new(),
            zones: HashMap::new(),
        }
    }

    fn finish(mut self, bytes: u64, damage: Option<String>) -> Result<()> {
        self.end_output()?;
        self.report.bytes = bytes;
        if let Some(message) = damage {
            self.add_problem(None, "unreadable_archive", message);
        }
        if self.report.server.is_empty() {
            self.report.server = self.options.server.clone().unwrap_or_else(|| stem(&self.name).to_owned());
        }
        self.series.files.push(self.report);
        Ok(())
    }

    fn add_problem(&mut self, line: Option<u32>, code: &'static str, message: String) {
        self.series.problems.push(Problem { source: self.name.clone(), line: line.map(u64::from), code, message });
    }

    /// A row is kept, but something about it is odd.
    fn odd(&mut self, code: &'static str, message: String) {
        self.add_problem(Some(self.line), code, message);
    }

    /// A line that cannot be read.
    fn unreadable(&mut self, code: &'static str, line: &str) {
        self.report.problem_lines += 1;
        self.add_problem(Some(self.line), code, shown(line));
    }

    fn physical_line(&mut self, line: &str) -> Result<()> {
        self.report.lines += 1;
        self.line = self.line.saturating_add(1);
        let glued = BEGINNINGS.iter().filter_map(|text| line.find(text)).filter(|&at| !line[..at].trim().is_empty());
        match glued.min() {
            // Of an output without a last line end.
            Some(at) if line[..at].contains('(') || line[..at].contains(':') => {
                self.report.glued += 1;
                self.logical_line(&line[..at])?;
                self.logical_line(&line[at..])
            }
            _ => self.logical_line(line),
        }
    }

    fn logical_line(&mut self, line: &str) -> Result<()> {
        let text = line.trim();
        if let Some(rest) = text.strip_prefix(HEADER) {
            return self.header(rest, line);
        }
        if let Some(rest) = text.strip_prefix(SERVER) {
            self.is_any = true;
            self.report.other_lines += 1;
            let first = rest.split(',').next().unwrap_or_default().trim();
            let host = first.split_once('@').map_or(first, |(_, host)| host);
            return self.begin_server(Some(host).filter(|host| !host.is_empty())).map(drop);
        }
        if let Some(rest) = text.strip_prefix("Users of ") {
            return self.usage(rest, line);
        }
        if text.is_empty() || SILENT.iter().any(|start| text.starts_with(start)) {
            self.is_daemon_list |= text.starts_with("Vendor daemon status");
            self.is_daemon_list &= !text.starts_with("Feature usage info");
            self.report.other_lines += 1;
            return Ok(());
        }
        if self.status(text)? || self.of_feature(text) {
            return Ok(());
        }
        // Before the first output anything may stand, such as the prompt of a terminal.
        let is_error = self.snapshot.is_some_and(|at| self.series.snapshots[at as usize].status == Status::Error);
        if self.output.is_none() && self.snapshot.is_none() || is_error {
            self.report.other_lines += 1;
        } else {
            self.unreadable("unknown_line", line);
        }
        Ok(())
    }

    fn header(&mut self, rest: &str, line: &str) -> Result<()> {
        self.end_output()?;
        self.is_any = true;
        let header = lexer::header(rest);
        match header {
            None => self.unreadable("unreadable_header", line),
            Some(header) => {
                self.report.other_lines += 1;
                if !header.is_weekday_right {
                    self.odd("weekday_mismatch", format!("{}: the date has another weekday", shown(line)));
                }
            }
        }
        self.output = Some(Output { header, line: self.line, has_server: false });
        Ok(())
    }

    fn end_output(&mut self) -> Result<()> {
        if let Some(output) = &self.output
            && !output.has_server
        {
            let line = output.line;
            self.begin_server(None)?;
            self.add_problem(Some(line), "empty_snapshot", "nothing follows the header".to_owned());
        }
        self.end_feature();
        self.output = None;
        self.snapshot = None;
        self.is_daemon_list = false;
        Ok(())
    }

    /// Begins the part of a server. Without its name it is the one before it, or that of the file.
    fn begin_server(&mut self, host: Option<&str>) -> Result<u32> {
        self.end_feature();
        self.is_daemon_list = false;
        let named = match (self.options.server.as_deref().or(host), self.server) {
            (Some(named), _) => named.to_owned(),
            (None, Some(server)) => String::from_utf8_lossy(self.series.names.server.get(server)).into_owned(),
            (None, None) => stem(&self.name).to_owned(),
        };
        let server = self.series.names.server.intern(named.as_bytes());
        self.server = Some(server);
        if self.report.server.is_empty() {
            self.report.server.clone_from(&named);
        }
        let (header, line) = match &mut self.output {
            Some(output) => {
                output.has_server = true;
                (output.header, output.line)
            }
            None => (None, self.line),
        };
        if self.output.is_none() {
            self.odd("no_header", "users without a header: when they were seen is not known".to_owned());
        }
        let time = match header {
            Some(header) => self.snapshot_time(server, &named, header, line)?,
            None => NO_TIME,
        };
        let at = self.series.snapshots.len() as u32;
        self.series.snapshots.push(Snapshot {
            server,
            time,
            status: Status::Unknown,
            message: None,
            version: None,
            daemons: Vec::new(),
            features: 0,
            checkouts: 0,
            file: self.file,
            line,
        });
        self.report.segments += 1;
        self.snapshot = Some(at);
        Ok(at)
    }

    fn snapshot_time(&mut self, server: u32, named: &str, header: Header, line: u32) -> Result<i64> {
        let zone = match self.zones.get(&server) {
            Some(&zone) => zone,
            None => zone_of(&self.options.timezone, named, &self.name)?
                .ok_or_else(|| Error::MissingZone { source_name: self.name.clone() })?,
        };
        self.zones.insert(server, zone);
        let running = self.running.entry(server).or_insert(i64::MIN);
        let (time, odd) = zone.instant(header.local, *running);
        *running = time.max(*running);
        self.report.first = Some(self.report.first.map_or(time, |first| first.min(time)));
        self.report.last = Some(self.report.last.map_or(time, |last| last.max(time)));
        if let Some(code) = odd {
            self.add_problem(Some(line), code, "the clock was changed around the time of the snapshot".to_owned());
        }
        Ok(time)
    }

    /// The snapshot of this line; lines of servers and features may come without the line that names the server.
    fn this_snapshot(&mut self) -> Result<&mut Snapshot> {
        let at = match self.snapshot {
            Some(at) => at,
            None => self.begin_server(None)?,
        };
        Ok(&mut self.series.snapshots[at as usize])
    }

    /// Lines about whether the server and its daemons run. Says whether it was one.
    fn status(&mut self, text: &str) -> Result<bool> {
        let failure = ["Error getting status", "Cannot connect to license server", "lmgrd is not running"];
        if failure.iter().any(|words| text.starts_with(words)) {
            self.is_any |= text.starts_with(failure[0]);
            let is_down = text.starts_with(failure[2]);
            let snapshot = self.this_snapshot()?;
            snapshot.status = if is_down { Status::Down } else { Status::Error };
            snapshot.message.get_or_insert_with(|| text.to_owned());
            self.report.other_lines += 1;
            return Ok(true);
        }
        if self.feature.is_some() || self.snapshot.is_none() {
            return Ok(false);
        }
        let Some((name, state)) = text.split_once(": ") else { return Ok(false) };
        let (name, state) = (name.trim(), state.trim());
        let is_up = state.starts_with("UP") || state.starts_with("license server UP");
        let is_daemon_list = self.is_daemon_list;
        let snapshot = self.this_snapshot()?;
        if ["license server ", "lmgrd is not running", "Cannot "].iter().any(|words| state.starts_with(words)) {
            if is_up {
                snapshot.version = state.rsplit_once(" v").map(|(_, version)| version.to_owned());
                if snapshot.status == Status::Unknown {
                    snapshot.status = Status::Up;
                }
            } else if snapshot.status != Status::Up {
                // One of three redundant servers may be down.
                snapshot.status = Status::Down;
                snapshot.message.get_or_insert_with(|| text.to_owned());
            }
        } else if is_daemon_list && !name.contains(' ') {
            snapshot.daemons.push(format!("{name}: {state}"));
            if !is_up {
                snapshot.status = Status::Down;
                snapshot.message.get_or_insert_with(|| text.to_owned());
            }
        } else {
            return Ok(false);
        }
        self.report.other_lines += 1;
        Ok(true)
    }

    fn usage(&mut self, rest: &str, line: &str) -> Result<()> {
        self.is_any = true;
        self.end_feature();
        let Some(usage) = lexer::usage(rest) else {
            self.unreadable("unreadable_feature", line);
            return Ok(());
        };
        self.this_snapshot()?.features += 1;
        self.is_daemon_list = false;
        let names = &mut self.series.names;
        let row = Feature {
            snapshot: self.snapshot.unwrap_or_default(),
            feature: names.feature.intern(usage.feature.as_bytes()),
            issued: usage.issued.unwrap_or(NONE),
            in_use: usage.in_use.unwrap_or(NONE),
            is_uncounted: usage.is_uncounted,
            message: optional(&mut names.text, usage.message),
            version: NONE,
            vendor: NONE,
            expiry: NONE,
            line: self.line,
            is_complete: usage.message.is_none(),
        };
        self.feature = Some(self.series.features.len());
        self.series.features.push(row);
        self.report.event_lines += 1;
        if !usage.is_known {
            self.odd("unreadable_feature", format!("counts of an unknown form: {}", shown(line)));
        }
        Ok(())
    }

    /// Fewer users than licenses in use mean that lines are missing: then nobody's absence says anything.
    fn end_feature(&mut self) {
        let Some(feature) = self.feature.take().map(|at| &mut self.series.features[at]) else { return };
        let listed = std::mem::take(&mut self.listed);
        if feature.in_use != NONE && listed < u64::from(feature.in_use) {
            feature.is_complete = false;
            let message = format!("{} licenses in use, and only {listed} of them are listed", feature.in_use);
            let line = Some(feature.line);
            self.add_problem(line, "users_missing", message);
        }
    }

    /// Lines under a feature. Says whether it was one.
    fn of_feature(&mut self, text: &str) -> bool {
        let (Some(at), Some(snapshot)) = (self.feature, self.snapshot) else { return false };
        if let Some(license) = lexer::license(text) {
            let names = &mut self.series.names;
            let row = &mut self.series.features[at];
            if row.vendor == NONE {
                row.version = names.version.intern(license.version.as_bytes());
                row.vendor = names.text.intern(license.vendor.as_bytes());
                row.expiry = optional(&mut names.text, license.expiry);
            }
            self.report.other_lines += 1;
            return true;
        }
        let feature = self.series.features[at].feature;
        if let Some(reserved) = lexer::reserved(text) {
            let names = &mut self.series.names;
            self.series.reservations.push(Reservation {
                snapshot,
                feature,
                licenses: reserved.licenses,
                kind: names.text.intern(reserved.kind.as_bytes()),
                name: names.user.intern(reserved.name.as_bytes()),
                server_host: optional(&mut names.server_host, reserved.server_host),
                port: reserved.port.unwrap_or(NONE),
                line: self.line,
            });
            self.listed += u64::from(reserved.licenses);
            self.report.event_lines += 1;
            return true;
        }
        let Some(user) = lexer::user_line(text) else { return false };
        let start = user.start.map_or(NO_TIME, |start| self.start(start, snapshot));
        if let Some(unread) = user.unread {
            self.odd("unreadable_end", format!("{} in {}", shown(unread), shown(text)));
        }
        if !user.is_queued {
            self.listed += u64::from(user.licenses);
        }
        let row = self.checkout(&user, snapshot, feature, start);
        self.series.checkouts.push(row);
        self.series.snapshots[snapshot as usize].checkouts += 1;
        self.report.event_lines += 1;
        true
    }

    fn checkout(&mut self, user: &lexer::UserLine<'_>, snapshot: u32, feature: u32, start: i64) -> Checkout {
        let Names { user: users, host: hosts, display, version, server_host, .. } = &mut self.series.names;
        Checkout {
            snapshot,
            feature,
            user: users.intern(user.user.as_bytes()),
            host: hosts.intern(user.host.as_bytes()),
            display: optional(display, user.display),
            version: optional(version, user.version),
            server_host: optional(server_host, user.server_host),
            port: user.port.unwrap_or(NONE),
            handle: user.handle.unwrap_or(u64::MAX),
            start,
            licenses: user.licenses,
            linger: user.linger.unwrap_or(u64::MAX),
            pid: user.pid.unwrap_or(u64::MAX),
            is_queued: user.is_queued,
            line: self.line,
        }
    }

    /// The instant of a start.
    fn start(&mut self, start: lexer::Start, snapshot: u32) -> i64 {
        let server = self.series.snapshots[snapshot as usize].server;
        let (Some(header), Some(zone)) =
            (self.output.as_ref().and_then(|output| output.header), self.zones.get(&server).copied())
        else {
            return NO_TIME;
        };
        let (local, odd) = start.local(&header);
        if let Some(code) = odd {
            let message = if code == "weekday_mismatch" {
                "the weekday of the start fits neither this year nor the one before"
            } else {
                "the use starts after the snapshot that shows it: two clocks differ"
            };
            self.odd(code, message.to_owned());
        }
        let (instant, odd) = zone.instant(local, i64::MIN);
        if let Some(code) = odd {
            self.odd(code, "the clock was changed around the start".to_owned());
        }
        instant
    }
}

fn optional(names: &mut Interner, text: Option<&str>) -> u32 {
    text.map_or(NONE, |text| names.intern(text.as_bytes()))
}
