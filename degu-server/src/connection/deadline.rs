//! Deadlines without timers. A connection records the event that it waits for, and the second in which the wait began.
//!
//! A worker counts seconds, once for all its connections: see [`WorkerState`](crate::worker_state::WorkerState). A connection
//! sets its alarm to the second in which a deadline may expire ([`due`](Deadline::due)). In that second the worker wakes the
//! connection's task, and the task checks the deadlines. No timer is set and no clock is read for a message. The second in
//! which a wait begins does not count, because a part of that second has already passed. A deadline may therefore expire up to
//! a second late.

use crate::options::{Deadlines, Progress};

/// The event that a connection waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The handler of a request, or nothing, while the connection's task works. The peer has no deadline.
    #[default]
    Handler,
    /// The TLS handshake.
    #[cfg(feature = "tls")]
    Handshake,
    /// The first byte of the next request. The connection still has its buffers.
    Request,
    /// The first byte of the next request. The connection has freed its buffers.
    Idle,
    /// The rest of a request's head.
    Head,
    /// More of a request's body. The reader of the body waits for these bytes.
    Body,
    /// Room in the socket to write a response. The peer makes room by reading.
    Write,
    /// The end of the peer's input, after the server has sent its last byte and ended its side of the connection.
    Linger,
    /// A byte in either direction, after the peer has ended its side of the connection. No connection sets this wait: only
    /// `Deadline::expired` returns it.
    HalfClosed,
    /// A byte of another protocol, in either direction.
    Tunnel,
}

/// The most seconds for which input is read and dropped after the last response, even if the peer sends fast. nginx uses the same
/// time (`lingering_time`). As in nginx, the number of bytes has no limit, because a client that sends a large body before it
/// reads must still get its response. A limit would save little: the peer spends at least as much CPU time as the server.
pub(crate) const LINGER_IN_ALL: u32 = 30;
/// The window, in seconds, of the minimum rate after the last response. nginx has the same default (`lingering_timeout`).
pub(crate) const LINGER_WINDOW: u32 = 5;
/// The number of bytes that the peer must send in each [`LINGER_WINDOW`], until the peer closes its side of the connection. If
/// the peer sends fewer bytes, the connection is closed.
const LINGER_BYTES: u32 = 5 * 1024;

/// The deadlines of a connection, and the event that it waits for. All times are numbers of seconds, as the
/// connection's worker counts them. Under `hyper::serve` the times are seconds since the start of the connection.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    wait: Wait,
    /// The last wait for the peer. `Idle` is stored as `Request`. `Body` is stored as `Write`, unless the reader of the
    /// body has set a rate. If the next wait for the peer is stored as the same value, the deadline of the last wait
    /// continues. A wait for the handler does not change this field.
    kind: Wait,
    /// The second in which the shared deadline, or the current window of the minimum rate, began. A wait for the handler moves
    /// this second forward by its duration, so only the waits for the peer count.
    began: u32,
    /// The second in which the last wait for the handler began.
    paused: u32,
    /// The number of bytes that were received or sent in the current window of the minimum rate, at most `u32::MAX`.
    moved: u32,
    /// The second in which the handler of the current request was called. `None` while no handler runs.
    pub(crate) handler: Option<u32>,
    /// The minimum rate of the request's body, if its reader has set one.
    body: Option<Progress>,
    /// True while nothing is read from the peer, because its input has ended or enough input is buffered. The connection then
    /// asks the kernel once a second whether the peer is gone.
    pub(crate) is_not_read: bool,
    /// `None` until the server detects that the peer has ended its side of the connection. After that, the second in which the
    /// server detected this, or in which the last byte was received or sent, if that was later.
    half_closed: Option<u32>,
}

impl Deadline {
    /// Forgets all deadlines and the time that earlier waits have used up. The next wait has its full time. Called, for example,
    /// when an exchange begins, and after each byte of a tunnel.
    pub(crate) fn restart(&mut self) {
        *self = Self::default();
    }

