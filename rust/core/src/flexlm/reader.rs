//! From inputs to blocks to the log: each thread takes the next block of text, lexes it, and puts it in line. Whoever
//! completes the line's head assembles what is ready, so there are as many threads as asked for and none waits for
//! another's work as long as there is text.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::assemble::Assembler;
use super::block::{Block, Lexer};
use super::spool::Writer;
use super::spooled::{self, Spooled};
use super::{Input, Log, Options, Problem, Progress, join, text};
use crate::error::{Error, Result};

/// Bytes of a block: large enough to make the hand-over cheap, small enough for the cache.
pub(super) const BLOCK: usize = 1 << 20;

/// Blocks that may wait for an earlier one, for each thread.
const WAITING: u64 = 4;

/// Names of an input, which outlive its reader.
pub(super) struct Source {
    pub name: String,
    pub folder: String,
}

pub(super) fn read(
    inputs: Vec<Input>,
    options: &Options,
    progress: Progress<'_>,
    block_bytes: usize,
    lines_before: &[u64],
) -> Result<Log> {
    let assembler = Assembler::new(threads_of(options), lines_before);
    let (assembler, sources) = assemble(inputs, options, progress, block_bytes, assembler)?;
    join::finish(assembler, options, &sources)
}

fn threads_of(options: &Options) -> usize {
    options.threads.clamp(1, 64)
}

/// Reads logs with their events on disk, in a folder.
pub(super) fn spool(
    inputs: Vec<Input>,
    options: &Options,
    progress: Progress<'_>,
    block_bytes: usize,
    folder: &Path,
    chunk_rows: usize,
) -> Result<Spooled> {
    let assembler = Assembler::spooling(threads_of(options), Writer::create(folder, chunk_rows)?);
    let (assembler, sources) = assemble(inputs, options, progress, block_bytes, assembler)?;
    spooled::finish(assembler, options, &sources)
}

fn assemble(
    inputs: Vec<Input>,
    options: &Options,
    progress: Progress<'_>,
    block_bytes: usize,
    assembler: Assembler,
) -> Result<(Assembler, Vec<Source>)> {
    let sources: Vec<Source> =
        inputs.iter().map(|input| Source { name: input.name.clone(), folder: input.folder.clone() }).collect();
    let bytes_expected = inputs.iter().filter_map(|input| input.bytes).fold(0, u64::saturating_add);
    let threads = threads_of(options);
    let work = Work {
        sources: &sources,
        options,
        feed: Mutex::new(Feed::new(inputs, block_bytes.max(1))),
        line: Mutex::new(InLine::default()),
        assembler: Mutex::new(assembler),
        moved: Condvar::new(),
        is_stopped: AtomicBool::new(false),
        bytes_read: AtomicU64::new(0),
        bytes_expected,
    };
    std::thread::scope(|scope| {
        for worker in 1..threads {
            let work = &work;
            scope.spawn(move || work.run(worker, &mut |_| true));
        }
        work.run(0, progress);
    });
    let line = work.line.into_inner().unwrap_or_else(PoisonError::into_inner);
    let assembler = work.assembler.into_inner().unwrap_or_else(PoisonError::into_inner);
    match line.error {
        Some(error) => Err(error),
        None => Ok((assembler, sources)),
    }
}

/// What the threads share.
struct Work<'a> {
    sources: &'a [Source],
    options: &'a Options,
    feed: Mutex<Feed>,
    line: Mutex<InLine>,
    /// Held by one thread at a time without waiting, the one that assembles.
    assembler: Mutex<Assembler>,
    moved: Condvar,
    is_stopped: AtomicBool,
    bytes_read: AtomicU64,
    bytes_expected: u64,
}

/// Text cut off for a worker, or the end of a file.
struct Job {
    number: u64,
    file: usize,
    length: usize,
    end: Option<End>,
}

/// What is known at the end of a file.
struct End {
    bytes: u64,
    damage: Option<String>,
}

/// Blocks that wait for earlier ones.
#[derive(Default)]
struct InLine {
    waiting: BTreeMap<u64, (usize, Job, Block)>,
    next: u64,
    is_assembling: bool,
    spare: Vec<Block>,
    error: Option<Error>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn io_error(name: &str, error: io::Error) -> Error {
    Error::Io { source_name: name.to_owned(), error }
}

/// Lets no thread wait for a block that will not come.
struct StopOnPanic<'a>(&'a Work<'a>);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(Error::Interrupted);
        }
    }
}

