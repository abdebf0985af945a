//! Whole logs in, whole results out. What a line means is tested beside the lexer.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::Error;
use crate::intern::NONE;
use crate::time::{DAY, HOUR, MINUTE, SECOND};

fn options() -> Options {
    Options {
        timezone: Timezone::One(Zone::get("Europe/Madrid").unwrap()),
        server: None,
        encoding: encoding_rs::WINDOWS_1252,
        first_date: None,
        threads: 1,
    }
}

fn input(name: &str, content: impl AsRef<[u8]>) -> Input {
    let content = content.as_ref().to_vec();
    let bytes = Some(content.len() as u64);
    Input {
        name: name.to_owned(),
        folder: "logs".to_owned(),
        bytes,
        content: Content::Stream(Box::new(Cursor::new(content))),
    }
}

fn read_with(inputs: &[(&str, &[u8])], options: &Options, block: usize) -> Result<Log> {
    let again = || inputs.iter().map(|(name, content)| input(name, content)).collect();
    let log = reader::read(again(), options, &mut |_| true, block, &[])?;
    assert_spooled(again(), options, block, &log);
    for file in &log.files {
        let of_kinds = file.event_lines + file.other_lines + file.problem_lines + file.repeated_lines;
        assert_eq!(file.lines + file.glued, of_kinds, "{file:?}");
    }
    let rows = log.events.time.len();
    assert_eq!(rows as u64, log.files.iter().map(|file| file.event_lines).sum::<u64>());
    for column in [&log.events.server, &log.events.user, &log.events.daemon, &log.events.file, &log.events.line] {
        assert_eq!(column.len(), rows);
    }
    Ok(log)
}

/// Read with the events on disk, in chunks of a few rows, a log says the same.
fn assert_spooled(inputs: Vec<Input>, options: &Options, block: usize, log: &Log) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("tokenflex-spool-{}-{number}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let spooled = Arc::new(
        reader::spool(inputs, options, &mut |_| true, block, &folder, 3 + log.events.time.len() / 50).unwrap(),
    );
    assert_eq!(spooled.log.problems, log.problems);
    assert_eq!(spooled.log.packages, log.packages);
    assert_eq!(spooled.log.files, log.files);
    assert_eq!(spooled.log.coverage, log.coverage);
    let mut row = 0;
    for (place, server) in spooled.servers().into_iter().enumerate() {
        let mut stream = spooled.stream(place).unwrap();
        loop {
            let (batch, least_after) = stream.next(5 + log.events.time.len() / 30).unwrap();
            let (names, events) = (&spooled.log.names, &log.events);
            for at in 0..batch.time.len() {
                let other = |column: &[u32], known: &Interner| name(known, column.get(row + at));
                let own = |column: &[u32], known: &Interner| name(known, column.get(at));
                assert_eq!(server, other(&events.server, &log.names.server));
                assert_eq!(own(&batch.feature, &names.feature), other(&events.feature, &log.names.feature));
                assert_eq!(own(&batch.user, &names.user), other(&events.user, &log.names.user));
                assert_eq!(own(&batch.host, &names.host), other(&events.host, &log.names.host));
                assert_eq!(own(&batch.reason, &names.reason), other(&events.reason, &log.names.reason));
                assert_eq!(own(&batch.daemon, &names.daemon), other(&events.daemon, &log.names.daemon));
                assert_eq!(own(&batch.file, &names.file), other(&events.file, &log.names.file));
            }
            let rows = row..row + batch.time.len();
            assert_eq!(batch.time, log.events.time[rows.clone()]);
            assert_eq!(batch.kind, log.events.kind[rows.clone()]);
            assert_eq!(batch.licenses, log.events.licenses[rows.clone()]);
            assert_eq!(batch.line, log.events.line[rows.clone()]);
            row = rows.end;
            let of_server = (row..).take_while(|&row| name(&log.names.server, log.events.server.get(row)) == server);
            assert!(of_server.map(|row| log.events.time[row]).min().unwrap_or(i64::MAX) >= least_after);
            if least_after == i64::MAX {
                break;
            }
        }
    }
    assert_eq!(row, log.events.time.len());
    std::fs::remove_dir_all(&folder).unwrap();
}

fn read_text(text: &str) -> Log {
    read_with(&[("debug.log", text.as_bytes())], &options(), reader::BLOCK).unwrap()
}

fn utc(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

fn name(names: &Interner, code: Option<&u32>) -> String {
    match code {
        Some(&code) if code != NONE => String::from_utf8(names.get(code).to_vec()).unwrap(),
        _ => String::new(),
    }
}

/// Each event as `time kind feature user@host reason`, with what is missing left out.
fn told(log: &Log) -> Vec<String> {
    let (events, names) = (&log.events, &log.names);
    (0..events.time.len())
        .map(|row| {
            let time = jiff::Timestamp::from_microsecond(events.time[row]).unwrap();
            let kind = Kind::NAMES[events.kind[row] as usize];
            let user = name(&names.user, events.user.get(row));
            let host = name(&names.host, events.host.get(row));
            let who = if user.is_empty() { name(&names.daemon, events.daemon.get(row)) } else { user + "@" + &host };
            let feature = name(&names.feature, events.feature.get(row));
            let reason = name(&names.reason, events.reason.get(row));
            let words = [time.to_string(), kind.to_owned(), feature, who, reason];
            words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
        })
        .collect()
}

fn times(log: &Log) -> Vec<String> {
    told(log).iter().map(|event| event[..20].to_owned()).collect()
}

fn codes(log: &Log) -> Vec<&'static str> {
    log.problems.iter().map(|problem| problem.code).collect()
}

