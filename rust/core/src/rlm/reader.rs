//! From files to dated records. Ordinary records carry no year, and in the small format no date: both come from the
//! last full date before them, of which the server writes one every half an hour.

use super::lexer::{self, Line, Record, What, When};
use super::{NO_NUMBER, Options};
use crate::error::{Error, Result};
use crate::flexlm::stamp::date;
use crate::flexlm::{FileReport, Input, Names, Problem, Progress, Timezone};
use crate::intern::{Interner, NONE};
use crate::lines::{read_through, settle_kinds, shown, stem, zone_of};
use crate::time::zone::Zone;
use crate::time::{DAY, HOUR, MINUTE};

/// The server's clock may step back so far before an hour that comes twice is taken for its second time.
const STEP_BACK: i64 = 5 * MINUTE;

/// What a dated record tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Event {
    Use(What),
    /// A log begins.
    Start,
    /// A log ends, and the server goes on with another.
    End,
}

/// A record with its instant.
#[derive(Debug, Clone)]
pub(super) struct Dated {
    pub event: Event,
    pub time: i64,
    pub server: u32,
    pub isv: u32,
    pub product: u32,
    pub version: u32,
    pub user: u32,
    pub host: u32,
    pub data: u32,
    pub count: u32,
    pub handle: u64,
    pub why: i32,
    pub is_asked_again: bool,
    pub file: u32,
    pub line: u32,
}

/// The records of all files, each file's in the order of its lines.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub files: Vec<Vec<Dated>>,
    pub names: Names,
    pub problems: Vec<Problem>,
    pub reports: Vec<FileReport>,
}

pub(super) fn read(inputs: Vec<Input>, options: &Options, progress: Progress<'_>) -> Result<Read> {
    let mut all = Read::default();
    let mut strangers = Vec::new();
    let mut done = 0;
    for (number, input) in inputs.into_iter().enumerate() {
        let mut file = FileReader::new(&mut all, options, &input.name);
        let mut lines = read_through(input, options.encoding, progress, done, |line| file.line(line))?;
        let is_any = file.is_any;
        file.finish(lines.bytes(), lines.damage.take())?;
        done += lines.bytes();
        if !is_any {
            strangers.push((number, lines.looks_like()));
        }
    }
    settle_kinds("report log of RLM", &mut all.reports, &strangers, &mut all.problems)?;
    Ok(all)
}

/// A record that waits for the first date of its file.
struct Waiting {
    dated: Dated,
    when: When,
}

struct FileReader<'a> {
    all: &'a mut Read,
    options: &'a Options,
    name: String,
    report: FileReport,
    file: u32,
    line: u32,
    is_any: bool,
    /// Within the lines before START anything may be written.
    is_head: bool,
    server: u32,
    isv: u32,
    /// The zone that the caller gave, or else the offset that the log states.
    zone: Option<Zone>,
    is_summer_told: bool,
    /// The last local time.
    local: Option<i64>,
    running: i64,
    /// A START whose TIMEZONE has not come yet, and records before the first date.
    waiting: Vec<Waiting>,
    records: Vec<Dated>,
}

impl<'a> FileReader<'a> {
    fn new(all: &'a mut Read, options: &'a Options, name: &str) -> Self {
        let file = all.names.file.intern(name.as_bytes());
        let server = options.server.as_deref().unwrap_or_else(|| stem(name));
        let code = all.names.server.intern(server.as_bytes());
        Self {
            all,
            options,
            name: name.to_owned(),
            report: FileReport { name: name.to_owned(), server: server.to_owned(), ..FileReport::default() },
            file,
            line: 0,
            is_any: false,
            is_head: false,
            server: code,
            isv: NONE,
            zone: None,
            is_summer_told: false,
            local: None,
            running: i64::MIN,
            waiting: Vec::new(),
            records: Vec::new(),
        }
    }

    fn is_zone_given(&self) -> bool {
        !matches!(self.options.timezone, Timezone::None)
    }

    fn add_problem(&mut self, line: Option<u32>, code: &'static str, message: String) {
        let line = line.map(u64::from);
        self.all.problems.push(Problem { source: self.name.clone(), line, code, message });
    }

