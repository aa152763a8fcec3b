//! Log lines for the operator.

use std::sync::Arc;

use crate::kit::{Cert, Clock, DAY, NOW};
use degu_tls::ClientTls;
use tracing_subscriber::util::SubscriberInitExt;

/// Returns the lines that are logged while `run` runs.
pub(crate) fn logged(run: impl FnOnce()) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    let writer = Arc::new(file.reopen().unwrap());
    // With one subscriber, tracing remembers whether the first thread that reached a line wanted it. Threads of other tests have
    // no subscriber, so the line could be lost. A second subscriber prevents this.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(writer).set_default();
    run();
    drop(guard);
    std::fs::read_to_string(file.path()).unwrap()
}

#[test]
fn a_revocation_list_that_has_expired_is_told_of() {
    let root = Cert::root("Root");
    let build = |until| {
        let ca_set = root.ca_set("root").with_crl(root.crl(&[], until));
        logged(|| drop(ClientTls::private(ca_set).clock(Clock::now()).build().unwrap()))
    };
    assert_eq!(build(NOW + 1), "");
    for (until, date) in [(NOW, "2026-11-22 12:00:00 UTC"), (NOW - DAY, "2026-11-21 12:00:00 UTC")] {
        let text = build(until);
        assert!(
            text.contains("WARN")
                && text.contains("the revocation list in memory (CN=Root) has expired")
                && text.contains(date),
            "{text}"
        );
    }
}