/// A log in which each word is a stamped line: a time alone an event, with `=date` an anchor.
fn log_of(words: &str) -> String {
    let mut text = String::new();
    for word in words.split_whitespace() {
        match word.split_once('=') {
            Some((time, date)) => writeln!(text, "{time} (adskflex) TIMESTAMP {date}").unwrap(),
            None => writeln!(text, "{word} (adskflex) OUT: \"f\" u@h  ").unwrap(),
        }
    }
    text
}

/// The local times of the events of such a log, in a zone that is UTC.
fn dated(words: &str) -> (Vec<String>, Vec<&'static str>) {
    let options = Options { timezone: Timezone::One(Zone::get("UTC").unwrap()), ..options() };
    let log = read_with(&[("debug.log", log_of(words).as_bytes())], &options, reader::BLOCK).unwrap();
    let short = |time: String| time[5..16].replace('T', " ");
    (times(&log).into_iter().map(short).collect(), codes(&log))
}

fn check_dates(words: &str, expected: &[&str], codes: &[&str]) {
    let (found, problems) = dated(words);
    assert_eq!(found, expected, "{words}");
    assert_eq!(problems, codes, "{words}");
}

// ---- dates

#[test]
fn a_step_back_of_more_than_twelve_hours_is_midnight() {
    check_dates("8:00:00=5/5/2022 20:00:00 7:59:59", &["05-05 20:00", "05-06 07:59"], &[]);
    check_dates("8:00:00=5/5/2022 20:00:00 8:00:00", &["05-05 20:00", "05-05 08:00"], &[]);
    check_dates("8:00:00=5/5/2022 23:59:59 0:00:00", &["05-05 23:59", "05-06 00:00"], &[]);
}

#[test]
fn a_small_step_back_is_no_new_day() {
    check_dates(
        "8:00:00=5/5/2022 9:00:16 9:00:00 9:00:20 23:00:00 1:00:00",
        &["05-05 09:00", "05-05 09:00", "05-05 09:00", "05-05 23:00", "05-06 01:00"],
        &[],
    );
}

#[test]
fn a_step_back_over_midnight_is_no_new_day() {
    check_dates(
        "8:00:00=5/5/2022 23:59:50 0:00:05 23:59:58 0:00:06 0:00:07 23:59:59 0:30:00",
        &["05-05 23:59", "05-06 00:00", "05-05 23:59", "05-06 00:00", "05-06 00:00", "05-05 23:59", "05-06 00:30"],
        &[],
    );
    // Ten minutes are the border.
    check_dates(
        "8:00:00=5/5/2022 23:59:50 0:00:05 23:50:05 23:50:04 1:00:00",
        &["05-05 23:59", "05-06 00:00", "05-05 23:50", "05-06 23:50", "05-07 01:00"],
        &[],
    );
}

#[test]
fn an_anchor_confirms() {
    check_dates(
        "8:00:00=5/5/2022 21:00:00 1:00:00 2:00:00=5/6/2022 3:00:00",
        &["05-05 21:00", "05-06 01:00", "05-06 03:00"],
        &[],
    );
}

#[test]
fn lines_before_the_first_anchor_are_dated_backwards() {
    check_dates("23:00:00 1:00:00 2:00:00=5/6/2022 3:00:00", &["05-05 23:00", "05-06 01:00", "05-06 03:00"], &[]);
}

#[test]
fn missing_days_go_where_the_log_was_silent_longest() {
    check_dates(
        "8:00:00=5/5/2022 9:00:00 17:00:00 17:30:00 18:00:00=5/7/2022 19:00:00",
        &["05-05 09:00", "05-07 17:00", "05-07 17:30", "05-07 19:00"],
        &["date_corrected"],
    );
    check_dates(
        "8:00:00=5/5/2022 9:00:00 22:00:00 6:00:00 8:00:00=5/9/2022",
        &["05-05 09:00", "05-08 22:00", "05-09 06:00"],
        &["date_corrected"],
    );
}

#[test]
fn spurious_midnights_are_taken_back() {
    check_dates(
        "8:00:00=5/5/2022 22:00:00 9:30:00 10:00:00 11:00:00=5/5/2022 12:00:00",
        &["05-05 22:00", "05-05 09:30", "05-05 10:00", "05-05 12:00"],
        &["date_corrected"],
    );
}

#[test]
fn an_anchor_before_the_last_certain_point_begins_another_log() {
    let (found, problems) =
        dated("8:00:00=11/25/2022 9:00:00 9:10:00=11/25/2022 9:20:00 11:00:00 11:10:00=5/5/2022 12:00:00");
    assert_eq!(found, ["05-05 11:00", "05-05 12:00", "11-25 09:00", "11-25 09:20"]);
    assert_eq!(problems, ["new_segment"]);
}

#[test]
fn an_anchor_can_be_written_across_midnight() {
    check_dates("8:00:00=5/5/2022 23:59:59=5/6/2022 0:00:10", &["05-06 00:00"], &[]);
    check_dates("8:00:00=5/5/2022 23:00:00 0:00:01=5/5/2022 0:00:10", &["05-05 23:00", "05-06 00:00"], &[]);
}

