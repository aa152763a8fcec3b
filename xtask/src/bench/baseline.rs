//! What moved since an earlier run, beyond the noise of both.

use std::fmt;

use super::report::Report;

/// The entries that two reports have in common.
#[derive(Debug)]
pub(super) struct Comparison {
    compared: usize,
    moved: Vec<Moved>,
}

#[derive(Debug)]
struct Moved {
    group: String,
    entry: String,
    /// The reference, the ratio to it then, and the ratio to it now. Empty for [instructions](Self::instructions).
    ratios: Vec<(String, f64, f64)>,
    /// Instructions then and now.
    instructions: Option<(f64, f64)>,
}

/// Counts of instructions differ by less from one run to the next: what the allocator and the lengths of paths make.
const SAME_COUNT: f64 = 0.005;

impl Comparison {
    /// An entry has moved if its ratio to every reference has left the range that the ratio had before, all to the same
    /// side: a reference that was disturbed itself does not move all others. Times are not compared, only ratios; counts
    /// of instructions are compared as they are.
    pub(super) fn of(before: &Report, now: &Report) -> Self {
        let (mut compared, mut moved) = (0, Vec::new());
        for group in &now.groups {
            let Some(group_before) = before.groups.iter().find(|other| other.name == group.name) else { continue };
            for entry in &group.entries {
                let Some(entry_before) = group_before.entry(&entry.name) else { continue };
                let mut ratios = Vec::new();
                let mut sides = Vec::new();
                for reference in group.references.iter().filter(|reference| **reference != entry.name) {
                    let (then, now) = (group_before.ratio(entry_before, reference), group.ratio(entry, reference));
                    if let (Some(then), Some(now)) = (then, now) {
                        ratios.push((reference.clone(), then.median, now.median));
                        sides.push(now.is_apart_from(&then).then_some(now.median < then.median));
                    }
                }
                if let Some(first) = sides.first() {
                    compared += 1;
                    if first.is_some() && sides.iter().all(|side| side == first) {
                        let (group, entry) = (group.name.clone(), entry.name.clone());
                        moved.push(Moved { group, entry, ratios, instructions: None });
                    }
                }
                if let (Some(then), Some(now)) = (entry_before.instructions, entry.instructions) {
                    compared += 1;
                    if (now - then).abs() > then * SAME_COUNT {
                        let (group, entry) = (group.name.clone(), entry.name.clone());
                        moved.push(Moved { group, entry, ratios: Vec::new(), instructions: Some((then, now)) });
                    }
                }
            }
        }
        Self { compared, moved }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nbeside the baseline, {} of {} moved beyond the noise", self.moved.len(), self.compared)?;
        for Moved { group, entry, ratios, instructions } in &self.moved {
            if let Some((then, now)) = instructions {
                let word = if now < then { "fewer" } else { "more" };
                writeln!(f, "  {word} instructions, {group}: {entry} {then:.0} → {now:.0}")?;
                continue;
            }
            let faster = ratios.iter().all(|(_, then, now)| now < then);
            write!(f, "  {} {group}: {entry}", if faster { "faster" } else { "slower" })?;
            for (number, (reference, then, now)) in ratios.iter().enumerate() {
                let comma = if number == 0 { "" } else { "," };
                write!(f, "{comma} {then:.2} → {now:.2} of {reference}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    const BOTH: &[&str] = &["raw", "hyper"];
    const RAW: (&str, &[f64]) = ("raw", &[10.0, 11.0, 10.0]);
    const HYPER: (&str, &[f64]) = ("hyper", &[20.0, 21.0, 20.0]);

    fn compare(before: &[(&str, &[f64])], now: &[(&str, &[f64])]) -> String {
        Comparison::of(&report(BOTH, before), &report(BOTH, now)).to_string()
    }

    #[test]
    fn beyond_the_noise() {
        let before = [RAW, HYPER, ("a", &[15.0, 16.0, 15.0][..]), ("b", &[15.0, 22.0, 15.0])];
        let now = [RAW, HYPER, ("a", &[12.0, 13.0, 12.0][..]), ("b", &[19.0, 20.0, 19.0])];
        assert_eq!(
            compare(&before, &now),
            "\nbeside the baseline, 1 of 4 moved beyond the noise\n  \
             faster unix, same: a 1.50 → 1.20 of raw, 0.75 → 0.60 of hyper\n"
        );
    }

    #[test]
    fn one_disturbed_reference_moves_nobody_else() {
        let before = [RAW, HYPER, ("a", &[15.0, 16.0, 15.0][..])];
        let now = [("raw", &[30.0, 31.0, 30.0][..]), HYPER, ("a", &[15.0, 16.0, 15.0])];
        assert_eq!(
            compare(&before, &now),
            "\nbeside the baseline, 2 of 3 moved beyond the noise\n  \
             slower unix, same: raw 0.50 → 1.50 of hyper\n  \
             faster unix, same: hyper 2.00 → 0.67 of raw\n"
        );
    }

    #[test]
    fn what_is_not_in_both() {
        assert!(compare(&[RAW, HYPER], &[RAW, ("a", &[1.0])]).starts_with("\nbeside the baseline, 0 of 0"));
    }

    #[test]
    fn instructions() {
        let (mut before, mut now) = (report(&[], &[("a", &[1.0])]), report(&[], &[("a", &[1.0])]));
        before.groups[0].entries[0].instructions = Some(1000.0);
        for (count, lines) in [
            (1004.0, "\nbeside the baseline, 0 of 1 moved beyond the noise\n"),
            (
                990.0,
                "\nbeside the baseline, 1 of 1 moved beyond the noise\n  fewer instructions, unix, same: a 1000 → 990\n",
            ),
        ] {
            now.groups[0].entries[0].instructions = Some(count);
            assert_eq!(Comparison::of(&before, &now).to_string(), lines);
        }
    }
}
