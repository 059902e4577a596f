//! Which devices a request by count gets: devices, their holders, the machine's topology and the options in, an allocation out.
//!
//! Pure and deterministic: reads nothing, and the same input gives the same devices. A device is one index of the input here.
//!
//! Devices with fewer holders come before devices with more. Only devices that have equally many holders compete, in this order:
//! idle ones first (`pick=idle`), those on the container's own CPUs (`near=cpus`), the best connected group (`near=gpus`), the
//! lowest indices.

mod group;
pub mod link;

use crate::request::{Lease, Near, Options, Pick};
pub use link::Link;

/// What is known of one device of a kind, in the order in which a count takes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidate {
    /// How many containers hold it, or a part of it, or what it is a part of.
    pub holders: usize,
    /// Whether one of them has an exclusive lease.
    pub is_leased: bool,
    /// Whether this request has it already.
    pub is_taken: bool,
    /// Whether its model is the one that the request names. True where the request names none.
    pub fits: bool,
    /// Whether a process has its device nodes open. Only known for `pick=idle`.
    pub is_open: bool,
    /// Whether the container's CPUs are on its NUMA node. Only known for `near=cpus`.
    pub is_near_cpus: bool,
}

/// The devices that a count gets, as indices of the input, in ascending order.
pub type Allocation = Vec<usize>;

/// Fewer devices can be allocated than the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// How many devices the request can get.
    pub available: usize,
    /// How many devices it could get if no container held any.
    pub existing: usize,
}

/// How options and configuration say that devices are picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether other containers can get the same devices.
    pub lease: Lease,
    /// Which devices come first.
    pub pick: Pick,
    /// What they are close to.
    pub near: Near,
}

impl Rules {
    /// The rules of a request for `count` devices with `options`; `default` is the configuration's pick.
    pub fn of(options: &Options, count: usize, default: Pick) -> Self {
        let near = if count > 1 { Near::Gpus } else { Near::None };
        let pick = options.pick.unwrap_or(default);
        // The lowest indices, and nothing else, is what `pick=first` asks for.
        let near = options.near.unwrap_or(if pick == Pick::First { Near::None } else { near });
        Rules { lease: options.lease, pick, near }
    }
}

/// Chooses `count` of `candidates`. `links` has how two of them are connected, and is asked only for `near=gpus`.
///
/// # Errors
///
/// [`Shortage`] where fewer than `count` can be allocated.
pub fn choose(
    candidates: &[Candidate],
    count: usize,
    rules: Rules,
    links: &dyn Fn(usize, usize) -> Link,
) -> Result<Allocation, Shortage> {
    let fits = |candidate: &Candidate| candidate.fits && !candidate.is_taken;
    let is_free = |candidate: &Candidate| match rules.lease {
        Lease::Exclusive => candidate.holders == 0,
        Lease::Shared => !candidate.is_leased,
    };
    let available = candidates.iter().enumerate().filter(|(_, candidate)| fits(candidate) && is_free(candidate));
    let mut available: Vec<(usize, &Candidate)> = available.collect();
    if available.len() < count {
        let existing = candidates.iter().filter(|candidate| fits(candidate)).count();
        return Err(Shortage { available: available.len(), existing });
    }
    let rank = |candidate: &Candidate| {
        let holders = if rules.pick == Pick::First { 0 } else { candidate.holders };
        let is_open = rules.pick == Pick::Idle && candidate.is_open;
        (holders, is_open, rules.near == Near::Cpus && !candidate.is_near_cpus)
    };
    // Stable: devices of one rank stay in the order of their indices.
    available.sort_by_key(|(_, candidate)| rank(candidate));
    let Some(last) = count.checked_sub(1).and_then(|last| available.get(last)).map(|(_, last)| rank(last)) else {
        return Ok(Vec::new());
    };
    let is_better = |(_, candidate): &&(usize, &Candidate)| rank(candidate) < last;
    let certain: Vec<usize> = available.iter().filter(is_better).map(|(index, _)| *index).collect();
    let tied = available.iter().filter(|(_, candidate)| rank(candidate) == last).map(|(index, _)| *index);
    let tied: Vec<usize> = tied.collect();
    let wanted = count - certain.len();
    let mut chosen = match rules.near {
        Near::Gpus if tied.len() > wanted => group::best(&certain, &tied, wanted, links),
        _ => tied.into_iter().take(wanted).collect(),
    };
    chosen.extend(certain);
    chosen.sort_unstable();
    Ok(chosen)
}

#[cfg(test)]
mod tests;