    fn line(&mut self, line: &str) -> Result<()> {
        self.report.lines += 1;
        self.line = self.line.saturating_add(1);
        let read = lexer::read(line);
        self.is_any |= !matches!(read, Line::Other | Line::Unknown | Line::Bad | Line::Date(_));
        self.report.other_lines += 1;
        match read {
            Line::Format => self.is_head = true,
            Line::Isv(isv) => self.isv = self.all.names.daemon.intern(isv.as_bytes()),
            Line::Start(host, local) => self.start(host, local)?,
            Line::Zone(west, has_summer) => self.offset(west, has_summer)?,
            Line::Date(local) => self.dated(local)?,
            Line::End(local) => {
                if let Some(local) = local {
                    self.dated(local)?;
                }
                if let Some(local) = self.local {
                    let record = self.bare(Event::End);
                    self.place(record, When::Full(local))?;
                }
            }
            Line::Record(record) => {
                self.report.other_lines -= 1;
                self.report.event_lines += 1;
                self.record(&record)?;
            }
            Line::Other => {}
            Line::Unknown if self.is_head => {}
            Line::Unknown => self.unreadable("unknown_line", line),
            Line::Bad => self.unreadable("unreadable_line", line),
        }
        Ok(())
    }

    fn unreadable(&mut self, code: &'static str, line: &str) {
        self.report.other_lines -= 1;
        self.report.problem_lines += 1;
        self.add_problem(Some(self.line), code, shown(line));
    }

    fn start(&mut self, host: &str, local: i64) -> Result<()> {
        self.release(None)?;
        self.is_head = false;
        let named = self.options.server.as_deref().unwrap_or(host).to_owned();
        let server = self.all.names.server.intern(named.as_bytes());
        if self.server != server {
            self.zone = None;
        }
        self.server = server;
        if self.report.segments == 0 {
            self.report.server.clone_from(&named);
        }
        self.report.segments += 1;
        let given = zone_of(&self.options.timezone, &named, &self.name)?;
        // What the log before it in the file stated holds on until it is stated anew.
        self.zone = given.cloned().or(self.zone.take());
        self.local = Some(local);
        self.running = i64::MIN;
        let record = self.bare(Event::Start);
        self.waiting.push(Waiting { dated: record, when: When::Full(local) });
        if self.is_zone_given() { self.release(Some(local)) } else { Ok(()) }
    }

    fn offset(&mut self, west: i32, has_summer: bool) -> Result<()> {
        if !self.is_zone_given() {
            self.zone = Some(Zone::fixed(-west));
            if has_summer && !std::mem::replace(&mut self.is_summer_told, true) {
                let message = "the zone has summer time, and the log states its offset only: pass timezone=\"…\", the \
                               IANA name of the server's zone"
                    .to_owned();
                self.add_problem(Some(self.line), "summer_time_unknown", message);
            }
        }
        self.release(self.local)
    }

    /// A full date in the log.
    fn dated(&mut self, local: i64) -> Result<()> {
        self.release(Some(local))?;
        self.local = Some(local);
        Ok(())
    }

    /// Writes the records that waited, counted from this date where they come before any.
    fn release(&mut self, date: Option<i64>) -> Result<()> {
        if self.local.is_none() {
            self.local = date;
        }
        if self.local.is_none() {
            return Ok(());
        }
        for Waiting { dated, when } in std::mem::take(&mut self.waiting) {
            self.place(dated, when)?;
        }
        Ok(())
    }

    fn bare(&self, event: Event) -> Dated {
        Dated {
            event,
            time: 0,
            server: self.server,
            isv: self.isv,
            product: NONE,
            version: NONE,
            user: NONE,
            host: NONE,
            data: NONE,
            count: 1,
            handle: u64::MAX,
            why: NO_NUMBER,
            is_asked_again: false,
            file: self.file,
            line: self.line,
        }
    }

