//! A server on sockets that a service manager has bound and passes to it (socket activation of systemd).
//!
//! `systemd-socket-activate -l 127.0.0.1:8080 activation`
//!
//! The manager passes `LISTEN_FDS` sockets as the descriptors from 3 on. `LISTEN_PID` is the id of the process that may
//! use them. Safe code cannot take ownership of a descriptor if it knows only the number of the descriptor. So the
//! program asks the kernel for a copy of each descriptor of its own process, with `pidfd_getfd` (Linux 5.6). This needs
//! no further dependency. The original descriptors stay open until the process ends.
//!
//! If the kernel is older, or a sandbox forbids the call, set `StandardInput=socket` in the unit. Without `LISTEN_FDS`,
//! the program uses the standard input as its socket. The first lines of output are `listening on ADDRESS`, one for
//! each address.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use degu_server::{BoxError, Listener, Request, Server, Session};

/// The number of the first descriptor (sd_listen_fds(3)).
const FIRST: i32 = 3;

fn handed_in() -> Result<Vec<OwnedFd>, BoxError> {
    let Ok(count) = std::env::var("LISTEN_FDS") else {
        return Ok(vec![io::stdin().as_fd().try_clone_to_owned()?]);
    };
    // The variables may be meant for a parent of this process. In this process the descriptors then do not exist, or
    // refer to other files.
    if std::env::var("LISTEN_PID").ok() != Some(std::process::id().to_string()) {
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
    Err("on this system the socket cannot be opened by its number: pass it as standard input".into())
}

fn run() -> Result<(), BoxError> {
    let sockets = handed_in()?.into_iter().map(Listener::try_from).collect::<io::Result<Vec<_>>>()?;
    let app = async |_: &mut Session, _: Request<'_>| "hello\n";
    let server = Server::options().listen(sockets, app)?;
    for address in server.addresses() {
        writeln!(io::stdout(), "listening on {address}")?;
    }
    io::stdout().flush()?;
    Ok(server.serve_forever()?)
}

fn main() {
    run().unwrap_or_else(|error| {
        eprintln!("activation: {error}");
        std::process::exit(1)
    });
}
