//! The file of a Unix socket. A server creates the file with a mode, and unlinks the file at the end.
//!
//! The file stays if the process is killed. A server that starts may therefore find a stale file, which it replaces, or the
//! file of a live server, which it must not touch. Only a connection attempt shows the difference. But another server may start
//! between this attempt and the replacement. Every server of this crate therefore locks a file next to the socket, tries to
//! connect, unlinks the stale file, binds the socket, listens, and releases the lock.
//!
//! In a folder with several users, another user may hold the lock. The code here waits for the lock for at most a second.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::libc::{ENOLCK, O_NOFOLLOW, O_NONBLOCK};
use nix::unistd::{Group, Uid, User};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::options::SocketOptions;

/// The longest time for which a start of the server waits for the lock. Other servers hold the lock only for a few system calls.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest time for which a shutdown waits for the lock. The time is short, because the waiting
/// thread also serves connections.
const BRIEFLY: Duration = Duration::from_millis(100);
/// The pause between two attempts to take the lock.
const PAUSE: Duration = Duration::from_millis(1);

/// The number of connections that may wait to be accepted, on every kind of socket. The kernel limits this number to the sysctl
/// `net.core.somaxconn`, by default 4,096 on Linux.
pub(super) const BACKLOG: i32 = 4096;

/// The file of a socket that this process bound. Dropping this value unlinks the file, unless another server has replaced it.
///
/// Drop this value before the socket. While the socket is open, no other file has the same inode number. If the socket is
/// closed first, the next server may replace the file, and the new file may get the same inode number. This process would then
/// unlink the new file.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    id: FileId,
}

/// The identity of a file: device and inode. If another server replaces the file, the new file has another identity.
type FileId = (u64, u64);

fn id_of(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

impl SocketFile {
    /// Binds the socket to a path, sets the owner and the mode of the file, and then listens. No client can connect before the
    /// socket listens.
    pub(super) fn listen(socket: &Socket, path: &Path, options: &SocketOptions) -> io::Result<Self> {
        let address = SockAddr::unix(path)?;
        let owner = options.owner.as_deref().map(ids).transpose()?;
        // Dropping a `SocketFile` takes the lock. `file` is declared before `_lock`, so after an error `_lock` is dropped first, and
        // dropping `file` does not wait for the lock of this function.
        let file;
        let _lock = Lock::take(path, PATIENCE).map_err(|error| match (error.kind(), path.parent()) {
            (io::ErrorKind::NotFound, Some(folder)) => {
                io::Error::new(error.kind(), format!("the folder {} does not exist", folder.display()))
            }
            _ => error,
        })?;
        match fs::symlink_metadata(path) {
            Ok(found) => remove_stale(path, &found, &address)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        socket.bind(&address)?;
        // The path is made absolute, because the process may change its working directory before it unlinks the file.
        file = Self { id: id_of(&fs::symlink_metadata(path)?), path: std::path::absolute(path)? };
        if let Some((user, group)) = owner {
            // No client can connect before the owner is set, because the socket does not listen yet.
            lchown(path, user, group).map_err(|error| {
                let owner = options.owner.as_deref().unwrap_or_default();
                io::Error::new(error.kind(), format!("cannot change the owner of the socket to {owner}: {error}"))
            })?;
        }
        if let Some(mode) = options.mode {
            set_mode(path, mode)?;
        }
        // The lock is still held, because a socket that is bound and does not listen yet looks stale to other servers.
        socket.listen(BACKLOG)?;
        Ok(file)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Without the lock, this process could unlink the file of a server that starts at this moment. If the lock cannot be
        // taken, the file therefore stays, and the next server replaces it.
        let Ok(_lock) = Lock::take(&self.path, BRIEFLY) else { return };
        if fs::symlink_metadata(&self.path).is_ok_and(|found| id_of(&found) == self.id) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Sets the mode of a socket's file. Some file systems do not allow this change, for example the file system of a
/// folder that a virtual machine shares with its host.
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|error| {
        let text =
            format!("cannot set the mode of the socket to {mode:04o}: {error}; set no mode, or use another folder");
        io::Error::new(error.kind(), text)
    })
}

/// Unlinks the file if it is a socket on which no server listens.
fn remove_stale(path: &Path, found: &Metadata, address: &SockAddr) -> io::Result<()> {
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "the file exists and is not a socket; remove it, or use another path",
        ));
    }
    let of_owner = |what: &str, error: &io::Error| {
        let (path, owner) = (path.display(), user(found.uid()));
        io::Error::new(
            error.kind(),
            format!("{what} {path}, which belongs to {owner}: {error}; remove it as that user if no server uses it"),
        )
    };
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| of_owner("cannot remove the stale socket", &error))
        }
        // A full backlog (EAGAIN) means that a server listens. Other errors, such as a missing permission, do not show whether
        // a server listens.
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            Err(of_owner("cannot find out whether a server listens on", &error))
        }
        _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "a server already listens on this socket")),
    }
}

