//! Faults of processes, one after the other while everything else goes on: no descriptors, little memory, certificates
//! that change, and processes that are killed.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use degu_client::{Address, Chunk, Client, Method, Options, blocking};
use degu_misc::{Leaf, TempPki};
use fastrand::Rng;
use rustix::process::Resource;

use crate::Result;
use crate::control::Control;
use crate::process::{Squeeze, data, descriptors};
use crate::tally::Fault;
use crate::target::Target;
use crate::work::World;

/// How much memory the server has at least to get beyond what it has, when it gets little.
const ENOUGH: u64 = 64 << 20;

/// Who does it, to whom.
pub(crate) struct Mischief<'r> {
    pub(crate) world: &'r World,
    pub(crate) server: &'r Control,
    pub(crate) pki: &'r TempPki,
    /// How to talk to the server that is killed.
    pub(crate) options: Options,
}

impl Mischief<'_> {
    /// Until the world stops. `victim` is the server that is killed, or the last of those that followed it.
    pub(crate) fn run(&self, victim: &mut Option<Control>, number: u64) {
        let mut rng = self.world.rng(number);
        while !self.world.is_stopping() {
            if let Err(error) = self.any(victim, &mut rng) {
                self.world.tally.wrong(format!("mischief: {error}"));
                // What is broken now is broken for good.
                return;
            }
            self.wait(rng.u64(20..200));
        }
    }

    fn any(&self, victim: &mut Option<Control>, rng: &mut Rng) -> Result {
        let fault = match rng.u32(..20) {
            0..5 => {
                self.pki.renew(Leaf::Server);
                self.server.reload()?;
                Fault::Reload
            }
            5..11 => {
                if !self.kill_client(rng)? {
                    return Ok(());
                }
                Fault::KilledClient
            }
            11..15 => {
                self.replace_victim(victim)?;
                Fault::KilledServer
            }
            15..17 => {
                let id = self.server.id();
                let _squeeze = Squeeze::new(id, Resource::Nofile, descriptors(id)?.saturating_sub(rng.u64(..4)))?;
                self.wait(rng.u64(100..800));
                Fault::ServerDescriptors
            }
            17..19 => {
                let id = process::id();
                let _squeeze = Squeeze::new(id, Resource::Nofile, descriptors(id)?.saturating_sub(rng.u64(..4)))?;
                self.wait(rng.u64(50..200));
                Fault::ClientDescriptors
            }
            _ => {
                let id = self.server.id();
                let _squeeze = Squeeze::new(id, Resource::Data, data(id)? + ENOUGH)?;
                self.wait(rng.u64(500..2000));
                Fault::Memory
            }
        };
        self.world.tally.add_fault(fault);
        Ok(())
    }

    fn wait(&self, milliseconds: u64) {
        thread::sleep(Duration::from_millis(milliseconds));
    }

    /// Starts a client that sends without an end, and kills it. `false`: it did not come so far.
    fn kill_client(&self, rng: &mut Rng) -> Result<bool> {
        let addresses: Vec<_> = self.server.addresses(Target::Faulty).collect();
        let address = rng.choice(&addresses).ok_or("the server has no address")?;
        let mut prey = Command::new(env::current_exe()?)
            .args(["prey", &address.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut said = String::new();
        if let Some(stdout) = prey.stdout.take() {
            BufReader::new(stdout).read_line(&mut said)?;
        }
        let connected = !said.is_empty();
        if connected {
            let counts = self.world.tally.of(Target::Faulty);
            counts.connections.fetch_add(1, Relaxed);
            counts.attempts.fetch_add(1, Relaxed);
            self.wait(rng.u64(..50));
        }
        prey.kill()?;
        prey.wait()?;
        Ok(connected)
    }

    /// Kills the victim, if there is one, and starts its successor, which finds what the dead one left behind.
    fn replace_victim(&self, victim: &mut Option<Control>) -> Result {
        *victim = None;
        self.wait(20);
        self.start_victim(victim, self.pki.folder())
    }

    /// Starts a server to be killed, and lets the clients know.
    pub(crate) fn start_victim(&self, victim: &mut Option<Control>, folder: &Path) -> Result {
        let next = victim.insert(Control::start(folder, &[Target::Victim])?);
        let clients = next.addresses(Target::Victim).map(|address| self.options.clone().client(address));
        let clients: Vec<Client> = clients.collect();
        *self.world.victims.write().unwrap_or_else(PoisonError::into_inner) = clients;
        Ok(())
    }
}

/// A client that sends without an end, until it is killed. It says so once it is connected.
pub(crate) fn prey(address: Address) -> Result {
    let mut connection = blocking::Client::new(address).connect()?;
    writeln!(std::io::stdout(), "connected")?;
    std::io::stdout().flush()?;
    let chunks = std::iter::repeat_with(|| Chunk::new(vec![b'.'; 8 * 1024]).with_flag("more"));
    connection.request(Method::Post, "/sum", (), blocking::Body::from_chunks(chunks))?;
    Err("a response to a request that does not end".into())
}