    /// Records that the peer has ended its side of the connection. A TCP peer that closes its socket looks the same.
    pub(crate) fn half_close(&mut self, now: u32) {
        self.half_closed.get_or_insert(now);
    }

    /// Sets the minimum rate of the request's body. `None` stands for the rate of the server. The first
    /// window of a new rate begins with the next wait.
    pub(crate) fn set_rate(&mut self, rate: Option<Progress>, now: u32) {
        if self.body != rate {
            self.set_wait(Wait::Handler, now);
            (self.body, self.kind) = (rate, Wait::Handler);
        }
    }

    /// Records the event that the connection waits for from now on. Does not wait. If the new wait shares its deadline with the
    /// last wait for the peer, that deadline continues, even if the handler has worked in between.
    pub(crate) fn set_wait(&mut self, wait: Wait, now: u32) {
        if wait == self.wait {
            return;
        }
        if self.wait == Wait::Handler {
            self.began += now - self.paused;
        }
        self.wait = wait;
        let kind = match wait {
            Wait::Handler | Wait::HalfClosed => {
                self.paused = now;
                return;
            }
            Wait::Idle => Wait::Request,
            // A request's body and a response have the same minimum rate, unless the reader of the body has set another rate.
            Wait::Body if self.body.is_none() => Wait::Write,
            wait => wait,
        };
        if self.kind != kind {
            (self.kind, self.began, self.moved) = (kind, now, 0);
        }
    }

    /// Counts received or sent bytes for the minimum rate. The time of a half-closed peer begins again.
    pub(crate) fn moved(&mut self, bytes: usize, now: u32) {
        self.moved = self.moved.saturating_add(bytes as u32);
        if let Some(since) = &mut self.half_closed {
            *since = now;
        }
    }

    /// Returns whether the connection waits for a request, still has its buffers ([`Wait::Request`]), and has waited for at least
    /// one second. The time in which the connection's task worked does not count.
    pub(crate) const fn is_idle(&self, now: u32) -> bool {
        matches!(self.wait, Wait::Request) && now - self.began >= 2
    }

    /// Returns the wait whose deadline has expired, if there is one. If a window of the minimum rate has ended and the peer was
    /// fast enough, begins the next window.
    pub(crate) fn expired(&mut self, now: u32, deadlines: &Deadlines) -> Option<Wait> {
        if self.handler.is_some_and(|began| now - began > deadlines.handler) {
            return Some(Wait::Handler);
        }
        // A peer that has closed its socket answers data with a reset, so a waiting write would fail. If a write still
        // waits, the peer has only ended its side. Then the minimum rate applies, and not this deadline.
        let is_still = self.half_closed.is_some_and(|since| now - since > deadlines.half_close);
        if is_still && self.wait == Wait::Handler {
            return Some(Wait::HalfClosed);
        }
        let limit = self.limit(deadlines)?;
        // The wait may have begun at the end of a second, so the peer gets another second.
        if now - self.began <= limit {
            return None;
        }
        let least = match self.kind {
            Wait::Write => deadlines.progress.bytes,
            Wait::Body => self.body.unwrap_or(deadlines.progress).bytes,
            Wait::Linger => LINGER_BYTES,
            _ => return Some(self.wait),
        };
        if self.moved >= least {
            (self.began, self.moved) = (now, 0);
            return None;
        }
        Some(self.wait)
    }

    /// Returns the next second in which the connection's task must be woken. In this second a deadline may have expired, idle
    /// buffers can be freed, or the kernel must be asked whether the peer is gone. Returns `u32::MAX` if there is no such
    /// second.
    pub(crate) fn due(&self, deadlines: &Deadlines) -> u32 {
        let after = |began: u32, limit: u32| began.saturating_add(limit).saturating_add(1);
        let handler = self.handler.map_or(u32::MAX, |began| after(began, deadlines.handler));
        let wait = match self.limit(deadlines) {
            Some(limit) => after(self.began, limit),
            None if self.is_not_read => after(self.paused, 0),
            None => u32::MAX,
        };
        let idle = if self.wait == Wait::Request { after(self.began, 1) } else { u32::MAX };
        wait.min(idle).min(handler)
    }

