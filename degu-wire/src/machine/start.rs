//! How a request begins.

use alloc::vec::Vec;
use core::fmt;

use super::sender::put_field;
use crate::head::{is_host, put_request_line};
use crate::{LocalError, Method};

/// A request line, and the Host field if the application has none of its own: checked, and as they are sent. They are
/// made once for requests that begin alike, as those do of a process that asks another for the same again and again.
#[derive(Default)]
pub(super) struct Start {
    octets: Vec<u8>,
    /// How many of them are the line.
    line: usize,
}

impl Start {
    /// More room than this is not kept for the next one.
    const KEPT: usize = 8 * 1024;

    /// Makes this the beginning of a request. What could not be sent is refused.
    pub(super) fn set(&mut self, method: Method<'_>, target: &str, host: Option<&str>) -> Result<(), LocalError> {
        let (line, field) = self.octets.split_at(self.line);
        let has_host = match host {
            Some(host) => value(field) == Some(host.as_bytes()),
            None => field.is_empty(),
        };
        if has_host && is_line(line, method, target) {
            return Ok(());
        }
        self.octets.clear();
        self.octets.shrink_to(Self::KEPT);
        self.line = 0;
        if let Some(host) = host
            && !has_host
            && !is_host(host.as_bytes())
        {
            return Err(LocalError::FieldValue);
        }
        put_request_line(&mut self.octets, method, target)?;
        self.line = self.octets.len();
        if let Some(host) = host {
            put_field(&mut self.octets, "host", host.as_bytes());
        }
        Ok(())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.octets
    }
}

fn value(field: &[u8]) -> Option<&[u8]> {
    field.strip_prefix(b"host: ")?.strip_suffix(b"\r\n")
}

fn is_line(line: &[u8], method: Method<'_>, target: &str) -> bool {
    let rest = line.strip_prefix(method.as_str().as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
    rest.and_then(|rest| rest.strip_prefix(target.as_bytes())) == Some(b" HTTP/1.1\r\n")
}

/// Nothing of it: the target may have secrets.
impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Start")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_target_does_not_hold_its_room_for_ever() {
        let mut start = Start::default();
        start.set(Method::Get, &["/", &"x".repeat(30_000)].concat(), Some("a")).unwrap();
        start.set(Method::Get, "/", Some("a")).unwrap();
        assert_eq!(start.as_bytes(), b"GET / HTTP/1.1\r\nhost: a\r\n");
        assert!(start.octets.capacity() <= Start::KEPT, "{}", start.octets.capacity());
    }
}
