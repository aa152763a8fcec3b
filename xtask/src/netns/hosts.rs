//! Two hosts and the switch between them, each a network namespace.
//!
//! A namespace has no name, only a process that keeps it: one that ends when its stdin does, so when this program ends,
//! however that comes about. With its last process the kernel takes the namespace away, and all that is in it.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use crate::Result;

/// The name of the interface of either host: the same, so that a zone is understood by the host that it is used on.
pub(crate) const INTERFACE: &str = "veth0";

/// A network namespace.
pub(crate) struct Namespace {
    keeper: Child,
    /// It stands in a user namespace, since only there this user may have one.
    user: bool,
}

impl Namespace {
    /// A new one.
    fn new() -> Result<Self> {
        Self::with(&["unshare", "--net"], false)
            .or_else(|_| Self::with(&["unshare", "--user", "--map-root-user", "--net"], true))
    }

    /// A new one, of the same user namespace.
    fn another(&self) -> Result<Self> {
        let enter = self.enter();
        let words: Vec<&str> = enter.iter().map(String::as_str).chain(["unshare", "--net"]).collect();
        Self::with(&words, self.user)
    }

    fn with(words: &[&str], user: bool) -> Result<Self> {
        let mut keeper = Command::new(words[0])
            .args(&words[1..])
            .arg("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", words[0]))?;
        // It says again what it is told once it is there.
        let mut said = String::new();
        if let Some((stdin, stdout)) = keeper.stdin.as_mut().zip(keeper.stdout.take()) {
            // One that has failed does not listen, and does not answer either.
            let _ = stdin.write_all(b"ready\n");
            BufReader::new(stdout).read_line(&mut said)?;
        }
        let namespace = Self { keeper, user };
        if said.is_empty() { Err(namespace.failure()) } else { Ok(namespace) }
    }

    fn failure(mut self) -> crate::Error {
        let mut why = String::new();
        if let Some(stderr) = self.keeper.stderr.take() {
            let _ = BufReader::new(stderr).read_line(&mut why);
        }
        why.trim_end().into()
    }

    /// What enters it, before the words of a command.
    pub(crate) fn enter(&self) -> Vec<String> {
        let mut words: Vec<String> = ["nsenter", "--target", &self.keeper.id().to_string()].map(String::from).into();
        if self.user {
            words.extend(["--user".into(), "--preserve-credentials".into()]);
        }
        words.push("--net".into());
        words
    }

    /// Runs a command in it, and gives what it prints.
    ///
    /// # Errors
    ///
    /// It fails; with what it said.
    pub(crate) fn run(&self, command: &str) -> Result<String> {
        let words = self.enter();
        let output = Command::new(&words[0]).args(&words[1..]).args(command.split(' ')).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let program = command.split(' ').next().unwrap_or_default();
        Err(format!("{program}: {}", said.lines().last().unwrap_or_default()).into())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the namespace of process {}", self.keeper.id())
    }
}

/// Two hosts with a cable each to one switch.
#[derive(Debug)]
pub(crate) struct Hosts {
    pub(crate) client: Namespace,
    pub(crate) server: Namespace,
    switch: Namespace,
}

impl Hosts {
    /// The link-local address of the server, without its zone.
    pub(crate) const SERVER: &str = "fe80::2";

    /// Makes them, with link-local addresses and nothing else.
    ///
    /// # Errors
    ///
    /// The machine does not have it, or this user may not.
    pub(crate) fn new() -> Result<Self> {
        let client = Namespace::new()?;
        let (server, switch) = (client.another()?, client.another()?);
        switch.run("ip link add br0 type bridge mcast_snooping 0")?;
        switch.run("ip link set br0 up")?;
        for (host, port, address) in [(&client, "port1", "fe80::1"), (&server, "port2", Self::SERVER)] {
            let id = host.keeper.id();
            switch.run(&format!("ip link add {port} type veth peer name {INTERFACE} netns {id}"))?;
            switch.run(&format!("ip link set {port} master br0"))?;
            switch.run(&format!("ip link set {port} up"))?;
            // The one address is ours, and is there at once: no look around for others who might have it.
            host.run(&format!("ip link set {INTERFACE} addrgenmode none"))?;
            host.run(&format!("ip link set {INTERFACE} up"))?;
            host.run(&format!("ip address add {address}/64 dev {INTERFACE} nodad"))?;
        }
        Ok(Self { client, server, switch })
    }

    /// The number of the client's interface.
    pub(crate) fn index(&self) -> Result<u32> {
        let line = self.client.run(&format!("ip -oneline link show {INTERFACE}"))?;
        Ok(line.split(':').next().unwrap_or_default().parse()?)
    }

    /// Pulls both cables, or plugs them in again: at the switch, so that the hosts see no more of it than a lost carrier.
    pub(crate) fn plug(&self, plugged: bool) -> Result {
        let state = if plugged { "up" } else { "down" };
        for port in ["port1", "port2"] {
            self.switch.run(&format!("ip link set {port} {state}"))?;
        }
        Ok(())
    }

    /// Makes both directions bad: packets are lost, late, and out of order.
    ///
    /// # Errors
    ///
    /// The kernel has no netem.
    pub(crate) fn disturb(&self) -> Result {
        for host in [&self.client, &self.server] {
            host.run(&format!("tc qdisc add dev {INTERFACE} root netem loss 2% delay 5ms 2ms reorder 25% 50%"))?;
        }
        Ok(())
    }

    pub(crate) fn soothe(&self) -> Result {
        for host in [&self.client, &self.server] {
            host.run(&format!("tc qdisc del dev {INTERFACE} root"))?;
        }
        Ok(())
    }
}