#[test]
fn every_anchor_and_no_other_date() {
    let text = |line: &str| format!("23:00:00 (lmgrd) {line}\n23:30:00 (adskflex) OUT: \"f\" u@h  \n");
    for line in [
        "TIMESTAMP 5/5/2022",
        "FlexNet Licensing (v11.18.0.0 build 275847 x64_n6) started on srv (IBM PC) (5/5/2022)",
        "Server's System Date and Time: Thu May 05 2022 23:00:00 Hora de verano romance",
        "(@lmgrd-SLOG@) Start-Date: Thu May 05 2022 23:00:00 Hora de verano romance",
        "(@adskflex-SLOG@) Time: Thu May 05 2022 23:00:00 Hora de verano romance",
        "(@adskflex-SLOG@) Reread time: Thu May 05 2022 23:00:00 Hora de verano romance",
    ] {
        let log = read_text(&text(line));
        assert_eq!(log.events.time.last(), Some(&utc("2022-05-05T21:30:00Z")), "{line}");
        assert_eq!(codes(&log), [""; 0], "{line}");
    }
    for line in [
        "(@adskflex-SLOG@) 00001485 ms at Thu May 05 2022 08:42:31 Hora de verano romance,#1,(5076K),(u,h,1)",
        "(@adskflex-SLOG@) Peak active connections #4 attempted at Thu May 05 2022 08:42:31 Hora de verano romance",
    ] {
        assert_eq!(codes(&read_text(&text(line))), ["undated"], "{line}");
    }
}

#[test]
fn a_file_without_a_date() {
    let text = log_of("8:00:00 9:00:00 7:00:00 1:00:00");
    let log = read_text(&text);
    assert_eq!((log.events.time.len(), codes(&log)), (0, vec!["undated"]));
    assert_eq!((log.files[0].problem_lines, log.files[0].event_lines), (4, 0));
    let options = Options { first_date: Some(19_117), ..options() };
    let log = read_with(&[("debug.log", text.as_bytes())], &options, reader::BLOCK).unwrap();
    assert_eq!(times(&log)[0], "2022-05-05T06:00:00Z");
    assert_eq!(codes(&log), [""; 0]);
}

#[test]
fn iso_stamps_need_no_zone() {
    let text = "2026-09-05T12:13:14-04:00 (adskflex) OUT: \"f\" u@h  \n\
                2026-09-05T16:13:15.5Z (adskflex) IN: \"f\" u@h  \n\
                2026-09-06T00:00:01+0200 (adskflex) OUT: \"f\" u@h  \n";
    let options = Options { timezone: Timezone::None, ..options() };
    let log = read_with(&[("debug.log", text.as_bytes())], &options, reader::BLOCK).unwrap();
    let expected = ["2026-09-05T16:13:14Z", "2026-09-05T16:13:15.5Z", "2026-09-05T22:00:01Z"].map(utc);
    assert_eq!(log.events.time, expected);
    assert_eq!(log.coverage[0].days_without_lines, [0; 0]);
}

#[test]
fn iso_stamps_date_the_local_lines_around_them() {
    let text = "23:50:00 (adskflex) OUT: \"f\" u@h  \n\
                2022-05-06T00:10:00+02:00 (adskflex) IN: \"f\" u@h  \n\
                23:00:00 (adskflex) OUT: \"f\" u@h  \n 1:00:00 (adskflex) IN: \"f\" u@h  \n";
    let expected = ["2022-05-05T21:50:00Z", "2022-05-05T22:10:00Z", "2022-05-06T21:00:00Z", "2022-05-06T23:00:00Z"];
    assert_eq!(times(&read_text(text)), expected);
}

// ---- local time

#[test]
fn the_order_of_lines_decides_between_two_equal_hours() {
    let log = read_text(&log_of(
        "1:00:00=10/30/2022 2:10:00 2:50:00 2:49:58 2:55:00 2:05:00 2:50:00 2:59:00 3:10:00 3:20:00",
    ));
    let expected =
        ["00:10:00", "00:50:00", "00:49:58", "00:55:00", "01:05:00", "01:50:00", "01:59:00", "02:10:00", "02:20:00"];
    assert_eq!(times(&log), expected.map(|time| format!("2022-10-30T{time}Z")));
    // A line that is no event shows the order too.
    let log = read_text(&log_of("1:00:00=10/30/2022 2:59:00=10/30/2022 2:05:00 3:00:00"));
    assert_eq!(times(&log), ["2022-10-30T01:05:00Z", "2022-10-30T02:00:00Z"]);
}

#[test]
fn a_time_that_the_clock_skipped_is_told_once() {
    let log = read_text(&log_of("1:00:00=3/27/2022 1:59:00 2:10:00 2:20:00 3:30:00"));
    let expected = ["2022-03-27T00:59:00Z", "2022-03-27T01:10:00Z", "2022-03-27T01:20:00Z", "2022-03-27T01:30:00Z"];
    assert_eq!(times(&log), expected);
    assert_eq!(codes(&log), ["nonexistent_time"]);
}

#[test]
fn local_times_without_a_zone_are_an_error() {
    let text = log_of("8:00:00=5/5/2022 9:00:00");
    let none = Options { timezone: Timezone::None, ..options() };
    let error = read_with(&[("debug.log", text.as_bytes())], &none, reader::BLOCK).unwrap_err();
    assert!(matches!(&error, Error::MissingZone { source_name } if source_name == "debug.log"), "{error}");
    // Without events no time is needed.
    assert!(read_with(&[("debug.log", log_of("8:00:00=5/5/2022").as_bytes())], &none, reader::BLOCK).is_ok());
    let zones = vec![("mad-1".to_owned(), Zone::get("Europe/Madrid").unwrap())];
    let per_server = Options { timezone: Timezone::PerServer(zones), ..options() };
    let error = read_with(&[("debug.log", text.as_bytes())], &per_server, reader::BLOCK).unwrap_err().to_string();
    assert!(error.contains("\"debug\"") && error.contains("mad-1"), "{error}");
    let named = Options { server: Some("MAD-1".to_owned()), ..per_server };
    assert!(read_with(&[("debug.log", text.as_bytes())], &named, reader::BLOCK).is_ok());
}

