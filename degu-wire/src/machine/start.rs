//! How a request begins.

use alloc::vec::Vec;
use core::fmt;

use super::sender::put_field;
use crate::head::{is_host, put_request_line};
use crate::{LocalError, Method};

/// A request line, and the Host field if the application has none of its own: checked, and as they are sent. They are made
/// once for requests that begin alike, as those do of a process that asks another for the same again and again.
#[derive(Default)]
pub(super) struct Start(Vec<u8>);

impl Start {
    /// Makes it that of a request.
    pub(super) fn set(&mut self, method: Method<'_>, target: &str, host: Option<&str>) -> Result<(), LocalError> {
        if self.is(method, target, host) {
            return Ok(());
        }
        self.0.clear();
        if let Some(host) = host
            && !is_host(host.as_bytes())
        {
            return Err(LocalError::FieldValue);
        }
        put_request_line(&mut self.0, method, target)?;
        if let Some(host) = host {
            put_field(&mut self.0, "host", host.as_bytes());
        }
        Ok(())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is that of this request already.
    fn is(&self, method: Method<'_>, target: &str, host: Option<&str>) -> bool {
        let line = self.0.strip_prefix(method.as_str().as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
        let version = line.and_then(|rest| rest.strip_prefix(target.as_bytes()));
        let Some(field) = version.and_then(|rest| rest.strip_prefix(b" HTTP/1.1\r\n")) else { return false };
        match host {
            None => field.is_empty(),
            Some(host) => {
                let value = field.strip_prefix(b"host: ").and_then(|rest| rest.strip_suffix(b"\r\n"));
                value == Some(host.as_bytes())
            }
        }
    }
}

/// Nothing of it: the target may have secrets.
impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Start")
    }
}
