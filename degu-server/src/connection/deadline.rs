//! Deadlines without timers: a connection says what it waits for, and the sweep counts seconds.
//!
//! Once a second the sweep looks at every connection of its worker. What a connection waits for in that moment gets the
//! whole second charged. So nothing is armed, cancelled or asked of a clock when a message comes or goes, and a deadline
//! is late by at most a second.

use std::cell::Cell;

use crate::options::Deadlines;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing of the peer: the app works.
    #[default]
    App,
    /// Who the peer is.
    #[cfg(feature = "tls")]
    Handshake,
    /// The first octet of a request.
    Request,
    /// The rest of a head.
    Head,
    /// More of a request's body, which the app wants.
    Body,
    /// The peer to take what is written.
    Write,
    /// The peer to close, after we did.
    Linger,
}

/// What seconds are charged to. Reading a body and writing a response are one account: a peer has to do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Account {
    #[default]
    None,
    #[cfg(feature = "tls")]
    Handshake,
    Request,
    Head,
    Progress,
    Linger,
}

/// How a connection does: told by its task, read by the sweep.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    wait: Cell<Wait>,
    account: Cell<Account>,
    /// Seconds that were charged.
    seconds: Cell<u32>,
    /// Octets that were moved since the seconds began to count.
    octets: Cell<u64>,
    expired: Cell<Option<Wait>>,
    /// The connection waits for a request longer than a second: it may give up what it holds.
    idle: Cell<bool>,
    /// Seconds that the handler has taken, while there is one.
    handler: Cell<Option<u32>>,
    /// Nothing is read from the peer for now, so that its going away shows only to those who ask.
    deaf: Cell<bool>,
}

impl Watch {
    /// An exchange begins or ends: what was charged is forgotten.
    pub(crate) fn restart(&self) {
        self.wait.set(Wait::App);
        self.account.set(Account::None);
        self.idle.set(false);
    }

    /// Something has come, which need not be of a request: who may only be waking up has no more time for it.
    pub(crate) fn stir(&self) {
        self.wait.set(Wait::App);
        self.idle.set(false);
    }

    /// A handler has begun, or has answered.
    pub(crate) fn handler(&self, works: bool) {
        self.handler.set(works.then_some(0));
    }

    /// Whether nothing is read from the peer for now: it has said all it will say, or enough of it waits.
    pub(crate) fn deaf(&self, deaf: bool) {
        self.deaf.set(deaf);
    }

    /// The connection waits for this from now on. What was charged stays if it waits for the same as before, however
    /// often the app works in between.
    pub(crate) fn wait(&self, wait: Wait) {
        self.wait.set(wait);
        let account = match wait {
            Wait::App => return,
            #[cfg(feature = "tls")]
            Wait::Handshake => Account::Handshake,
            Wait::Request => Account::Request,
            Wait::Head => Account::Head,
            Wait::Body | Wait::Write => Account::Progress,
            Wait::Linger => Account::Linger,
        };
        if self.account.replace(account) != account {
            self.seconds.set(0);
            self.octets.set(0);
        }
    }

    /// So many octets came or went.
    pub(crate) fn moved(&self, octets: usize) {
        self.octets.set(self.octets.get() + octets as u64);
    }

    /// What has waited too long, if anything has.
    pub(crate) fn expired(&self) -> Option<Wait> {
        self.expired.get()
    }

    /// The end has come, and gets a time of its own.
    pub(crate) fn forgive(&self) {
        self.expired.set(None);
        self.handler.set(None);
        self.restart();
    }