impl Work<'_> {
    fn run(&self, worker: usize, progress: Progress<'_>) {
        let _guard = StopOnPanic(self);
        let mut lexer = Lexer::new(self.options.encoding);
        let mut buffer = Vec::new();
        while !self.is_stopped.load(Ordering::Relaxed) {
            let next = lock(&self.feed).next(&mut buffer, &self.bytes_read);
            let job = match next {
                Ok(Some(job)) => job,
                Ok(None) => break,
                Err(error) => {
                    self.stop(error);
                    break;
                }
            };
            let block = lexer.read(&buffer[..job.length]);
            if let Some(spare) = self.put(worker, job, block) {
                lexer.reuse(spare);
            }
            if !progress(self.bytes_read.load(Ordering::Relaxed)) {
                self.stop(Error::Interrupted);
            }
        }
        // The other threads may have left nothing to this one.
        if !progress(self.bytes_read.load(Ordering::Relaxed)) {
            self.stop(Error::Interrupted);
        }
    }

    fn stop(&self, error: Error) {
        let mut line = lock(&self.line);
        line.error.get_or_insert(error);
        // Under the lock, so that nobody looks before it and sleeps after it.
        self.is_stopped.store(true, Ordering::Relaxed);
        self.moved.notify_all();
    }

    /// Puts a block in line and assembles what is at its head. Gives an old block to fill again.
    fn put(&self, worker: usize, job: Job, block: Block) -> Option<Block> {
        let mut line = lock(&self.line);
        let far = WAITING * threads_of(self.options) as u64;
        while job.number > line.next + far && !self.is_stopped.load(Ordering::Relaxed) {
            line = self.moved.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
        line.waiting.insert(job.number, (worker, job, block));
        if !line.is_assembling {
            line.is_assembling = true;
            line = self.assemble_ready(line);
            line.is_assembling = false;
        }
        line.spare.pop()
    }

    /// Assembles the blocks at the head of the line; the others can put theirs meanwhile.
    fn assemble_ready<'a>(&'a self, mut line: MutexGuard<'a, InLine>) -> MutexGuard<'a, InLine> {
        let mut assembler = lock(&self.assembler);
        loop {
            let next = line.next;
            let Some((worker, job, mut block)) = line.waiting.remove(&next) else { return line };
            drop(line);
            self.assemble(&mut assembler, worker, job, &mut block);
            block.clear();
            line = lock(&self.line);
            line.spare.push(block);
            line.next += 1;
            self.moved.notify_all();
        }
    }

    fn assemble(&self, assembler: &mut Assembler, worker: usize, job: Job, block: &mut Block) {
        let source = &self.sources[job.file].name;
        // A little more than the first block's share, so that the columns need not grow.
        let share = (block.clocks.len() as u64).saturating_mul(self.bytes_expected) / job.length.max(1) as u64;
        let rows = (share + share / 16).min(self.bytes_expected / 16);
        assembler.block(worker, block, source, rows as usize + block.clocks.len());
        if let Some(end) = job.end {
            if let Some(message) = end.damage {
                let problem = Problem { source: source.clone(), line: None, code: "unreadable_archive", message };
                assembler.problems.push(problem);
            }
            assembler.end_file(end.bytes, self.options.first_date);
        }
        if let Some(error) = assembler.spool.as_mut().and_then(Writer::failure) {
            self.stop(error);
        }
    }
}

/// Cuts the inputs into blocks that end with a line or a file.
struct Feed {
    inputs: std::vec::IntoIter<Input>,
    open: Option<Open>,
    files: usize,
    blocks: u64,
    /// What is left of the last block after its last newline.
    rest: Vec<u8>,
    block_bytes: usize,
    is_done: bool,
}

struct Open {
    name: String,
    source: text::Source,
    origin: text::Origin,
    counted: u64,
}

impl Feed {
    fn new(inputs: Vec<Input>, block_bytes: usize) -> Self {
        let inputs = inputs.into_iter();
        Self { inputs, open: None, files: 0, blocks: 0, rest: Vec::new(), block_bytes, is_done: false }
    }

    fn next(&mut self, buffer: &mut Vec<u8>, total: &AtomicU64) -> Result<Option<Job>> {
        let result = self.cut(buffer, total);
        if !matches!(result, Ok(Some(_))) {
            // After an error no other thread goes on behind it.
            self.is_done = true;
        }
        result
    }

    fn cut(&mut self, buffer: &mut Vec<u8>, total: &AtomicU64) -> Result<Option<Job>> {
        if self.is_done {
            return Ok(None);
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.inputs.next() {
                Some(input) => self.open(input)?,
                None => return Ok(None),
            },
        };
        let file = self.files - 1;
        let filled = self.fill(&mut open, buffer);
        let (length, damage, is_end) = filled.map_err(|error| io_error(&open.name, error))?;
        if is_end {
            open.origin.check(&open.name, damage.is_none())?;
        }
        let bytes = open.origin.bytes();
        total.fetch_add(bytes - open.counted, Ordering::Relaxed);
        open.counted = bytes;
        if !is_end {
            self.open = Some(open);
        }
        let number = self.blocks;
        self.blocks += 1;
        Ok(Some(Job { number, file, length, end: is_end.then_some(End { bytes, damage }) }))
    }

    fn open(&mut self, input: Input) -> Result<Open> {
        self.files += 1;
        let name = input.name;
        let (source, origin) = text::open(input.content).map_err(|error| io_error(&name, error))?;
        Ok(Open { name, source, origin, counted: 0 })
    }

    /// Reads a block. Gives its length, what is wrong with the archive, and whether the file ends with it.
    fn fill(&mut self, open: &mut Open, buffer: &mut Vec<u8>) -> io::Result<(usize, Option<String>, bool)> {
        let mut length = self.rest.len();
        if buffer.len() < self.block_bytes.max(length) {
            buffer.resize(self.block_bytes.max(length), 0);
        }
        buffer[..length].copy_from_slice(&self.rest);
        self.rest.clear();
        loop {
            if length == buffer.len() {
                // One line fills the buffer.
                buffer.resize(2 * length, 0);
            }
            let target = buffer.len().min(length.max(self.block_bytes) + self.block_bytes);
            let before = length;
            while length < target {
                match open.source.read(&mut buffer[length..target]) {
                    Ok(0) => return Ok((length, None, true)),
                    Ok(count) => length += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if open.origin.is_packed => return Ok((length, Some(error.to_string()), true)),
                    Err(error) => return Err(error),
                }
                if length >= self.block_bytes {
                    break;
                }
            }
            if let Some(at) = memchr::memrchr(b'\n', &buffer[before..length]) {
                let end = before + at + 1;
                self.rest.extend_from_slice(&buffer[end..length]);
                return Ok((end, None, false));
            }
        }
    }
}
