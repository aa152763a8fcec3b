//! Where the body of a request is read from.

use std::rc::Rc;
#[cfg(feature = "tower")]
use std::task::ready;
use std::task::{Context, Poll};

use bytes::Bytes;
use degu_wire::{Fault, Part};
#[cfg(feature = "tower")]
use degu_wire::{RemoteError, Source};

use crate::BodyError;
use crate::connection::Link;

/// Where the body of a request is read from, and whom it is told that nobody reads any more.
pub(crate) enum Origin {
    /// An exchange of a connection of ours.
    Connection(OfExchange),
    /// A body that somebody else's server has received.
    #[cfg(feature = "tower")]
    Elsewhere(Box<Elsewhere>),
}

/// The body of one exchange. Dropping it says that nobody will read the rest.
pub(crate) struct OfExchange {
    link: Rc<Link>,
    exchange: u64,
}

impl Drop for OfExchange {
    fn drop(&mut self) {
        self.link.drop_body(self.exchange);
    }
}

#[cfg(feature = "tower")]
pub(crate) struct Elsewhere {
    source: std::pin::Pin<Box<dyn Source>>,
    max_chunk: usize,
    /// What was wrong with it.
    fault: Option<RemoteError>,
}

/// Somebody waits for the body. Dropping it, with a read that is over or was given up, says that nobody does.
pub(crate) struct Wanted(Option<(Rc<Link>, u64)>);

impl Drop for Wanted {
    fn drop(&mut self) {
        if let Some((link, exchange)) = &self.0 {
            link.give_up(*exchange);
        }
    }
}

impl Origin {
    pub(crate) const fn of_exchange(link: Rc<Link>, exchange: u64) -> Self {
        Self::Connection(OfExchange { link, exchange })
    }

    #[cfg(feature = "tower")]
    pub(crate) fn elsewhere(source: std::pin::Pin<Box<dyn Source>>, max_chunk: usize) -> Self {
        Self::Elsewhere(Box::new(Elsewhere { source, max_chunk, fault: None }))
    }

    pub(crate) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, BodyError>> {
        match self {
            Self::Connection(OfExchange { link, exchange }) => link.poll_part(*exchange, cx),
            #[cfg(feature = "tower")]
            Self::Elsewhere(elsewhere) => {
                if let Some(fault) = elsewhere.fault {
                    return Poll::Ready(Err(BodyError::Peer(fault)));
                }
                let part = ready!(elsewhere.source.as_mut().poll_part(cx)).transpose();
                // Whatever its server says about it, there is no more of this body.
                Poll::Ready(part.map_err(|_| self.refuse(Fault::TruncatedBody)))
            }
        }
    }

    /// A fault that the reader found.
    pub(crate) fn refuse(&mut self, fault: Fault) -> BodyError {
        match self {
            Self::Connection(OfExchange { link, exchange }) => link.refuse_body(*exchange, fault),
            #[cfg(feature = "tower")]
            Self::Elsewhere(elsewhere) => BodyError::Peer(*elsewhere.fault.insert(fault.into())),
        }
    }

    pub(crate) fn max_chunk(&self) -> usize {
        match self {
            Self::Connection(OfExchange { link, .. }) => link.machine().limits().max_chunk,
            #[cfg(feature = "tower")]
            Self::Elsewhere(elsewhere) => elsewhere.max_chunk,
        }
    }

    pub(crate) fn wanted(&self) -> Wanted {
        Wanted(match self {
            Self::Connection(OfExchange { link, exchange }) => Some((link.clone(), *exchange)),
            #[cfg(feature = "tower")]
            Self::Elsewhere(_) => None,
        })
    }

    /// Whether all that is left of a length has been received.
    pub(crate) fn is_buffered(&self) -> bool {
        match self {
            Self::Connection(OfExchange { link, exchange }) => link.is_buffered(*exchange),
            #[cfg(feature = "tower")]
            Self::Elsewhere(_) => false,
        }
    }

    /// The rest of a length, if all of it has been received.
    pub(crate) fn take_rest(&self) -> Option<Bytes> {
        match self {
            Self::Connection(OfExchange { link, exchange }) => link.take_rest(*exchange),
            #[cfg(feature = "tower")]
            Self::Elsewhere(_) => None,
        }
    }
}