    /// Whether the connection has been waiting for a request for a whole second.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle.get()
    }

    /// A second is over: whether the task has something to do about it.
    pub(crate) fn sweep(&self, deadlines: &Deadlines) -> bool {
        let wait = self.wait.get();
        if let Some(seconds) = self.handler.get() {
            self.handler.set(Some(seconds.saturating_add(1)));
            if seconds >= deadlines.handler {
                self.expired.set(Some(Wait::App));
                return true;
            }
        }
        let limit = match wait {
            Wait::App => return self.deaf.get(),
            #[cfg(feature = "tls")]
            Wait::Handshake => deadlines.handshake,
            Wait::Request => deadlines.idle,
            Wait::Head => deadlines.head,
            Wait::Body | Wait::Write => deadlines.progress,
            Wait::Linger => deadlines.linger,
        };
        let seconds = self.seconds.get().saturating_add(1);
        self.seconds.set(seconds);
        // The first second may have been a moment, so it does not count.
        if seconds > limit {
            if matches!(wait, Wait::Body | Wait::Write) && self.octets.take() >= u64::from(limit) * deadlines.rate {
                self.seconds.set(0);
                return false;
            }
            self.expired.set(Some(wait));
            return true;
        }
        wait == Wait::Request && seconds >= 2 && !self.idle.replace(true)
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
        progress: 4,
        rate: 10,
        linger: 1,
        handler: 7,
    };

    fn seconds_until_expired(watch: &Watch) -> u32 {
        (1..100).find(|_| watch.sweep(&DEADLINES) && watch.expired().is_some()).unwrap_or(0)
    }

    #[test]
    fn each_wait_has_its_deadline() {
        for (wait, seconds) in
            [(Wait::App, 0), (Wait::Request, 6), (Wait::Head, 4), (Wait::Body, 5), (Wait::Write, 5), (Wait::Linger, 2)]
        {
            let watch = Watch::default();
            watch.wait(wait);
            assert_eq!(seconds_until_expired(&watch), seconds, "{wait:?}");
            assert_eq!(watch.expired(), (seconds > 0).then_some(wait));
        }
    }

    #[test]
    fn a_head_has_its_time_in_total() {
        let watch = Watch::default();
        for _ in 0..3 {
            watch.wait(Wait::Head);
            watch.moved(1000);
            assert!(!watch.sweep(&DEADLINES));
        }
        watch.wait(Wait::Head);
        assert!(watch.sweep(&DEADLINES));
    }

    #[test]
    fn progress_is_octets_over_time() {
        let watch = Watch::default();
        for octets in [40, 40, 39] {
            for _ in 0..5 {
                assert_eq!(watch.expired(), None);
                // The app works in between, which costs the peer nothing.
                watch.wait(Wait::App);
                assert!(!watch.sweep(&DEADLINES));
                watch.wait(Wait::Body);
                watch.moved(octets / 5 + usize::from(octets == 39));
                watch.sweep(&DEADLINES);
            }
        }
        assert_eq!(watch.expired(), None, "8 octets a second, five times, are 40");
        watch.wait(Wait::Body);
        assert_eq!(seconds_until_expired(&watch), 5);
    }

    #[test]
    fn a_handler_has_its_time_until_it_answers() {
        let watch = Watch::default();
        watch.handler(true);
        assert_eq!(seconds_until_expired(&watch), 8);
        let watch = Watch::default();
        watch.handler(true);
        (0..7).for_each(|_| assert!(!watch.sweep(&DEADLINES)));
        watch.handler(false);
        assert_eq!(seconds_until_expired(&watch), 0);
    }

    #[test]
    fn idleness_is_told_once() {
        let watch = Watch::default();
        watch.wait(Wait::Request);
        assert_eq!([(); 5].map(|()| watch.sweep(&DEADLINES)), [false, true, false, false, false]);
        assert!(watch.is_idle() && watch.expired().is_none());
        watch.restart();
        watch.wait(Wait::Request);
        assert!(!watch.is_idle() && !watch.sweep(&DEADLINES));
    }

    #[test]
    fn what_stirs_without_a_request_is_idle_again_soon_and_has_no_more_time() {
        let watch = Watch::default();
        for second in 1..=5 {
            watch.wait(Wait::Request);
            assert_eq!(watch.sweep(&DEADLINES), second >= 2);
            assert_eq!(watch.is_idle(), second >= 2);
            watch.stir();
            assert!(!watch.is_idle() && watch.expired().is_none());
        }
        watch.wait(Wait::Request);
        assert!(watch.sweep(&DEADLINES));
        assert_eq!(watch.expired(), Some(Wait::Request));
    }
}