/// Returns the name and the id of a user, for an error text.
fn user(id: u32) -> String {
    match User::from_uid(Uid::from_raw(id)) {
        Ok(Some(user)) => format!("user {} ({id})", user.name),
        _ => format!("user {id}"),
    }
}

/// Parses `user`, `user:group` or `:group`, each a name or a number. Returns the ids of the user and of the group, or `None` for
/// a part that the text does not have. Returns an error if there is no user or group of this name.
fn ids(owner: &str) -> io::Result<(Option<u32>, Option<u32>)> {
    let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
    let id = |kind: &str, name: &str, known: fn(&str) -> nix::Result<Option<u32>>| match name.parse() {
        Ok(id) => Ok(Some(id)),
        Err(_) if name.is_empty() => Ok(None),
        Err(_) => known(name)?
            .map(Some)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("there is no {kind} {name}"))),
    };
    let user = id("user", user, |name| Ok(User::from_name(name)?.map(|user| user.uid.as_raw())))?;
    let group = id("group", group, |name| Ok(Group::from_name(name)?.map(|group| group.gid.as_raw())))?;
    Ok((user, group))
}

/// An exclusive lock on the file `<path>.lock`, which exists only while the lock is held. If the file system has no locks, two
/// servers that start at the same time may both replace the file of the socket.
struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Takes the lock of a socket's file. Returns an error if another process still holds the lock after `patience`.
    fn take(socket: &Path, patience: Duration) -> io::Result<Self> {
        let path = socket.with_added_extension("lock");
        let failed = |what: &str, error: io::Error| {
            let lock = path.display();
            let text = match fs::symlink_metadata(&path) {
                Ok(found) => {
                    let owner = user(found.uid());
                    format!(
                        "cannot {what} the lock file {lock} of {owner}: {error}; remove the file if no server is starting"
                    )
                }
                Err(_) => format!(
                    "cannot create the lock file {lock}: {error}; the server must be able to write to that folder"
                ),
            };
            io::Error::new(error.kind(), text)
        };
        let deadline = Instant::now() + patience;
        loop {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                // Without O_NONBLOCK, opening a named pipe of this name would wait for a reader.
                .custom_flags(O_NOFOLLOW | O_NONBLOCK)
                .open(&path)
                .map_err(|error| failed("open", error))?;
            match file.try_lock() {
                Ok(()) => {
                    // The previous holder may have unlinked this file. Another process may already have locked a new file.
                    let current = fs::symlink_metadata(&path).ok();
                    if current.is_some_and(|current| file.metadata().is_ok_and(|ours| id_of(&ours) == id_of(&current)))
                    {
                        return Ok(Self { path, file });
                    }
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) if has_no_locks(&error) => return Ok(Self { path, file }),
                Err(TryLockError::Error(error)) => return Err(failed("lock", error)),
            }
            if Instant::now() >= deadline {
                let held = io::Error::new(io::ErrorKind::TimedOut, "another process holds the lock");
                return Err(failed("lock", held));
            }
            sleep(PAUSE);
        }
    }
}

/// Returns whether an error means that the file system has no locks. Some network file systems have none.
fn has_no_locks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(ENOLCK)
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A lock file with content belongs to another program, and is not removed.
        if self.file.metadata().is_ok_and(|found| found.len() == 0) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_read_as_chown_reads_them() {
        assert_eq!(ids("0").unwrap(), (Some(0), None));
        assert_eq!(ids("root:33").unwrap(), (Some(0), Some(33)));
        assert_eq!(ids(":0").unwrap(), (None, Some(0)));
        assert_eq!(ids("").unwrap(), (None, None));
        assert_eq!(ids("no-such-user").unwrap_err().to_string(), "there is no user no-such-user");
        assert_eq!(ids("0:no-such-group").unwrap_err().to_string(), "there is no group no-such-group");
        assert_eq!(user(0), "user root (0)");
        assert_eq!(user(u32::MAX - 7), "user 4294967288");
    }

    #[test]
    fn a_mode_that_cannot_be_set_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let text = set_mode(&folder.path().join("socket"), 0o660).unwrap_err().to_string();
        assert!(text.starts_with("cannot set the mode of the socket to 0660: No such file"), "{text}");
    }

    #[test]
    fn a_file_system_without_locks_is_known_by_its_errors() {
        use nix::libc::{EACCES, ENOSYS, EOPNOTSUPP};
        let has_none = |code| has_no_locks(&io::Error::from_raw_os_error(code));
        assert!(has_none(ENOLCK) && has_none(ENOSYS) && has_none(EOPNOTSUPP) && !has_none(EACCES));
    }
}
