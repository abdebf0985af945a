//! Files that a living server may be writing to. One is read up to the length that it had when its turn came: what is
//! appended meanwhile is left for the next reading. One that was cut off or written anew meanwhile is an error, as what
//! was read of it is of two moments.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::Change;
use crate::text::Source;

/// An open file, and what it was when it was opened.
pub(crate) struct Watch {
    file: Arc<File>,
    length: u64,
    modified: Option<SystemTime>,
}

/// Opens a file for reading. What is no regular file, such as a pipe, has no length and is read to its end unwatched.
pub(crate) fn open(path: &Path) -> io::Result<(Source, Option<Watch>)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok((Box::new(file), None));
    }
    let watch = Watch { file: Arc::new(file), length: metadata.len(), modified: metadata.modified().ok() };
    Ok((Box::new(Arc::clone(&watch.file).take(watch.length)), Some(watch)))
}

impl Watch {
    /// What happened to the file since it was opened, of which so many bytes were read, if that makes its content wrong.
    pub(crate) fn change(&self, read: u64, is_whole: bool) -> io::Result<Option<Change>> {
        Ok(self.judge(&self.file.metadata()?, read, is_whole))
    }

    fn judge(&self, now: &Metadata, read: u64, is_whole: bool) -> Option<Change> {
        let found = if is_whole { now.len().min(read) } else { now.len() };
        if found < self.length {
            return Some(Change::Shrunk { expected: self.length, found });
        }
        // A file that has grown is newer, too.
        (now.len() == self.length && now.modified().ok() != self.modified).then_some(Change::Rewritten)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    /// A file of ten bytes that is gone with its test.
    struct Ten(PathBuf);

    impl Ten {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tokenflex-{name}-{}", std::process::id()));
            std::fs::write(&path, "0123456789").unwrap();
            Self(path)
        }
    }

    impl Drop for Ten {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn rest(mut source: Source) -> String {
        let mut text = String::new();
        source.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_file_that_grows_is_read_up_to_its_length_at_opening() {
        let ten = Ten::new("grows");
        let (source, watch) = open(&ten.0).unwrap();
        OpenOptions::new().append(true).open(&ten.0).unwrap().write_all(b"more").unwrap();
        assert_eq!(rest(source), "0123456789");
        assert_eq!(watch.unwrap().change(10, true).unwrap(), None);
    }

    #[test]
    fn a_file_that_shrinks_is_told_of() {
        let ten = Ten::new("shrinks");
        let (source, watch) = open(&ten.0).unwrap();
        OpenOptions::new().write(true).open(&ten.0).unwrap().set_len(4).unwrap();
        assert_eq!(rest(source), "0123");
        let shrunk = Some(Change::Shrunk { expected: 10, found: 4 });
        assert_eq!(watch.unwrap().change(4, true).unwrap(), shrunk);
    }

    #[test]
    fn a_file_that_is_cut_off_and_grows_again_is_told_of() {
        let ten = Ten::new("again");
        let (source, watch) = open(&ten.0).unwrap();
        std::fs::write(&ten.0, "ab").unwrap();
        assert_eq!(rest(source), "ab");
        std::fs::write(&ten.0, "0123456789 and more").unwrap();
        let shrunk = Some(Change::Shrunk { expected: 10, found: 2 });
        assert_eq!(watch.unwrap().change(2, true).unwrap(), shrunk);
    }

    #[test]
    fn a_file_that_is_written_anew_is_told_of() {
        let ten = Ten::new("anew");
        let (source, watch) = open(&ten.0).unwrap();
        let file = OpenOptions::new().write(true).open(&ten.0).unwrap();
        (&file).write_all(b"abc").unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(9)).unwrap();
        assert_eq!(rest(source), "abc3456789");
        assert_eq!(watch.unwrap().change(10, true).unwrap(), Some(Change::Rewritten));
    }

    #[test]
    fn a_file_left_alone_is_not() {
        let ten = Ten::new("alone");
        let (source, watch) = open(&ten.0).unwrap();
        assert_eq!(rest(source), "0123456789");
        let watch = watch.unwrap();
        assert_eq!(watch.change(10, true).unwrap(), None);
        // Of a damaged archive only a part was read.
        assert_eq!(watch.change(3, false).unwrap(), None);
    }
}
