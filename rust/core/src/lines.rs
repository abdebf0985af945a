//! A file line by line, whatever it is packed and encoded in, with the account of its lines: for readers that need no
//! threads.

use std::io::{BufRead, BufReader};

use encoding_rs::Encoding;

use crate::error::{Error, Result};
use crate::flexlm::{FileReport, Input, Problem, Progress, Timezone};
use crate::text::{self, Origin, Source};
use crate::time::zone::Zone;

/// How many characters of a line a problem shows.
const SHOWN: usize = 120;

/// How many bytes tell what a file looks like.
const HEAD: usize = 4096;

/// Between two calls of the caller's progress lie so many lines.
const LINES_BETWEEN: u64 = 4096;

/// An open file.
pub(crate) struct Lines {
    source: BufReader<Source>,
    origin: Origin,
    buffer: Vec<u8>,
    name: String,
    head: Vec<u8>,
    /// The last line's number, from 1.
    pub number: u64,
    /// What is wrong with the archive, if it is.
    pub damage: Option<String>,
}

impl Lines {
    fn open(input: Input) -> Result<Self> {
        let name = input.name;
        let opened = text::open(input.content);
        let (source, origin) = opened.map_err(|error| Error::Io { source_name: name.clone(), error })?;
        let source = BufReader::with_capacity(1 << 18, source);
        Ok(Self { source, origin, buffer: Vec::new(), name, head: Vec::new(), number: 0, damage: None })
    }

    /// The next line without its end and without a byte order mark, or nothing at the end of the file.
    fn next(&mut self) -> Result<Option<&[u8]>> {
        self.buffer.clear();
        if self.damage.is_some() {
            return Ok(None);
        }
        match self.source.read_until(b'\n', &mut self.buffer) {
            Ok(_) => {}
            Err(error) if self.origin.is_packed => self.damage = Some(error.to_string()),
            Err(error) => return Err(Error::Io { source_name: self.name.clone(), error }),
        }
        if self.buffer.is_empty() {
            self.origin.check(&self.name, self.damage.is_none())?;
            return Ok(None);
        }
        if self.head.len() < HEAD {
            let wanted = self.buffer.len().min(HEAD - self.head.len());
            self.head.extend_from_slice(&self.buffer[..wanted]);
        }
        self.number += 1;
        let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_first = self.number == 1;
        Ok(Some(line.strip_prefix("\u{feff}".as_bytes()).filter(|_| is_first).unwrap_or(line)))
    }

    /// The bytes read from the file itself.
    pub(crate) fn bytes(&self) -> u64 {
        self.origin.bytes()
    }

    /// Whether it is time to tell the caller how far the reading is.
    fn is_pause(&self) -> bool {
        self.number.is_multiple_of(LINES_BETWEEN)
    }

    /// What the file looks like, by its first lines.
    pub(crate) fn looks_like(&self) -> &'static str {
        looks_like(&self.head)
    }
}

/// Reads a file to its end: hands each line on as text, and tells the caller how far the reading is when `done` bytes of
/// other files were read before. Gives the file back for its account.
pub(crate) fn read_through(
    input: Input,
    encoding: &'static Encoding,
    progress: Progress<'_>,
    done: u64,
    mut take: impl FnMut(&str) -> Result<()>,
) -> Result<Lines> {
    let mut lines = Lines::open(input)?;
    while let Some(line) = lines.next()? {
        take(&text::decode(line, encoding))?;
        if lines.is_pause() {
            tell(progress, done + lines.bytes())?;
        }
    }
    tell(progress, done + lines.bytes())?;
    Ok(lines)
}

/// The lines of a file whose numbers, from 1 and ascending, are asked for; nothing for those that it does not have.
///
/// # Errors
/// When the file cannot be read, or is not the same any more at the end.
pub fn excerpt(input: Input, encoding: &'static Encoding, numbers: &[u64]) -> Result<Vec<Option<String>>> {
    let mut lines = Lines::open(input)?;
    let mut found = vec![None; numbers.len()];
    let mut wanted = numbers.iter().zip(&mut found).peekable();
    let mut number = 0;
    while wanted.peek().is_some() {
        let Some(line) = lines.next()? else { break };
        number += 1;
        while let Some((_, place)) = wanted.next_if(|(asked, _)| **asked <= number) {
            *place = Some(text::decode(line, encoding).into_owned());
        }
    }
    Ok(found)
}

/// Tells the caller how far the reading is.
fn tell(progress: Progress<'_>, bytes: u64) -> Result<()> {
    if progress(bytes) { Ok(()) } else { Err(Error::Interrupted) }
}

