//! Two hosts and the switch between them, each a network namespace.
//!
//! A namespace has no name, only a process that keeps it: one that ends when its stdin does, so when this program ends,
//! however that comes about. With its last process the kernel takes the namespace away, and all that is in it.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use crate::Result;

/// The name of the interface of either host: the same, so that a zone is understood by the host that it is used on.
pub(crate) const INTERFACE: &str = "veth0";

/// The ends of the cables at the switch.
const PORTS: [&str; 2] = ["port1", "port2"];

/// A process that goes on until this is dropped, or this program ends.
#[derive(Debug)]
struct Kept(Child);

impl Kept {
    /// Starts it, and waits for its first line. `told` is what it has to be told before it says one.
    ///
    /// # Errors
    ///
    /// It says nothing; with what it said on stderr.
    fn start(words: &[&str], told: Option<&str>) -> Result<Self> {
        let child = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", words[0]))?;
        let mut kept = Self(child);
        let Self(child) = &mut kept;
        if let Some((stdin, told)) = child.stdin.as_mut().zip(told) {
            // One that has failed does not listen, and does not answer either.
            let _ = writeln!(stdin, "{told}");
        }
        let (mut said, mut why) = (String::new(), String::new());
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut said)?;
        }
        if said.is_empty() {
            if let Some(mut stderr) = child.stderr.take() {
                stderr.read_to_string(&mut why)?;
            }
            return Err(why.lines().last().unwrap_or("it says nothing").into());
        }
        Ok(kept)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A network namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    keeper: Kept,
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

    /// One in which a process says again what it is told, and ends when nobody can tell it anything.
    fn with(words: &[&str], user: bool) -> Result<Self> {
        Ok(Self { keeper: Kept::start(&[words, &["cat"]].concat(), Some("ready"))?, user })
    }

    fn id(&self) -> u32 {
        self.keeper.0.id()
    }

    /// What enters it, before the words of a command.
    pub(crate) fn enter(&self) -> Vec<String> {
        let mut words: Vec<String> = ["nsenter", "--target", &self.id().to_string()].map(String::from).into();
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
        for (host, port, address) in [(&client, PORTS[0], "fe80::1"), (&server, PORTS[1], Self::SERVER)] {
            let id = host.id();
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

    /// Pulls both cables, or plugs them in again: at the switch, so that the hosts see no more of it than a lost
    /// carrier.
    pub(crate) fn plug(&self, plugged: bool) -> Result {
        let state = if plugged { "up" } else { "down" };
        for port in PORTS {
            self.switch.run(&format!("ip link set {port} {state}"))?;
        }
        Ok(())
    }

    /// Makes both directions bad, until what is given back is dropped: 2 % of the packets are lost, three quarters of
    /// the others are 5 ± 2 ms late, and so overtaken by the rest. By netem where the kernel has it, and by a program
    /// between the cables where it has not.
    ///
    /// # Errors
    ///
    /// It has neither.
    pub(crate) fn disturb(&self) -> Result<Disturbance<'_>> {
        let hosts = [&self.client, &self.server];
        let netem = |host: &Namespace| {
            host.run(&format!("tc qdisc add dev {INTERFACE} root netem loss 2% delay 5ms 2ms reorder 25% 50%"))
        };
        let Err(error) = hosts.into_iter().try_for_each(|host| netem(host).map(drop)) else {
            return Ok(Disturbance { hosts: self, cable: None });
        };
        let script = crate::root().join("xtask/soak/src/netns/cable.py");
        let mut words = self.switch.enter();
        words.extend(["python3".into(), script.display().to_string()]);
        words.extend(PORTS.map(String::from));
        for port in PORTS {
            self.switch.run(&format!("ip link set {port} nomaster"))?;
        }
        let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        match Kept::start(&arguments, None) {
            Ok(cable) => Ok(Disturbance { hosts: self, cable: Some(cable) }),
            Err(cable) => Err(format!("{error}; {cable}").into()),
        }
    }
}

/// A bad network, until this is dropped.
#[derive(Debug)]
pub(crate) struct Disturbance<'h> {
    hosts: &'h Hosts,
    cable: Option<Kept>,
}

impl Disturbance<'_> {
    /// What makes it bad.
    pub(crate) const fn what(&self) -> &'static str {
        if self.cable.is_some() { "a cable of ours" } else { "netem" }
    }

    /// All is well again.
    pub(crate) fn end(self) -> Result {
        if self.cable.is_none() {
            for host in [&self.hosts.client, &self.hosts.server] {
                host.run(&format!("tc qdisc del dev {INTERFACE} root"))?;
            }
            return Ok(());
        }
        for port in PORTS {
            self.hosts.switch.run(&format!("ip link set {port} master br0"))?;
        }
        Ok(())
    }
}
