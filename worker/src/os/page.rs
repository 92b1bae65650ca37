//! The status page: what is left of this process when it is stuck or dead.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};

use super::move_high;

/// How many bytes of frames survive this process while they wait to be written.
pub(crate) const HELD: usize = 128 * 1024;

/// Memory that the orchestrator can read, through `/proc`, when this process is
/// stuck or dead: which job runs here, which process group its command has, and
/// what has not been written yet. Layout, little-endian: u64 job, u32 attempt,
/// u32 process group, u64 position of the held bytes in the stream, u32 their
/// number; from 4096 on the held bytes.
///
/// The process may be killed between any two instructions. Whatever is stored
/// with `Release` describes only what was stored before it.
pub(crate) struct StatusPage {
    memory: OwnedFd,
    page: NonNull<u8>,
}

// SAFETY: the header is only ever accessed through atomics, and the bytes
// behind it only by the one [`Held`] that belongs to the page.
unsafe impl Send for StatusPage {}
// SAFETY: as above.
unsafe impl Sync for StatusPage {}

impl StatusPage {
    const HEADER: usize = 4096;
    const SIZE: NonZeroUsize =
        NonZeroUsize::new(StatusPage::HEADER + HELD).expect("it is not zero");

    fn new() -> io::Result<StatusPage> {
        let memory = memfd_create("worker-status", MFdFlags::MFD_CLOEXEC)?;
        nix::unistd::ftruncate(&memory, Self::SIZE.get() as libc::off_t)?;
        let memory = move_high(memory.as_fd())?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses a fresh address, so no memory of ours is
        // replaced; the mapping is never removed, so it outlives every use.
        let page = unsafe { mmap(None, Self::SIZE, access, MapFlags::MAP_SHARED, &memory, 0) }?;
        Ok(StatusPage {
            memory,
            page: page.cast(),
        })
    }

    /// The page, and the right to hold bytes in it.
    pub(crate) fn with_held() -> io::Result<(Arc<StatusPage>, Held)> {
        let page = Arc::new(StatusPage::new()?);
        let held = Held {
            page: Arc::clone(&page),
            position: 0,
            length: 0,
        };
        Ok((page, held))
    }

    /// The number under which this process has the page open.
    pub(crate) fn number(&self) -> RawFd {
        self.memory.as_raw_fd()
    }

    /// A job starts. The job's number is stored last: who sees it sees the rest.
    pub(crate) fn start(&self, job: u64, attempt: u32, group: u32) {
        let header = self.header();
        header.attempt.store(attempt.to_le(), Ordering::Relaxed);
        header.group.store(group.to_le(), Ordering::Relaxed);
        header.job.store(job.to_le(), Ordering::Release);
    }

    /// No job runs.
    pub(crate) fn clear(&self) {
        self.header().job.store(0, Ordering::Release);
    }

    fn header(&self) -> &Header {
        // SAFETY: the mapping is page-aligned, longer than a header, never
        // removed, and nobody in this process accesses its beginning in another
        // way. Every bit pattern is a valid header.
        unsafe { self.page.cast().as_ref() }
    }
}

/// The beginning of the page; numbers are little-endian.
#[repr(C)]
struct Header {
    job: AtomicU64,
    attempt: AtomicU32,
    group: AtomicU32,
    position: AtomicU64,
    length: AtomicU32,
}

/// The part of the page that holds bytes: there is one of it, so that only one
/// thread at a time can write there.
pub(crate) struct Held {
    page: Arc<StatusPage>,
    position: u64,
    length: usize,
}

impl Held {
    /// How many bytes are held.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Holds more bytes, which continue those that are held, if there is room.
    pub(crate) fn hold(&mut self, bytes: &[u8]) -> bool {
        let length = self.length + bytes.len();
        if length > HELD {
            return false;
        }
        // SAFETY: the mapping is `HEADER + HELD` bytes long and never removed,
        // and `self.length + bytes.len() <= HELD`. The target is not part of
        // the header. No reference to it exists in this process, and whoever
        // writes to it has this one value, of which there is no copy,
        // exclusively.
        unsafe {
            let target = self.page.page.add(StatusPage::HEADER + self.length);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target.as_ptr(), bytes.len());
        }
        self.length = length;
        let header = self.page.header();
        header
            .length
            .store((length as u32).to_le(), Ordering::Release);
        true
    }

    /// So many bytes of the stream, with all that are held, have been written.
    pub(crate) fn written(&mut self, count: usize) {
        self.length = 0;
        self.position += count as u64;
        let header = self.page.header();
        // In this order: the held bytes are never given another place.
        header.length.store(0, Ordering::Release);
        header
            .position
            .store(self.position.to_le(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn the_status_page_has_its_documented_layout() {
        let (page, mut held) = StatusPage::with_held().unwrap();
        let path = format!("/proc/self/fd/{}", page.number());
        let file = std::fs::File::open(path).unwrap();
        page.start(0x0102_0304_0506_0708, 3, 77);
        let mut bytes = [0; 16];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes, [8, 7, 6, 5, 4, 3, 2, 1, 3, 0, 0, 0, 77, 0, 0, 0]);
        page.clear();
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes[..8], [0; 8]);

        held.written(0x0A0B);
        assert!(held.hold(b"abc") && held.hold(b"de"));
        assert!(!held.hold(&[0; HELD - 4]));
        file.read_exact_at(&mut bytes, 16).unwrap();
        assert_eq!(bytes, [11, 10, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        file.read_exact_at(&mut bytes[..6], 4096).unwrap();
        assert_eq!(bytes[..6], *b"abcde\0");
        held.written(5);
        file.read_exact_at(&mut bytes, 16).unwrap();
        assert_eq!(bytes, [16, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