    fn limit(&self, deadlines: &Deadlines) -> Option<u32> {
        Some(match self.wait {
            Wait::Handler | Wait::HalfClosed => return None,
            #[cfg(feature = "tls")]
            Wait::Handshake => deadlines.handshake,
            Wait::Request | Wait::Idle => deadlines.idle,
            Wait::Head => deadlines.head,
            Wait::Body => self.body.unwrap_or(deadlines.progress).window,
            Wait::Write => deadlines.progress.window,
            Wait::Linger => LINGER_WINDOW,
            Wait::Tunnel => deadlines.tunnel,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINES: Deadlines = Deadlines {
        #[cfg(feature = "tls")]
        handshake: 2,
        idle: 5,
        head: 3,
        progress: Progress { bytes: 40, window: 4 },
        handler: 7,
        half_close: 2,
        tunnel: 6,
    };

    /// Counts seconds from `now` on until the deadline has expired. It must not expire before it is due.
    fn expires(deadline: &mut Deadline, now: u32) -> Option<(u32, Wait)> {
        (now..now + 100).find_map(|now| {
            let due = deadline.due(&DEADLINES);
            let expired = deadline.expired(now, &DEADLINES);
            assert!(expired.is_none() || due <= now, "{expired:?} in {now}, due in {due}");
            expired.map(|wait| (now, wait))
        })
    }

    #[test]
    fn each_wait_has_its_deadline() {
        for (wait, seconds) in [(Wait::Request, 6), (Wait::Idle, 6), (Wait::Head, 4), (Wait::Body, 5), (Wait::Write, 5)]
        {
            let mut deadline = Deadline::default();
            deadline.set_wait(wait, 10);
            assert_eq!(expires(&mut deadline, 10), Some((10 + seconds, wait)));
        }
        let mut deadline = Deadline::default();
        assert_eq!(expires(&mut deadline, 0), None);
        deadline.set_wait(Wait::Linger, 0);
        assert_eq!(expires(&mut deadline, 0), Some((6, Wait::Linger)));
    }

    #[test]
    fn a_tunnel_has_its_time_again_after_each_byte() {
        let mut deadline = Deadline::default();
        for now in [0, 5, 10] {
            deadline.restart();
            deadline.set_wait(Wait::Tunnel, now);
            assert_eq!(deadline.expired(now + 6, &DEADLINES), None);
        }
        assert_eq!(expires(&mut deadline, 10), Some((17, Wait::Tunnel)));
    }

    #[test]
    fn a_head_has_its_time_in_total() {
        let mut deadline = Deadline::default();
        for now in 0..4 {
            deadline.set_wait(Wait::Head, now);
            deadline.moved(1000, now);
            assert_eq!(deadline.expired(now, &DEADLINES), None);
            deadline.set_wait(Wait::Handler, now);
            deadline.set_wait(Wait::Head, now);
        }
        assert_eq!(deadline.expired(4, &DEADLINES), Some(Wait::Head));
    }

    #[test]
    fn progress_is_bytes_over_time() {
        let mut deadline = Deadline::default();
        let mut now = 0;
        for bytes in [40, 40, 39] {
            for _ in 0..5 {
                deadline.set_wait(Wait::Body, now);
                deadline.moved(bytes / 5 + usize::from(bytes == 39), now);
                now += 1;
                assert_eq!(deadline.expired(now, &DEADLINES), None, "{bytes} bytes, second {now}");
                // The handler works in between, which costs the peer nothing.
                deadline.set_wait(Wait::Handler, now);
                now += 3;
            }
        }
        deadline.set_wait(Wait::Body, now);
        assert_eq!(expires(&mut deadline, now), Some((now + 5, Wait::Body)));
    }

    #[test]
    fn a_body_with_a_pace_of_its_own_is_held_to_that() {
        let mut deadline = Deadline::default();
        deadline.set_rate(Some(Progress { bytes: 2, window: 9 }), 0);
        deadline.set_wait(Wait::Body, 0);
        deadline.moved(2, 0);
        assert_eq!(expires(&mut deadline, 0), Some((20, Wait::Body)));
        // The rate of the body does not apply to the response.
        deadline.set_wait(Wait::Write, 20);
        assert_eq!(expires(&mut deadline, 20), Some((25, Wait::Write)));
        // The next body has the rate of the server again.
        deadline.restart();
        deadline.set_wait(Wait::Body, 25);
        deadline.moved(2, 25);
        assert_eq!(expires(&mut deadline, 25), Some((30, Wait::Body)));
    }

    #[test]
    fn a_rate_that_is_set_between_two_reads_has_a_new_window() {
        let mut deadline = Deadline::default();
        deadline.set_wait(Wait::Body, 0);
        let rates = [(2, 9), (3, 20), (4, 5)].map(|(bytes, window)| Progress { bytes, window });
        for (now, rate) in [4, 13, 33].into_iter().zip(rates) {
            deadline.set_rate(Some(rate), now);
            deadline.set_wait(Wait::Body, now);
            deadline.moved(rate.bytes as usize, now);
            // The same rate again does not begin a window.
            deadline.set_rate(Some(rate), now + rate.window);
            deadline.set_wait(Wait::Body, now + rate.window);
            assert_eq!(deadline.expired(now + rate.window, &DEADLINES), None);
        }
        assert_eq!(expires(&mut deadline, 38), Some((45, Wait::Body)));
    }

    #[test]
    fn a_handler_has_its_time_until_it_answers() {
        let mut deadline = Deadline { handler: Some(3), ..Deadline::default() };
        assert_eq!(expires(&mut deadline, 3), Some((11, Wait::Handler)));
        deadline.handler = None;
        assert_eq!(expires(&mut deadline, 3), None);
    }

    #[test]
    fn a_connection_is_idle_after_a_second_and_woken_then() {
        let mut deadline = Deadline::default();
        deadline.set_wait(Wait::Request, 5);
        assert!(!deadline.is_idle(6) && deadline.is_idle(7));
        assert_eq!(deadline.due(&DEADLINES), 7);
        deadline.set_wait(Wait::Idle, 7);
        assert_eq!(deadline.due(&DEADLINES), 11);
    }

    #[test]
    fn input_without_a_request_gives_no_more_time() {
        let mut deadline = Deadline::default();
        for now in 0..6 {
            deadline.set_wait(Wait::Idle, now);
            assert_eq!(deadline.expired(now, &DEADLINES), None);
            // For example, a part of a TLS record was read.
            deadline.set_wait(Wait::Handler, now);
            deadline.set_wait(Wait::Request, now);
        }
        assert_eq!(deadline.expired(6, &DEADLINES), Some(Wait::Request));
    }

    #[test]
    fn a_half_closed_peer_has_its_time_from_the_last_byte_on() {
        let mut deadline = Deadline { is_not_read: true, ..Deadline::default() };
        deadline.half_close(3);
        deadline.half_close(4);
        assert_eq!(deadline.expired(5, &DEADLINES), None);
        deadline.moved(1, 5);
        assert_eq!(expires(&mut deadline, 5), Some((8, Wait::HalfClosed)));

        // A peer that reads a response slowly has not closed its socket.
        deadline.set_wait(Wait::Write, 8);
        assert_eq!(expires(&mut deadline, 8), Some((13, Wait::Write)));
        deadline.restart();
        assert_eq!(expires(&mut deadline, 13), None);
    }

    #[test]
    fn a_connection_that_is_not_read_is_woken_each_second() {
        let mut deadline = Deadline::default();
        assert_eq!(deadline.due(&DEADLINES), u32::MAX);
        deadline.is_not_read = true;
        assert_eq!(deadline.due(&DEADLINES), 1);
    }
}
