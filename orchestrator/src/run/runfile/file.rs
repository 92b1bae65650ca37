//! The file itself: made or opened with care, and locked against a second run.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statfs::{FsType, fstatfs};
use nix::unistd::geteuid;
use rusqlite::{Connection, OpenFlags};

use super::error::{Error, Fault};
use super::schema;
use crate::run::text;

/// What the name of the lock file ends in.
const LOCK: &str = "-lock";

/// How often a lock that is held is looked at, and the time in between.
const LOOKS: u32 = 5;
const LOOK: Duration = Duration::from_millis(20);

/// How every SQLite database begins, and where the number stands that says whose it
/// is: <https://www.sqlite.org/fileformat.html>.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const APPLICATION_ID_AT: usize = 68;

/// How long a reader waits while a writer is at the pages that it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of what was committed may wait in the log beside the file, in pages,
/// before it is put into the file.
const CHECKPOINT: u32 = 4_000;

/// Says by its lock that a run writes, and by its text which process that is.
#[derive(Debug)]
pub(super) struct Lock {
    _held: Flock<File>,
}

impl Lock {
    /// Locks a run file; given up when dropped, and by the kernel when this process
    /// ends. The file stays: to delete it would let two runs hold one lock each.
    ///
    /// # Errors
    /// When another process holds it.
    pub(super) fn take(path: &Path) -> Result<Lock, Fault> {
        let file = open(&beside(path, LOCK), true)?;
        let mut tries = LOOKS;
        let mut lock = Err((file, Errno::EWOULDBLOCK));
        while let Err((file, Errno::EWOULDBLOCK)) = lock {
            if tries == 0 {
                return Err(Error::Locked(pid(&file)).into());
            }
            // Perhaps somebody only looks who has it.
            if tries < LOOKS {
                std::thread::sleep(LOOK);
            }
            tries -= 1;
            lock = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        }
        let mut lock = lock.map_err(|(_, e)| io::Error::from(e))?;
        let mut said = String::new();
        (&mut *lock).take(100).read_to_string(&mut said)?;
        if !said
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'\n')
        {
            let name = beside(path, LOCK);
            let name = text::escaped(name.as_os_str().as_encoded_bytes());
            return Err(Error::Beside(name).into());
        }
        lock.set_len(0)?;
        lock.rewind()?;
        writeln!(&mut *lock, "{}", std::process::id())?;
        Ok(Lock { _held: lock })
    }

    /// The process that writes to a run file now, if there is one.
    pub(super) fn holder(path: &Path) -> Option<Option<i32>> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(beside(path, LOCK))
            .ok()?;
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Err((file, Errno::EWOULDBLOCK)) => Some(pid(&file)),
            _ => None,
        }
    }
}

fn pid(mut file: &File) -> Option<i32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// The path with something behind its last component.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens a regular file of ours, which nobody else can read; with `make` also a new
/// one.
fn open(path: &Path, make: bool) -> Result<File, Fault> {
    if let Ok(found) = fs::symlink_metadata(path) {
        let kind = found.file_type();
        let is = match () {
            () if kind.is_symlink() => Some("a symbolic link"),
            () if kind.is_dir() => Some("a directory"),
            () if kind.is_fifo() => Some("a FIFO"),
            () if kind.is_socket() => Some("a socket"),
            () if kind.is_block_device() || kind.is_char_device() => Some("a device"),
            () => None,
        };
        if let Some(is) = is {
            return Err(Error::Kind(is).into());
        }
    }
    // Whatever has come there since: no link is followed, and no FIFO waited for.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(make)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let file = file.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound if !make => Fault::from(Error::Missing),
        _ => e.into(),
    })?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(Error::Kind("something else").into());
    }
    if found.uid() != geteuid().as_raw() {
        return Err(Error::Owner.into());
    }
    Ok(file)
}

/// A run file that this process may write to.
#[derive(Debug)]
pub(super) struct Writable {
    pub(super) connection: Connection,
    /// Where it is, whatever the working directory becomes.
    pub(super) path: PathBuf,
    /// What it was called, for messages.
    pub(super) name: PathBuf,
    /// A warning about the file system it is on.
    pub(super) network: bool,
    pub(super) identity: Identity,
    pub(super) lock: Lock,
}

/// Which file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(found: &fs::Metadata) -> Identity {
        Identity {
            device: found.dev(),
            inode: found.ino(),
        }
    }

    /// Whether this file is still there under its name.
    pub(super) fn is_at(self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|found| Identity::of(&found) == self)
    }
}

