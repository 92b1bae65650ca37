//! Where what jobs print, and their results, are kept until somebody takes
//! them: in memory up to a budget shared by all of a pool's jobs, beyond that in
//! one unlinked temporary file. However many jobs wait, there is one descriptor.
//!
//! Space of the file is given back to the file system piece by piece (a hole is
//! punched when a capture is dropped); its offsets only grow.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use protocol::{Encoding, Parts, PayloadError};
use serde::de::DeserializeOwned;

use super::os;

/// What is larger than this in bytes is in the file, however much room there is in memory.
const LARGE: usize = 1 << 20;

/// Room for captured output: a budget of memory and a file behind it.
#[derive(Debug)]
pub struct Spill {
    budget: usize,
    /// Where the file is made; where temporary files are, when absent.
    dir: Option<PathBuf>,
    in_memory: AtomicUsize,
    file: OnceLock<File>,
    end: AtomicU64,
}

impl Spill {
    /// Room that keeps up to `budget` bytes in memory. The file is made when it
    /// is first needed.
    #[must_use]
    pub fn new(budget: usize) -> Arc<Spill> {
        Spill::within(None, budget)
    }

    /// The same with its file in this directory.
    pub(super) fn within(dir: Option<PathBuf>, budget: usize) -> Arc<Spill> {
        Arc::new(Spill {
            budget,
            dir,
            in_memory: AtomicUsize::new(0),
            file: OnceLock::new(),
            end: AtomicU64::new(0),
        })
    }

    /// How many bytes are kept in memory now.
    #[must_use]
    pub fn in_memory(&self) -> usize {
        self.in_memory.load(Ordering::Relaxed)
    }

