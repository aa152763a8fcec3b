//! Deadlines of the blocking client where signals keep coming.

use std::{
    os::unix::net::UnixListener,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use degu_client::{Address, Error, Timeout, blocking::Client};
use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use socket2::SockRef;
use tokio::signal::unix::{SignalKind, signal};

const LIMIT: Duration = Duration::from_millis(100);
/// A deadline that has not passed by now never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// The error of what is done while signals come all the time.
fn interrupted<T>(folder: &std::path::Path, what: impl FnOnce() -> Result<T, Error>) -> Error {
    let done = Arc::new(AtomicBool::new(false));
    let is_done = Arc::clone(&done);
    let folder = folder.to_owned();
    // Of musl it is a pointer, which cannot be sent to another thread.
    let thread = pthread_self() as usize;
    let signals = thread::spawn(move || {
        let began = Instant::now();
        while !is_done.load(Ordering::Acquire) {
            if began.elapsed() > PATIENCE {
                eprintln!("signals put a deadline off, in {}", folder.display());
                std::process::exit(1);
            }
            pthread_kill(thread as Pthread, Signal::SIGUSR1).unwrap();
            // More often than the deadline, and not so often that nothing else is done.
            thread::sleep(LIMIT / 10);
        }
    });
    let error = what().map(drop).unwrap_err();
    done.store(true, Ordering::Release);
    signals.join().unwrap();
    error
}

#[test]
fn signals_do_not_put_a_deadline_off() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let handler = runtime.block_on(async { signal(SignalKind::user_defined1()).unwrap() });

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    // A queue that is as short as can be, and a server that says nothing.
    SockRef::from(&listener).listen(0).unwrap();
    let client = Client::options().connect_timeout(LIMIT).head_timeout(LIMIT).client(Address::unix(&path));
    let mut connection = client.connect().unwrap();
    let error = interrupted(folder.path(), || connection.get("/"));
    assert_eq!(error.timeout(), Some(Timeout::Head(LIMIT)));

    let mut queued = Vec::new();
    let error = interrupted(
        folder.path(),
        || loop {
            queued.push(client.connect()?)
        } as Result<(), Error>,
    );
    assert_eq!(error.timeout(), Some(Timeout::Connect(LIMIT)));
    drop(handler);
}
