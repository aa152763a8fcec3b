//! All integration tests in one binary, because each further binary links server, client and TLS again.

#[cfg(unix)]
mod common;

#[cfg(unix)]
mod bodies;
#[cfg(unix)]
mod ecosystem;
mod events;
#[cfg(unix)]
mod files;
mod live;
#[cfg(target_os = "linux")]
mod operation;
#[cfg(unix)]
mod programs;
mod shout;
#[cfg(all(feature = "tls", target_os = "linux"))]
mod tls;
#[cfg(all(feature = "tls", target_os = "linux"))]
mod tls_programs;
#[cfg(unix)]
mod todo;
#[cfg(unix)]
mod tunnels;