    fn file(&self) -> io::Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let made = os::unlinked_file(self.dir.as_deref())?;
        // Another thread may have been faster; its file is as good.
        Ok(self.file.get_or_init(|| made))
    }

    fn append(&self, data: &[u8]) -> io::Result<Extent> {
        let file = self.file()?;
        let len = data.len() as u64;
        let start = self.end.fetch_add(len, Ordering::Relaxed);
        file.write_all_at(data, start)?;
        Ok(Extent { start, len })
    }

    /// Takes this much of the budget, if there is so much.
    fn reserve(&self, bytes: usize) -> bool {
        self.in_memory
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|&sum| sum <= self.budget)
            })
            .is_ok()
    }

    fn release(&self, bytes: usize) {
        self.in_memory.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A piece of the file.
#[derive(Clone, Copy, Debug)]
struct Extent {
    start: u64,
    len: u64,
}

/// One stream of one job: what it printed, in order. Dropping it gives its
/// memory and its part of the file back.
///
/// Most jobs print nothing, and many may wait: nothing is a pointer's size.
#[derive(Debug, Default)]
pub struct Capture(Option<Box<Captured>>);

/// Something that was printed.
#[derive(Debug)]
struct Captured {
    room: Arc<Spill>,
    /// What was spilled; comes before what is in memory.
    spilled: Vec<Extent>,
    memory: Vec<u8>,
}

impl Capture {
    /// A capture that holds these bytes.
    ///
    /// # Errors
    /// When they do not fit into memory and the file cannot be written.
    pub fn of(room: &Arc<Spill>, data: &[u8]) -> io::Result<Capture> {
        let mut capture = Capture::default();
        capture.push(room, data)?;
        Ok(capture)
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// When they do not fit into memory and the file cannot be written.
    pub fn push(&mut self, room: &Arc<Spill>, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let new = || {
            Box::new(Captured {
                room: Arc::clone(room),
                spilled: Vec::new(),
                memory: Vec::new(),
            })
        };
        self.0.get_or_insert_with(new).push(data)
    }

    /// Adds bytes at the end, without a copy if they are the first and fit into
    /// memory.
    ///
    /// # Errors
    /// As for [`push`](Capture::push).
    #[cfg(feature = "cli")]
    pub(crate) fn give(&mut self, room: &Arc<Spill>, data: Vec<u8>) -> io::Result<()> {
        if self.0.is_some() || data.is_empty() || !room.reserve(data.len()) {
            return self.push(room, &data);
        }
        self.0 = Some(Box::new(Captured {
            room: Arc::clone(room),
            spilled: Vec::new(),
            memory: data,
        }));
        Ok(())
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.as_ref().map_or(0, |captured| captured.len())
    }

    /// Whether nothing was printed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing of it is in the file.
    #[cfg(feature = "cli")]
    pub(crate) fn is_in_memory(&self) -> bool {
        self.0.as_ref().is_none_or(|c| c.spilled.is_empty())
    }

    /// Hands the bytes out in order, in pieces of at most `1 MiB`.
    ///
    /// # Errors
    /// When the file cannot be read, or `take` fails.
    pub fn for_each(&self, take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        match &self.0 {
            Some(captured) => captured.for_each(take),
            None => Ok(()),
        }
    }

    /// Its last bytes, so many at most.
    ///
    /// # Errors
    /// When the file cannot be read.
    #[cfg(feature = "cli")]
    pub(crate) fn tail(&self, most: usize) -> io::Result<Vec<u8>> {
        let mut tail = Vec::new();
        if let Some(captured) = &self.0 {
            let mut left = most;
            let memory = &captured.memory[captured.memory.len().saturating_sub(left)..];
            left -= memory.len();
            let mut pieces = Vec::new();
            for extent in captured.spilled.iter().rev() {
                let len = extent.len.min(left as u64);
                let mut piece = vec![0; len as usize];
                let start = extent.start + extent.len - len;
                captured.room.file()?.read_exact_at(&mut piece, start)?;
                left -= piece.len();
                pieces.push(piece);
            }
            pieces.iter().rev().for_each(|piece| tail.extend(piece));
            tail.extend_from_slice(memory);
        }
        Ok(tail)
    }

    /// So many of its bytes from there on, which must be there.
    ///
    /// # Errors
    /// When the file cannot be read.
    #[cfg(feature = "cli")]
    pub(crate) fn piece(&self, start: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut piece = Vec::with_capacity(len);
        let Some(captured) = &self.0 else {
            return Ok(piece);
        };
        let end = start + len as u64;
        let mut before = 0;
        for extent in &captured.spilled {
            let (from, to) = (start.max(before), end.min(before + extent.len));
            if from < to {
                let at = piece.len();
                piece.resize(at + (to - from) as usize, 0);
                let place = extent.start + (from - before);
                captured
                    .room
                    .file()?
                    .read_exact_at(&mut piece[at..], place)?;
            }
            before += extent.len;
        }
        if end > before {
            let from = (start.max(before) - before) as usize;
            piece.extend_from_slice(&captured.memory[from..(end - before) as usize]);
        }
        Ok(piece)
    }

    /// All of it at once: for callers that know it to be small.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        self.for_each(|piece| {
            all.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(all)
    }
}

impl Captured {
    fn push(&mut self, data: &[u8]) -> io::Result<()> {
        // Lists that grow take up to twice their size, so large ones go first.
        let small = self.memory.len() + data.len() <= LARGE;
        if small && self.spilled.is_empty() && self.room.reserve(data.len()) {
            self.memory.extend_from_slice(data);
            return Ok(());
        }
        if !self.memory.is_empty() {
            let extent = self.room.append(&self.memory)?;
            extend(&mut self.spilled, extent);
            self.room.release(self.memory.len());
            self.memory = Vec::new();
        }
        let extent = self.room.append(data)?;
        extend(&mut self.spilled, extent);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.spilled.iter().map(|e| e.len).sum::<u64>() + self.memory.len() as u64
    }

    fn for_each(&self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        const PIECE: u64 = 1 << 20;
        if !self.spilled.is_empty() {
            let file = self.room.file()?;
            let mut piece = Vec::new();
            for extent in &self.spilled {
                let mut at = extent.start;
                let end = extent.start + extent.len;
                while at < end {
                    piece.resize((end - at).min(PIECE) as usize, 0);
                    file.read_exact_at(&mut piece, at)?;
                    take(&piece)?;
                    at += piece.len() as u64;
                }
            }
        }
        if self.memory.is_empty() {
            Ok(())
        } else {
            take(&self.memory)
        }
    }
}

/// A job's result until somebody takes it: as it came while there is room in
/// memory, in the file beyond that.
#[derive(Debug, Default)]
pub struct Payload(Kept);

#[derive(Debug)]
enum Kept {
    /// Small enough not to be counted.
    Small(Bytes),
    Counted(Box<Parts>, Arc<Spill>),
    Spilled(Capture),
}

impl Payload {
    /// Results up to this size, in bytes, are bounded by the number of jobs in the
    /// pool.
    pub(super) const SMALL: usize = 1024;

    /// Keeps these bytes.
    ///
    /// # Errors
    /// When there is no room in memory and the file cannot be written.
    pub(super) fn keep(room: &Arc<Spill>, mut parts: Parts) -> io::Result<Payload> {
        Ok(Payload(if parts.len() <= Payload::SMALL {
            Kept::Small(parts.joined())
        } else if room.reserve(parts.len()) {
            parts.shrink();
            Kept::Counted(Box::new(parts), Arc::clone(room))
        } else {
            let mut capture = Capture::default();
            let mut pieces = parts.pieces().into_iter();
            pieces.try_for_each(|piece| capture.push(room, piece))?;
            Kept::Spilled(capture)
        }))
    }

    /// Parts small bytes from what they came with: a handle may keep them for
    /// long, and a whole read's buffer with them.
    pub(super) fn part(&mut self) {
        if let Kept::Small(bytes) = &mut self.0 {
            *bytes = Bytes::copy_from_slice(bytes);
        }
    }

    /// The bytes, read back if need be.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn bytes(&self) -> io::Result<Bytes> {
        match &self.0 {
            Kept::Small(bytes) => Ok(bytes.clone()),
            Kept::Counted(parts, _) => Ok(parts.joined()),
            Kept::Spilled(capture) => capture.to_vec().map(Bytes::from),
        }
    }

    /// How many there are.
    #[cfg(feature = "cli")]
    pub(crate) fn len(&self) -> u64 {
        match &self.0 {
            Kept::Small(bytes) => bytes.len() as u64,
            Kept::Counted(parts, _) => parts.len() as u64,
            Kept::Spilled(capture) => capture.len(),
        }
    }

    /// So many of the bytes from there on, which must be there; without a copy when
    /// they lie in one piece in memory.
    ///
    /// # Errors
    /// When the file cannot be read.
    #[cfg(feature = "cli")]
    pub(crate) fn piece(&self, start: u64, len: usize) -> io::Result<Bytes> {
        let (start_here, end_here) = (start as usize, start as usize + len);
        match &self.0 {
            Kept::Small(bytes) => Ok(bytes.slice(start_here..end_here)),
            Kept::Counted(parts, _) => Ok(parts.piece(start_here, len)),
            Kept::Spilled(capture) => capture.piece(start, len).map(Bytes::from),
        }
    }

    /// The value that the bytes are, read back if need be.
    pub(super) fn decode<T: DeserializeOwned>(
        mut self,
        encoding: Encoding,
    ) -> io::Result<Result<T, PayloadError>> {
        match &mut self.0 {
            Kept::Counted(parts, room) => {
                room.release(parts.len());
                Ok(encoding.decode_parts(std::mem::take(&mut **parts)))
            }
            Kept::Small(_) | Kept::Spilled(_) => Ok(encoding.decode(&self.bytes()?)),
        }
    }
}