// ---- lines

#[test]
fn broken_lines_are_problems_and_others_are_not() {
    let long = "x".repeat(10_000);
    let text = format!(
        " 8:00:00 (lmgrd) TIMESTAMP 5/5/2022\n\n  ansyslmd  ansoftd  \nSegmentation fault (core dumped)\n\
         25:61:61 (adskflex) OUT: \"f\" u@h  \n(adskflex) OUT: \"f\" u@h  \n 8:00:01 (adskflex) OUT: \"f\" nobody\n\
         {long}\n{long} (adskflex) OUT: \"f\" u@h\n 8:59:34 (adskflex) SERVER-OUT: Failed (71) <END>\n\
         99:00:00 (lmgrd) TIMESTAMP 5/5/2022"
    );
    let log = read_text(&text);
    let lines: Vec<_> = log.problems.iter().map(|problem| (problem.line, problem.code)).collect();
    let line = "unreadable_line";
    let known = [(Some(5), line), (Some(6), line), (Some(7), "unreadable_event"), (Some(9), line), (Some(11), line)];
    assert_eq!(lines, known);
    assert_eq!(log.problems[0].message, "25:61:61 (adskflex) OUT: \"f\" u@h");
    assert_eq!(log.problems[3].message.len(), 200);
    let file = &log.files[0];
    assert_eq!((file.lines, file.glued, file.event_lines, file.other_lines), (11, 0, 0, 6));
}

#[test]
fn glued_lines_are_split_and_counted() {
    let text = " 8:00:00 (lmgrd) TIMESTAMP 5/5/2022 9:00:00 (adskflex) OUT: \"f\" a@h  10:22:33 (adskflex) OUT: \"g\" b@h  \
                11:00:00 (lmgrd) TIMESTAMP 5/5/2022\n\
                12:00:00 (adskflex) OUT: \"f\" us13:00:00 (adskflex) OUT: \"f\" c@h  \n\
                torn 14:00:00 (adskflex) OUT: \"f\" d@h  ";
    let log = read_text(text);
    let users: Vec<_> = told(&log).iter().map(|event| event.split(' ').next_back().unwrap().to_owned()).collect();
    assert_eq!(users, ["a@h", "b@h", "c@h", "d@h"]);
    let file = &log.files[0];
    assert_eq!((file.lines, file.glued, file.event_lines, file.other_lines, file.problem_lines), (3, 5, 4, 3, 1));
    assert_eq!(log.events.line, [1, 1, 2, 3]);
}

#[test]
fn ends_of_lines_and_zeros_do_no_harm() {
    let plain = log_of("8:00:00=5/5/2022 9:00:00 10:00:00 11:00:00=5/5/2022");
    let expected = read_text(&plain);
    for text in [
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r\r\n"),
        plain.replace('\n', "\r"),
        format!("\u{feff}{plain}"),
        format!("\0\0\0{}", plain.replace('\n', "\n\0\0")),
        plain.trim_end().to_owned(),
    ] {
        let log = read_text(&text);
        assert_eq!(told(&log), told(&expected), "{text:?}");
        assert_eq!(codes(&log), [""; 0], "{text:?}");
    }
}

#[test]
fn every_encoding_gives_the_same_names() {
    let text = " 8:00:00 (lmgrd) TIMESTAMP 5/5/2022\r\n 9:00:00 (adskflex) OUT: \"f\" José Ángel Ruiz@Taller  \r\n";
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cp1252: Vec<u8> = text.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect();
    let options = options();
    for content in [text.as_bytes(), utf16.as_slice(), cp1252.as_slice()] {
        let log = read_with(&[("debug.log", content)], &options, reader::BLOCK).unwrap();
        assert_eq!(told(&log), ["2022-05-05T07:00:00Z OUT f José Ángel Ruiz@Taller"]);
    }
    // One name, whatever the file.
    let files = [("a.log", text.as_bytes()), ("b.log", cp1252.as_slice())];
    let log = read_with(&files, &Options { server: Some("s".to_owned()), ..options }, reader::BLOCK).unwrap();
    assert_eq!((log.names.user.len(), log.events.time.len(), log.files[1].repeated_lines), (1, 1, 1));
}

#[test]
fn a_forked_daemon_counts_as_its_daemon() {
    let text = " 8:00:00 (lmgrd) TIMESTAMP 5/5/2022\n 9:00:00 (adskflex_2) OUT: \"f\" u@h  \n\
                 9:00:00 (adskflex) OUT: \"f\" u@h  \n 9:00:00 (other_1) OUT: \"f\" u@h  \n";
    let log = read_text(text);
    let daemons: Vec<_> = log.events.daemon.iter().map(|code| name(&log.names.daemon, Some(code))).collect();
    assert_eq!(daemons, ["adskflex", "adskflex", "other_1"]);
    assert_eq!(log.coverage[0].daemons, ["adskflex", "other_1"]);
}

// ---- the server

const START_UP: &str = " 8:42:20 (lmgrd) Server's System Date and Time: Thu May 05 2022 08:42:20 Hora de verano romance\n\
 8:42:23 (lmgrd) FlexNet Licensing (v11.18.0.0 build 275847 x64_n6) started on srv (IBM PC) (5/5/2022)\n\
 8:42:23 (lmgrd) Started adskflex (pid 4440)\n\
 8:42:25 (adskflex) Server started on srv for:\t\n\
 8:42:25 (adskflex) 64300ACD_F (consisting of:\t\t87676ACD_2023_0F \n\
 8:42:25 (adskflex) 87545ACD_2022_0F) 87577INHSMP_2022_0F \n\
08:42:25 (adskflex_pluggin) INFO: Plugin not loaded, NLM Server is running in Non Reporting mode.\n\
 8:42:30 (lmgrd) Rereading license file... Requested from u@srv\n\
 8:42:30 (adskflex) Rereading license file...\n\
 8:42:31 (adskflex) Server started on srv for:\t\n\
 9:00:00 (adskflex) OUT: \"87545ACD_2022_0F\" u@h  \n";

