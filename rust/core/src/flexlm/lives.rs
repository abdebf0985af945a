//! One event for each stop of a daemon. A stop is told by up to five lines: who asked for it, the manager's order, the
//! daemon's answer, its last line, and the manager who finds it gone. The daemon's own last line is the one that counts,
//! since its check-ins come before it; where it is missing the first of the others stands.

use std::collections::HashMap;

use super::block::Life;

/// Lines of one stop are at most this many seconds apart.
const TOGETHER: i64 = 60;

/// The last stop and the last reread of each daemon of a file.
#[derive(Debug, Default)]
pub(super) struct Lives {
    daemons: HashMap<Box<[u8]>, Daemon>,
}

#[derive(Debug, Default)]
struct Daemon {
    end: Option<(Life, usize, i64)>,
    reread: Option<i64>,
}

/// What becomes of a line and of the line before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// An event.
    Keep,
    /// No event: it tells what is known.
    Drop,
    /// An event in place of the one in this row.
    Replace(usize),
    /// The same, and the fault is part of an ordered stop.
    ReplaceAsStop(usize),
}

impl Lives {
    /// Whether what was told of any daemon is too long ago to be told again.
    pub(super) fn is_quiet(&self, second: i64) -> bool {
        let is_old = |then: i64| second - then > TOGETHER;
        self.daemons
            .values()
            .all(|daemon| daemon.end.is_none_or(|(_, _, then)| is_old(then)) && daemon.reread.is_none_or(is_old))
    }

    /// Takes the next line about a daemon's life, with its row and its second.
    pub(super) fn see(&mut self, daemon: &[u8], life: Life, row: usize, second: i64) -> Verdict {
        if !self.daemons.contains_key(daemon) {
            self.daemons.insert(daemon.into(), Daemon::default());
        }
        let Some(state) = self.daemons.get_mut(daemon) else { return Verdict::Keep };
        let is_near = |then: i64| (second - then).abs() <= TOGETHER;
        match life {
            Life::Start => {
                *state = Daemon::default();
                return Verdict::Keep;
            }
            Life::Reread => {
                let is_repeated = state.reread.is_some_and(is_near);
                state.reread = Some(second);
                return if is_repeated { Verdict::Drop } else { Verdict::Keep };
            }
            _ => {}
        }
        let verdict = match state.end {
            Some((before, row, then)) if is_near(then) => match (before, life) {
                (Life::Stopping, Life::Failed) => Verdict::ReplaceAsStop(row),
                (Life::Stopping, Life::Stopped) | (Life::Gone, Life::Stopped | Life::Failed | Life::Lost) => {
                    Verdict::Replace(row)
                }
                _ => Verdict::Drop,
            },
            _ => Verdict::Keep,
        };
        if verdict != Verdict::Drop {
            state.end = Some((life, row, second));
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(lines: &[(Life, i64)]) -> Vec<Verdict> {
        let mut lives = Lives::default();
        let see = |(row, (life, second)): (usize, &(Life, i64))| lives.see(b"adskflex", *life, row, *second);
        lines.iter().enumerate().map(see).collect()
    }

    #[test]
    fn the_daemons_last_line_is_the_stop() {
        let lines = [(Life::Stopping, 0), (Life::Stopping, 1), (Life::Stopped, 5), (Life::Gone, 6)];
        assert_eq!(verdicts(&lines), [Verdict::Keep, Verdict::Drop, Verdict::Replace(0), Verdict::Drop]);
        let lines = [(Life::Stopping, 0), (Life::Failed, 5), (Life::Gone, 6)];
        assert_eq!(verdicts(&lines), [Verdict::Keep, Verdict::ReplaceAsStop(0), Verdict::Drop]);
    }

    #[test]
    fn a_crash_is_a_daemon_gone_without_a_stop() {
        assert_eq!(verdicts(&[(Life::Gone, 0), (Life::Start, 1), (Life::Gone, 2)]), [Verdict::Keep; 3]);
        assert_eq!(verdicts(&[(Life::Stopped, 0), (Life::Gone, 61)]), [Verdict::Keep; 2]);
        assert_eq!(verdicts(&[(Life::Lost, 0), (Life::Failed, 1)]), [Verdict::Keep, Verdict::Drop]);
    }

    #[test]
    fn rereads_are_counted_once() {
        let lines = [(Life::Reread, 0), (Life::Reread, 5), (Life::Reread, 86_400)];
        assert_eq!(verdicts(&lines), [Verdict::Keep, Verdict::Drop, Verdict::Keep]);
    }
}