impl Default for Kept {
    fn default() -> Kept {
        Kept::Small(Bytes::new())
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Payload {
        Payload(Kept::Small(bytes))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Kept::Counted(parts, room) = self {
            room.release(parts.len());
        }
    }
}

/// Adds an extent, joined to the last one where they touch.
fn extend(extents: &mut Vec<Extent>, next: Extent) {
    match extents.last_mut() {
        Some(last) if last.start + last.len == next.start => last.len += next.len,
        _ => extents.push(next),
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        self.room.release(self.memory.len());
        if let Some(file) = self.room.file.get() {
            for extent in &self.spilled {
                os::punch_hole(file, extent.start, extent.len);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "cli")]
    #[test]
    fn the_tail_is_the_end_wherever_it_is() {
        let room = Spill::new(10);
        let mut capture = Capture::default();
        for piece in ["0123456", "789ab", "cde", "fghijklmnopq", "r"] {
            capture.push(&room, piece.as_bytes()).unwrap();
            let all = capture.to_vec().unwrap();
            for most in [0, 1, 3, 9, 30] {
                let tail = &all[all.len().saturating_sub(most)..];
                assert_eq!(capture.tail(most).unwrap(), tail);
            }
        }
        assert!(!capture.is_in_memory());
    }

    #[test]
    fn small_output_stays_in_memory_and_gives_it_back() {
        let room = Spill::new(10);
        let capture = Capture::of(&room, b"hello").unwrap();
        assert_eq!(room.in_memory(), 5);
        assert!(room.file.get().is_none());
        assert_eq!(capture.to_vec().unwrap(), b"hello");
        drop(capture);
        assert_eq!(room.in_memory(), 0);
    }

    #[test]
    fn order_is_kept_across_memory_and_file() {
        let room = Spill::new(10);
        let mut capture = Capture::default();
        let mut other = Capture::default();
        let mut expected = Vec::new();
        for n in 0..50u8 {
            let data = vec![n; usize::from(n % 7)];
            capture.push(&room, &data).unwrap();
            other.push(&room, b"xyz").unwrap();
            expected.extend_from_slice(&data);
        }
        assert_eq!(capture.len(), expected.len() as u64);
        assert_eq!(capture.to_vec().unwrap(), expected);
        assert_eq!(other.to_vec().unwrap(), b"xyz".repeat(50));
        assert!(room.in_memory() <= 10);
    }

    #[test]
    fn dropping_a_spilled_capture_frees_its_disk_space() {
        use std::os::unix::fs::MetadataExt;
        let room = Spill::new(0);
        let capture = Capture::of(&room, &vec![7; 1 << 20]).unwrap();
        let file = room.file.get().unwrap();
        file.sync_all().unwrap();
        let before = file.metadata().unwrap().blocks();
        assert!(before > 0);
        drop(capture);
        file.sync_all().unwrap();
        assert!(file.metadata().unwrap().blocks() < before);
    }

    #[test]
    fn results_beyond_the_budget_are_read_back_from_the_file() {
        let room = Spill::new(5_000);
        let bytes = |n: u8| Bytes::from(vec![n; 2_000]);
        let kept: Vec<Payload> = (0..10)
            .map(|n| Payload::keep(&room, bytes(n).into()).unwrap())
            .collect();
        assert_eq!(room.in_memory(), 4_000);
        for (n, payload) in (0..).zip(&kept) {
            assert_eq!(payload.bytes().unwrap(), bytes(n));
        }
        drop(kept);
        assert_eq!(room.in_memory(), 0);
        let small = Payload::keep(&room, Bytes::from_static(b"small").into()).unwrap();
        assert_eq!(room.in_memory(), 0);
        assert_eq!(small.bytes().unwrap(), "small");
    }

    #[test]
    fn nothing_printed_costs_nothing() {
        let room = Spill::new(0);
        let capture = Capture::of(&room, b"").unwrap();
        assert!(capture.is_empty());
        assert!(room.file.get().is_none());
    }
}