#[test]
fn a_start_and_a_reread() {
    let log = read_text(START_UP);
    let expected = [
        "2022-05-05T06:42:23Z START lmgrd",
        "2022-05-05T06:42:23Z START adskflex",
        "2022-05-05T06:42:30Z REREAD adskflex",
        "2022-05-05T07:00:00Z OUT 87545ACD_2022_0F u@h",
    ];
    assert_eq!(told(&log), expected);
    let components: Vec<_> = log.packages.iter().map(|package| package.component.as_str()).collect();
    assert_eq!(components, ["87676ACD_2023_0F", "87545ACD_2022_0F"]);
    assert!(log.packages.iter().all(|package| package.server == "srv" && package.package == "64300ACD_F"));
    let coverage = &log.coverage[0];
    assert_eq!((coverage.server.as_str(), coverage.reporting, coverage.days), ("srv", Some(false), 1));
    assert_eq!((coverage.checkouts, coverage.checkins, coverage.checkins_logged), (1, 0, false));
    assert_eq!(coverage.daemons, ["adskflex"]);
}

#[test]
fn one_stop_is_one_event_for_each_daemon() {
    let text = START_UP.to_owned()
        + "10:00:00 (adskflex) Shutdown requested from u@srv IP=10.0.0.1\n\
           10:00:00 (lmgrd) Shutting down adskflex pid=4440\n\
           10:00:01 (adskflex) IN: \"87545ACD_2022_0F\" u@h  (SHUTDOWN)\n\
           10:00:02 (adskflex) EXITING DUE TO SIGNAL 15 Exit reason 4\n\
           10:00:02 (lmgrd) adskflex exited with status 58 ()\n\
           10:00:03 (lmgrd) EXITING DUE TO SIGNAL 15\n";
    let log = read_text(&text);
    let expected = [
        "2022-05-05T08:00:01Z IN 87545ACD_2022_0F u@h SHUTDOWN",
        "2022-05-05T08:00:02Z STOP adskflex EXITING DUE TO SIGNAL 15 Exit reason 4",
        "2022-05-05T08:00:03Z STOP lmgrd EXITING DUE TO SIGNAL 15",
    ];
    assert_eq!(told(&log)[4..], expected);
}

#[test]
fn a_crash_and_the_start_after_it() {
    let text = START_UP.to_owned()
        + "10:00:02 (lmgrd) adskflex exited with status 58 ()\n\
           10:00:03 (lmgrd) REStarted adskflex (pid 4441)\n\
           11:00:00 (adskflex) Lost connection to lmgrd, heartbeat timeout expired, exiting.\n\
           11:00:00 (adskflex) EXITING DUE TO SIGNAL 37 Exit reason 5\n";
    let log = read_text(&text);
    let expected = [
        "2022-05-05T08:00:02Z CRASH adskflex status 58 ()",
        "2022-05-05T08:00:03Z START adskflex REStarted",
        "2022-05-05T09:00:00Z CRASH adskflex Lost connection to lmgrd, heartbeat timeout expired, exiting.",
    ];
    assert_eq!(told(&log)[4..], expected);
}

#[test]
fn the_server_of_a_file() {
    let plain = log_of("8:00:00=5/6/2022 9:00:00");
    let servers = |inputs: &[(&str, &[u8])]| {
        let log = read_with(inputs, &options(), reader::BLOCK).unwrap();
        log.files.iter().map(|file| file.server.clone()).collect::<Vec<_>>()
    };
    assert_eq!(servers(&[("a.log", START_UP.as_bytes()), ("logs/b.log.gz", plain.as_bytes())]), ["srv", "srv"]);
    assert_eq!(servers(&[("logs/b.log.gz", plain.as_bytes())]), ["b"]);
    let other = START_UP.replace("on srv", "on srv2");
    let three = [("a", START_UP.as_bytes()), ("b", other.as_bytes()), ("c", plain.as_bytes())];
    assert_eq!(servers(&three), ["srv", "srv2", "c"]);
}

#[test]
fn a_banner_of_another_server_begins_another_log() {
    let second = START_UP.replace("on srv", "on srv2").replace("May 05", "May 07").replace("5/5/", "5/7/");
    let log = read_text(&(START_UP.to_owned() + &second));
    assert_eq!(log.coverage.iter().map(|server| server.server.as_str()).collect::<Vec<_>>(), ["srv", "srv2"]);
    assert_eq!((log.files[0].segments, codes(&log)), (2, vec!["date_corrected", "new_segment"]));
    assert_eq!(log.events.server, [0, 0, 0, 0, 1, 1, 1, 1]);
    assert_eq!(times(&log)[4], "2022-05-07T06:42:23Z");
}

// ---- several files

#[test]
fn a_growing_copy_counts_once() {
    let whole = START_UP.to_owned() + &log_of("10:00:00 10:00:00 11:00:00");
    let files: [(&str, &[u8]); 2] = [("b.log", whole.as_bytes()), ("a.log", START_UP.as_bytes())];
    let log = read_with(&files, &options(), reader::BLOCK).unwrap();
    assert_eq!(told(&log), told(&read_text(&whole)));
    let repeated: Vec<_> = log.files.iter().map(|file| (file.event_lines, file.repeated_lines)).collect();
    assert_eq!(repeated, [(7, 0), (0, 4)]);
}

