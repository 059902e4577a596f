//! What a start logs: refusals, warnings and grants, in a number of lines that no image chooses.
//!
//! A container can carry tens of thousands of annotations and environment variables, and a line for each would fill the node's log.
//! The first ones are logged, and one line sums up the rest. Composes lines and hands them to the log; decides nothing else.

use std::collections::BTreeSet;
use std::fmt::Display;

use crate::error::{Error, Escaped};
use crate::request::Refusal;
use crate::resolve::Grant;

/// The most lines of one sort that a start logs, but for the one that sums up the rest. No honest container comes near it.
const MOST: usize = 32;

/// The log lines of the start of one container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Journal<'a> {
    container: Escaped<'a>,
}

impl<'a> Journal<'a> {
    /// Of the container with this id.
    pub(super) fn of(container: &'a str) -> Self {
        Journal { container: Escaped::name(container) }
    }

    /// What the policy refused.
    pub(super) fn refusals(self, refusals: &[Refusal]) {
        let line = |refusal: &Refusal| format!("refused {refusal}");
        bounded(refusals, line, |rest| format!("refused {} more requests", rest.len()))
            .for_each(|line| self.warn(&line));
    }

    /// What the operator of the node may want to know.
    pub(super) fn warnings(self, notes: &[String]) {
        bounded(notes, String::clone, |rest| format!("{} more warnings", rest.len())).for_each(|line| self.warn(&line));
    }

    /// Who got which device. The line about the rest names every device, because the grants are a record.
    pub(super) fn grants(self, grants: &[Grant]) {
        let container = self.container;
        let line = |grant: &Grant| format!("grant container={container} {grant}");
        let rest = |rest: &[Grant]| {
            let devices: BTreeSet<_> = rest.iter().flat_map(|grant| &grant.devices).map(ToString::to_string).collect();
            let devices = devices.into_iter().collect::<Vec<_>>().join(",");
            format!("grant container={container} devices={devices} asked by {} more requests", rest.len())
        };
        bounded(grants, line, rest).for_each(|line| log::info!("{line}"));
    }

    /// What was tried and is not needed.
    pub(super) fn debug(self, message: &dyn Display) {
        log::debug!("container={} {message}", self.container);
    }

    /// Why the container does not start.
    pub(super) fn error(self, error: &Error) {
        log::error!("container={} error={error}", self.container);
    }

    fn warn(self, message: &str) {
        log::warn!("container={} {message}", self.container);
    }
}

/// A line for each of the first items, and one about the rest if there are more.
fn bounded<'i, T>(
    items: &'i [T],
    line: impl Fn(&T) -> String + 'i,
    summary: impl FnOnce(&[T]) -> String,
) -> impl Iterator<Item = String> + 'i {
    let (first, rest) = items.split_at(items.len().min(MOST));
    let last = (!rest.is_empty()).then(|| summary(rest));
    first.iter().map(line).chain(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_is_logged_so_often_and_then_summed_up() {
        for (items, lines, last) in [(0, 0, None), (1, 1, Some("0")), (32, 32, Some("31")), (33, 33, Some("1 more"))] {
            let items: Vec<usize> = (0..items).collect();
            let found: Vec<_> = bounded(&items, usize::to_string, |rest| format!("{} more", rest.len())).collect();
            assert_eq!((found.len(), found.last().map(String::as_str)), (lines, last));
        }
        let many: Vec<usize> = (0..20_000).collect();
        let found: Vec<_> = bounded(&many, usize::to_string, |rest| format!("{} more", rest.len())).collect();
        assert_eq!((found.len(), found.last().map(String::as_str)), (33, Some("19968 more")));
    }
}
