//! A server on sockets that a service manager bound and hands in: systemd's socket activation.
//!
//! `systemd-socket-activate -l 127.0.0.1:8080 activation`
//!
//! The manager leaves `LISTEN_FDS` sockets from descriptor 3 on, and says in `LISTEN_PID` whom they are for. Safe code
//! cannot own a descriptor by its number alone. A copy of it can be asked for, from this very process, with
//! `pidfd_getfd` (Linux 5.6), which costs no dependency; the numbers from 3 on stay open until the process ends, as they do
//! with the manager. Where the kernel is older or a sandbox forbids the call, set `StandardInput=socket` in the unit:
//! without `LISTEN_FDS`, the standard input is taken. The first line of output is `listening on ADDRESS`, for each address.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use degu_server::{BoxError, Listener, Request, Server, Session};

/// The number of the first descriptor (sd_listen_fds(3)).
const FIRST: i32 = 3;

fn handed_in() -> Result<Vec<OwnedFd>, BoxError> {
    let Ok(count) = std::env::var("LISTEN_FDS") else {
        return Ok(vec![io::stdin().as_fd().try_clone_to_owned()?]);
    };
    // A parent's variables may have come down to us: then the numbers mean nothing here, or something else.
    if std::env::var("LISTEN_PID")? != std::process::id().to_string() {
        return Err("the sockets in LISTEN_FDS are for another process: see LISTEN_PID".into());
    }
    (FIRST..FIRST.checked_add(count.parse()?).ok_or("LISTEN_FDS is too large")?).map(copy).collect()
}

#[cfg(target_os = "linux")]
fn copy(number: i32) -> Result<OwnedFd, BoxError> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let this_process = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(this_process, number, PidfdGetfdFlags::empty())?)
}

#[cfg(not(target_os = "linux"))]
fn copy(_: i32) -> Result<OwnedFd, BoxError> {
    Err("only Linux copies a descriptor by its number: hand the socket in as the standard input".into())
}

fn main() -> Result<(), BoxError> {
    let sockets = handed_in()?.into_iter().map(Listener::try_from).collect::<io::Result<Vec<_>>>()?;
    let app = async |_: &mut Session, _: Request<'_>| "hello\n";
    let server = Server::options().listen(sockets, app)?;
    for address in server.addresses() {
        writeln!(io::stdout(), "listening on {address}")?;
    }
    io::stdout().flush()?;
    Ok(server.serve_forever()?)
}