/// What a file looks like, by its first bytes.
fn looks_like(head: &[u8]) -> &'static str {
    let has = |text: &str| memchr::memmem::find(head, text.as_bytes()).is_some();
    let start = head.trim_ascii_start();
    match start {
        [] => "empty",
        [b'P', b'K', 3 | 5, ..] => "a zip archive or an Excel workbook: unpack it first",
        [b'S', b'Q', b'L', b'i', b't', b'e', ..] => "an SQLite database",
        [b'P', b'A', b'R', b'1', ..] => "a Parquet file",
        [b'%', b'P', b'D', b'F', ..] => "a PDF document",
        _ if has("Flexible License Manager status on") || has("License server status:") => {
            "the output of lmstat: use read_lmstat"
        }
        _ if has("RLM Report Log Format") => "a report log of RLM: use read_rlm",
        _ if has(" (lmgrd) ") || has("(adskflex)") || has(") OUT: \"") => "a debug log of FlexNet: use read_flexlm",
        _ if has("#FLEXlm Report Log") || has("FLEXnet Report") => {
            "a report log of FlexNet, which is encrypted: take the debug log and use read_flexlm"
        }
        [b'{' | b'[', ..] => "JSON",
        [b'<', ..] => "HTML or XML",
        _ if head.iter().filter(|&&byte| byte < 9).count() * 50 > head.len() => "no text",
        _ => {
            let first = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
            let separators = first.iter().filter(|byte| matches!(byte, b',' | b';' | b'\t')).count();
            if separators >= 2 { "a table with separators (CSV)" } else { "other text" }
        }
    }
}

/// The text of a line for a problem.
pub(crate) fn shown(line: &str) -> String {
    line.trim().chars().take(SHOWN).collect()
}

/// The file's name without its folder and endings.
pub(crate) fn stem(name: &str) -> &str {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let mut stem = name;
    for ending in [".gz", ".zst", ".log", ".txt"] {
        stem = stem.strip_suffix(ending).filter(|rest| !rest.is_empty()).unwrap_or(stem);
    }
    stem
}

/// The zone of a server, if one is given for it.
///
/// # Errors
/// [`Error::ServerWithoutZone`] where zones are given and the server has none.
pub(crate) fn zone_of<'a>(timezone: &'a Timezone, server: &str, source_name: &str) -> Result<Option<&'a Zone>> {
    match timezone {
        Timezone::None => Ok(None),
        Timezone::One(zone) => Ok(Some(zone)),
        Timezone::PerServer(zones) => {
            let found = zones.iter().find(|(name, _)| name == server);
            let found = found.or_else(|| zones.iter().find(|(name, _)| name.eq_ignore_ascii_case(server)));
            found.map(|(_, zone)| Some(zone)).ok_or_else(|| Error::ServerWithoutZone {
                source_name: source_name.to_owned(),
                server: server.to_owned(),
                known: zones.iter().map(|(name, _)| name.clone()).collect(),
            })
        }
    }
}

/// Files of which none holds a line of the wanted kind are the wrong files; one among others is a problem.
///
/// # Errors
/// [`Error::WrongKind`], about the first file.
pub(crate) fn settle_kinds(
    wanted: &'static str,
    files: &mut [FileReport],
    strangers: &[(usize, &'static str)],
    problems: &mut Vec<Problem>,
) -> Result<()> {
    if let Some(&(file, found)) = strangers.first()
        && strangers.len() == files.len()
    {
        return Err(Error::WrongKind { source_name: files[file].name.clone(), wanted, found });
    }
    for &(file, found) in strangers {
        let report = &mut files[file];
        report.problem_lines += std::mem::take(&mut report.other_lines);
        problems.retain(|problem| problem.source != report.name);
        let message = format!("is no {wanted}: it looks like {found}");
        problems.push(Problem { source: report.name.clone(), line: None, code: "wrong_kind", message });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flexlm::Content;

    #[test]
    fn lines_end_with_or_without_a_return_and_the_last_one_with_the_file() {
        let content = Content::Stream(Box::new(std::io::Cursor::new(b"a\r\nb")));
        let input = Input { name: "f".to_owned(), folder: String::new(), bytes: Some(4), content };
        let mut lines = Lines::open(input).unwrap();
        assert_eq!(lines.next().unwrap(), Some(b"a".as_slice()));
        assert_eq!(lines.next().unwrap(), Some(b"b".as_slice()));
        assert_eq!(lines.next().unwrap(), None);
    }

    #[test]
    fn an_excerpt_has_the_lines_that_are_asked_for() {
        let bytes = b"one\r\ntwo\n\nf\xfcnf".to_vec();
        let input = || Input {
            name: "<bytes>".into(),
            folder: String::new(),
            bytes: None,
            content: Content::Stream(Box::new(std::io::Cursor::new(bytes.clone()))),
        };
        let told = |numbers: &[u64]| excerpt(input(), encoding_rs::WINDOWS_1252, numbers).unwrap();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(told(&[1, 3, 4, 5]), [some("one"), some(""), some("fünf"), None]);
        assert_eq!(told(&[2, 2]), [some("two"), some("two")]);
        assert_eq!(told(&[]), []);
    }

    #[test]
    fn files_look_like_what_they_are() {
        for (head, found) in [
            (b"  \n".as_slice(), "empty"),
            (b"PK\x03\x04", "a zip archive or an Excel workbook: unpack it first"),
            (b"{\"a\": 1}", "JSON"),
            (b"user,product,start\n", "a table with separators (CSV)"),
            (b"8:42:45 (lmgrd) TIMESTAMP 5/5/2022", "a debug log of FlexNet: use read_flexlm"),
            (b"\x00\x01\x02\x03abc", "no text"),
            (b"hello", "other text"),
        ] {
            assert_eq!(looks_like(head), found);
        }
    }
}