#[test]
fn the_same_stretch_twice_in_one_file_counts_once() {
    let text = START_UP.to_owned() + &log_of("10:00:00 23:00:00 8:00:00=5/6/2022");
    let log = read_text(&text.repeat(2));
    assert_eq!(told(&log), told(&read_text(&text)));
    assert_eq!((log.files[0].segments, log.files[0].repeated_lines), (2, 6));
}

#[test]
fn what_two_files_tell_counts_as_often_as_the_one_that_tells_it_more_often() {
    let (twice, thrice) =
        (log_of("8:00:00=5/5/2022 9:00:00 9:00:00"), log_of("8:00:00=5/5/2022 9:00:00 9:00:00 9:00:00"));
    let options = Options { server: Some("s".to_owned()), ..options() };
    for files in [[&twice, &thrice], [&thrice, &twice]] {
        let files = [("a", files[0].as_bytes()), ("b", files[1].as_bytes())];
        assert_eq!(read_with(&files, &options, reader::BLOCK).unwrap().events.time.len(), 3);
    }
}

#[test]
fn files_are_joined_in_the_order_of_their_content() {
    let options = Options { server: Some("s".to_owned()), ..options() };
    let second = log_of("8:00:00=5/6/2022 9:00:00");
    let (first, third) = (log_of("8:00:00=5/5/2022 9:00:00 8:59:50"), log_of("8:30:00=5/6/2022 8:45:00 9:15:00"));
    let files = [("b", second.as_bytes()), ("a", first.as_bytes()), ("c", third.as_bytes())];
    let log = read_with(&files, &options, reader::BLOCK).unwrap();
    let expected = ["05-05T07:00:00", "05-05T06:59:50", "05-06T06:45:00", "05-06T07:00:00", "05-06T07:15:00"];
    assert_eq!(times(&log), expected.map(|time| format!("2022-{time}Z")));
    assert_eq!(log.events.file, [1, 1, 2, 0, 2]);
}

#[test]
fn days_without_lines() {
    let log = read_text(&log_of("8:00:00=5/5/2022 9:00:00 9:00:00=5/9/2022 10:00:00"));
    assert_eq!((log.coverage[0].days, &log.coverage[0].days_without_lines), (5, &vec![19_118, 19_119, 19_120]));
}

// ---- inputs

#[test]
fn packed_files() {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(START_UP.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let log = read_with(&[("debug.log", packed.as_slice())], &options(), reader::BLOCK).unwrap();
    assert_eq!(told(&log), told(&read_text(START_UP)));
    assert_eq!(log.files[0].bytes, packed.len() as u64);
    let log = read_with(&[("debug.log", &packed[..packed.len() - 9])], &options(), reader::BLOCK).unwrap();
    assert_eq!(codes(&log), ["unreadable_archive"]);
    let log = read_with(&[("debug.log", &[0x1f, 0x8b, 1, 1])], &options(), reader::BLOCK).unwrap();
    assert_eq!(codes(&log), ["unreadable_archive"]);
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("no disk"))
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let broken = Input { content: Content::Stream(Box::new(Broken)), ..input("lost.log", "") };
    let error = read(vec![input("a", START_UP), broken], &options(), &mut |_| true).unwrap_err().to_string();
    assert_eq!(error, "lost.log: no disk");
}

#[test]
fn nothing_and_nearly_nothing() {
    assert_eq!(read_with(&[], &options(), 1).unwrap().events.time.len(), 0);
    for text in ["", "\n", "\r", "\0", "x", "\n\n", " ", "\u{feff}"] {
        let log = read_text(text);
        assert_eq!(log.files.len(), 1);
        let lines = text.matches('\n').count() + usize::from(!text.is_empty() && !text.ends_with('\n'));
        assert_eq!(log.files[0].lines, lines as u64, "{text:?}");
    }
}

#[test]
fn progress_tells_bytes_and_can_interrupt() {
    let text = log_of("8:00:00=5/5/2022") + &log_of("9:00:00").repeat(1000);
    let mut calls = Vec::new();
    let inputs = vec![input("a", &text), input("b", &text)];
    reader::read(
        inputs,
        &options(),
        &mut |bytes| {
            calls.push(bytes);
            true
        },
        4096,
        &[],
    )
    .unwrap();
    assert!(calls.is_sorted() && calls.len() > 10);
    assert_eq!(calls.last(), Some(&(2 * text.len() as u64)));
    for threads in [1, 3] {
        let options = Options { threads, ..options() };
        let result = reader::read(vec![input("a", &text)], &options, &mut |_| false, 4096, &[]);
        assert!(matches!(result, Err(Error::Interrupted)));
    }
}

#[test]
fn a_line_without_an_end_of_many_megabytes() {
    for pattern in ["x", " 1:00:00 (a) OUT: \"f\" (((", "1:00:00 (a) IN: \"f\" u@h  ", "\r", "\0", "@ (", "1:00:00 ("] {
        let text = pattern.repeat((4 << 20) / pattern.len());
        let log = read_text(&text);
        assert_eq!(log.files[0].lines, 1, "{pattern:?}");
    }
}

// ---- real logs

fn real_log(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("TOKENFLEX_LOGS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/logs"));
    std::fs::read(folder.join(name)).ok()
}

fn count(log: &Log, kind: Kind) -> usize {
    log.events.kind.iter().map(|&code| usize::from(code == kind as u8)).sum()
}

