//! The clock of a worker, which ticks once a second.
//!
//! While a timer of a tokio runtime is pending, each turn of the runtime's loop also reads the system's clock and converts
//! times. For a small request, this takes about 200 instructions. On Linux the server therefore sets no timer of the
//! runtime: a timerfd of the kernel announces each second.

use std::time::Duration;

/// The source of the ticks.
pub(crate) enum Seconds {
    #[cfg(target_os = "linux")]
    Kernel(timerfd::Timer),
    /// The timer of the runtime.
    Runtime,
}

impl Seconds {
    /// Returns the kernel's timer. Returns the runtime's timer on systems other than Linux, and if the process has no descriptor
    /// left.
    pub(crate) fn of_kernel() -> Self {
        #[cfg(target_os = "linux")]
        if let Ok(timer) = timerfd::Timer::new() {
            return Self::Kernel(timer);
        }
        Self::Runtime
    }

    /// Waits one second.
    pub(crate) async fn next(&mut self) {
        #[cfg(target_os = "linux")]
        if let Self::Kernel(timer) = self {
            match timer.second().await {
                Ok(()) => return,
                Err(_) => *self = Self::Runtime,
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[cfg(target_os = "linux")]
mod timerfd {
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};

    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use crate::listen::register;

    pub(crate) struct Timer {
        timer: TimerFd,
        /// A duplicate of the timer's descriptor, registered with the runtime.
        ticks: AsyncFd<OwnedFd>,
    }

    impl Timer {
        pub(crate) fn new() -> io::Result<Self> {
            let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
            let ticks = register(timer.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
            Ok(Self { timer, ticks })
        }

        /// Waits one second. The timer is set for each second separately, so a worker without connections is not woken.
        pub(crate) async fn second(&self) -> io::Result<()> {
            self.timer.set(Expiration::OneShot(TimeSpec::new(1, 0)), TimerSetTimeFlags::empty())?;
            loop {
                if let Ok(ended) = self.ticks.readable().await?.try_io(|_| Ok(self.timer.wait()?)) {
                    return ended;
                }
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// The runtime has no timer, so only the timer of the kernel can wake it.
    #[test]
    fn a_second_of_the_kernel_takes_a_second() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let mut began = std::time::Instant::now();
        runtime.block_on(async {
            let mut seconds = Seconds::of_kernel();
            for _ in 0..2 {
                seconds.next().await;
                let took = began.elapsed();
                assert!(took >= Duration::from_secs(1), "{took:?}");
                began += took;
            }
            assert!(matches!(seconds, Seconds::Kernel(_)));
        });
    }
}
