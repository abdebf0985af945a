//! The packages that the start-up block names: `64300ACD_F (consisting of: 87676ACD_2023_0F …)`, wrapped over lines.

use std::collections::{HashMap, HashSet};

/// Between two lines of one list at most so many others stand.
const INTERRUPTION: u64 = 8;

/// One component of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Component {
    /// The stamped lines before it, to tell its segment by.
    pub seen: u64,
    pub names: Names,
}

/// The names of a daemon, a package and a component.
type Names = [Box<[u8]>; 3];

/// Collects the packages of one file.
#[derive(Debug, Default)]
pub(super) struct Packages {
    lists: HashMap<Box<[u8]>, List>,
    known: HashSet<(u32, Names)>,
    found: Vec<Component>,
}

#[derive(Debug, Default)]
struct List {
    line: u64,
    last: Box<[u8]>,
    package: Option<Box<[u8]>>,
}

/// Where a line of a list stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub line: u64,
    /// The stamped lines before it.
    pub seen: u64,
    pub segment: u32,
}

impl Packages {
    /// A list of features begins with this text.
    pub(super) fn start(&mut self, daemon: &[u8], text: &[u8], at: At) {
        self.lists.insert(daemon.into(), List { line: at.line, ..List::default() });
        self.go_on(daemon, text, at);
    }

    /// This text goes on with the daemon's list, if there is one.
    pub(super) fn go_on(&mut self, daemon: &[u8], text: &[u8], at: At) {
        let Some(list) = self.lists.get_mut(daemon) else { return };
        if at.line.saturating_sub(list.line) > INTERRUPTION {
            self.lists.remove(daemon);
            return;
        }
        list.line = at.line;
        for word in text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            if word == b"(consisting" {
                list.package = Some(std::mem::take(&mut list.last));
                continue;
            }
            let Some(package) = &list.package else {
                list.last = word.into();
                continue;
            };
            let word = word.strip_prefix(b"of:").unwrap_or(word);
            let component = word.strip_suffix(b")").unwrap_or(word);
            if !component.is_empty() && !package.is_empty() {
                let names = [daemon.into(), package.clone(), component.into()];
                if self.known.insert((at.segment, names.clone())) {
                    self.found.push(Component { seen: at.seen, names });
                }
            }
            if word.ends_with(b")") {
                list.package = None;
            }
        }
    }

    /// Whether no list is going on.
    pub(super) fn is_quiet(&self, line: u64) -> bool {
        self.lists.values().all(|list| line.saturating_sub(list.line) > INTERRUPTION)
    }

    /// All components, each once for each segment.
    pub(super) fn finish(self) -> Vec<Component> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[(&str, &str)]) -> Vec<String> {
        let mut packages = Packages::default();
        for (line, (daemon, text)) in (0..).zip(lines) {
            let at = At { line, seen: line, segment: 0 };
            match text.strip_prefix("START") {
                Some(text) => packages.start(daemon.as_bytes(), text.as_bytes(), at),
                None => packages.go_on(daemon.as_bytes(), text.as_bytes(), at),
            }
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        packages.finish().iter().map(|found| text(&found.names[1]) + "/" + &text(&found.names[2])).collect()
    }

    #[test]
    fn lists_are_wrapped_and_interleaved() {
        let found = read(&[
            ("a", "CLOSED_F (consisting of: NOT_STARTED"),
            ("a", "START\t"),
            ("a", "64300ACD_F (consisting of:\t\t87676ACD_2023_0F "),
            ("b", "START other"),
            ("a", "87545ACD_2022_0F) 87577INHSMP_2022_0F"),
            ("b", "x (consisting of: y)"),
            ("a", "85950RVT_F (consisting of:\t\t87688RVT_2023_0F) 1_F (consisting of: 2 3) 4"),
            ("a", "START 64300ACD_F (consisting of: 87676ACD_2023_0F)"),
        ]);
        let known =
            ["64300ACD_F/87676ACD_2023_0F", "64300ACD_F/87545ACD_2022_0F", "x/y", "85950RVT_F/87688RVT_2023_0F"];
        assert_eq!(found, [known.as_slice(), &["1_F/2", "1_F/3"]].concat());
    }

    #[test]
    fn a_list_that_is_cut_off_does_not_run_on() {
        let mut lines = vec![("a", "START f (consisting of: g")];
        lines.extend([("b", "-"); 9]);
        lines.push(("a", "TCP_NODELAY NOT enabled"));
        assert_eq!(read(&lines), ["f/g"]);
    }
}
