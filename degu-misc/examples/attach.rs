//! A terminal: the program offers to switch protocols, then copies stdin to the tunnel, and the tunnel to stdout.
//!
//! `attach [--blocking] [-X METHOD] [--token TOKEN] [--data TEXT] [--tls-ca FILE [--tls-cert FILE --tls-key FILE]
//! [--tls-no-name]] ADDRESS TARGET`
//!
//! At the end of stdin the program half-closes the connection. It still prints output until the server ends. The exit
//! code is then 0. It is 2 if the server declines, with the status line on stderr, and 1 after any error. The method is
//! POST and the protocol is `tcp`, as Docker and Podman expect for `/containers/NAME/attach?stream=1&stdin=1&stdout=1`.

use std::{
    io::{self, copy},
    process::ExitCode,
    thread,
};

use degu_client::{Address, BoxError, Client, Method, Reason, Upgrade, blocking};
use lexopt::{Arg, ValueExt};
use tokio::io::AsyncWriteExt;

mod tls;

const USAGE: &str = "usage: attach [--blocking] [-X METHOD] [--token TOKEN] [--data TEXT] [--tls-ca FILE [--tls-cert FILE \
                     --tls-key FILE] [--tls-no-name]] ADDRESS TARGET";

/// The exit code if the server declines.
const DECLINED: u8 = 2;

struct Options {
    blocking: bool,
    method: String,
    token: String,
    data: Option<String>,
    address: Address,
    target: String,
    files: tls::Files,
}

impl Options {
    fn from_arguments() -> Result<Self, BoxError> {
        let (mut blocking, mut method, mut token, mut data) = (false, "POST".to_owned(), "tcp".to_owned(), None);
        let (mut address, mut target) = (None, None);
        let mut files = tls::Files::default();
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("blocking") => blocking = true,
                Arg::Short('X') => method = arguments.value()?.string()?,
                Arg::Long("token") => token = arguments.value()?.string()?,
                Arg::Long("data") => data = Some(arguments.value()?.string()?),
                Arg::Value(value) if address.is_none() => address = Some(value.parse()?),
                Arg::Value(value) if target.is_none() => target = Some(value.string()?),
                Arg::Long(name @ ("tls-ca" | "tls-cert" | "tls-key" | "tls-no-name")) => {
                    let name = name.to_owned();
                    files.take(&name, &mut arguments)?;
                }
                other => return Err(format!("{}\n{USAGE}", other.unexpected()).into()),
            }
        }
        let (Some(address), Some(target)) = (address, target) else { return Err(USAGE.into()) };
        Ok(Self { blocking, method, token, data, address, target, files })
    }

    fn client(&self) -> Result<Client, BoxError> {
        Ok(self.files.on_client(Client::options())?.client(&self.address))
    }

    fn method(&self) -> Method<'_> {
        Method::from(self.method.as_str())
    }
}

fn declined(status: u16, reason: &Reason) -> ExitCode {
    eprintln!("{status} {reason}");
    DECLINED.into()
}

fn attach_blocking(options: &Options) -> Result<ExitCode, BoxError> {
    let mut connection = blocking::Client::from(options.client()?).connect()?;
    let body = options.data.clone().map_or(blocking::Body::none(), Into::into);
    match connection.upgrade(options.method(), &options.target, &options.token, (), body)? {
        blocking::Upgrade::Switched { tunnel, .. } => {
            let (mut from, mut to) = tunnel.split()?;
            // This thread is not joined, because it may wait for the terminal after the server has ended.
            thread::spawn(move || copy(&mut io::stdin(), &mut to).and_then(|_| to.shutdown_write()));
            copy(&mut from, &mut io::stdout())?;
            Ok(ExitCode::SUCCESS)
        }
        blocking::Upgrade::Declined(response) => Ok(declined(response.status, &response.reason)),
    }
}

async fn attach(options: &Options) -> Result<ExitCode, BoxError> {
    let mut connection = options.client()?.connect().await?;
    let body = options.data.clone().map_or(degu_client::Body::none(), Into::into);
    match connection.upgrade(options.method(), &options.target, &options.token, (), body).await? {
        Upgrade::Switched { tunnel, .. } => {
            let (mut from, mut to) = tokio::io::split(tunnel);
            let input = async {
                tokio::io::copy(&mut tokio::io::stdin(), &mut to).await?;
                to.shutdown().await?;
                // The server may still send after the end of stdin, so this future completes only after an error.
                std::future::pending::<io::Result<()>>().await
            };
            let mut stdout = tokio::io::stdout();
            tokio::select! {
                output = tokio::io::copy(&mut from, &mut stdout) => drop(output?),
                failed = input => failed?,
            }
            stdout.flush().await?;
            Ok(ExitCode::SUCCESS)
        }
        Upgrade::Declined(response) => Ok(declined(response.status, &response.reason)),
    }
}

fn main() -> ExitCode {
    let run = || {
        let options = Options::from_arguments()?;
        if options.blocking {
            return attach_blocking(&options);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let done = runtime.block_on(attach(&options));
        // A thread of the runtime may still wait for stdin.
        runtime.shutdown_background();
        done
    };
    run().unwrap_or_else(|error: BoxError| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}
