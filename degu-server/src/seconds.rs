//! The seconds that a worker counts.
//!
//! A runtime that has a timer to mind reads the clock twice at every turn, which comes to a twentieth of what a small
//! request costs. Where the kernel can say by a descriptor that a second is over, as Linux does, it is asked to.

use std::time::Duration;

#[cfg(all(target_os = "linux", not(test)))]
use {
    rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    },
    std::io,
    tokio::net::unix::pipe,
};

/// What tells when a second is over.
#[derive(Debug)]
pub(crate) enum Seconds {
    /// A timer of the kernel. It is waited for and read as a pipe is, which takes no more than `read(2)`.
    #[cfg(all(target_os = "linux", not(test)))]
    Kernel(pipe::Receiver),
    /// The runtime: on other systems, where there is no descriptor left, and in the simulation, which has its own
    /// clock.
    Runtime,
}

impl Seconds {
    pub(crate) fn new() -> Self {
        #[cfg(all(target_os = "linux", not(test)))]
        if let Ok(timer) = timer() {
            return Self::Kernel(timer);
        }
        Self::Runtime
    }

    /// Ends when a second is over.
    pub(crate) async fn next(&mut self) {
        #[cfg(all(target_os = "linux", not(test)))]
        if let Self::Kernel(timer) = self {
            match second_of(timer).await {
                Ok(()) => return,
                Err(_) => *self = Self::Runtime,
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[cfg(all(target_os = "linux", not(test)))]
fn timer() -> io::Result<pipe::Receiver> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    pipe::Receiver::from_owned_fd_unchecked(timer)
}

#[cfg(all(target_os = "linux", not(test)))]
async fn second_of(timer: &pipe::Receiver) -> io::Result<()> {
    let once =
        Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: Timespec { tv_sec: 1, tv_nsec: 0 } };
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &once)?;
    loop {
        timer.readable().await?;
        match timer.try_read(&mut [0; 8]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read.map(drop),
        }
    }
}
