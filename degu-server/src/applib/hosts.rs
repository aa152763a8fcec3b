//! An app that accepts only requests for listed hosts. This check protects against DNS rebinding.

use std::net::Ipv6Addr;

use crate::{App, Error, Request, Response, Session};

/// An app that passes requests for listed hosts to another app. The app refuses all other requests, and requests whose
/// field `Origin` names a host that is not listed.
///
/// Every web page in a browser on this machine can send requests to a server on a loopback address. With DNS rebinding
/// the page can also read the responses. The host name of the page, for example `attacker.example`, then resolves to
/// 127.0.0.1, so the browser treats the server as the origin of the page. Neither a firewall nor CORS prevents that.
/// But the browser still sends `attacker.example` in the field Host, which this app checks.
///
/// ```
/// use degu_server::{Request, Session, applib::Hosts};
///
/// let app = async |_: &mut Session, _: Request<'_>| "for programs on this machine";
/// let app = Hosts::only(["localhost", "127.0.0.1", "[::1]"], app);
/// # fn is_an_app(_: impl degu_server::App) {}
/// # is_an_app(app);
/// ```
///
/// A listed host is a name or an IP address, with or without a port. `localhost:8080` accepts only this port. `localhost`
/// accepts any port. If the Host of a request has no port, its port is 80 or 443. If an `Origin` has no port, its port is the
/// default of its scheme. Names are compared without case and without a dot at the end. IPv6 addresses are compared by value.
/// A subdomain is another host.
///
/// | request | response |
/// | --- | --- |
/// | for another host, or for no host (HTTP/1.0, or an empty Host) | 421, because it is for another server (RFC 9110 §15.5.20) |
/// | with an `Origin` of another host, or `Origin: null` | 403, because the page may not use this server |
/// | any other | the response of the app |
///
/// A browser adds `Origin` if a page sends a form with POST to another host, opens a WebSocket there, or tries to read
/// a response (CORS). A browser adds no `Origin` to the GET of a link or an image. `Hosts` passes this GET to the app,
/// so a GET must not change data. To refuse the pages of a listed host on other ports, list the host with its port.
///
/// Over a Unix socket the client may send any Host. Most clients send `localhost`. A web page can reach a Unix socket only
/// through a proxy that forwards Host.
#[derive(Debug)]
pub struct Hosts<A> {
    hosts: Vec<Box<str>>,
    app: A,
}

impl<A: App> Hosts<A> {
    /// Returns an app that passes only requests for these hosts to `app`.
    pub fn only<H: Into<Box<str>>>(hosts: impl IntoIterator<Item = H>, app: A) -> Self {
        Self { hosts: hosts.into_iter().map(Into::into).collect(), app }
    }

    /// Returns whether the host is listed. An authority without a port may mean any of the `default_ports`.
    fn has(&self, authority: &str, default_ports: &[&str]) -> bool {
        let (host, port) = split(authority);
        !host.is_empty()
            && self.hosts.iter().any(|listed| {
                let (listed, listed_port) = split(listed);
                let is_port = |listed| port.map_or(default_ports.contains(&listed), |port| port == listed);
                is_same(host, listed) && listed_port.is_none_or(is_port)
            })
    }
}

impl<A: App> App for Hosts<A> {
    async fn on_connect(&self, session: &mut Session) -> bool {
        self.app.on_connect(session).await
    }

    async fn handle(&self, session: &mut Session, request: Request<'_>) -> Response {
        // The client may use TLS to a proxy in front of this server, so a missing port may mean 443.
        if !self.has(request.authority(), &["80", "443"]) {
            let why = "this server does not serve the host of this request: the operator must add the host to `applib::Hosts`\n";
            return Error::new(421, why).into();
        }
        let is_foreign = |origin: &[u8]| {
            let origin = str::from_utf8(origin).ok().and_then(|origin| origin.split_once("://"));
            !origin.is_some_and(|(scheme, authority)| match scheme {
                "http" => self.has(authority, &["80"]),
                "https" => self.has(authority, &["443"]),
                _ => self.has(authority, &[]),
            })
        };
        if request.headers().iter().any(|(name, value)| name.eq_ignore_ascii_case("origin") && is_foreign(value)) {
            let why = "this server does not accept requests from web pages of this origin: the operator must add the host of the pages to `applib::Hosts`\n";
            return Error::new(403, why).into();
        }
        self.app.handle(session, request).await
    }
}

/// Returns the host and the port of an authority. Brackets around an IPv6 address may be missing.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && ipv6(authority).is_none() => {
            (host, Some(port).filter(|port| !port.is_empty()))
        }
        _ => (authority, None),
    }
}

fn ipv6(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

fn is_same(host: &str, listed: &str) -> bool {
    let name = |host: &str| host.strip_suffix('.').unwrap_or(host).len();
    match (ipv6(host), ipv6(listed)) {
        (Some(host), Some(listed)) => host == listed,
        _ => host[..name(host)].eq_ignore_ascii_case(&listed[..name(listed)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_by_name_address_and_port() {
        let app = async |_: &mut Session, _: Request<'_>| ();
        let listed = ["localhost", "127.0.0.1", "::1", "[::2]:80", "Device.example.:8080", "tls.example:443"];
        let hosts = Hosts::only(listed, app);
        for (authority, is_listed) in [
            ("localhost", true),
            ("LocalHost.", true),
            ("localhost:1", true),
            ("localhost:", true),
            ("a.localhost", false),
            ("localhost.attacker.example", false),
            ("127.0.0.1:80", true),
            ("127.0.0.2", false),
            ("[::1]", true),
            ("[0:0::1]:9", true),
            ("[::2]:80", true),
            ("[::2]", true),
            ("[::2]:", true),
            ("[::2]:81", false),
            ("tls.example", false),
            ("tls.example:443", true),
            ("device.example:8080", true),
            ("device.example.:8080", true),
            ("device.example", false),
            ("", false),
            (".", false),
            (":80", false),
        ] {
            assert_eq!(hosts.has(authority, &["80"]), is_listed, "{authority}");
        }
    }
}