/// Where a file is, whatever the working directory becomes. Its directory may be a
/// link, it may not.
fn place(name: &Path) -> Result<PathBuf, Fault> {
    let path = std::path::absolute(name)?;
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(file)) => Ok(parent.canonicalize()?.join(file)),
        _ => Err(Error::Kind("a directory").into()),
    }
}

/// Checks, without SQLite and without changing anything, that this is a run file or
/// empty.
fn check_header(file: &File) -> Result<(), Fault> {
    let mut header = Vec::new();
    file.take(100).read_to_end(&mut header)?;
    let id = schema::APPLICATION_ID.to_be_bytes();
    let ours = header.starts_with(MAGIC)
        && header.get(APPLICATION_ID_AT..APPLICATION_ID_AT + id.len()) == Some(&id);
    // What a run that was killed has begun is a database without anything in it.
    let nothing = header.is_empty() || header.get(APPLICATION_ID_AT..72) == Some(&[0; 4]);
    if ours || (nothing && (header.is_empty() || header.starts_with(MAGIC))) {
        Ok(())
    } else {
        Err(Error::Foreign.into())
    }
}

/// How a run file is opened to write to it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Opening {
    /// Whether it is made when it is not there.
    pub(super) make: bool,
    /// Whether nobody else can read it on a file system of the network.
    pub(super) exclusive: bool,
    /// Whether nothing waits for the disk.
    pub(super) light: bool,
}

/// Opens a run file to write to it; one of an earlier version stays that until
/// [`schema::migrate`].
///
/// # Errors
/// See [`Error`]. Nothing was changed then.
pub(super) fn open_to_write(name: &Path, opening: Opening) -> Result<Writable, Fault> {
    let Opening {
        make,
        exclusive,
        light,
    } = opening;
    let path = place(name)?;
    // Before anything is made beside it.
    match open(&path, false) {
        Ok(file) => check_header(&file)?,
        Err(e) if make && matches!(*e, Error::Missing) => {}
        Err(e) => return Err(e),
    }
    let lock = Lock::take(&path)?;
    let file = open(&path, make)?;
    // Before SQLite makes files beside it, which are as private as this one.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    let found = file.metadata()?;
    let network = is_network(fstatfs(&file).map_err(io::Error::from)?.filesystem_type());
    let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    schema::check(&connection)?;
    let synchronous = if light { "off" } else { "full" };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // Only now: it would be a change.
    if network {
        // The log's index is memory that only processes of one machine share.
        if exclusive {
            connection.pragma_update(None, "locking_mode", "exclusive")?;
        }
        pragma(&connection, "journal_mode", "delete")?;
    } else {
        pragma(&connection, "journal_mode", "wal")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
    }
    if found.len() > 0 {
        let said: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        if said != "ok" {
            return Err(Error::Damaged(said).into());
        }
    }
    if schema::version(&connection)? == 0 {
        schema::migrate(&mut connection)?;
    }
    Ok(Writable {
        connection,
        path,
        name: name.to_owned(),
        network,
        identity: Identity::of(&found),
        lock,
    })
}

/// A run file that is only read.
#[derive(Debug)]
pub(super) struct Readable {
    pub(super) connection: Connection,
    /// Where it is.
    pub(super) path: PathBuf,
}

