//! From the bytes of a file to bytes to lex: gzip and zstd are unpacked and UTF-16 becomes UTF-8, each told by the
//! first bytes. Other encodings pass through, and names are decoded at the end, once each.

use std::borrow::Cow;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use crate::error::{Error, Result};
use crate::flexlm::Content;
use crate::living::{self, Watch};

/// Where bytes come from.
pub type Source = Box<dyn Read + Send>;

/// How many bytes decide about packing and encoding.
const HEAD: usize = 4096;

/// What a source ready to lex was made of.
pub(crate) struct Origin {
    /// Whether an error while reading can mean a damaged archive.
    pub is_packed: bool,
    /// Looks after the file, if it is one.
    watch: Option<Watch>,
    read: Arc<AtomicU64>,
}

impl Origin {
    /// The bytes read from the file itself.
    pub(crate) fn bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Asks at the end whether all that was read is of one moment. `is_whole` is false where reading ended early, at a
    /// damaged place of an archive.
    pub(crate) fn check(&self, source_name: &str, is_whole: bool) -> Result<()> {
        let Some(watch) = &self.watch else { return Ok(()) };
        match watch.change(self.bytes(), is_whole) {
            Ok(None) => Ok(()),
            Ok(Some(change)) => Err(Error::Changed { source_name: source_name.to_owned(), change }),
            Err(error) => Err(Error::Io { source_name: source_name.to_owned(), error }),
        }
    }
}

/// Opens an input: unpacked, and in UTF-8 where it was in UTF-16.
pub(crate) fn open(content: Content) -> io::Result<(Source, Origin)> {
    let read = Arc::new(AtomicU64::new(0));
    let (file, watch) = match content {
        Content::File(path) => living::open(&path)?,
        Content::Stream(stream) => (stream, None),
    };
    let (source, is_packed) = unpack(file, Arc::clone(&read))?;
    Ok((source, Origin { is_packed, watch, read }))
}

/// The bytes as text, and whether an error while reading can mean a damaged archive. `read` counts the bytes taken.
fn unpack(file: Source, read: Arc<AtomicU64>) -> io::Result<(Source, bool)> {
    let (head, file) = peek(Box::new(Counted { file, read }))?;
    let (source, is_packed): (Source, bool) = match head.as_slice() {
        [0x1f, 0x8b, ..] => (Box::new(MultiGzDecoder::new(file)), true),
        // A frame of data, or one to skip that stands before it.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => (Box::new(Zstd::new(file)), true),
        _ => (file, false),
    };
    let (head, source) = match peek(source) {
        Ok(peeked) => peeked,
        // What is wrong with the archive shows again where it is read.
        Err(error) => {
            return if is_packed { Ok((Box::new(Failed(Some(error))), is_packed)) } else { Err(error) };
        }
    };
    let source = match utf16(&head) {
        Some(decoder) => Box::new(Utf16::new(source, decoder)),
        None => source,
    };
    Ok((source, is_packed))
}

