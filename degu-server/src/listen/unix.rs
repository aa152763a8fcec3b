//! The file of a Unix socket: made with a mode, a stale one replaced, a live one left alone, and unlinked when done.
//!
//! A socket's file outlives the process that made it, so a server that starts finds either a live server behind it or
//! nobody. Only connecting tells, and between looking and unlinking another server may start: the three steps (probe,
//! unlink, bind) are made under a lock on a file beside the socket, which every server here takes.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc::O_NOFOLLOW;
use socket2::{Domain, SockAddr, Socket, Type};

/// The number of connections that may wait to be accepted, on every kind of socket. The kernel reduces it to
/// `net.core.somaxconn`, 4,096 on Linux.
pub(super) const BACKLOG: i32 = 4096;

/// The file of a socket that we bound. Dropping it unlinks the file if it is still that one.
///
/// It has to be dropped before the socket is closed. An open socket holds on to its inode; once it is closed the next
/// server may replace the file, get the very same inode number for its own, and lose it to us.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    id: FileId,
}

/// Which file a name leads to: a file that another server put in the place of ours has another one.
type FileId = (u64, u64);

fn id_of(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

impl SocketFile {
    /// Binds the socket to a path, sets the file's mode while nobody can connect yet, and listens.
    pub(super) fn listen(socket: &Socket, path: &Path, mode: Option<u32>) -> io::Result<Self> {
        let address = SockAddr::unix(path)?;
        // Declared before the lock, so dropped after it: dropping the file takes the lock.
        let file;
        let _lock = Lock::take(path)?;
        match fs::symlink_metadata(path) {
            Ok(found) => remove_stale(path, &found, &address)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        socket.bind(&address)?;
        // Unlinking is done from wherever the process is by then.
        file = Self { id: id_of(&fs::symlink_metadata(path)?), path: std::path::absolute(path)? };
        if let Some(mode) = mode {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        // Under the lock: a socket that is bound and does not listen yet looks stale.
        socket.listen(BACKLOG)?;
        Ok(file)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Without the lock a server that starts in this moment could lose its file, so better leave ours: it is stale,
        // and the next one replaces it.
        let Ok(_lock) = Lock::take(&self.path) else { return };
        if fs::symlink_metadata(&self.path).is_ok_and(|found| id_of(&found) == self.id) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Unlinks the file if it is a socket and nobody answers.
fn remove_stale(path: &Path, found: &Metadata, address: &SockAddr) -> io::Result<()> {
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "the file exists and is no socket"));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // A server whose backlog is full (EAGAIN) is a server too. So is one that refuses us by the file's mode.
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "a server is listening there already")),
    }
}

/// An exclusive lock on `<path>.lock`, which exists only while it is held.
struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    fn take(socket: &Path) -> io::Result<Self> {
        let mut path = socket.as_os_str().as_bytes().to_vec();
        path.extend_from_slice(b".lock");
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(&path));
        loop {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(O_NOFOLLOW)
                .open(&path)?;
            file.lock()?;
            // Whoever held it before has unlinked it; then somebody else may hold the lock on its successor.
            let current = fs::symlink_metadata(&path).ok();
            if current.is_some_and(|current| file.metadata().is_ok_and(|ours| id_of(&ours) == id_of(&current))) {
                return Ok(Self { path, file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // One that says something was here before, and belongs to somebody else.
        if self.file.metadata().is_ok_and(|found| found.len() == 0) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
