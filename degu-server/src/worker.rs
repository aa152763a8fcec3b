//! A worker: a thread with a runtime of its own, and the connections that never leave it.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};

use crate::acceptor::{Accepted, Shared};
use crate::connection::{self, CloseReason, Link, Socket};
use crate::server::{Phase, first};
use crate::{App, Credentials, Options, Session};

/// What the connections of a worker share.
#[derive(Debug)]
pub(crate) struct Worker {
    options: Arc<Options>,
    phase: watch::Receiver<Phase>,
    load: Arc<AtomicUsize>,
    /// Every open connection; each knows its place.
    links: RefCell<Vec<Rc<Link>>>,
    /// A first connection has come, or the last one has gone.
    changed: Notify,
    /// The text of `date`, made by the sweep.
    date: RefCell<String>,
}

/// Runs a worker on this thread until the senders of its queue are gone and its connections are done. `beside` runs on it
/// too, and gets a sender; the worker ends when that future has.
pub(crate) fn run<A: App, F: Future<Output = ()> + 'static>(
    shared: &Arc<Shared<A>>,
    index: usize,
    beside: impl FnOnce(UnboundedSender<Accepted>) -> io::Result<F>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let phase = shared.phase.subscribe();
    let worker = Rc::new(Worker {
        options: shared.options.clone(),
        phase: phase.clone(),
        load: shared.loads[index].clone(),
        links: RefCell::default(),
        changed: Notify::new(),
        date: RefCell::default(),
    });
    let (sender, jobs) = unbounded_channel();
    runtime.block_on(async {
        let beside = tokio::task::spawn_local(beside(sender)?);
        let sweep = tokio::task::spawn_local(worker.clone().sweep());
        let aborted = aborted(phase);
        let _ = first(aborted, worker.serve(jobs, &shared.app)).await;
        sweep.abort();
        let _ = beside.await;
        Ok::<(), io::Error>(())
    })?;
    // What apps have left running in the pool of blocking threads is not ours to wait for.
    runtime.shutdown_background();
    Ok(())
}

async fn aborted(mut phase: watch::Receiver<Phase>) {
    // A sender that is gone means that nobody can abort any more.
    if phase.wait_for(|phase| *phase == Phase::Aborting).await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl Worker {
    /// Takes connections until there will be none, and waits for the end of those that are open.
    async fn serve<A: App>(self: &Rc<Self>, mut jobs: UnboundedReceiver<Accepted>, app: &Arc<A>) {
        while let Some(accepted) = jobs.recv().await {
            self.adopt(accepted, app.clone());
        }
        for link in self.links.borrow().iter() {
            link.stop();
        }
        let done = async {
            while !self.links.borrow().is_empty() {
                self.changed.notified().await;
            }
        };
        let _ = tokio::time::timeout(self.options.grace, done).await;
    }

    fn adopt<A: App>(self: &Rc<Self>, accepted: Accepted, app: Arc<A>) {
        let credentials = accepted.is_unix.then(|| Credentials::of_peer(&accepted.fd)).flatten();
        let session = Session::new(accepted.address, credentials, self.phase.clone());
        let link = Rc::new(Link::new(self.options.limits));
        self.add(&link);
        let (worker, guard) = (self.clone(), Open { worker: self.clone(), link: link.clone() });
        tracing::debug!(peer = %session.address(), "connection opened");
        let socket = Socket::new(accepted.fd, accepted.is_unix);
        let _task = tokio::task::spawn_local(async move {
            let _guard = guard;
            match socket {
                Ok(socket) => log(&connection::serve(socket, link, session, worker, app).await),
                Err(error) => tracing::warn!(%error, "can not wait for a connection"),
            }
        });
    }

    fn add(&self, link: &Rc<Link>) {
        let mut links = self.links.borrow_mut();
        link.place.set(links.len());
        links.push(link.clone());
        if links.len() == 1 {
            self.changed.notify_waiters();
        }
    }

    fn remove(&self, link: &Link) {
        let mut links = self.links.borrow_mut();
        let place = link.place.get();
        links.swap_remove(place);
        if let Some(moved) = links.get(place) {
            moved.place.set(place);
        }
        self.load.fetch_sub(1, Ordering::Relaxed);
        if links.is_empty() {
            self.changed.notify_waiters();
        }
    }

    /// Once a second, as long as there are connections: charges each for what it waits for.
    async fn sweep(self: Rc<Self>) {
        loop {
            while self.links.borrow().is_empty() {
                self.changed.notified().await;
            }
            self.set_date();
            let mut second = tokio::time::interval(Duration::from_secs(1));
            second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            second.tick().await;
            while !self.links.borrow().is_empty() {
                second.tick().await;
                self.set_date();
                for link in self.links.borrow().iter() {
                    if link.watch.sweep(&self.options.deadlines) {
                        link.wake();
                    }
                }
            }
        }
    }

    fn set_date(&self) {
        if self.options.date {
            *self.date.borrow_mut() = httpdate::fmt_http_date(SystemTime::now());
        }
    }

    /// The text for `date`, if it is switched on.
    pub(crate) fn date(&self) -> Option<std::cell::Ref<'_, str>> {
        self.options.date.then(|| std::cell::Ref::map(self.date.borrow(), String::as_str))
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Whether the response under way is to be the last of its connection.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.phase.borrow() != Phase::Running
    }

    pub(crate) fn count_request(&self) {}
}

/// Takes a connection off the list, however its task ends.
struct Open {
    worker: Rc<Worker>,
    link: Rc<Link>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.remove(&self.link);
    }
}

fn log(reason: &CloseReason) {
    if reason.is_ours() {
        tracing::error!(%reason, "connection closed");
    } else {
        tracing::debug!(%reason, "connection closed");
    }
}