/// The first bytes of a file, unpacked and in UTF-8 where it was in UTF-16: enough to tell what it is. What is wrong with
/// an archive behind them is told where it is read.
///
/// # Errors
/// When the file cannot be read at all.
pub fn head(file: Source, limit: usize) -> io::Result<Vec<u8>> {
    let (mut source, _) = unpack(file, Arc::default())?;
    let mut bytes = Vec::new();
    let mut block = [0; HEAD];
    while bytes.len() < limit {
        match source.read(&mut block) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&block[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if bytes.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    bytes.truncate(limit);
    Ok(bytes)
}

/// The first bytes of a source, and the source with them still in it.
fn peek(mut source: Source) -> io::Result<(Vec<u8>, Source)> {
    let mut head = vec![0; HEAD];
    let mut length = 0;
    let mut failure = None;
    while length < HEAD {
        match source.read(&mut head[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if length == 0 => return Err(error),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    head.truncate(length);
    let start = io::Cursor::new(head.clone());
    let rest: Source = match failure {
        Some(error) => Box::new(start.chain(Failed(Some(error)))),
        None => Box::new(start.chain(source)),
    };
    Ok((head, rest))
}

/// A source that fails once, with the error met while peeking.
struct Failed(Option<io::Error>);

impl Read for Failed {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// Counts what is read from a file, for progress.
struct Counted {
    file: Source,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// All frames of a zstd file; the decoder of the library reads one.
struct Zstd {
    state: ZstdState,
}

enum ZstdState {
    Between(io::BufReader<Source>),
    Within(Box<StreamingDecoder<io::BufReader<Source>, ruzstd::decoding::FrameDecoder>>),
    Done,
}

impl Zstd {
    fn new(file: Source) -> Self {
        Self { state: ZstdState::Between(io::BufReader::with_capacity(1 << 16, file)) }
    }
}

impl Read for Zstd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.state, ZstdState::Done) {
                ZstdState::Done => return Ok(0),
                ZstdState::Between(mut file) => {
                    if !skip_frames(&mut file)? {
                        return Ok(0);
                    }
                    let decoder = StreamingDecoder::new(file).map_err(io::Error::other)?;
                    self.state = ZstdState::Within(Box::new(decoder));
                }
                ZstdState::Within(mut decoder) => {
                    let count = decoder.read(buffer)?;
                    if count == 0 && !buffer.is_empty() {
                        self.state = ZstdState::Between(decoder.into_inner());
                        continue;
                    }
                    self.state = ZstdState::Within(decoder);
                    return Ok(count);
                }
            }
        }
    }
}

/// Passes over frames without data. Returns whether there is more.
fn skip_frames(file: &mut io::BufReader<Source>) -> io::Result<bool> {
    loop {
        let next = io::BufRead::fill_buf(file)?;
        if next.is_empty() {
            return Ok(false);
        }
        if next.len() < 8 || next[1..4] != [0x2a, 0x4d, 0x18] || next[0] & 0xf0 != 0x50 {
            return Ok(true);
        }
        let length = u32::from_le_bytes([next[4], next[5], next[6], next[7]]);
        let skipped = u64::from(length) + 8;
        if io::copy(&mut file.by_ref().take(skipped), &mut io::sink())? < skipped {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A decoder where the text is UTF-16, with a mark or without.
fn utf16(head: &[u8]) -> Option<Decoder> {
    match head {
        [0xff, 0xfe, ..] => return Some(UTF_16LE.new_decoder_with_bom_removal()),
        [0xfe, 0xff, ..] => return Some(UTF_16BE.new_decoder_with_bom_removal()),
        _ => {}
    }
    // Every second byte of Western text in UTF-16 is zero. A stretch of zeros, as crashes leave it, is not text.
    let pairs = head.len() / 2;
    let count = |odd: usize| head.chunks_exact(2).filter(|pair| pair[odd] == 0).count();
    let (even, odd) = (count(0), count(1));
    if pairs >= 4 && odd * 5 >= pairs * 4 && even * 20 <= pairs {
        Some(UTF_16LE.new_decoder_without_bom_handling())
    } else if pairs >= 4 && even * 5 >= pairs * 4 && odd * 20 <= pairs {
        Some(UTF_16BE.new_decoder_without_bom_handling())
    } else {
        None
    }
}

/// UTF-16 turned into UTF-8 while it is read.
struct Utf16 {
    source: Source,
    decoder: Decoder,
    input: Vec<u8>,
    output: Vec<u8>,
    given: usize,
    is_done: bool,
}

impl Utf16 {
    fn new(source: Source, decoder: Decoder) -> Self {
        Self { source, decoder, input: vec![0; 1 << 16], output: Vec::new(), given: 0, is_done: false }
    }

    fn refill(&mut self) -> io::Result<()> {
        let count = self.source.read(&mut self.input)?;
        self.is_done = count == 0;
        // A pair of bytes becomes at most three; the spare bytes are for what the decoder holds back.
        self.output.resize(2 * count + 64, 0);
        let (_, _, written, _) = self.decoder.decode_to_utf8(&self.input[..count], &mut self.output, self.is_done);
        self.output.truncate(written);
        self.given = 0;
        Ok(())
    }
}

impl Read for Utf16 {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.output.len() {
            if self.is_done {
                return Ok(0);
            }
            self.refill()?;
        }
        let count = buffer.len().min(self.output.len() - self.given);
        buffer[..count].copy_from_slice(&self.output[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

/// Text of a log as UTF-8: as it is where it is UTF-8 already, else in the given encoding.
pub(crate) fn decode<'a>(bytes: &'a [u8], encoding: &'static Encoding) -> Cow<'a, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) if encoding == UTF_8 => String::from_utf8_lossy(bytes),
        Err(_) => encoding.decode_without_bom_handling(bytes).0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn opened(bytes: &[u8]) -> (Source, Origin) {
        open(Content::Stream(Box::new(io::Cursor::new(bytes.to_vec())))).unwrap()
    }

    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        let (mut source, _) = opened(bytes);
        let mut all = Vec::new();
        source.read_to_end(&mut all).unwrap();
        all
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn packed_files_of_several_members_are_told_by_their_content() {
        let text = " 8:42:45 (adskflex) TIMESTAMP 5/5/2022\n".repeat(300);
        let two = text.repeat(2).into_bytes();
        assert_eq!(unpacked(text.as_bytes()), text.as_bytes());
        assert_eq!(unpacked(&[gzip(text.as_bytes()), gzip(text.as_bytes())].concat()), two);
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3].to_vec();
        assert_eq!(unpacked(&[skipped, zstd(text.as_bytes()), zstd(text.as_bytes())].concat()), two);
        assert_eq!(unpacked(b""), b"");
    }

    #[test]
    fn a_damaged_archive_gives_what_is_whole() {
        let packed = gzip(" 8:42:45 (adskflex) TIMESTAMP 5/5/2022\n".repeat(9000).as_bytes());
        let (mut source, origin) = opened(&packed[..packed.len() - 20]);
        let mut all = Vec::new();
        assert!(source.read_to_end(&mut all).is_err());
        assert!(origin.is_packed && all.starts_with(b" 8:42:45 (adskflex)"));
        let (mut source, _) = opened(&[0x1f, 0x8b, 9, 9, 9]);
        assert!(source.read_to_end(&mut all).is_err());
    }

    #[test]
    fn utf16_with_and_without_a_mark() {
        let text = " 8:42:45 (adskflex) OUT: \"f\" José@Taller  \r\n".repeat(3000);
        for (mark, is_big) in [(true, false), (false, false), (true, true), (false, true)] {
            let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
            let bytes: Vec<u8> =
                units.flat_map(|unit: u16| if is_big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect();
            assert_eq!(unpacked(&bytes), text.as_bytes(), "mark {mark}, big endian {is_big}");
            assert_eq!(unpacked(&gzip(&bytes)), text.as_bytes());
        }
    }

    #[test]
    fn names_of_a_code_page() {
        assert_eq!(decode("José".as_bytes(), encoding_rs::WINDOWS_1252), "José");
        assert_eq!(decode(b"Jos\xe9", encoding_rs::WINDOWS_1252), "José");
        assert_eq!(decode(b"Jos\xe9", UTF_8), "Jos\u{fffd}");
    }
}
