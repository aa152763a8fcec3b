//! Which cores a client and a server are pinned to.

use std::fs;

use crate::Result;

/// Where the two ends of a connection run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// Both on one core. The quiet place: nobody has to be woken, and so the time is that of the software.
    Same,
    /// Each on a core of its own.
    Apart,
    /// Wherever the scheduler puts them.
    Free,
}

impl Placement {
    pub(super) const ALL: [Self; 3] = [Self::Same, Self::Apart, Self::Free];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Apart => "apart",
            Self::Free => "free",
        }
    }
}

/// Two cores to measure on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cores {
    client: usize,
    /// `None`: this process may use one core only.
    server: Option<usize>,
}

impl Cores {
    /// The last core that this process may use, since interrupts tend to land on the first; and the last one beside it
    /// that shares no execution units with it, if there is such a one.
    pub(super) fn choose() -> Result<Self> {
        Self::among(&allowed()?, siblings).ok_or_else(|| "the kernel does not say which cores there are".into())
    }

    fn among(allowed: &[usize], siblings: impl Fn(usize) -> Vec<usize>) -> Option<Self> {
        let (&client, others) = allowed.split_last()?;
        let siblings = siblings(client);
        let server = others.iter().rfind(|core| !siblings.contains(core)).or(others.last()).copied();
        Some(Self { client, server })
    }

    /// The placements that these cores allow: with one core, a single one.
    pub(super) fn placements(self) -> &'static [Placement] {
        if self.server.is_some() { &Placement::ALL } else { &[Placement::Same] }
    }

    /// The cores of the client and of the server; `None` is unpinned.
    pub(super) fn of(self, placement: Placement) -> (Option<usize>, Option<usize>) {
        match placement {
            Placement::Same => (Some(self.client), Some(self.client)),
            Placement::Apart => (Some(self.client), self.server),
            Placement::Free => (None, None),
        }
    }

    /// As words: which cores `placement` means.
    pub(super) fn describe(self, placement: Placement) -> String {
        match self.of(placement) {
            (Some(client), Some(server)) if client != server => format!("apart: cores {client} and {server}"),
            (Some(core), _) => format!("same: core {core}"),
            (None, _) => "free: unpinned".into(),
        }
    }
}

/// Why a suite with [`Halves`] is left out.
pub(super) const ONE_CORE: &str = "both ends want a core, and there is one";

/// Cores for a server of many connections, and others for the load on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Halves {
    pub(super) server: Vec<usize>,
    pub(super) load: Vec<usize>,
}

impl Halves {
    /// Two cores each, or one each where there are fewer than four; `None` where there is only one. Cores that share
    /// execution units stay on one side, if there are others for the other side.
    pub(super) fn choose() -> Result<Option<Self>> {
        Ok(Self::among(&allowed()?, siblings))
    }

    fn among(allowed: &[usize], siblings: impl Fn(usize) -> Vec<usize>) -> Option<Self> {
        let each = if allowed.len() >= 4 { 2 } else { 1 };
        let (mut near, mut far) = (Vec::new(), Vec::new());
        let beside = allowed.last().map(|&last| siblings(last)).unwrap_or_default();
        // From the end: interrupts tend to land on the first core.
        for &core in allowed.iter().rev() {
            if Some(&core) == allowed.last() || beside.contains(&core) { near.push(core) } else { far.push(core) }
        }
        let mut all = near.into_iter().chain(far);
        let (load, server): (Vec<usize>, Vec<usize>) = (all.by_ref().take(each).collect(), all.take(each).collect());
        (!server.is_empty()).then_some(Self { server, load })
    }

    /// As words.
    pub(super) fn describe(&self) -> String {
        format!("server on {}, load on {}", count(&self.server), count(&self.load))
    }
}

/// Cores as words.
fn count(cores: &[usize]) -> String {
    match cores {
        [core] => format!("core {core}"),
        _ => format!("cores {}", joined(cores)),
    }
}

/// Cores as programs take them: `0,1`.
pub(super) fn joined(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// The cores that this process may use.
pub(super) fn allowed() -> Result<Vec<usize>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    Ok(parse_list(allowed.unwrap_or_default()))
}

/// The cores that share execution units with this one, and itself.
fn siblings(core: usize) -> Vec<usize> {
    let file = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    parse_list(&fs::read_to_string(file).unwrap_or_default())
}

/// Reads a list of the kernel's: `0-2,5`.
fn parse_list(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(parse_list("\t0-3\n"), [0, 1, 2, 3]);
        assert_eq!(parse_list("1,4-5"), [1, 4, 5]);
        assert_eq!(parse_list(""), [0; 0]);
    }

    #[test]
    fn the_second_core_is_no_sibling_if_there_is_another() {
        let pairs = |core: usize| vec![core & !1, core | 1];
        assert_eq!(Cores::among(&[0, 1, 2, 3], pairs), Some(Cores { client: 3, server: Some(1) }));
        assert_eq!(Cores::among(&[2, 3], pairs), Some(Cores { client: 3, server: Some(2) }));
        assert_eq!(Cores::among(&[0, 1, 2], |core| vec![core]), Some(Cores { client: 2, server: Some(1) }));
        assert_eq!(Cores::among(&[], pairs), None);
    }

    #[test]
    fn halves() {
        let alone = |core: usize| vec![core];
        let halves = |allowed: &[usize]| Halves::among(allowed, alone).map(|halves| halves.describe());
        assert_eq!(halves(&[0, 1, 2, 3]).unwrap(), "server on cores 1,0, load on cores 3,2");
        assert_eq!(halves(&[0, 1, 2]).unwrap(), "server on core 1, load on core 2");
        assert_eq!(halves(&[0, 1]).unwrap(), "server on core 0, load on core 1");
        assert_eq!(halves(&[5]), None);
        let split = |core: usize| vec![core % 2, core % 2 + 2];
        let halves = Halves::among(&[0, 1, 2, 3], split).unwrap();
        assert_eq!((halves.load, halves.server), (vec![3, 1], vec![2, 0]));
    }

    #[test]
    fn one_core_has_one_placement() {
        let one = Cores::among(&[4], |core| vec![core]).unwrap();
        assert_eq!(one.placements(), [Placement::Same]);
        assert_eq!(one.describe(Placement::Same), "same: core 4");
        let two = Cores::among(&[4, 5], |core| vec![core]).unwrap();
        assert_eq!(two.placements().len(), 3);
        assert_eq!(two.describe(Placement::Apart), "apart: cores 5 and 4");
    }
}