#[test]
fn the_real_autodesk_log() {
    let Some(content) = real_log("adskflex.log") else { return };
    let log = read_with(&[("adskflex.log", &content)], &options(), reader::BLOCK).unwrap();
    assert_eq!(
        [Kind::Out, Kind::In, Kind::Unsupported, Kind::Denied].map(|kind| count(&log, kind)),
        [8402, 8400, 2, 0]
    );
    assert_eq!([Kind::Start, Kind::Stop, Kind::Crash, Kind::Reread].map(|kind| count(&log, kind)), [2, 0, 0, 1]);
    let is_component: Vec<bool> =
        log.names.feature.iter().map(|feature| !crate::feature::parse(feature).is_package).collect();
    let outs = log.events.kind.iter().zip(&log.events.feature).filter(|(kind, _)| **kind == Kind::Out as u8);
    assert_eq!(outs.filter(|(_, feature)| is_component[**feature as usize]).count(), 4556);
    assert_eq!(log.problems, []);
    assert_eq!(log.coverage[0].server, "heqowa23");
    assert_eq!(log.coverage[0].reporting, Some(false));
    assert_eq!((log.coverage[0].days, log.coverage[0].days_without_lines.len()), (64, 0));
    assert_eq!(log.packages.iter().filter(|package| package.package == "64300ACD_F").count(), 6);
    let lines = content.split(|&byte| byte == b'\n').count() as u64 - 1;
    assert_eq!((log.files[0].lines, log.files[0].glued, log.files[0].problem_lines), (lines, 0, 0));
    assert_eq!(log.files[0].event_lines, 8402 + 8400 + 2 + 3);
    compare_with_plain_dating(&content, &log, jiff::civil::date(2022, 5, 5), jiff::civil::date(2022, 7, 7), 63);
}

#[test]
fn the_real_ansys_log() {
    let Some(content) = real_log("ansyslmd.log") else { return };
    let options = Options { timezone: Timezone::One(Zone::get("America/Detroit").unwrap()), ..options() };
    let log = read_with(&[("ansyslmd.log", &content)], &options, reader::BLOCK).unwrap();
    assert_eq!([Kind::Out, Kind::In].map(|kind| count(&log, kind)), [2455, 2445]);
    let mut counts = BTreeMap::new();
    for (row, licenses) in log.events.licenses.iter().enumerate() {
        if log.events.kind[row] <= Kind::In as u8 {
            *counts.entry(*licenses).or_insert(0) += 1;
        }
    }
    let known =
        [(1, 2600), (2, 19), (3, 2), (6, 104), (7, 575), (8, 1268), (10, 226), (15, 64), (16, 10), (30, 4), (32, 28)];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), known);
    assert_eq!(log.problems, []);
    compare_with_plain_dating(&content, &log, jiff::civil::date(2017, 6, 8), jiff::civil::date(2017, 6, 25), 17);
}

/// Dates the lines again, the plain way: from the known first date, a new day at each step back of more than 12 h.
fn compare_with_plain_dating(
    content: &[u8],
    log: &Log,
    first: jiff::civil::Date,
    last: jiff::civil::Date,
    day_changes: i32,
) {
    let zone = if first.year() == 2022 { "Europe/Madrid" } else { "America/Detroit" };
    let zone = jiff::tz::TimeZone::get(zone).unwrap();
    let mut date = first;
    let mut changes = 0;
    let mut before = 0;
    let mut of_lines = Vec::new();
    for line in String::from_utf8_lossy(content).lines() {
        let stamp = line.trim_start().split(' ').next().unwrap_or_default();
        let parts: Vec<i8> = stamp.split(':').filter_map(|part| part.parse().ok()).collect();
        let instant = if let [hour, minute, second] = parts[..] {
            let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
            if before - seconds > 43_200 {
                date = date.tomorrow().unwrap();
                changes += 1;
            }
            before = seconds;
            Some(zone.to_timestamp(date.at(hour, minute, second, 0)).unwrap().as_microsecond())
        } else {
            None
        };
        of_lines.push(instant);
    }
    assert_eq!((date, changes), (last, day_changes));
    for (line, time) in log.events.line.iter().zip(&log.events.time) {
        assert_eq!(of_lines[*line as usize - 1], Some(*time), "line {line}");
    }
    assert!(log.events.time.is_sorted());
    assert!(log.coverage[0].last.unwrap() - log.coverage[0].first.unwrap() < i64::from(day_changes + 1) * DAY + HOUR);
    assert!(log.events.time[0] >= log.coverage[0].first.unwrap() - MINUTE + SECOND);
}

// ---- properties

/// A small generator of numbers, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound.max(1)
    }
}

fn seed_text() -> Vec<u8> {
    let extras = "10:00:01 (adskflex) OUT: \"f\" Jos\u{e9} R@h [d] (3 licenses) \n\
                  10:00:02 (adskflex) DENIED: \"f\" u@h  \"v2023.12\"(no (-25,334))\n\
                  10:00:03 (demo) OUT: \"f1\" u@h ^^^ 1.0 u 127.0.0.1 29865 0x12CE 1 ^^^\n\
                  10:00:04 (p) UPGRADE: \"f\" u@h  (5->6 licenses) \n\
                  2022-05-05T10:00:05+02:00 (adskflex) IN: \"f\" u@h  (INACTIVE)\n\
                  10:00:06 (adskflex) EXITING DUE TO SIGNAL 15 Exit reason 4\n\
                  23:59:59 (adskflex) OUT: \"f\" u@h  \n 0:00:01 (lmgrd) TIMESTAMP 5/6/2022\n";
    let mut text = START_UP.as_bytes().to_vec();
    text.extend_from_slice(extras.as_bytes());
    if let Some(content) = real_log("adskflex.log") {
        text.extend_from_slice(&content[..content.len().min(20_000)]);
    }
    text
}