/// Opens a run file to read it, also while a run writes to it.
///
/// # Errors
/// See [`Error`].
pub(super) fn open_to_read(name: &Path) -> Result<Readable, Fault> {
    let path = place(name)?;
    check_header(&open(&path, false)?)?;
    // A log that a crash has left must be read as well, which takes writing.
    let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    schema::check(&connection)?;
    let tables: i64 =
        connection.query_row("select count(*) from sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Err(Error::Foreign.into());
    }
    connection.pragma_update(None, "query_only", true)?;
    Ok(Readable { connection, path })
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, Fault> {
    let flags = access | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    // A file is not trusted: what its tables say is run is not run.
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// Sets what answers with what it was set to.
fn pragma(connection: &Connection, name: &str, value: &str) -> Result<(), Fault> {
    let set: String = connection.pragma_update_and_check(None, name, value, |row| row.get(0))?;
    if set.eq_ignore_ascii_case(value) {
        Ok(())
    } else {
        Err(io::Error::other(format!("{name} cannot be {value}, it is {set}")).into())
    }
}

/// File systems whose locks or shared memory cannot be relied on between
/// processes: from statfs(2). FUSE may be local; nobody can tell.
fn is_network(kind: FsType) -> bool {
    const KINDS: [u32; 10] = [
        0x6969,      // NFS
        0x517b,      // SMB
        0xff53_4d42, // CIFS
        0xfe53_4d42, // SMB2
        0x6573_5546, // FUSE
        0x0bd0_0bd0, // Lustre
        0x4750_4653, // GPFS
        0x0102_1997, // 9P
        0x00c3_6400, // Ceph
        0x5346_414f, // AFS
    ];
    // Its type differs between platforms; the numbers are of 32 bits.
    KINDS.contains(&(kind.0 as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAKE: Opening = Opening {
        make: true,
        exclusive: true,
        light: false,
    };

    #[test]
    fn f118_file_systems_of_the_network_are_told_from_local_ones() {
        use nix::sys::statfs;
        assert!(is_network(statfs::NFS_SUPER_MAGIC));
        assert!(is_network(statfs::FUSE_SUPER_MAGIC));
        for local in [
            statfs::EXT4_SUPER_MAGIC,
            statfs::TMPFS_MAGIC,
            statfs::XFS_SUPER_MAGIC,
        ] {
            assert!(!is_network(local), "{local:?}");
        }
    }

    #[test]
    fn f116_a_lock_is_held_once_and_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        assert_eq!(Lock::holder(&path), None);
        let lock = Lock::take(&path).unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(Lock::holder(&path), Some(Some(me)));
        let second = *Lock::take(&path).unwrap_err();
        assert!(matches!(second, Error::Locked(Some(pid)) if pid == me));
        drop(lock);
        assert_eq!(Lock::holder(&path), None);
        drop(Lock::take(&path).unwrap());
    }

    #[test]
    fn f118_only_a_regular_file_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name| dir.path().join(name);
        fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (name, kind) in [
            ("link", "a symbolic link"),
            ("fifo", "a FIFO"),
            (".", "a directory"),
        ] {
            let error = *open_to_write(&at(name), MAKE).unwrap_err();
            assert!(
                matches!(error, Error::Kind(k) if k == kind),
                "{name}: {error}"
            );
        }
        let error = *open(Path::new("/dev/null"), true).unwrap_err();
        assert!(matches!(error, Error::Kind("a device")));
        assert!(matches!(
            *open_to_write(&at("none"), Opening::default()).unwrap_err(),
            Error::Missing
        ));
    }

    #[test]
    fn f109_what_is_no_run_file_is_refused_and_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        fs::write(
            &path,
            "not a database, but long enough to be looked at as if it were one, \
                          since its first page has a hundred bytes of header.",
        )
        .unwrap();
        assert!(matches!(
            *open_to_write(&path, MAKE).unwrap_err(),
            Error::Foreign
        ));
        fs::remove_file(&path).unwrap();
        let theirs = Connection::open(&path).unwrap();
        theirs.execute_batch("create table t (x)").unwrap();
        assert!(matches!(
            *open_to_write(&path, MAKE).unwrap_err(),
            Error::Foreign
        ));
        theirs
            .execute_batch("drop table t; pragma application_id = 1")
            .unwrap();
        assert!(matches!(
            *open_to_write(&path, MAKE).unwrap_err(),
            Error::Foreign
        ));
        theirs
            .execute_batch("pragma application_id = 0x6f726366; pragma user_version = 99")
            .unwrap();
        assert!(matches!(
            *open_to_write(&path, MAKE).unwrap_err(),
            Error::Newer(99)
        ));
        let mode: String = theirs
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .unwrap();
        assert_eq!(mode, "delete");
    }

    #[test]
    fn f109_a_damaged_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        drop(open_to_write(&path, MAKE).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        let page = 4096;
        bytes[page..page + 512].fill(0xa5);
        fs::write(&path, bytes).unwrap();
        let error = *open_to_write(&path, MAKE).unwrap_err();
        assert!(matches!(error, Error::Damaged(_)), "{error}");
    }

    #[test]
    fn f129_nobody_else_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let writable = open_to_write(&path, MAKE).unwrap();
        assert!(writable.identity.is_at(&path));
        writable
            .connection
            .execute("update state set shown = 1", [])
            .unwrap();
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap())
            .collect();
        names.sort_by_key(fs::DirEntry::file_name);
        assert_eq!(names.len(), 4, "{names:?}");
        for entry in names {
            assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{entry:?}");
        }
        fs::remove_file(&path).unwrap();
        assert!(!writable.identity.is_at(&path));
    }
}