    fn record(&mut self, record: &Record<'_>) -> Result<()> {
        let mut dated = self.bare(Event::Use(record.what));
        let names = &mut self.all.names;
        dated.product = named(&mut names.feature, record.product);
        dated.version = named(&mut names.version, record.version);
        dated.data = named(&mut names.data, record.data);
        if !matches!(record.what, What::Reread | What::Shutdown) {
            dated.user = named(&mut names.user, record.user);
            dated.host = named(&mut names.host, record.host);
        }
        dated.count = record.count;
        dated.handle = record.handle.unwrap_or(u64::MAX);
        dated.why = record.why.unwrap_or(NO_NUMBER);
        dated.is_asked_again = record.is_asked_again;
        if self.local.is_none() {
            self.waiting.push(Waiting { dated, when: record.when });
            return Ok(());
        }
        // A START without a TIMEZONE after it.
        self.release(None)?;
        self.place(dated, record.when)
    }

    /// Gives a record its instant.
    fn place(&mut self, mut dated: Dated, when: When) -> Result<()> {
        let last = self.local.unwrap_or_default();
        let local = match when {
            When::Full(local) => local,
            When::Day(month, day, of_day) => nearest(last, month, day, of_day),
            When::Clock(of_day) => {
                let local = last - last.rem_euclid(DAY) + of_day;
                // A step back of more than half a day is midnight.
                if local < last - 12 * HOUR { local + DAY } else { local }
            }
        };
        if self.zone.is_none() {
            let server = String::from_utf8_lossy(self.all.names.server.get(self.server)).into_owned();
            self.zone = zone_of(&self.options.timezone, &server, &self.name)?.cloned();
        }
        let Some(zone) = &self.zone else { return Err(Error::MissingZone { source_name: self.name.clone() }) };
        let (time, odd) = zone.instant(local, self.running.saturating_sub(STEP_BACK));
        // What an INUSE names may lie far back.
        if dated.event != Event::Use(What::InUse) {
            self.local = Some(local);
            self.running = time.max(self.running);
        }
        dated.time = time;
        self.report.first = Some(self.report.first.map_or(time, |first| first.min(time)));
        self.report.last = Some(self.report.last.map_or(time, |last| last.max(time)));
        if let Some(code) = odd {
            let line = Some(dated.line);
            self.add_problem(line, code, "the clock was changed around this time".to_owned());
        }
        self.records.push(dated);
        Ok(())
    }

    fn finish(mut self, bytes: u64, damage: Option<String>) -> Result<()> {
        self.release(None)?;
        if !self.waiting.is_empty() {
            let count = self.waiting.len() as u64;
            self.report.event_lines -= count;
            self.report.problem_lines += count;
            let message = format!("{count} records, and no line with a full date: they are left out");
            self.add_problem(None, "undated", message);
        }
        if let Some(message) = damage {
            self.add_problem(None, "unreadable_archive", message);
        }
        self.report.bytes = bytes;
        self.all.reports.push(self.report);
        self.all.files.push(self.records);
        Ok(())
    }
}

fn named(names: &mut Interner, text: &str) -> u32 {
    if text.is_empty() { NONE } else { names.intern(text.as_bytes()) }
}

/// The local time of a month and day that is nearest to the last one.
fn nearest(last: i64, month: u32, day: u32, of_day: i64) -> i64 {
    // The mean year is near enough to tell the year.
    let year = 1970 + (last / DAY * 400).div_euclid(146_097) as u32;
    let years = year.saturating_sub(8)..=year + 8;
    let places = years.filter_map(|year| date(year, month, day)).map(|days| i64::from(days) * DAY + of_day);
    places.min_by_key(|local| (local - last).abs()).unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_is_the_nearest() {
        let day = |year, month, day| i64::from(date(year, month, day).unwrap()) * DAY;
        assert_eq!(nearest(day(2025, 12, 31), 1, 1, 0), day(2026, 1, 1));
        assert_eq!(nearest(day(2026, 1, 1), 12, 31, HOUR), day(2025, 12, 31) + HOUR);
        assert_eq!(nearest(day(2025, 3, 1), 2, 29, 0), day(2024, 2, 29));
        assert_eq!(nearest(0, 1, 2, 0), DAY);
    }
}