fn mutate(text: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(12) {
        let (at, other) = (random.below(text.len()), random.below(text.len()));
        let length = random.below(300).min(text.len() - at);
        match random.below(6) {
            0 if !text.is_empty() => text[at] = random.below(256) as u8,
            1 if !text.is_empty() => text[at] = b" \n\r\0@()\"[]:0129=-"[random.below(17)],
            2 => drop(text.drain(at..at + length)),
            3 => {
                let copy = text[at..at + length].to_vec();
                text.splice(other..other, copy);
            }
            4 => {
                let mut lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
                let (a, b) = (random.below(lines.len()), random.below(lines.len()));
                lines.swap(a, b);
                *text = lines.join(&b'\n');
            }
            _ => {
                let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
                let at = random.below(lines.len());
                let copies = lines[at..(at + 40).min(lines.len())].to_vec();
                *text = [lines, copies].concat().join(&b'\n');
            }
        }
    }
}

fn same(a: &Log, b: &Log, what: &str) {
    assert_eq!(a.events, b.events, "{what}");
    assert_eq!(a.problems, b.problems, "{what}");
    assert_eq!(a.files, b.files, "{what}");
    assert_eq!(a.coverage, b.coverage, "{what}");
    assert_eq!(a.packages, b.packages, "{what}");
    for (a, b) in [(&a.names.feature, &b.names.feature), (&a.names.user, &b.names.user), (&a.names.data, &b.names.data)]
    {
        assert!(a.iter().eq(b.iter()), "{what}");
    }
}

/// A log of some days as it happened: an event at most every 10 min, a stamp about every 6 h, and jitter. Gives the
/// text and the instant of each event.
fn true_log(start: i64, seconds: i64, random: &mut Random) -> (String, Vec<i64>) {
    let (mut text, mut instants) = (String::new(), Vec::new());
    let mut at = start;
    let mut next_stamp = start + 600 + random.below(6 * 3600) as i64;
    while at < start + seconds {
        let jitter = if random.below(10) == 0 { random.below(17) as i64 } else { 0 };
        let shown = at - jitter.min(at - start);
        let civil = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::from_second(shown).unwrap());
        let time = civil.strftime("%k:%M:%S");
        if at >= next_stamp {
            writeln!(text, "{time} (adskflex) TIMESTAMP {}", civil.strftime("%-m/%-d/%Y")).unwrap();
            next_stamp = at + 6 * 3600;
        } else {
            writeln!(text, "{time} (adskflex) OUT: \"f\" u@h  ").unwrap();
            instants.push(shown * SECOND);
        }
        at += random.below(600) as i64;
    }
    (text, instants)
}

#[test]
fn every_event_of_an_undisturbed_log_gets_its_date() {
    let options = Options { timezone: Timezone::One(Zone::get("UTC").unwrap()), ..options() };
    for case in 0..50 {
        let mut random = Random(case);
        let (text, instants) = true_log(1_651_700_000 + case as i64 * 100_003, 5 * 86_400, &mut random);
        let log = read_with(&[("debug.log", text.as_bytes())], &options, reader::BLOCK).unwrap();
        assert_eq!(log.events.time, instants, "case {case}");
        assert_eq!(codes(&log), [""; 0], "case {case}");
    }
}

#[test]
fn logs_put_together_in_any_order_get_their_dates() {
    let options = Options { timezone: Timezone::One(Zone::get("UTC").unwrap()), ..options() };
    for case in 0..200 {
        let mut random = Random(case);
        let mut order: Vec<i64> = (0..5).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, random.below(at + 1));
        }
        // Each log ends and the next begins at least an hour apart on the clock, or nothing could tell where.
        let mut clock = random.below(86_400) as i64;
        let (mut text, mut expected) = (String::new(), Vec::new());
        for day in order {
            let seconds = 86_400 + random.below(2 * 86_400) as i64;
            let (part, instants) = true_log(19_000 * 86_400 + day * 20 * 86_400 + clock, seconds, &mut random);
            text += &part;
            expected.push(instants);
            clock = (clock + seconds + 2 * 3600 + random.below(20 * 3600) as i64) % 86_400;
        }
        expected.sort();
        let log = read_with(&[("debug.log", text.as_bytes())], &options, reader::BLOCK).unwrap();
        assert_eq!(log.events.time, expected.concat(), "case {case}");
    }
}

#[test]
fn damaged_logs_add_up_for_every_thread_count_and_block_size() {
    let seed = seed_text();
    for case in 0..300 {
        let mut random = Random(case);
        let mut first = seed.clone();
        mutate(&mut first, &mut random);
        let mut second = first.clone();
        mutate(&mut second, &mut random);
        let files: [(&str, &[u8]); 2] = [("a.log", &first), ("b.log", &second)];
        let one = read_with(&files, &options(), reader::BLOCK).unwrap();
        let two = Options { threads: 2, ..options() };
        same(&one, &read_with(&files, &two, 512).unwrap(), &format!("case {case}: two threads"));
        same(&one, &read_with(&files, &options(), 1).unwrap(), &format!("case {case}: tiny blocks"));
    }
}

#[test]
fn random_bytes_do_not_panic() {
    for case in 0..200 {
        let mut random = Random(case);
        let alphabet = b" \n\r\0@()\"[]:0123456789=-^OUTIN/abc\xff\xfe\x1f\x8b";
        let length = random.below(3000);
        let bytes: Vec<u8> = (0..length).map(|_| alphabet[random.below(alphabet.len())]).collect();
        let one = read_with(&[("a", &bytes)], &options(), reader::BLOCK).unwrap();
        same(&one, &read_with(&[("a", &bytes)], &options(), 3).unwrap(), &format!("case {case}"));
    }
}
