//! systemd checks the units from the page about deployment, and passes a listening socket to our server.

use std::env;

use xshell::cmd;

use crate::Result;
use crate::exchanges::Traits;
use crate::peer::{Bench, documented, put};

pub(crate) fn run(bench: &mut Bench<'_>, systemd: &str) -> Result {
    let exposure = read_units(bench)?;
    bench.matrix.note(&format!("systemd {systemd}: `systemd-analyze verify` accepts app.socket and app.service; exposure level {exposure} of 10"));

    // This program is also the server.
    let program = env::current_exe()?.display().to_string();
    for address in bench.fixed_addresses()? {
        let socket = address.strip_prefix("unix:").unwrap_or(&address);
        // The socket becomes the standard input, as it does with `StandardInput=socket`.
        let line = format!("systemd-socket-activate --inetd --listen {socket} {program} --activated");
        let _ours = bench.start_tied(&line, |line| line.starts_with("Listening on"))?;
        bench.perform(&format!("Degu, socket-activated by systemd {systemd}"), &address, &Traits::ALL)?;
    }
    Ok(())
}

/// Checks that systemd accepts the units. Returns the exposure level that systemd gives to the service, from 0 to 10.
fn read_units(bench: &Bench<'_>) -> Result<String> {
    let shell = bench.shell;
    let folder = bench.folder.join("units");
    let (socket, service) = (folder.join("app.socket"), folder.join("app.service"));
    shell.write_file(&socket, documented(shell, "ini", 0)?)?;
    // The check fails if the program does not exist.
    let program = env::current_exe()?.display().to_string();
    shell.write_file(&service, put(&documented(shell, "ini", 1)?, "/usr/local/bin/app", &program)?)?;
    let said = cmd!(shell, "systemd-analyze verify --man=no {socket} {service}").quiet().read_stderr()?;
    // systemd also reports problems in other units of the machine, which do not concern this test.
    if let Some(line) = said.lines().find(|line| line.contains("app.s")) {
        return Err(line.to_owned().into());
    }
    let said = cmd!(shell, "systemd-analyze security --offline=true --no-pager {service}").quiet().read()?;
    exposure(&said).ok_or_else(|| "systemd-analyze prints no exposure level of app.service".into())
}

fn exposure(said: &str) -> Option<String> {
    let rest = said.lines().find_map(|line| line.split_once("Overall exposure level for app.service: "))?.1;
    rest.split(' ').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_exposed() {
        let said = "  NAME  DESCRIPTION\n\n\u{2192} Overall exposure level for app.service: 0.5 SAFE\n";
        assert_eq!(exposure(said).as_deref(), Some("0.5"));
        assert_eq!(exposure("nothing"), None);
    }
}
